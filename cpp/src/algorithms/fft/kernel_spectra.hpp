#pragma once

#include <atomic>

#include "algorithms/direct/weight_packing.hpp"
#include "algorithms/fft/regions.hpp"
#include "algorithms/fft/tile_choice.hpp"

namespace fastconv::fft_convolution {

/// Weights of any strides into the spectra of kernels: for a destination channel and a run, one for
/// each source channel and plane.
template <class T>
class KernelSpectra {
 public:
  KernelSpectra(const Problem& problem, const Regions& regions,
                const fft::TileTransform<T>& transform, const TypedKernels<T>& kernels);

  std::int64_t sources() const { return channels_.sources * planes_; }
  std::int64_t scratch_size() const;

  /// The weights of a destination channel: [source channel][tap of the run]. Complex channels come
  /// in pairs: so many elements.
  std::int64_t taps_size(std::int64_t sources) const { return sources * most_taps_ * parts(); }

  /// spectra[layer * layer_step + (run * sources() + source) * number_size] for one destination
  /// channel of a group. Says whether all weights are finite.
  bool transform(const TensorView& weight, std::int64_t group, std::int64_t channel, T* spectra,
                 std::int64_t layer_step, T* scratch) const;

  /// Weights of a destination channel of a group and some source channels for the taps of a run:
  /// [source channel][tap][part], of which the part of `channel` counts.
  void pack_taps(const TensorView& weight, const Runs& runs, std::int64_t group,
                 std::int64_t channel, const direct::ChannelRange& sources, T* taps) const;
  std::int64_t parts() const { return channels_.parts; }

  /// Whether all weights of a group are finite. Uses scratch memory like `transform`.
  bool all_finite(const TensorView& weight, std::int64_t group, T* scratch) const;

 private:
  std::int64_t chunk() const;

  const Problem& problem_;
  const fft::TileTransform<T>& transform_;
  const TypedKernels<T>& kernels_;
  GroupChannels channels_;
  std::int64_t planes_;
  std::int64_t columns_;  ///< that taps reach
  std::vector<Runs> runs_;
  std::vector<std::vector<std::int64_t>> offsets_;  ///< of each run's taps in the planes
  std::int64_t most_taps_ = 0;
};

}  // namespace fastconv::fft_convolution
