#pragma once

#include "fft/fourier.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::fft {

/// One axis of several arrays, one to a lane: rows of up to `lanes` of them are transposed into
/// vectors, transformed in place and transposed back.
///
///     for each block of rows
///       numbers[i][re, im] <- rows                transposed
///       numbers <- half the spectrum              complex to real
///       numbers <- transform
///       numbers <- the spectrum of real numbers   real to complex
///       rows <- numbers[i][re, im]                transposed
template <class T>
class LaneAxis {
 public:
  LaneAxis(FourierKind kind, std::int64_t length, const TypedKernels<T>& kernels);

  FourierKind kind() const { return kind_; }
  std::int64_t length() const { return tables_.length() * (halves_ ? 2 : 1); }
  /// Elements of a row on either side of the transform.
  std::int64_t input_elements() const { return input_row_elements(kind_, length()); }
  std::int64_t output_elements() const { return output_row_elements(kind_, length()); }
  /// Numbers that the buffer of a row must hold, and its elements.
  std::int64_t numbers() const { return tables_.length() + (halves_ ? 1 : 0); }
  std::int64_t buffer_size() const { return numbers() * 2 * kernels_.lanes; }
  std::int64_t scratch_size() const { return tables_.scratch_size(kernels_.lanes); }

  /// Rows of `rows` arrays, `pitch` apart, into the buffer.
  void load(const T* from, std::int64_t pitch, std::int64_t rows, T* numbers) const;
  /// Transforms `buffers` of them, which follow each other.
  void run(T* numbers, std::int64_t buffers, T* scratch) const;
  void store(const T* numbers, std::int64_t rows, T* to, std::int64_t pitch) const;

 private:
  void mirror_spectrum(T* numbers) const;
  bool is_odd_real() const { return is_real(kind_) && !halves_; }

  FourierKind kind_;
  bool halves_;  ///< an even number of real numbers is half as many complex ones
  const TypedKernels<T>& kernels_;
  LaneTransformTables<T> tables_;
  std::vector<T> factors_;
};

}  // namespace fastconv::fft
