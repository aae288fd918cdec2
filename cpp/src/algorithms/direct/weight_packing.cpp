#include "algorithms/direct/weight_packing.hpp"

#include <algorithm>

namespace fastconv::direct {

template <class T>
WeightPacker<T>::WeightPacker(const Problem& problem, const TensorView& weight,
                              const TypedKernels<T>& kernels)
    : weight_(weight),
      load_row_(kernels.load_row[static_cast<int>(weight_.type())]),
      parts_(weight_.parts()),
      conjugate_(problem.conjugate) {
  const std::int64_t k_per_group = problem.k / problem.g;
  const std::int64_t c_per_group = problem.c / problem.g;
  const bool forward = problem.pass == Pass::forward;
  group_stride_ = k_per_group * weight_.stride(0);
  source_channels_ = forward ? c_per_group : k_per_group;
  source_stride_ = weight_.stride(forward ? 1 : 0);
  destination_stride_ = weight_.stride(forward ? 0 : 1);
}

template <class T>
void WeightPacker<T>::pack_taps(const Runs& runs, std::int64_t offset,
                                int rows, T* packed) const {
  const std::int64_t step = runs[2]->kernel_step * weight_.stride(4);
  for (std::int64_t d = 0; d < runs[0]->tap_count(); ++d) {
    const std::int64_t kd = runs[0]->kernel_first + d * runs[0]->kernel_step;
    for (std::int64_t h = 0; h < runs[1]->tap_count(); ++h) {
      const std::int64_t kh = runs[1]->kernel_first + h * runs[1]->kernel_step;
      const std::int64_t at = offset + kd * weight_.stride(2) + kh * weight_.stride(3) +
                              runs[2]->kernel_first * weight_.stride(4);
      load_row_(packed, rows, weight_.at(at), step, runs[2]->tap_count());
      packed += runs[2]->tap_count() * rows;
    }
  }
}

template <class T>
void WeightPacker<T>::pack_block(const Runs& runs, std::int64_t group,
                                 std::int64_t first, std::int64_t channels, int rows,
                                 T* packed) const {
  const std::int64_t taps = tap_count(runs);
  const std::int64_t depth = source_channels_ * parts_ * taps;
  if (channels < rows) std::fill(packed, packed + depth * rows, T(0));
  for (std::int64_t m = 0; m < channels; ++m) {
    const std::int64_t destination = (first + m) / parts_;
    const std::int64_t destination_part = (first + m) % parts_;
    const std::int64_t base = group * group_stride_ + destination * destination_stride_;
    for (std::int64_t c = 0; c < source_channels_ * parts_; ++c) {
      const std::int64_t source_part = c % parts_;
      const bool imaginary = destination_part != source_part;
      T* to = packed + c * taps * rows + m;
      pack_taps(runs, base + c / parts_ * source_stride_ + (imaginary ? 1 : 0), rows, to);
      // The real part of a product subtracts the imaginary parts; conjugation swaps the sign.
      if (imaginary && (source_part == 1) != conjugate_) {
        for (std::int64_t i = 0; i < taps; ++i) to[i * rows] = -to[i * rows];
      }
    }
  }
}

template class WeightPacker<float>;
template class WeightPacker<double>;
template class WeightPacker<std::int32_t>;
template class WeightPacker<std::int64_t>;

}  // namespace fastconv::direct
