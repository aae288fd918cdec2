#pragma once

#include "algorithms/fft/kernel_spectra.hpp"
#include "algorithms/fft/source_spectra.hpp"

namespace fastconv::fft_convolution {

/// What a transform would spread over its whole tile. Infinities and NaNs of the source were left
/// out of the spectra: their products are added here, tap by tap, to the windows that hold them.
/// Sums that overflowed on the way are formed again without a transform.
template <class T>
class NonFiniteRepair {
 public:
  NonFiniteRepair(const SourceSpectra<T>& source, const KernelSpectra<T>& kernels,
                  const TensorView& weight, std::int64_t source_channels)
      : source_(source), kernels_(kernels), weight_(weight), source_channels_(source_channels) {}

  /// Memory for the planes of one channel, the taps of one kernel, and sums of one plane.
  static std::int64_t scratch_size(const Tile& tile, const KernelSpectra<T>& kernels) {
    return tile.plane_size * (sizeof(double) / sizeof(T)) + tile.channel_size() +
           kernels.taps_size(kernels.parts());
  }

  /// `sums` is the plane of a destination channel of a group for one run of a tile.
  void repair(const Tile& tile, const Extent& origin, const Runs& runs, std::int64_t n,
              std::int64_t group, std::int64_t channel, T* sums, T* scratch) const;

 private:
  void add_to_overflowed(const Tile& tile, const Runs& runs, const Extent& size, const T* planes,
                         const T* taps, const T* sums, double* wide) const;
  void add_non_finite(const Tile& tile, const Runs& runs, const Extent& size, const T* planes,
                      const T* taps, double* wide) const;

  const SourceSpectra<T>& source_;
  const KernelSpectra<T>& kernels_;
  const TensorView& weight_;
  std::int64_t source_channels_;
};

}  // namespace fastconv::fft_convolution
