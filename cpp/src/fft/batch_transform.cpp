#include "fft/batch_transform.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/parallel.hpp"

namespace fastconv::fft {
namespace {

/// Bytes of a block of rows in lanes up to which it beats the transforms that are cut: with the
/// scratch memory of its stages it is three times as large.
constexpr std::int64_t kMostLaneBytes = 64 * 1024;
/// A cut transform passes through memory and registers more often.
constexpr double kCutPenalty = 1.2;

std::int64_t checked(std::int64_t length) {
  check_fourier_length(length);
  return length;
}

std::int64_t count_rows_in_lanes(FourierKind kind, std::int64_t length, std::int64_t rows,
                                 std::int64_t lanes, std::int64_t bytes) {
  const std::int64_t points = complex_points(kind, length);
  if (!is_supported_length(points) || 2 * lanes * points * bytes > kMostLaneBytes) return 0;
  const double block = static_cast<double>(points) * (2.0 + std::log2(static_cast<double>(points)));
  const std::int64_t rest = rows % lanes;
  const double cut = kCutPenalty * static_cast<double>(rest) * cut_vector_cost(points, lanes);
  return block <= cut ? rows : rows - rest;
}

}  // namespace

template <class T>
BatchTransform<T>::BatchTransform(FourierKind kind, std::int64_t length, std::int64_t rows,
                                  const TypedKernels<T>& kernels)
    : kernels_(kernels),
      kind_(kind),
      length_(checked(length)),
      rows_(rows),
      rows_in_lanes_(count_rows_in_lanes(kind, length, rows, kernels.lanes, sizeof(T))) {
  if (rows_in_lanes_ > 0) lane_axis_.emplace(kind, length, kernels);
  if (rows_in_lanes_ < rows) large_.emplace(kind, length, kernels);
}

template <class T>
std::int64_t BatchTransform<T>::lane_thread_size() const {
  return lane_axis_ ? lane_axis_->buffer_size() + lane_axis_->scratch_size() : 0;
}

template <class T>
std::int64_t BatchTransform<T>::large_thread_size() const {
  return large_ ? large_->work_size() + large_->scratch_size() : 0;
}

template <class T>
std::int64_t BatchTransform<T>::scratch_size(int threads) const {
  return threads * std::max(lane_thread_size(), large_thread_size());
}

template <class T>
void BatchTransform<T>::execute(const T* in, T* out, T* scratch, int threads) const noexcept {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t blocks = (rows_in_lanes_ + lanes - 1) / lanes;
  parallel_for(blocks, threads, [&](std::int64_t block, int thread) {
    T* numbers = scratch + thread * lane_thread_size();
    const std::int64_t first = block * lanes;
    const std::int64_t count = std::min(lanes, rows_in_lanes_ - first);
    lane_axis_->load(in + first * input_elements(), input_elements(), count, numbers);
    lane_axis_->run(numbers, numbers + lane_axis_->buffer_size());
    lane_axis_->store(numbers, count, out + first * output_elements(), output_elements());
  });
  const std::int64_t rest = rows_ - rows_in_lanes_;
  const auto transform_row = [&](std::int64_t row, T* work, int row_threads) {
    large_->execute(in + row * input_elements(), out + row * output_elements(), work,
                    work + large_->work_size(), row_threads);
  };
  if (rest >= threads) {
    parallel_for(rest, threads, [&](std::int64_t index, int thread) {
      transform_row(rows_in_lanes_ + index, scratch + thread * large_thread_size(), 1);
    });
    return;
  }
  for (std::int64_t row = rows_in_lanes_; row < rows_; ++row) transform_row(row, scratch, threads);
}

template class BatchTransform<float>;
template class BatchTransform<double>;

}  // namespace fastconv::fft
