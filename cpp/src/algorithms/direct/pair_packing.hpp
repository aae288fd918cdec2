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

/// `pack_source` for kernels that multiply pairs: packs pairs [sources.first, sources.first +
/// sources.count) of source channels of each group. The last channel of a group has no partner if
/// their number is odd. Several groups are packed only when each is packed whole.
template <class T>
void pack_source_pairs(const Tile& tile, const SourcePadding& padding, const Extent& origin,
                       const RealView& source, std::int64_t n, const GroupRange& groups,
                       const ChannelRange& sources, LoadPairsFunction<T> load_pairs, T* packed);

}  // namespace fastconv::direct
