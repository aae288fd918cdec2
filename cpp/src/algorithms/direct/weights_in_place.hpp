#pragma once

#include <optional>

#include "algorithms/direct/correlation_schedule.hpp"
#include "algorithms/direct/weight_packing.hpp"
#include "algorithms/real_view.hpp"

namespace fastconv::direct {

/// A weight array that needs no packing: the microkernels take every weight from where it lies.
template <class T>
class WeightsInPlace {
 public:
  /// `offsets` is scratch memory for the steps of all sets of taps. Where `checked`, weights must
  /// turn out to be finite.
  WeightsInPlace(const CorrelationSchedule<T>& schedule, const Problem& problem,
                 const TypedKernels<T>& kernels, const TensorView& weight, bool checked,
                 std::int64_t* offsets);

  bool possible() const { return possible_; }

  /// The weights of a block for source channels from `first_source` on.
  CorrelationWeights<T> of(const Phase& phase, std::int64_t group, const Block<T>& block,
                           std::int64_t first_source) const;

 private:
  bool suits() const;
  std::optional<std::int64_t> even_step(const TapRows& rows) const;
  bool all_finite(const Problem& problem, const TypedKernels<T>& kernels) const;

  const CorrelationSchedule<T>& schedule_;
  RealView weight_;
  std::int64_t group_stride_;
  std::int64_t source_stride_;
  std::int64_t destination_stride_;
  std::int64_t* offsets_;
  bool possible_ = false;
};

}  // namespace fastconv::direct
