#pragma once

#include <optional>

#include "fft/lane_axis.hpp"
#include "fft/large_transform.hpp"

namespace fastconv::fft {

/// Transforms along the last axis of contiguous rows, in NumPy's order of numbers. Full blocks of
/// rows go to the lanes of vectors (LaneAxis) while their numbers fit a cache; other rows are cut
/// one by one (LargeTransform).
template <class T>
class BatchTransform {
 public:
  /// Throws ValueError for a length that has no transform.
  BatchTransform(FourierKind kind, std::int64_t length, std::int64_t rows,
                 const TypedKernels<T>& kernels);

  std::int64_t rows() const { return rows_; }
  std::int64_t input_elements() const { return input_row_elements(kind_, length_); }
  std::int64_t output_elements() const { return output_row_elements(kind_, length_); }
  /// Elements.
  std::int64_t scratch_size(int threads) const;
  void execute(const T* in, T* out, T* scratch, int threads) const noexcept;

 private:
  std::int64_t lane_thread_size() const;
  std::int64_t large_thread_size() const;

  const TypedKernels<T>& kernels_;
  FourierKind kind_;
  std::int64_t length_;
  std::int64_t rows_;
  std::int64_t rows_in_lanes_;    ///< the first ones
  std::int64_t blocks_together_;  ///< blocks of rows in a piece of work
  std::optional<LaneAxis<T>> lane_axis_;
  std::optional<LargeTransform<T>> large_;
};

}  // namespace fastconv::fft
