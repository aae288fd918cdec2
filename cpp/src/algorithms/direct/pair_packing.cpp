/// The source of one tile in pairs of channels:
///
///     for each group (or all of them as one)
///       pack the pairs            (tile.cpp, a pair for an element)
///       pack what has no partner
#include "algorithms/direct/pair_packing.hpp"

#include <algorithm>

namespace fastconv::direct {

template <class T>
void pack_source_pairs(const Tile& tile, const SourcePadding& padding, const Extent& origin,
                       const RealView& source, std::int64_t n, const GroupRange& groups,
                       const ChannelRange& sources, LoadPairsFunction<T> load_pairs, T* packed) {
  // Groups without a last odd channel, or of nothing else, are packed as one.
  const bool even = groups.channels % 2 == 0;
  const bool joined = even || groups.channels == 1;
  const std::int64_t packs = joined ? 1 : groups.count;
  const std::int64_t count = (joined ? groups.count : 1) * sources.count;
  const std::int64_t whole =
      even ? count
           : std::clamp<std::int64_t>(groups.channels / 2 - sources.first, 0, sources.count);
  for (std::int64_t group = 0; group < packs; ++group) {
    const RealView pairs = source.channels_from((groups.first + group) * groups.channels,
                                                std::min<std::int64_t>(groups.channels, 2));
    T* to = packed + group * count * tile.channel_size();
    if (whole > 0) {
      pack_source(tile, padding, origin, pairs, n, sources.first, whole,
                  BlockLoader<T>(load_pairs, source.stride(1)), to);
    }
    if (whole < count) {
      pack_source(tile, padding, origin, pairs, n, sources.first + whole, count - whole,
                  BlockLoader<T>(load_pairs, kNoPartner), to + whole * tile.channel_size());
    }
  }
}

template void pack_source_pairs(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                                std::int64_t, const GroupRange&, const ChannelRange&,
                                LoadPairsFunction<std::int32_t>, std::int32_t*);

}  // namespace fastconv::direct
