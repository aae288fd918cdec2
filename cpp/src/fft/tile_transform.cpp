#include "fft/tile_transform.hpp"
#include "ceil_divide.hpp"

#include <algorithm>

namespace fastconv::fft {
namespace {

/// exp(-pi i j / rows): half a frequency over all of the tile's rows, a quarter over half of them.
std::vector<std::complex<double>> half_frequency(const TileSize& size) {
  std::vector<std::complex<double>> twist;
  for (std::int64_t j = 0; j < size.rows / 2; ++j) {
    twist.push_back(root_of_unity(j, 2 * size.rows));
  }
  return twist;
}

/// The same for the way back. The numbers that arrive are i times the conjugates of those wanted.
std::vector<std::complex<double>> half_frequency_back(const TileSize& size) {
  std::vector<std::complex<double>> twist = half_frequency(size);
  const double scale = 2.0 / static_cast<double>(size.points());
  for (std::complex<double>& number : twist) number *= std::complex<double>(0.0, -scale);
  return twist;
}

}  // namespace

std::string to_string(const TileSize& size) {
  if (size.sequence) return std::to_string(size.points());
  const std::string plane = std::to_string(size.rows) + "x" + std::to_string(size.columns);
  return size.depth > 1 ? std::to_string(size.depth) + "x" + plane : plane;
}

template <class T>
TileTransform<T>::TileTransform(const TileSize& size, const TypedKernels<T>& kernels)
    : size_(size),
      kernels_(kernels),
      half_rows_(size.rows / 2),
      row_blocks_(ceil_divide(size.depth * half_rows_, kernels.lanes)),
      padded_columns_(ceil_divide(size.columns, kernels.lanes) * kernels.lanes),
      pitch_(size.sequence ? size.columns : padded_columns_),
      row_size_(2 * padded_columns_),
      rows_(half_rows_, {}, {}, FrequencyShift::quarter),
      rows_back_(half_rows_, {}, half_frequency_back(size)),
      columns_(size.columns),
      depth_(size.depth) {
  // Rows a multiple of some cache lines apart would fall into few sets of a cache.
  if (row_size_ % 64 == 0) row_size_ += kernels.lanes;
  if (!size.sequence) return;
  factors_.resize(static_cast<std::size_t>(half_rows_ * 2 * padded_columns_));
  for (std::int64_t k = 0; k < half_rows_; ++k) {
    T* row = factors_.data() + k * 2 * padded_columns_;
    for (std::int64_t j = 0; j < size.columns; ++j) {
      // Frequency k of the first step, and half a frequency of the whole sequence.
      const std::complex<double> factor = root_of_unity(j * (4 * k + 1), 2 * size.points());
      row[j] = static_cast<T>(factor.real());
      row[padded_columns_ + j] = static_cast<T>(factor.imag());
    }
  }
}

template <class T>
std::int64_t TileTransform<T>::scratch_size() const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t longest = std::max({half_rows_, size_.columns, size_.depth});
  return size_.depth * half_rows_ * row_size_ + 2 * lanes * size_.columns + 4 * lanes * longest;
}

template <class T>
typename TileTransform<T>::Scratch TileTransform<T>::scratch(T* memory) const {
  T* columns = memory + size_.depth * half_rows_ * row_size_;
  return {memory, columns, columns + 2 * kernels_.lanes * size_.columns};
}

/// In place.
template <class T>
void TileTransform<T>::transform_depth(const Scratch& work, std::int64_t vectors) const {
  if (size_.depth == 1) return;
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t slice_step = half_rows_ * row_size_;
  for (std::int64_t k = 0; k < half_rows_; ++k) {
    T* row = work.rows + k * row_size_;
    kernels_.fft.transform(depth_.transform(), vectors, {row, row + padded_columns_, slice_step},
                           lanes, {row, row + padded_columns_, slice_step}, lanes, work.lanes);
  }
}

template <class T>
void TileTransform<T>::forward(const T* plane, std::int64_t columns, T* spectrum,
                               std::int64_t layer_step, T* memory) const {
  const Scratch work = scratch(memory);
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t vectors = ceil_divide(columns, lanes);
  const std::int64_t half = half_rows_ * pitch_;
  const auto transform = kernels_.fft.transform;
  LaneTransform<T> rows = rows_.transform();
  if (size_.sequence) {
    rows.factors_out = {factors_.data(), factors_.data() + padded_columns_, 2 * padded_columns_};
    rows.factor_step = lanes;
  }
  for (std::int64_t d = 0; d < size_.depth; ++d) {
    const T* slice = plane + 2 * d * half;
    T* to = work.rows + d * half_rows_ * row_size_;
    // i times the numbers: kernel and tile both, so that it cancels in products with conjugates.
    transform(rows, vectors, {slice + half, slice, pitch_}, lanes,
              {to, to + padded_columns_, row_size_}, lanes, work.lanes);
  }
  transform_depth(work, vectors);
  const LaneTransform<T>& along_columns = columns_.transform();
  const std::int64_t filled = std::min(vectors * lanes, size_.columns);
  const bool whole = filled == size_.columns && size_.depth * half_rows_ % lanes == 0;
  if (!whole) std::fill(work.columns, work.lanes, T(0));
  for (std::int64_t block = 0; block < row_blocks_; ++block) {
    const std::int64_t row = block * lanes;
    const std::int64_t count = std::min(lanes, size_.depth * half_rows_ - row);
    for (std::int64_t part = 0; part < 2; ++part) {
      kernels_.transpose_sums(work.columns + part * lanes, 2 * lanes,
                              work.rows + row * row_size_ + part * padded_columns_, row_size_,
                              {count, filled}, 1, 0);
    }
    T* to = spectrum + block * size_.columns * layer_step;
    transform(along_columns, 1, {work.columns, work.columns + lanes, 2 * lanes}, 0,
              {to, to + lanes, layer_step}, 0, work.lanes);
  }
}

/// Real and imaginary parts change places on the way in, which turns the sign of the exponent.
template <class T>
void TileTransform<T>::inverse(const T* spectrum, std::int64_t layer_step, std::int64_t columns,
                               T* plane, T* memory) const {
  const Scratch work = scratch(memory);
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t vectors = ceil_divide(columns, lanes);
  const std::int64_t half = half_rows_ * pitch_;
  const auto transform = kernels_.fft.transform;
  const LaneTransform<T>& along_columns = columns_.transform();
  const std::int64_t wanted = std::min(vectors * lanes, size_.columns);
  for (std::int64_t block = 0; block < row_blocks_; ++block) {
    const T* from = spectrum + block * size_.columns * layer_step;
    transform(along_columns, 1, {from + lanes, from, layer_step}, 0,
              {work.columns, work.columns + lanes, 2 * lanes}, 0, work.lanes);
    const std::int64_t row = block * lanes;
    const std::int64_t count = std::min(lanes, size_.depth * half_rows_ - row);
    for (std::int64_t part = 0; part < 2; ++part) {
      kernels_.transpose_sums(work.rows + row * row_size_ + part * padded_columns_, row_size_,
                              work.columns + part * lanes, 2 * lanes, {wanted, count}, 1, 0);
    }
  }
  transform_depth(work, vectors);
  LaneTransform<T> rows = rows_back_.transform();
  // A single stage has one kind of factors alone.
  const bool multiplies = size_.sequence && rows.stages == 1;
  if (size_.sequence && !multiplies) {
    rows.factors_in = {factors_.data(), factors_.data() + padded_columns_, 2 * padded_columns_};
    rows.factor_step = lanes;
  }
  for (std::int64_t d = 0; d < size_.depth; ++d) {
    T* from = work.rows + d * half_rows_ * row_size_;
    if (multiplies) {
      for (std::int64_t k = 0; k < half_rows_; ++k) {
        const T* row = factors_.data() + k * 2 * padded_columns_;
        T* numbers = from + k * row_size_;
        kernels_.fft.multiply({numbers, numbers + padded_columns_, lanes},
                              {row, row + padded_columns_, lanes}, vectors);
      }
    }
    T* slice = plane + 2 * d * half;
    transform(rows, vectors, {from, from + padded_columns_, row_size_}, lanes,
              {slice, slice + half, pitch_}, lanes, work.lanes);
  }
}

template class TileTransform<float>;
template class TileTransform<double>;

}  // namespace fastconv::fft
