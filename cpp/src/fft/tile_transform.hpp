#pragma once

#include <string>

#include "fft/lane_transform.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::fft {

/// Sizes of a tile in real numbers. A `sequence` is one long row, cut into rows that follow each
/// other, each of whole vectors; `rows` is even.
struct TileSize {
  std::int64_t depth = 1;
  std::int64_t rows = 2;
  std::int64_t columns = 1;
  bool sequence = false;

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
/// What reaches beyond the end comes back with its sign changed rather than as it is: along the
/// rows (along all of a sequence) the frequencies lie half way between the usual ones. Then none
/// is its own conjugate, and a tile of t real numbers has exactly t / 2 complex ones: the second
/// half of the rows goes into a complex transform as imaginary parts of the first (the right-angle
/// convolution of Nussbaumer, Fast Fourier Transform and Convolution Algorithms, 1981, chapter 7).
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
    T* rows;     ///< [depth][rows / 2][re: columns | im: columns]
    T* columns;  ///< [column][re | im] of one block of rows
    T* lanes;
  };
  Scratch scratch(T* memory) const;
  void transform_depth(const Scratch& work, std::int64_t vectors) const;

  TileSize size_;
  const TypedKernels<T>& kernels_;
  std::int64_t half_rows_;
  std::int64_t row_blocks_;
  std::int64_t padded_columns_;
  std::int64_t pitch_;
  std::int64_t row_size_;  ///< of Scratch::rows
  LaneTransformTables<T> rows_;
  LaneTransformTables<T> rows_back_;
  LaneTransformTables<T> columns_;
  LaneTransformTables<T> depth_;
  std::vector<T> factors_;  ///< between the steps of a sequence: [row][re: columns | im: columns]
};

}  // namespace fastconv::fft
