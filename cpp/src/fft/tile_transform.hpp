#pragma once

#include <string>

#include "fft/lane_transform.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::fft {

/// Sizes of a tile in real numbers. A `sequence` is one long row, cut into rows that follow each
/// other, each of whole vectors; `rows` is even. What reaches beyond the end of the rows, or of a
/// sequence, comes back with its sign changed, or as it is if they are `cyclic`.
struct TileSize {
  std::int64_t depth = 1;
  std::int64_t rows = 2;
  std::int64_t columns = 1;
  bool sequence = false;
  bool cyclic = false;

  /// Rows of the complex numbers that the first step makes of the rows.
  std::int64_t spectrum_rows() const { return rows / 2 + (cyclic ? 1 : 0); }

  std::int64_t points() const { return depth * rows * columns; }
  bool operator==(const TileSize&) const = default;
};

/// "4096", "32x16" or "22x22x16".
std::string to_string(const TileSize& size);

/// The transform of a real tile, such that the product of one spectrum and another's conjugate is
/// the spectrum of their correlation:
///
///     correlation[j] = sum_a tile[j + a] * kernel[a]    wherever j + a lies inside for every a
///
/// What reaches beyond the end of the columns comes back as it is; along the rows (along all of a
/// sequence) with its sign changed, since the frequencies lie half way between the usual ones. Then
/// none is its own conjugate, and a tile of t real numbers has exactly t / 2 complex ones: the
/// second half of the rows goes into a complex transform as imaginary parts of the first (the
/// right-angle convolution of Nussbaumer, Fast Fourier Transform and Convolution Algorithms, 1981,
/// chapter 7).
///
/// Cyclic rows have the usual frequencies, up to half: those of real numbers, one row more than
/// half (kernels/fft_rows.inl). Those beyond are conjugates, of a sequence as well, whose frequency
/// k1 + rows * k2 for row k1 and column k2 is the conjugate of one in row rows - k1.
///
/// Vectors lie along the columns while the rows are transformed, and along the rows, transposed in
/// between, while the columns are. A sequence is transformed in the same two steps, with factors
/// between them (Bailey, FFTs in external or hierarchical memory, 1990). A spectrum is `layers`
/// vectors of complex numbers in an order of its own.
template <class T>
class TileTransform {
 public:
  TileTransform(const TileSize& size, const TypedKernels<T>& kernels);

  const TileSize& size() const { return size_; }
  /// Elements from row to row of a plane: [depth][rows][pitch]. The pitch of a sequence has no gap.
  std::int64_t pitch() const { return pitch_; }
  std::int64_t plane_size() const { return size_.depth * size_.rows * pitch_; }
  std::int64_t layers() const { return row_blocks_ * size_.columns; }
  /// Elements of one layer of a spectrum.
  std::int64_t number_size() const { return 2 * kernels_.lanes; }
  std::int64_t scratch_size() const;

  /// Columns from `columns` on are zeros, whatever memory holds.
  void forward(const T* plane, std::int64_t columns, T* spectrum, std::int64_t layer_step,
               T* scratch) const;
  /// Computes the columns before `columns`, divided by the number of points.
  void inverse(const T* spectrum, std::int64_t layer_step, std::int64_t columns, T* plane,
               T* scratch) const;

 private:
  struct Scratch {
    T* rows;     ///< [depth][spectrum row][re: columns | im: columns]
    T* columns;  ///< [column][re | im] of one block of rows
    T* lanes;
  };
  std::int64_t rows_scratch_size() const { return row_blocks_ * kernels_.lanes * row_size_; }
  std::int64_t columns_scratch_size() const { return 2 * kernels_.lanes * padded_columns_; }
  Scratch scratch(T* memory) const;
  void transform_rows(const T* slice, std::int64_t vectors, const Scratch& work, T* to) const;
  void transform_rows_back(T* from, std::int64_t vectors, const Scratch& work, T* slice) const;
  void multiply_rows(T* rows, std::int64_t vectors) const;
  void transform_depth(const Scratch& work, std::int64_t vectors) const;

  TileSize size_;
  const TypedKernels<T>& kernels_;
  std::int64_t half_rows_;
  std::int64_t spectrum_rows_;
  std::int64_t row_blocks_;
  std::int64_t padded_columns_;
  std::int64_t pitch_;
  std::int64_t row_size_;  ///< of Scratch::rows
  LaneTransformTables<T> rows_;
  LaneTransformTables<T> rows_back_;
  LaneTransformTables<T> columns_;
  LaneTransformTables<T> depth_;
  std::vector<T> factors_;  ///< between the steps of a sequence: [row][re: columns | im: columns]
  std::vector<T> spectrum_factors_;  ///< of cyclic rows, to and from half as many complex ones
  std::vector<T> half_factors_;
  T half_scale_ = T(0);
};

}  // namespace fastconv::fft
