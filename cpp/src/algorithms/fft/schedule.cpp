#include "algorithms/fft/schedule.hpp"

#include <algorithm>

#include "algorithms/fft/spectrum_product.hpp"
#include "fft/shared_transform.hpp"

namespace fastconv::fft_convolution {

namespace {

/// Of the memory that a plan may use, the parts for the kernels' spectra and for those of a block
/// of tiles; either at least those of one channel or tile. The rest is for the threads.
constexpr std::int64_t kKernelParts = 4;
constexpr std::int64_t kBlockParts = 3;
constexpr std::int64_t kParts = 8;
/// Of small kernels that share a round.
constexpr std::int64_t kRoundBytes = std::int64_t{4} << 20;
/// Spectra of kernels that stay in a last-level cache from block to block, if the blocks leave them
/// room.
constexpr std::int64_t kCachedKernelBytes = std::int64_t{10} << 20;
/// Of a share of kernels that take turns.
constexpr std::int64_t kShareBytes = std::int64_t{2} << 20;
/// A multiple of the rows and columns of the product's tiles.
constexpr std::int64_t kProductTiles = 6;
/// Of the spectra of a block.
constexpr std::int64_t kLeastBlockBytes = std::int64_t{1} << 19;
constexpr std::int64_t kMostBlockBytes = std::int64_t{32} << 20;

}  // namespace

template <class T>
Schedule<T>::Schedule(const Problem& problem, const TypedKernels<T>& kernels, int threads,
                      std::size_t max_workspace)
    : regions(problem, choose_tile(problem).periodic),
      channels(problem),
      transform(fft::shared_transform<T>(choose_tile(problem).size, kernels)),
      sources(channels.sources * regions.planes()),
      run_count(regions.run_count()) {
  for (std::int64_t region = 0; region < regions.count(); ++region) {
    tiles.push_back(make_tile(regions.phases(region), transform->size(), transform->pitch()));
    runs.push_back(regions.runs(region));
  }
  const auto part = static_cast<std::int64_t>(max_workspace / kParts);
  choose_shares(problem.g, problem.n, kKernelParts * part, kBlockParts * part);
  choose_blocks(problem.n, threads, kBlockParts * part);
  const std::int64_t number = transform->number_size();
  kernel_layer_step = layer_step(share_channels * run_count * sources, number);
  source_layer_step = layer_step(block_tiles * sources, number);
  result_layer_step = layer_step(block_tiles * share_channels * run_count, number);
}

template <class T>
void Schedule<T>::choose_shares(std::int64_t groups, std::int64_t images, std::int64_t most_bytes,
                                std::int64_t most_block_bytes) {
  const std::int64_t channel_bytes =
      std::max<std::int64_t>(1, run_count * sources * spectrum_bytes());
  // Complex channels come in pairs.
  const std::int64_t pairs = channels.destinations / channels.parts;
  const auto fitting = [&](std::int64_t bytes) {
    return std::clamp<std::int64_t>(bytes / (channel_bytes * channels.parts), 1,
                                    std::max<std::int64_t>(1, pairs));
  };
  const std::int64_t kernel_bytes = channels.destinations * channel_bytes;
  const std::int64_t source_bytes =
      images * tiles.front().tile_count() * sources * spectrum_bytes();
  keeps_sources =
      regions.count() == 1 && source_bytes <= most_block_bytes / 2 &&
      kernels_take_turns(static_cast<double>(kernel_bytes), static_cast<double>(source_bytes));
  std::int64_t share_pairs = fitting(most_bytes);
  if (keeps_sources) share_pairs = std::min(share_pairs, fitting(kShareBytes));
  shares = std::max<std::int64_t>(1, ceil_divide(pairs, share_pairs));
  share_pairs = std::max<std::int64_t>(1, ceil_divide(pairs, shares));
  // So that the product's tiles come out even.
  if (keeps_sources && share_pairs > kProductTiles) {
    share_pairs = ceil_divide(share_pairs, kProductTiles) * kProductTiles;
  }
  share_channels = share_pairs * channels.parts;
  shares = std::max<std::int64_t>(1, ceil_divide(channels.destinations, share_channels));
  units = groups * shares;
  units_per_round =
      std::clamp<std::int64_t>(std::min(kRoundBytes, most_bytes) / (share_channels * channel_bytes),
                               1, keeps_sources ? 1 : units);
}

template <class T>
void Schedule<T>::choose_blocks(std::int64_t images, int threads, std::int64_t most_bytes) {
  const std::int64_t results = share_channels * run_count;
  const std::int64_t tile_bytes = (sources + results) * spectrum_bytes();
  const std::int64_t kernel_bytes = sources * results * spectrum_bytes();
  // Kernels that come from memory for every block are worth a large one.
  const std::int64_t balanced =
      kernel_bytes <= kCachedKernelBytes ? kernel_bytes * 2 / 5 : kernel_bytes;
  const std::int64_t wanted =
      std::min(std::clamp(balanced, kLeastBlockBytes, kMostBlockBytes), most_bytes) / tile_bytes;
  std::int64_t most = 0;
  for (const Tile& tile : tiles) most = std::max(most, images * tile.tile_count());
  // The product takes three tiles at a time.
  const std::int64_t least = keeps_sources ? most : 3 * tile_bytes <= most_bytes ? 3 : 1;
  block_tiles =
      std::clamp<std::int64_t>(std::max(wanted, least), 1, std::max<std::int64_t>(1, most));
  // Those that add to what others write come last.
  for (const bool adds : {false, true}) {
    for (std::int64_t region = 0; region < regions.count(); ++region) {
      if (regions.adds(region) != adds) continue;
      if (stages.empty() || adds) {
        stages.push_back(
            {static_cast<std::int64_t>(blocks.size()), 0, adds, regions.repeats(region)});
      }
      append_blocks(region, images);
    }
  }
  const std::int64_t items = units_per_round * static_cast<std::int64_t>(blocks.size());
  const std::int64_t block_bytes = block_tiles * tile_bytes;
  blocks_in_parallel =
      threads == 1 || (items >= 2 * threads && threads * block_bytes <= most_bytes);
  units_in_parallel = threads == 1 || (!keeps_sources && units >= 2 * threads &&
                                       threads * (block_bytes + kernel_bytes) <= most_bytes);
}

template <class T>
bool Schedule<T>::kernels_stay_cached(std::int64_t sets) const {
  return sets * kernel_size() * static_cast<std::int64_t>(sizeof(T)) <= kCachedKernelBytes;
}

template <class T>
void Schedule<T>::append_blocks(std::int64_t region, std::int64_t images) {
  const auto index = static_cast<std::size_t>(region);
  const std::int64_t count = images * tiles[index].tile_count();
  for (std::int64_t first = 0; first < count; first += block_tiles) {
    blocks.push_back({index, first, std::min(block_tiles, count - first)});
    ++stages.back().count;
  }
}

template class Schedule<float>;
template class Schedule<double>;

}  // namespace fastconv::fft_convolution
