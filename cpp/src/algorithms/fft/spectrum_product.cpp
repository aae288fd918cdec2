#include "algorithms/fft/spectrum_product.hpp"

#include <algorithm>

namespace fastconv::fft_convolution {

template <class T>
SpectrumProduct<T>::SpectrumProduct(const TypedKernels<T>& kernels) : kernels_(kernels) {
  // The most multiplications for each load.
  const auto intensity = [](int rows, int columns) {
    return static_cast<double>(rows * columns) / (rows + columns);
  };
  for (int rows = 1; rows <= kMost; ++rows) {
    for (int columns = 1; columns <= kMost; ++columns) {
      const ComplexProductKernel<T>*& best =
          best_[static_cast<std::size_t>(rows)][static_cast<std::size_t>(columns)];
      for (const ComplexProductKernel<T>& kernel : kernels.complex_product) {
        if (kernel.rows > rows || kernel.columns > columns) continue;
        if (best == nullptr ||
            intensity(kernel.rows, kernel.columns) > intensity(best->rows, best->columns)) {
          best = &kernel;
        }
      }
    }
  }
}

template <class T>
std::int64_t SpectrumProduct<T>::layers_per_step(std::int64_t depth) const {
  // Of both operands of a tile: a part of a first-level cache.
  constexpr std::int64_t kStepBytes = 16384;
  const std::int64_t layer_bytes =
      2 * kMost * depth * 2 * kernels_.lanes * static_cast<std::int64_t>(sizeof(T));
  return std::max<std::int64_t>(1, kStepBytes / layer_bytes);
}

/// The right matrix's rows stay in a first-level cache while the left one's pass by.
template <class T>
void SpectrumProduct<T>::multiply(std::int64_t first, std::int64_t layers, std::int64_t depth,
                                  const SpectrumMatrix<const T>& left,
                                  const SpectrumMatrix<const T>& right, const ComplexMatrix<T>& out,
                                  bool adds) const {
  for (std::int64_t j = 0; j < right.rows;) {
    std::int64_t width = std::min<std::int64_t>(kMost, right.rows - j);
    for (std::int64_t i = 0; i < left.rows;) {
      const auto height = static_cast<std::size_t>(std::min<std::int64_t>(kMost, left.rows - i));
      const ComplexProductKernel<T>* kernel = best_[height][static_cast<std::size_t>(width)];
      // All rows share the columns of the first.
      if (i == 0) width = kernel->columns;
      if (kernel->columns != width) kernel = best_[1][static_cast<std::size_t>(width)];
      const ComplexMatrix<T> to{
          out.data + first * out.layer_step + i * out.row_step + j * out.column_step, out.row_step,
          out.column_step, out.layer_step};
      kernel->run(layers, depth, left.at(first, i), right.at(first, j), to, adds);
      i += kernel->rows;
    }
    j += width;
  }
}

template class SpectrumProduct<float>;
template class SpectrumProduct<double>;

}  // namespace fastconv::fft_convolution
