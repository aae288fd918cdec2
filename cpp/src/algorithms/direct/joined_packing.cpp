/// The source of one tile in elements that hold several channels:
///
///     for each group (or all of them as one)
///       pack the whole elements          (tile.cpp)
///       pack the one of the last channels
#include "algorithms/direct/joined_packing.hpp"

#include <algorithm>

namespace fastconv::direct {

template <class T>
void pack_joined_source(const Tile& tile, const SourcePadding& padding, const Extent& origin,
                        const RealView& source, std::int64_t n, const GroupRange& groups,
                        const ChannelRange& sources, const TypedKernels<T>& kernels, T* packed) {
  const std::int64_t most = std::min<std::int64_t>(groups.channels, kernels.channels_per_element);
  const std::int64_t last = groups.channels % kernels.channels_per_element;
  // Groups of whole elements, or of one element each, are packed as one.
  const bool joined = last == 0 || last == groups.channels;
  const std::int64_t packs = joined ? 1 : groups.count;
  const std::int64_t count = (joined ? groups.count : 1) * sources.count;
  const std::int64_t whole =
      last == 0
          ? count
          : std::clamp<std::int64_t>(groups.channels / kernels.channels_per_element - sources.first,
                                     0, sources.count);
  const auto load = kernels.load_joined[static_cast<int>(source.type())];
  for (std::int64_t group = 0; group < packs; ++group) {
    const RealView elements = source.channels_from((groups.first + group) * groups.channels, most);
    const auto pack = [&](std::int64_t first, std::int64_t end, std::int64_t channels) {
      if (first == end) return;
      pack_source(tile, padding, origin, elements, n, sources.first + first, end - first,
                  BlockLoader<T>(load, {channels, source.stride(1)}),
                  packed + (group * count + first) * tile.channel_size());
    };
    pack(0, whole, most);
    pack(whole, count, last);
  }
}

template void pack_joined_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                                 std::int64_t, const GroupRange&, const ChannelRange&,
                                 const TypedKernels<std::int32_t>&, std::int32_t*);

}  // namespace fastconv::direct
