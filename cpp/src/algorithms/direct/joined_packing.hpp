#pragma once

#include "algorithms/direct/tile.hpp"
#include "algorithms/direct/weight_packing.hpp"

namespace fastconv::direct {

/// Groups whose tiles are packed together.
struct GroupRange {
  std::int64_t first;
  std::int64_t count;
  std::int64_t channels;  ///< of each
};

/// `pack_source` for kernels whose elements hold several source channels: packs elements
/// [sources.first, sources.first + sources.count) of each group, whose last one may hold fewer
/// channels. Several groups are packed only when each is packed whole.
template <class T>
void pack_joined_source(const Tile& tile, const SourcePadding& padding, const Extent& origin,
                        const RealView& source, std::int64_t n, const GroupRange& groups,
                        const ChannelRange& sources, const TypedKernels<T>& kernels, T* packed);

}  // namespace fastconv::direct
