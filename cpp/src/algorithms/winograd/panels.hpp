#pragma once

#include <algorithm>
#include <array>
#include <vector>

#include "kernels/kernel_table.hpp"

namespace fastconv::winograd {

/// Most rows of a matrix product; the last ones may be those of no tile.
inline constexpr std::int64_t kMostProductRows = 8;

/// Source channels that are added up in one sequence: the weights of a panel, for so many, take
/// most of a first-level cache, and rounding errors grow less than in one long sequence.
inline constexpr std::int64_t kDepthPiece = 128;

/// Vectors of destination channels that one product computes.
template <class T>
struct Panel {
  std::int64_t first;  ///< vector
  std::int64_t vectors;
  /// The kernel for so many tiles that are left.
  std::array<const MatrixProductKernel<T>*, kMostProductRows + 1> kernels;

  /// sums[tile][channel] (+)= sum_r source[tile][r] * weights[r][channel], `depth` long.
  void multiply(const T* source, std::int64_t source_pitch, const T* weights, std::int64_t depth,
                std::int64_t tiles, T* sums, std::int64_t sums_pitch, bool adds) const {
    for (std::int64_t tile = 0; tile < tiles;) {
      const auto& kernel = *kernels[static_cast<std::size_t>(
          std::min<std::int64_t>(tiles - tile, kMostProductRows))];
      kernel.run(source + tile * source_pitch, source_pitch, weights, depth,
                 sums + tile * sums_pitch, sums_pitch, adds);
      tile += kernel.rows;
    }
  }
};

/// Vectors of the kernel that does most for each load.
template <class T>
std::int64_t widest_panel(const TypedKernels<T>& kernels);

/// So many vectors of channels in panels for the kernel that does most for each load, each of at
/// most `most` vectors.
template <class T>
std::vector<Panel<T>> make_panels(const TypedKernels<T>& kernels, std::int64_t vectors,
                                  std::int64_t most);

}  // namespace fastconv::winograd
