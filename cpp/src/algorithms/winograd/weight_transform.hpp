#pragma once

#include "algorithms/lines_ahead.hpp"
#include "algorithms/winograd/geometry.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::winograd {

/// Transforms weights of any strides: a vector of destination channels and a few source channels at
/// a time.
template <class T>
class WeightTransform {
 public:
  static constexpr std::int64_t kTaps = 9;
  /// Source channels whose taps are gathered together.
  static constexpr std::int64_t kGatheredSources = 16;
  /// Elements of their taps, with vectors of any instruction set.
  static constexpr std::int64_t kMostGathered = kGatheredSources * kTaps * 16;

  WeightTransform(const Geometry& geometry, const TensorView& weight,
                  const TypedKernels<T>& kernels);

  /// Vectors of destination channels of a group, from `first` on, zeros beyond the last:
  /// to[f * frequency_pitch + (depth tap * source channels + source) * to_pitch + channel].
  void transform(std::int64_t group, std::int64_t first, std::int64_t vectors, T* to,
                 std::int64_t to_pitch, std::int64_t frequency_pitch) const;

  /// taps[source][tap][lane] of at most kGatheredSources source channels.
  void gather(std::int64_t group, std::int64_t channel, std::int64_t depth_tap,
              std::int64_t first_source, std::int64_t sources, T* taps) const;

  /// What `gather` will read, unless it lies too far apart to be fetched.
  LinesAhead lines_of(std::int64_t group, std::int64_t channel, std::int64_t depth_tap,
                      std::int64_t first_source, std::int64_t sources) const;

  /// The same taps, transformed: to[f * frequency_pitch + source * to_pitch + lane].
  void transform_gathered(const T* taps, std::int64_t sources, T* to, std::int64_t to_pitch,
                          std::int64_t frequency_pitch) const;

 private:
  const T* taps_of(std::int64_t group, std::int64_t channel, std::int64_t depth_tap,
                   std::int64_t source) const;
  std::int64_t rows_of(std::int64_t channel) const;
  void gather(const T* weights, std::int64_t rows, std::int64_t sources, T* taps) const;

  const Geometry& geometry_;
  const TensorView& weight_;
  const TypedKernels<T>& kernels_;
  std::int64_t source_stride_;
  std::int64_t destination_stride_;
};

}  // namespace fastconv::winograd
