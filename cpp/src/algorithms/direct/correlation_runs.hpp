#pragma once

#include <algorithm>
#include <bit>

#include "algorithms/direct/correlation_schedule.hpp"
#include "runtime/aligned_buffer.hpp"

/// A flat run of positions of one block: the loops around the microkernels.
namespace fastconv::direct {

/// Steps [first, end) of the reduction, with the weights of a block for them.
template <class T>
struct DepthRange {
  std::int64_t first;
  std::int64_t end;
  CorrelationWeights<T> weights;     ///< of the block, at the first step
  std::int64_t chunk = kDepthChunk;  ///< steps that are added up in one sequence
  LinesAhead* ahead = nullptr;       ///< fetched between chunks
  const T* start = nullptr;          ///< what the sums of each row begin with, unless with zero
  bool aligned_steps = false;        ///< the pixels of all steps lie alike on cache lines
};

/// Elements before the next cache line.
template <class T>
std::int64_t elements_to_alignment(const T* data) {
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  return static_cast<std::int64_t>((round_up(address, kAlignment) - address) / sizeof(T));
}

/// Sums of register tiles side by side, in pieces of the depth.
template <class T, class Kernel>
void run_kernel(const Kernel& kernel, const CorrelationSource<T>& source,
                const DepthRange<T>& depth, CorrelationSums<T> sums) {
  std::int64_t first = depth.first;
  do {
    const std::int64_t piece = std::min(depth.chunk, depth.end - first);
    if (depth.ahead != nullptr) depth.ahead->fetch(sums.tiles);
    sums.adds = first > 0;
    CorrelationSource<T> pixels = source;
    pixels.offsets += first;
    pixels.start = first > 0 ? nullptr : depth.start;
    kernel.run(depth.weights.from(first - depth.first), pixels, piece, sums);
    first += piece;
  } while (first < depth.end);
}

/// sums[row * pitch + position] with vectors along the positions. Where `exact`, nothing is written
/// beyond the last position, nor read beyond it if there are as many as fill a vector, and the
/// memory of the next tile is fetched: few steps would else wait for it.
template <class T>
void compute_along_pixels(const Block<T>& block, const CorrelationSource<T>& source,
                          const DepthRange<T>& depth, std::int64_t length, std::int64_t lanes,
                          bool exact, T* sums, std::int64_t pitch) {
  // Few enough for what is fetched meanwhile to come in small parts.
  constexpr std::int64_t kMostTiles = 4;
  const int widest = block.kernels[kMaxCorrelationVectors]->vectors;
  const bool one_piece = depth.end - depth.first <= depth.chunk;
  std::int64_t at = 0;
  if (exact && depth.aligned_steps && depth.first == 0) {
    // The first tile overlaps this vector, and begins on a cache line.
    at = elements_to_alignment(source.data);
    if (at > 0 && at + kLeastAlignedVectors * lanes <= length) {
      run_kernel(*block.kernels[1], source, depth, {sums, pitch});
    } else {
      at = 0;
    }
  }
  // Runs may be short: division would take a good part of their time.
  const int shift = std::countr_zero(static_cast<std::uint64_t>(lanes));
  std::int64_t left = (length - at + (exact ? 0 : lanes - 1)) >> shift;
  while (left > 0) {
    // Two halves keep more accumulators busy than a full tile and a sliver.
    const std::int64_t tiles = !one_piece || left <= 2 * widest ? 1
                               : left > kMostTiles * widest     ? kMostTiles
                                                                : (left - 1) / widest;
    const std::int64_t wanted = left > widest && left < 2 * widest ? (left + 1) / 2 : left;
    const auto slot =
        static_cast<std::size_t>(std::min<std::int64_t>(wanted, kMaxCorrelationVectors));
    const CorrelationKernel<T>& kernel = *block.kernels[slot];
    const std::int64_t vectors = tiles * kernel.vectors;
    run_kernel(kernel, source.at(at), depth,
               {.data = sums + at, .pitch = pitch, .fetches = exact, .tiles = tiles});
    at += vectors * lanes;
    left -= vectors;
  }
  if (at >= length) return;
  // The last vector overlaps the one before.
  const std::int64_t last_at = std::max<std::int64_t>(0, length - lanes);
  CorrelationSource<T> last_source = source.at(last_at);
  last_source.offsets += depth.first;
  const bool adds = depth.first > 0;
  const DepthRange<T> steps{0,           depth.end - depth.first,     depth.weights, depth.chunk,
                            depth.ahead, adds ? nullptr : depth.start};
  if (length >= lanes && !adds) {
    run_kernel(*block.kernels[1], last_source, steps, {sums + last_at, pitch});
    return;
  }
  alignas(kAlignment) T last[kMaxTileElements];
  run_kernel(*block.kernels[1], last_source, steps, {last, lanes});
  for (int row = 0; row < block.rows; ++row) {
    for (std::int64_t i = at; i < length; ++i) {
      const T sum = last[row * lanes + i - last_at];
      T& to = sums[row * pitch + i];
      to = adds ? wrapping_sum(to, sum) : sum;
    }
  }
}

/// The same for few rows and a source in memory, which so few multiply-adds do not hide: a few
/// steps of a long piece of the run at a time are streams that the processor foresees.
template <class T>
void compute_from_memory(const Block<T>& block, const CorrelationSource<T>& source,
                         const DepthRange<T>& depth, std::int64_t length, std::int64_t lanes,
                         bool exact, T* sums, std::int64_t pitch) {
  constexpr std::int64_t kStreams = 16;
  constexpr auto kPiece = static_cast<std::int64_t>(4096 / sizeof(T));
  for (std::int64_t at = 0; at < length; at += kPiece) {
    std::int64_t first = depth.first;
    do {
      DepthRange<T> steps = depth;
      steps.first = first;
      steps.end = std::min(first + kStreams, depth.end);
      steps.weights = depth.weights.from(first - depth.first);
      compute_along_pixels(block, source.at(at), steps, std::min(kPiece, length - at), lanes, exact,
                           sums + at, pitch);
      first = steps.end;
    } while (first < depth.end);
  }
}

/// sums[position * pitch + row] with vectors along the rows of the block; added to what earlier
/// steps of the reduction left there.
template <class T>
void compute_along_channels(const Block<T>& block, const CorrelationSource<T>& source,
                            const DepthRange<T>& depth, std::int64_t length, T* sums,
                            std::int64_t pitch) {
  std::int64_t at = 0;
  while (at < length) {
    const std::int64_t left = std::min<std::int64_t>(length - at, kMostSplitPixels);
    const ChannelCorrelationKernel<T>& kernel =
        *block.channel_kernels[static_cast<std::size_t>(left)];
    run_kernel(kernel, source.at(at), depth, {sums + at * pitch, pitch});
    at += kernel.pixels;
  }
}

}  // namespace fastconv::direct
