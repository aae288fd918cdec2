#pragma once

#include "algorithms/direct/correlation_store.hpp"
#include "algorithms/fft/non_finite.hpp"
#include "algorithms/fft/source_block.hpp"
#include "fastconv/plan.hpp"

namespace fastconv::fft_convolution {

/// The arrays of one pass, in its own terms.
struct PassViews {
  PassViews(const Problem& problem, const Arguments& arguments);

  RealView source;
  const TensorView& destination;
  const TensorView& weight;
  direct::SourcePadding padding;
};

/// Spectra of results into the destination: transformed back, repaired where the source or a sum is
/// not finite, stored with bias and activation.
template <class T>
class ResultSpectra {
 public:
  ResultSpectra(const Problem& problem, const Schedule<T>& schedule,
                const KernelSpectra<T>& kernel_spectra, const TypedKernels<T>& kernels)
      : problem_(problem),
        schedule_(schedule),
        kernel_spectra_(kernel_spectra),
        kernels_(kernels) {}

  /// A block of tiles, for a share of a group's destination channels.
  struct Block {
    const TileBlock& tiles;
    std::int64_t group;
    std::int64_t share;
    const T* spectra;                ///< [layer][tile][destination channel][run]
    const std::uint8_t* non_finite;  ///< whether a tile's source holds what is not finite
    bool adds;
  };

  /// Elements that a thread needs.
  std::int64_t scratch_size() const;

  void store(const PassViews& views, const T* bias, const Block& block, int threads,
             const ThreadMemory<T>& scratch) const;

 private:
  bool all_finite(const Tile& tile, const Extent& size, const T* plane) const;

  const Problem& problem_;
  const Schedule<T>& schedule_;
  const KernelSpectra<T>& kernel_spectra_;
  const TypedKernels<T>& kernels_;
};

}  // namespace fastconv::fft_convolution
