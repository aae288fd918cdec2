#pragma once

#include <array>

#include "kernels/kernel_table.hpp"

namespace fastconv::fft_convolution {

/// From one layer of a spectrum to the next where a layer has so many numbers: layers a power of
/// two apart would fall into few sets of a cache.
constexpr std::int64_t layer_step(std::int64_t numbers, std::int64_t number_size) {
  return numbers == 1 ? number_size : (numbers + 1) * number_size;
}

/// Complex matrices, one for each layer of a spectrum.
template <class T>
struct SpectrumMatrix {
  ComplexMatrix<T> matrix;
  std::int64_t rows;

  /// From a row and a column of a range of layers.
  ComplexMatrix<T> at(std::int64_t layer, std::int64_t row) const {
    return {matrix.data + layer * matrix.layer_step + row * matrix.row_step, matrix.row_step,
            matrix.column_step, matrix.layer_step};
  }
};

/// out[i][j] = sum_r left[i][r] * conjugate(right[j][r]) for every layer.
template <class T>
class SpectrumProduct {
 public:
  explicit SpectrumProduct(const TypedKernels<T>& kernels);

  /// Layers that are worth a call: some more where the matrices are small.
  std::int64_t layers_per_step(std::int64_t depth) const;

  /// Layers [first, first + layers); adds to what `out` holds if `adds`.
  void multiply(std::int64_t first, std::int64_t layers, std::int64_t depth,
                const SpectrumMatrix<const T>& left, const SpectrumMatrix<const T>& right,
                const ComplexMatrix<T>& out, bool adds) const;

 private:
  static constexpr int kMost = 4;

  const TypedKernels<T>& kernels_;
  /// The kernel for so many rows and columns, or a smaller one.
  std::array<std::array<const ComplexProductKernel<T>*, kMost + 1>, kMost + 1> best_{};
};

}  // namespace fastconv::fft_convolution
