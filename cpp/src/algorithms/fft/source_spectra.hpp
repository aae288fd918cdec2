#pragma once

#include "algorithms/fft/regions.hpp"

namespace fastconv::fft_convolution {

/// Most channels that are packed or stored together.
inline constexpr std::int64_t kMostBatch = 16;

/// Tiles of a tensor into spectra.
template <class T>
class SourceSpectra {
 public:
  SourceSpectra(const RealView& view, const direct::SourcePadding& padding,
                const fft::TileTransform<T>& transform, const TypedKernels<T>& kernels)
      : view_(view), padding_(padding), transform_(transform), kernels_(kernels) {}

  /// Channels that are packed together: as channels-last memory has them side by side.
  static std::int64_t batch(const RealView& view, std::int64_t channels,
                            const fft::TileTransform<T>& transform);
  std::int64_t batch(std::int64_t channels) const { return batch(view_, channels, transform_); }
  /// For so many channels at a time.
  static std::int64_t scratch_size(std::int64_t batch, std::int64_t planes,
                                   const fft::TileTransform<T>& transform) {
    return batch * planes * transform.plane_size() + transform.scratch_size();
  }

  /// Planes of the channels [first, first + count) of all groups together, zeros where the tile
  /// ends early.
  void pack(const Tile& tile, const Extent& origin, std::int64_t n, std::int64_t first,
            std::int64_t count, T* planes) const;

  /// Likewise, transformed: spectra[layer * layer_step + (channel * planes + plane) * plane_step].
  /// What is not finite counts as zero; says whether all was finite.
  bool transform(const Tile& tile, const Extent& origin, std::int64_t n, std::int64_t first,
                 std::int64_t count, T* spectra, std::int64_t plane_step, std::int64_t layer_step,
                 T* scratch) const;

 private:
  RealView view_;
  const direct::SourcePadding& padding_;
  const fft::TileTransform<T>& transform_;
  const TypedKernels<T>& kernels_;
};

}  // namespace fastconv::fft_convolution
