#include "algorithms/direct/weight_gradient_store.hpp"

#include <algorithm>
#include <cstdlib>

#include "algorithms/direct/tile.hpp"
#include "runtime/aligned_buffer.hpp"

namespace fastconv::direct {
namespace {

/// Output channels whose sums are stored together, a cache line of them, and the longest row of
/// taps that is.
constexpr std::int64_t kStoredOutputs = 16;
constexpr std::int64_t kStoredTaps = 64;

}  // namespace

template <class T>
WeightGradientStore<T>::WeightGradientStore(const Problem& problem, const TypedKernels<T>& kernels,
                                            const Runs& runs, const RealView& weight,
                                            std::int64_t group_stride)
    : kernels_(kernels),
      weight_(weight),
      tap_rows_(weight_, runs),
      group_stride_(group_stride),
      parts_(weight.parts()),
      rows_of_channels_(
          parts_ == 1 && tap_rows_.rows() == 1 &&
          (tap_rows_.taps() == 1 || weight_.stride(1) == tap_rows_.taps() * tap_rows_.step())),
      row_step_(tap_rows_.taps() == 1 ? weight_.stride(1) : tap_rows_.step()),
      conjugate_(problem.conjugate),
      epilogue_{nullptr, 0, Activation::none, problem.accumulate},
      store_block_(kernels.store_block[static_cast<int>(weight.type())]) {}

template <class T>
SumRows<T> WeightGradientStore<T>::final_place(const StoredWeights& weights,
                                               std::int64_t width) const {
  if (parts_ != 1 || tap_rows_.taps() != 1 || epilogue_.accumulate || weight_.stride(0) != 1 ||
      weights.outputs != width || !is_stored_as<T>(weight_.type())) {
    return {};
  }
  return {reinterpret_cast<T*>(weight_.at(offset(weights))), weight_.stride(1)};
}

template <class T>
void WeightGradientStore<T>::store(const StoredWeights& weights, const SumsView<T>& sums) const {
  if (parts_ == 1 && sums.pieces == 1 && tap_rows_.taps() == 1 &&
      std::abs(weight_.stride(0)) < std::abs(weight_.stride(1))) {
    store_as_summed(weights, sums);
    return;
  }
  if (rows_of_channels_ && is_stored_as<T>(weight_.type()) && row_step_ == 1 &&
      !epilogue_.accumulate) {
    kernels_.transpose_sums(
        reinterpret_cast<T*>(weight_.at(offset(weights))), weight_.stride(0), sums.data, sums.pitch,
        {weights.channels * tap_rows_.taps(), weights.outputs}, sums.pieces, sums.piece_pitch);
    return;
  }
  for (std::int64_t first = 0; first < weights.outputs; first += kStoredOutputs) {
    StoredWeights some = weights;
    some.first_output += first;
    some.outputs = std::min(kStoredOutputs, weights.outputs - first);
    SumsView<T> their_sums = sums;
    their_sums.data += first;
    store_outputs(some, their_sums);
  }
}

template <class T>
std::int64_t WeightGradientStore<T>::offset(const StoredWeights& weights) const {
  return weights.group * group_stride_ + weights.first_output / parts_ * weight_.stride(0) +
         weights.first_channel / parts_ * weight_.stride(1) + tap_rows_.offset(0);
}

/// Output channels are side by side in the weight as they are in the sums.
template <class T>
void WeightGradientStore<T>::store_as_summed(const StoredWeights& weights,
                                             const SumsView<T>& sums) const {
  store_block_(weight_.at(offset(weights)), weight_.stride(1), weight_.stride(0), sums.data,
               sums.pitch, {weights.channels, weights.outputs}, epilogue_);
}

template <class T>
void WeightGradientStore<T>::store_outputs(const StoredWeights& weights,
                                           const SumsView<T>& sums) const {
  const std::int64_t channels = weights.channels / parts_;
  const std::int64_t outputs = weights.outputs / parts_;
  const std::int64_t taps = tap_rows_.taps();
  const std::int64_t tap_rows = rows_of_channels_ ? 1 : tap_rows_.rows();
  const std::int64_t rows = rows_of_channels_ ? 1 : channels * tap_rows;
  const std::int64_t row_length = rows_of_channels_ ? channels * taps : tap_rows_.taps_of_row();
  const std::int64_t base = offset(weights) - tap_rows_.offset(0);
  alignas(kAlignment) T block[kStoredOutputs * kStoredTaps];
  for (std::int64_t row = 0; row < rows; ++row) {
    const std::int64_t c = row / tap_rows;
    const std::int64_t tap_row = row % tap_rows;
    for (std::int64_t first = 0; first < row_length; first += kStoredTaps) {
      const std::int64_t count = std::min(kStoredTaps, row_length - first);
      gather(sums, c * parts_ * taps + tap_row * tap_rows_.taps_of_row() + first, outputs, count,
             block);
      const std::int64_t at =
          base + c * weight_.stride(1) + tap_rows_.offset(tap_row) + first * row_step_;
      for (std::int64_t part = 0; part < parts_; ++part) {
        store_block_(weight_.at(at + part), weight_.stride(0), row_step_,
                     block + part * kStoredTaps, parts_ * kStoredTaps, {outputs, count}, epilogue_);
      }
    }
  }
}

/// block[output][i] = the sum over all pieces of pair first + i.
template <class T>
void WeightGradientStore<T>::gather(SumsView<T> sums, std::int64_t pair, std::int64_t outputs,
                                    std::int64_t count, T* block) const {
  sums.data += pair * sums.pitch;
  if (parts_ == 1) {
    kernels_.transpose_sums(block, kStoredTaps, sums.data, sums.pitch, {count, outputs},
                            sums.pieces, sums.piece_pitch);
  } else {
    gather_complex(sums, outputs, count, block);
  }
}

/// Real parts combined into complex ones: gradient * conj(input) or gradient * input.
template <class T>
void WeightGradientStore<T>::gather_complex(const SumsView<T>& sums, std::int64_t outputs,
                                            std::int64_t count, T* block) const {
  alignas(kAlignment) T imaginary[kStoredOutputs * kStoredTaps];
  const BlockShape shape{count, 2 * outputs};
  kernels_.transpose_sums(block, kStoredTaps, sums.data, sums.pitch, shape, sums.pieces,
                          sums.piece_pitch);
  kernels_.transpose_sums(imaginary, kStoredTaps, sums.data + tap_rows_.taps() * sums.pitch,
                          sums.pitch, shape, sums.pieces, sums.piece_pitch);
  const T sign = conjugate_ ? T(1) : T(-1);
  for (std::int64_t k = 0; k < 2 * outputs; k += 2) {
    T* real_row = block + k * kStoredTaps;
    T* imaginary_row = real_row + kStoredTaps;
    for (std::int64_t i = 0; i < count; ++i) {
      real_row[i] += sign * imaginary[(k + 1) * kStoredTaps + i];
      imaginary_row[i] -= sign * imaginary[k * kStoredTaps + i];
    }
  }
}

template class WeightGradientStore<float>;
template class WeightGradientStore<double>;
template class WeightGradientStore<std::int32_t>;
template class WeightGradientStore<std::int64_t>;

}  // namespace fastconv::direct
