#include <algorithm>
#include <bit>

#include "streaming/partitioned_stream.hpp"

namespace fastconv::streaming {

/// A sample costs the transforms' share, which hardly depends on the block, and one product for
/// every partition: at 32 partitions the two are about alike.
std::int64_t default_block(std::int64_t taps) {
  constexpr std::uint64_t kLeast = 256;
  constexpr std::uint64_t kMost = 4096;
  return static_cast<std::int64_t>(
      std::clamp(std::bit_ceil((static_cast<std::uint64_t>(taps) + 31) / 32), kLeast, kMost));
}

/// A sequence whose spectrum has the fewest vectors, and of these the one closest to a square.
fft::TileSize transform_size(std::int64_t block, std::int64_t lanes) {
  struct Candidate {
    std::int64_t layers;
    std::int64_t longest;
    fft::TileSize size;
  };
  Candidate best{};
  for (const std::int64_t vectors :
       {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512}) {
    const std::int64_t columns = vectors * lanes;
    const std::int64_t half = fft::next_supported_length((block + columns - 1) / columns);
    const Candidate candidate{(half + lanes - 1) / lanes * columns,
                              std::max(half, columns),
                              {1, 2 * half, columns, true}};
    const bool better = best.layers == 0 || candidate.layers < best.layers ||
                        (candidate.layers == best.layers && candidate.longest < best.longest);
    if (better) best = candidate;
    if (columns > block) break;
  }
  return best.size;
}

}  // namespace fastconv::streaming
