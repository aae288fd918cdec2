#pragma once

#include "algorithms/fft/regions.hpp"

namespace fastconv::fft_convolution {

/// Channels of one group as real numbers: a complex one is two.
struct GroupChannels {
  explicit GroupChannels(const Problem& problem);

  std::int64_t parts;  ///< real numbers of an element
  std::int64_t sources;
  std::int64_t destinations;
  bool outputs_written;  ///< the destination has the output's channels, else the input's
};

struct TileChoice {
  fft::TileSize size;
  PeriodicAxes periodic;
  double seconds;  ///< of the whole problem on one thread
};

/// Whether the spectra of all tiles of a group's sources are kept while its kernels are transformed
/// in shares: where a cache holds the tiles' but not all of both, and they are no more.
bool kernels_take_turns(double kernel_bytes, double source_bytes);

/// The size of tiles that costs least; negative seconds if no transform is long enough.
TileChoice choose_tile(const Problem& problem);

}  // namespace fastconv::fft_convolution
