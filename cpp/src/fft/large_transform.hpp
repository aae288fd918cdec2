#pragma once

#include "fft/fourier.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::fft {

/// Vectors that pass through the stages of a large transform.
double cut_vector_cost(std::int64_t points, std::int64_t lanes);

/// One transform at a time, vectorised across itself: its complex points are a matrix of
/// rows x columns in natural order (Bailey, FFTs in external or hierarchical memory, 1990).
///
///     for each block of columns                        x[row * columns + column]
///       transform along the rows, times factors        -> middle[k1][column]
///     for each block of rows k1 of the middle, transposed
///       transform along the columns                    -> X[k1 + rows * k2], natural order
///
/// Even numbers of real points are half as many complex ones; their spectrum is split or joined
/// outside of these steps.
template <class T>
class LargeTransform {
 public:
  LargeTransform(FourierKind kind, std::int64_t length, const TypedKernels<T>& kernels);

  std::int64_t length() const { return length_; }
  /// Elements that one transform needs, and each thread besides.
  std::int64_t work_size() const { return middle_size() + parts_size(); }
  std::int64_t scratch_size() const;
  /// `scratch` holds `threads` times scratch_size() elements. `threads` pieces run at a time.
  void execute(const T* in, T* out, T* work, T* scratch, int threads) const noexcept;

 private:
  std::int64_t middle_size() const { return rows_ * row_size_; }
  std::int64_t parts_pitch() const { return points_ + 2 * kernels_.lanes; }
  std::int64_t parts_size() const { return parts_in_ || parts_out_ ? 2 * parts_pitch() : 0; }
  void load_parts(const T* in, SplitRow<T> parts) const;
  void store_parts(SplitRow<T> parts, T* out) const;
  void transform_columns(std::int64_t block, const T* in, SplitRow<T> parts, T* middle,
                         T* scratch) const;
  void transform_rows(std::int64_t block, const T* middle, SplitRow<T> parts, T* out,
                      T* scratch) const;

  FourierKind kind_;
  std::int64_t length_;
  const TypedKernels<T>& kernels_;
  std::int64_t points_;
  std::int64_t rows_;
  std::int64_t columns_;
  std::int64_t padded_columns_;
  std::int64_t row_size_;  ///< of the middle: [re: columns | im: columns]
  bool parts_in_;   ///< the first step reads real and imaginary parts from memory of their own
  bool parts_out_;  ///< the second one writes such
  LaneTransformTables<T> along_rows_;
  LaneTransformTables<T> along_columns_;
  std::vector<T> twiddles_;  ///< [row][re: columns | im: columns]
  std::vector<T> factors_;
};

}  // namespace fastconv::fft
