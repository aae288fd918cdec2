#pragma once

#include "algorithms/direct/weight_gradient_store.hpp"
#include "algorithms/fft/source_block.hpp"

namespace fastconv::fft_convolution {

/// Spectra of sums over all tiles, one for each spectrum that a kernel has, into the gradient of
/// the weights: a transform's result at the shifts of the taps.
template <class T>
class KernelGradient {
 public:
  /// `problem` is that of the weight gradient; the schedule is that of the pass whose destination
  /// is correlated with its source.
  KernelGradient(const Problem& problem, const Schedule<T>& schedule,
                 const TypedKernels<T>& kernels);

  /// Elements that a thread needs.
  std::int64_t scratch_size() const;

  /// The gradients that a share of a group's destination channels has:
  /// sums[layer][destination channel][run][source], as the schedule's kernels lie. Says whether all
  /// are finite: spectra may overflow where the gradient does not.
  bool store(const TensorView& weight, std::int64_t group, std::int64_t share, const T* sums,
             int threads, const ThreadMemory<T>& scratch) const;

 private:
  /// Output channels that are stored together.
  static constexpr std::int64_t kStoredOutputs = 16;

  struct Position {
    std::int64_t output;
    std::int64_t input;
    std::int64_t plane;
    std::int64_t run;
  };
  std::int64_t spectrum_index(const Position& at) const;
  std::int64_t stored_sums() const;

  const Problem& problem_;
  const Schedule<T>& schedule_;
  const TypedKernels<T>& kernels_;
  bool written_are_outputs_;  ///< the destination's channels, else they are the input's
  std::vector<std::vector<std::int64_t>> offsets_;  ///< of each run's taps in the planes
};

}  // namespace fastconv::fft_convolution
