#include "fft/batch_transform.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/parallel.hpp"

namespace fastconv::fft {
namespace {

/// Bytes of a block of rows in lanes, which its stages read and write again and again, for which
/// they take twice as long as in the first-level cache; and at most.
constexpr double kHalvingBytes = 160 * 1024;
constexpr double kMostLaneBytes = 256 * 1024;
/// Blocks of short rows are transformed together, up to so many bytes, by one call of a kernel.
constexpr std::int64_t kBytesTogether = 8 * 1024;
/// A cut transform is transposed between its steps, and the spectrum of real numbers passes through
/// memory once more.
constexpr double kCutPenalty = 1.2;
constexpr double kRealCutPenalty = 1.4;

std::int64_t checked(std::int64_t length) {
  check_fourier_length(length);
  return length;
}

/// Full blocks go one way, and the rows that are left perhaps another.
std::int64_t count_rows_in_lanes(FourierKind kind, std::int64_t length, std::int64_t rows,
                                 std::int64_t lanes, std::int64_t element_bytes) {
  const std::int64_t points = complex_points(kind, length);
  const double bytes = static_cast<double>(2 * lanes * points * element_bytes);
  if (!is_supported_length(points) || bytes > kMostLaneBytes) return 0;
  const double vectors = static_cast<double>(points);
  const double block = vectors * (2.0 + std::log2(vectors)) * (1.0 + bytes / kHalvingBytes);
  const double cut =
      (is_real(kind) ? kRealCutPenalty : kCutPenalty) * cut_vector_cost(points, lanes);
  const std::int64_t rest = rows % lanes;
  const std::int64_t whole = block <= static_cast<double>(lanes) * cut ? rows - rest : 0;
  return whole == rows - rest && block <= static_cast<double>(rest) * cut ? rows : whole;
}

}  // namespace

template <class T>
BatchTransform<T>::BatchTransform(FourierKind kind, std::int64_t length, std::int64_t rows,
                                  const TypedKernels<T>& kernels)
    : kernels_(kernels),
      kind_(kind),
      length_(checked(length)),
      rows_(rows),
      rows_in_lanes_(count_rows_in_lanes(kind, length, rows, kernels.lanes, sizeof(T))),
      blocks_together_(std::max<std::int64_t>(
          1, kBytesTogether / (2 * complex_points(kind, length) * kernels.lanes *
                               static_cast<std::int64_t>(sizeof(T))))) {
  if (rows_in_lanes_ > 0) lane_axis_.emplace(kind, length, kernels);
  if (rows_in_lanes_ < rows) large_.emplace(kind, length, kernels);
}

template <class T>
std::int64_t BatchTransform<T>::lane_thread_size() const {
  return lane_axis_ ? blocks_together_ * lane_axis_->buffer_size() + lane_axis_->scratch_size() : 0;
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
  const std::int64_t rows_together = blocks_together_ * lanes;
  const std::int64_t pieces = (rows_in_lanes_ + rows_together - 1) / rows_together;
  parallel_for(pieces, threads, [&](std::int64_t piece, int thread) {
    const std::int64_t size = lane_axis_->buffer_size();
    T* numbers = scratch + thread * lane_thread_size();
    const std::int64_t first = piece * rows_together;
    const std::int64_t end = std::min(rows_in_lanes_, first + rows_together);
    const auto for_each_block = [&](auto body) {
      for (std::int64_t row = first; row < end; row += lanes) {
        body(row, std::min(lanes, end - row), numbers + (row - first) / lanes * size);
      }
    };
    for_each_block([&](std::int64_t row, std::int64_t count, T* block) {
      lane_axis_->load(in + row * input_elements(), input_elements(), count, block);
    });
    lane_axis_->run(numbers, (end - first + lanes - 1) / lanes, numbers + blocks_together_ * size);
    for_each_block([&](std::int64_t row, std::int64_t count, T* block) {
      lane_axis_->store(block, count, out + row * output_elements(), output_elements());
    });
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
