/// How the positions of a region fall into tiles: what of them is packed and summed at a time, so
/// that it stays in the cache and threads find enough to do.
#include <algorithm>

#include "algorithms/direct/correlation_schedule.hpp"
#include "fastconv/cpu.hpp"

namespace fastconv::direct {
namespace {

bool has_one_phase(const Tile& tile) {
  return std::ranges::all_of(tile.phases,
                             [](const AxisPhases* phases) { return phases->runs.size() == 1; });
}

/// Taps of the set that all phases share.
std::int64_t whole_taps(const Tile& tile) {
  std::int64_t taps = 1;
  for (const AxisPhases* phases : tile.phases) {
    taps *= phases->whole.value_or(phases->runs.front()).tap_count();
  }
  return taps;
}

}  // namespace

template <class T>
std::int64_t CorrelationSchedule<T>::packed_elements(const Region& region) const {
  return region.images_per_item * groups_per_item * region.sources_per_item *
         region.tile.channel_size();
}

/// Positions of a box of a tile whose sums wait together, in whole vectors: along the channels the
/// sums of all runs wait until the whole depth has been added up.
template <class T>
std::int64_t CorrelationSchedule<T>::positions(const Tile& tile, const Extent& size) const {
  const FlatRuns runs = flat_runs(size, tile.pitch, choose_flattening(tile, lanes_along));
  const std::int64_t count =
      lanes_along == LanesAlong::channels ? runs.count * runs.length : runs.length;
  return ceil_divide(count, kernels_.lanes) * kernels_.lanes;
}

/// The same of the phases whose sums are formed side by side: all of them where padding is left
/// out, otherwise one.
template <class T>
std::int64_t CorrelationSchedule<T>::positions(const Tile& tile) const {
  if (!leaves_out_padding) return positions(tile, tile.size);
  std::int64_t sum = 0;
  for_each_phase(tile.phases,
                 [&](const Runs& runs) { sum += positions(tile, tile.size_at({0, 0, 0}, runs)); });
  return sum;
}

/// Whether the rows of two neighbouring phases are every second element of the same rows.
template <class T>
bool CorrelationSchedule<T>::rows_alternate(const Tile& tile) const {
  const std::vector<AxisRun>& runs = tile.phases[2]->runs;
  return lanes_along == LanesAlong::pixels && runs.size() == 2 &&
         std::ranges::all_of(
             runs,
             [](const AxisRun& run) { return run.destination_step == 2 && run.tap_count() > 0; }) &&
         runs[1].destination_first == runs[0].destination_first + 1;
}

/// Where source channels are packed in several parts, the sums of all blocks wait for the last one.
template <class T>
std::int64_t CorrelationSchedule<T>::sums_elements(const Region& region) const {
  const bool parted = region.sources_per_item < source_channels;
  const std::int64_t rows = rows_alternate(region.tile) ? 2 * sums_rows()
                            : parted                    ? padded_rows
                                                        : sums_rows();
  return region.images_per_item * rows * positions(region.tile);
}

/// The packed tile and its sums take half of the second-level cache; then work is shared out until
/// every thread has several items.
template <class T>
void CorrelationSchedule<T>::choose_tile(Region& region) {
  region.sources_per_item = source_channels;
  while (!fit_cache(region)) {
  }
  if (leaves_out_padding) {
    const std::int64_t part = region.sources_per_item;
    const std::int64_t pieces = ceil_divide(part, sources_for_taps(whole_taps(region.tile)));
    sources_together = std::max<std::int64_t>(1, ceil_divide(part, pieces));
    region.sources_per_item = std::min(source_channels, pieces * sources_together);
  }
  share_out(region);
  region.flattening = choose_flattening(region.tile, lanes_along);
}

/// One step towards the cache: source channels are parted where the tile is so low that halving it
/// would pack many elements twice, as long as a part is deep enough to hide the sums' way to memory
/// and back, and one phase alone is waiting for the parts. True if nothing is left to do.
template <class T>
bool CorrelationSchedule<T>::fit_cache(Region& region) const {
  constexpr std::int64_t kLeastDepth = 384;
  constexpr std::int64_t kMostRepeated = 6;
  Tile& tile = region.tile;
  const auto cache = static_cast<std::int64_t>(second_level_cache_bytes() / sizeof(T));
  const std::int64_t least_width = std::int64_t{kMaxCorrelationVectors} * kernels_.lanes;
  if (packed_elements(region) + sums_rows() * positions(tile) <= cache / 2) return true;
  const bool low = tile.size[0] * tile.size[1] <
                   2 * kMostRepeated * std::max(tile.phases[0]->reach, tile.phases[1]->reach);
  const std::int64_t taps = std::max<std::int64_t>(1, region_taps(tile));
  if (low && (has_one_phase(tile) || leaves_out_padding) && lanes_along == LanesAlong::channels &&
      region.sources_per_item > 1 && region.sources_per_item * taps > 2 * kLeastDepth &&
      padded_rows * positions(tile) <= 3 * cache / 2) {
    region.sources_per_item = ceil_divide(region.sources_per_item, 2);
    return false;
  }
  // Where padding is left out, the runs at an axis' end read its end: however small, a tile packs
  // the whole of it.
  Tile smaller = tile;
  if (!smaller.halve(least_width) || smaller.channel_size() >= tile.channel_size()) return true;
  tile = smaller;
  return false;
}

/// Several images share the weights of a block where each is small.
template <class T>
void CorrelationSchedule<T>::share_out(Region& region) const {
  Tile& tile = region.tile;
  const auto cache = static_cast<std::int64_t>(second_level_cache_bytes() / sizeof(T));
  const std::int64_t least_width = std::int64_t{kMaxCorrelationVectors} * kernels_.lanes;
  const std::int64_t wanted = threads == 1 ? 1 : kItemsPerThread * threads;
  const std::int64_t images = images_ * group_blocks();
  while (images * tile.tile_count() < wanted && product(tile.size) > least_shared_positions() &&
         tile.halve(least_width)) {
  }
  // Few tiles are as large as each other, since each thread has as many.
  if (lanes_along == LanesAlong::pixels && (threads == 1 || images * tile.tile_count() >= wanted)) {
    tile.fill_vectors(kernels_.lanes);
  }
  if (lanes_along == LanesAlong::channels && tile.tile_count() == 1) {
    const std::int64_t fitting =
        cache / 2 / std::max<std::int64_t>(1, packed_elements(region) + sums_elements(region));
    region.images_per_item =
        std::clamp<std::int64_t>(std::min(fitting, images_ * group_blocks() / wanted), 1,
                                 std::max<std::int64_t>(1, images_));
  }
  const std::int64_t shared =
      ceil_divide(images_, region.images_per_item) * group_blocks() * tile.tile_count();
  region.channel_shares = std::clamp<std::int64_t>(
      ceil_divide(wanted, std::max<std::int64_t>(1, shared)), 1, block_count());
  region.items = shared * region.channel_shares;
}

template class CorrelationSchedule<float>;
template class CorrelationSchedule<double>;
template class CorrelationSchedule<std::int32_t>;
template class CorrelationSchedule<std::int64_t>;

}  // namespace fastconv::direct
