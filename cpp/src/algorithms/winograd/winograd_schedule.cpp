#include "algorithms/winograd/winograd_schedule.hpp"

#include <algorithm>
#include <cstdlib>

namespace fastconv::winograd {

template <class T>
Schedule<T>::Schedule(const Geometry& geometry, const TypedKernels<T>& kernels, int threads)
    : lanes(kernels.lanes),
      padded_source_channels(ceil_divide(geometry.source_channels, lanes) * lanes),
      padded_destination_channels(ceil_divide(geometry.destination_channels, lanes) * lanes) {
  // One vector more, so that the frequencies do not fall into the same set of a cache.
  frequency_size = geometry.source_channels * padded_destination_channels + lanes;
  choose_panels(geometry, kernels);
  choose_blocks(geometry, threads);
}

template <class T>
void Schedule<T>::choose_panels(const Geometry&, const TypedKernels<T>& kernels) {
  // The most multiply-adds for each load.
  const auto intensity = [](const MatrixProductKernel<T>& kernel) {
    return static_cast<double>(kernel.rows * kernel.vectors) / (kernel.rows + kernel.vectors);
  };
  const MatrixProductKernel<T>* best = kernels.matrix_product.begin();
  for (const auto& kernel : kernels.matrix_product) {
    if (intensity(kernel) > intensity(*best)) best = &kernel;
  }
  std::int64_t left = padded_destination_channels / lanes;
  for (std::int64_t first = 0; left > 0;) {
    // Two halves keep more accumulators busy than a full tile and a sliver.
    const std::int64_t wanted = left > best->vectors && left < 2 * best->vectors
                                    ? (left + 1) / 2
                                    : std::min<std::int64_t>(left, best->vectors);
    Panel<T> panel{first, wanted, nullptr, nullptr};
    for (const auto& kernel : kernels.matrix_product) {
      if (kernel.vectors != wanted) continue;
      if (panel.kernel == nullptr || kernel.rows > panel.kernel->rows) panel.kernel = &kernel;
      if (panel.last_rows == nullptr || kernel.rows < panel.last_rows->rows) {
        panel.last_rows = &kernel;
      }
    }
    panels.push_back(panel);
    first += wanted;
    left -= wanted;
  }
}

template <class T>
void Schedule<T>::choose_blocks(const Geometry& geometry, int threads) {
  const std::int64_t channels = std::max(padded_source_channels, padded_destination_channels);
  std::int64_t most = most_block_tiles(
      channels, kFrequencies * frequency_size * static_cast<std::int64_t>(sizeof(T)), sizeof(T));
  const std::int64_t tiles = geometry.images * geometry.tiles[0] * geometry.tiles[1];
  constexpr std::int64_t kLeastTiles = 12;
  most = std::clamp(ceil_divide(tiles, threads), std::min(kLeastTiles, most), most);

  const std::int64_t rows = geometry.images * geometry.tiles[0];
  column_blocks = ceil_divide(geometry.tiles[1], most);
  columns_per_block = ceil_divide(geometry.tiles[1], column_blocks);
  row_blocks = ceil_divide(rows, std::max<std::int64_t>(1, most / columns_per_block));
  rows_per_block = ceil_divide(rows, row_blocks);
  row_blocks = ceil_divide(rows, rows_per_block);
  box_rows = std::min(rows_per_block, geometry.tiles[0]);

  const std::int64_t blocks = geometry.groups * row_blocks * column_blocks;
  shares = std::clamp<std::int64_t>(ceil_divide(threads, blocks), 1,
                                    static_cast<std::int64_t>(panels.size()));
  items = blocks * shares;
  share_channels = 0;
  for (std::int64_t share = 0; share < shares; ++share) {
    std::int64_t vectors = 0;
    for (std::int64_t p = first_panel(share); p < first_panel(share + 1); ++p) {
      vectors += panels[static_cast<std::size_t>(p)].vectors;
    }
    share_channels = std::max(share_channels, vectors * lanes);
  }
  // The last rows of a product may be those of no tile.
  constexpr std::int64_t kMostRows = 8;
  slot_size =
      (block_tiles() + kMostRows) * std::max(padded_source_channels, share_channels) + lanes;
}

std::int64_t most_block_tiles(std::int64_t channels, std::int64_t weight_bytes,
                              std::int64_t element_bytes) {
  if (const char* text = std::getenv("WINO_TILES")) return std::atoi(text);
  static_cast<void>(weight_bytes);
  return std::clamp<std::int64_t>((512 << 10) / (kFrequencies * channels * element_bytes), 48, 96);
}

template class Schedule<float>;
template class Schedule<double>;

}  // namespace fastconv::winograd
