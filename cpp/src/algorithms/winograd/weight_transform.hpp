#pragma once

#include "algorithms/winograd/geometry.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::winograd {

/// Transforms weights of any strides, a few vectors of destination channels of one group at a
/// time.
template <class T>
class WeightTransform {
 public:
  WeightTransform(const Geometry& geometry, const TensorView& weight,
                  const TypedKernels<T>& kernels);

  /// Vectors of destination channels of a group, from `first` on, zeros beyond the last:
  /// to[f * frequency_pitch + (depth tap * source channels + source) * to_pitch + channel].
  void transform(std::int64_t group, std::int64_t first, std::int64_t vectors, T* to,
                 std::int64_t to_pitch, std::int64_t frequency_pitch) const;

 private:
  void gather(const T* weights, std::int64_t rows, std::int64_t sources, T* taps) const;

  const Geometry& geometry_;
  const TensorView& weight_;
  const TypedKernels<T>& kernels_;
  std::int64_t source_stride_;
  std::int64_t destination_stride_;
};

}  // namespace fastconv::winograd
