#pragma once

#include <cstdint>

#include "algorithms/direct/weight_gradient_reduction.hpp"
#include "algorithms/direct/weight_packing.hpp"
#include "algorithms/real_view.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

/// Where sums are: [piece][channel][tap][output channel].
template <class T>
struct SumsView {
  T* data;
  std::int64_t pitch;  ///< from one (channel, tap) pair to the next
  std::int64_t pieces;
  std::int64_t piece_pitch;
};

/// Which weights the sums are for.
struct StoredWeights {
  std::int64_t group;
  std::int64_t first_output;
  std::int64_t outputs;
  std::int64_t first_channel;
  std::int64_t channels;
};

/// Carries sums into the weight: adds up the pieces in their order, combines the parts of complex
/// numbers, transposes, converts.
template <class T>
class WeightGradientStore {
 public:
  /// `group_stride` counts elements of the weight's real view.
  WeightGradientStore(const Problem& problem, const TypedKernels<T>& kernels, const Runs& runs,
                      const RealView& weight, std::int64_t group_stride);

  /// Where whole vectors of `width` sums can be formed in the weight itself, else nowhere.
  SumRows<T> final_place(const StoredWeights& weights, std::int64_t width) const;

  /// Uses the sums as scratch memory.
  void store(const StoredWeights& weights, const SumsView<T>& sums) const;

 private:
  /// Of the first tap.
  std::int64_t offset(const StoredWeights& weights) const;
  void store_as_summed(const StoredWeights& weights, const SumsView<T>& sums) const;
  void store_outputs(const StoredWeights& weights, const SumsView<T>& sums) const;
  void gather(SumsView<T> sums, std::int64_t pair, std::int64_t outputs, std::int64_t count,
              T* block) const;
  void gather_complex(const SumsView<T>& sums, std::int64_t outputs, std::int64_t count,
                      T* block) const;

  const TypedKernels<T>& kernels_;
  RealView weight_;
  TapRows tap_rows_;
  std::int64_t group_stride_;
  std::int64_t parts_;
  bool rows_of_channels_;  ///< the taps of a channel follow those of the one before
  std::int64_t row_step_;
  bool conjugate_;
  Epilogue<T> epilogue_;
  StoreBlockFunction<T> store_block_;
};

}  // namespace fastconv::direct
