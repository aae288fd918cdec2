#include "algorithms/winograd/winograd_schedule.hpp"

#include <algorithm>

#include "runtime/vector_units.hpp"

namespace fastconv::winograd {

namespace {

/// Of the transformed source of a block. Where the last-level cache is far, source, sums and
/// results share the second-level cache. Blocks of fewer tiles would read the weights of a large
/// layer too often.
constexpr std::int64_t kBlockBytes = 1 << 20;
constexpr std::int64_t kNearBlockBytes = 1 << 19;
constexpr std::int64_t kLeastTiles = 48;
constexpr std::int64_t kMostTiles = 128;
/// Where there would be fewer blocks than threads.
constexpr std::int64_t kLeastSharedTiles = 12;

}  // namespace

std::int64_t most_share_bytes(int threads) {
  constexpr std::int64_t kLeastBytes = 1 << 20;
  constexpr std::int64_t kMostBytes = 5 << 20;
  constexpr std::int64_t kManyThreads = 8;
  return std::clamp(kManyThreads * kMostBytes / threads, kLeastBytes, kMostBytes);
}

template <class T>
Schedule<T>::Schedule(const Geometry& geometry, const TypedKernels<T>& kernels, int threads)
    : lanes(kernels.lanes),
      frequencies(geometry.frequencies()),
      padded_source_channels(ceil_divide(geometry.source_channels, lanes) * lanes),
      source_pitch(geometry.parts() * padded_source_channels),
      padded_destination_channels(ceil_divide(geometry.destination_channels, lanes) * lanes),
      depth(geometry.parts() * geometry.source_channels),
      panels(make_panels(kernels, padded_destination_channels / lanes,
                         padded_destination_channels / lanes)) {
  choose_blocks(geometry, threads);
  choose_shares(geometry, threads);
}

template <class T>
void Schedule<T>::choose_blocks(const Geometry& geometry, int threads) {
  const std::int64_t tile_bytes = frequencies * static_cast<std::int64_t>(sizeof(T)) *
                                  std::max(source_pitch, padded_destination_channels);
  const std::int64_t block_bytes = last_cache_is_far() ? kNearBlockBytes : kBlockBytes;
  const std::int64_t fitting = std::clamp(block_bytes / tile_bytes, kLeastTiles, kMostTiles);
  const std::int64_t tiles = geometry.tiles();
  const std::int64_t most = std::clamp(ceil_divide(tiles, threads), kLeastSharedTiles, fitting);

  // An empty batch has one block without tiles.
  tile_rows = geometry.images * geometry.axes[0].tiles;
  const std::int64_t rows = std::max<std::int64_t>(1, tile_rows);
  column_blocks = ceil_divide(geometry.axes[1].tiles, most);
  columns_per_block = ceil_divide(geometry.axes[1].tiles, column_blocks);
  row_blocks = ceil_divide(rows, std::max<std::int64_t>(1, most / columns_per_block));
  // Few blocks are shared evenly.
  constexpr std::int64_t kManyBlocks = 8;
  if (blocks() < kManyBlocks * threads) row_blocks = ceil_divide(row_blocks, threads) * threads;
  row_blocks = std::min(row_blocks, rows);
  rows_per_block = ceil_divide(rows, row_blocks);
  box_rows = std::min(rows_per_block, geometry.axes[0].tiles);
}

template <class T>
void Schedule<T>::choose_shares(const Geometry& geometry, int threads) {
  const std::int64_t column_bytes = frequencies * depth * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t for_cache =
      ceil_divide(padded_destination_channels * column_bytes, most_share_bytes(threads));
  const std::int64_t for_threads = ceil_divide(threads, geometry.groups * blocks());
  const std::int64_t panels_of_share =
      ceil_divide(panel_count(), std::min(std::max(for_cache, for_threads), panel_count()));
  shares = ceil_divide(panel_count(), panels_of_share);
  share_channels = 0;
  for (std::int64_t share = 0; share < shares; ++share) {
    share_channels = std::max(share_channels, first_channel(share + 1) - first_channel(share));
  }
  // One vector more, so that the frequencies do not fall into the same set of a cache.
  frequency_size = depth * share_channels + lanes;
  units = geometry.groups * shares;
  slot_size = (block_tiles() + kMostProductRows) * std::max(source_pitch, share_channels) + lanes;
}

template class Schedule<float>;
template class Schedule<double>;

}  // namespace fastconv::winograd
