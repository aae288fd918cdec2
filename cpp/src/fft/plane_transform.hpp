#pragma once

#include "fft/batch_transform.hpp"

namespace fastconv::fft {

/// Transforms of planes [rows][columns] along both axes. Full blocks of small planes go to the
/// lanes of vectors, a plane to a lane. Of other planes the rows are transformed as a batch, and
/// the columns in blocks of `lanes`:
///
///     forward     rows -> out          columns of out, in place
///     inverse     columns -> spectrum  rows -> out
template <class T>
class PlaneTransform {
 public:
  /// Throws ValueError for sizes that have no transform.
  PlaneTransform(FourierKind kind, std::int64_t rows, std::int64_t columns, std::int64_t planes,
                 const TypedKernels<T>& kernels);

  std::int64_t scratch_size(int threads) const;
  void execute(const T* in, T* out, T* scratch, int threads) const noexcept;

 private:
  bool columns_first() const { return is_inverse(kind_); }
  std::int64_t spectrum_columns() const { return is_real(kind_) ? columns_ / 2 + 1 : columns_; }
  std::int64_t block_size() const { return rows_ * row_.buffer_size(); }
  std::int64_t lane_thread_size() const;
  std::int64_t column_thread_size() const;
  std::int64_t spectrum_size() const;
  void transform_block(const T* in, T* out, std::int64_t planes, T* scratch) const;
  void transform_columns(std::int64_t block, const T* in, T* out, T* scratch) const;

  const TypedKernels<T>& kernels_;
  FourierKind kind_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::int64_t planes_;
  std::int64_t planes_in_lanes_;  ///< the first ones
  LaneAxis<T> row_;
  LaneTransformTables<T> column_;
  std::optional<BatchTransform<T>> other_rows_;
};

}  // namespace fastconv::fft
