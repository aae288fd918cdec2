#include "fft/tile_transform.hpp"

#include <algorithm>

#include "ceil_divide.hpp"
#include "fft/fourier.hpp"

namespace fastconv::fft {
namespace {

/// exp(-pi i j / rows): half a frequency over all of the tile's rows, a quarter over half of them.
std::vector<std::complex<double>> half_frequency(const TileSize& size) {
  std::vector<std::complex<double>> twist;
  if (size.cyclic) return twist;
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
      spectrum_rows_(size.spectrum_rows()),
      row_blocks_(ceil_divide(size.depth * spectrum_rows_, kernels.lanes)),
      padded_columns_(ceil_divide(size.columns, kernels.lanes) * kernels.lanes),
      pitch_(size.sequence ? size.columns : padded_columns_),
      row_size_(2 * padded_columns_),
      rows_(half_rows_, {}, {}, size.cyclic ? FrequencyShift::none : FrequencyShift::quarter),
      rows_back_(half_rows_, {}, half_frequency_back(size)),
      columns_(size.columns),
      depth_(size.depth) {
  // Rows a multiple of some cache lines apart would fall into few sets of a cache.
  if (row_size_ % 64 == 0) row_size_ += kernels.lanes;
  if (size.cyclic) {
    spectrum_factors_ = rounded_parts<T>(spectrum_factors(FourierKind::real_to_complex, size.rows));
    std::vector<std::complex<double>> back =
        spectrum_factors(FourierKind::complex_to_real, size.rows);
    const auto lines = static_cast<double>(size.depth * size.columns);
    for (std::complex<double>& factor : back) factor /= lines;
    half_factors_ = rounded_parts<T>(back);
    half_scale_ = static_cast<T>(spectrum_scale(FourierKind::complex_to_real, size.rows) / lines);
  }
  if (!size.sequence) return;
  factors_.resize(static_cast<std::size_t>(spectrum_rows_ * 2 * padded_columns_));
  for (std::int64_t k = 0; k < spectrum_rows_; ++k) {
    T* row = factors_.data() + k * 2 * padded_columns_;
    for (std::int64_t j = 0; j < size.columns; ++j) {
      // Frequency k of the first step, of half as many rows with half a frequency of the whole
      // sequence, or of all of them.
      const std::complex<double> factor = size.cyclic
                                              ? root_of_unity(j * k, size.points())
                                              : root_of_unity(j * (4 * k + 1), 2 * size.points());
      row[j] = static_cast<T>(factor.real());
      row[padded_columns_ + j] = static_cast<T>(factor.imag());
    }
  }
}

/// Whole squares are transposed, of rows and columns that there are not as well.
template <class T>
std::int64_t TileTransform<T>::scratch_size() const {
  const std::int64_t longest = std::max({half_rows_, size_.columns, size_.depth});
  return rows_scratch_size() + columns_scratch_size() + 4 * kernels_.lanes * longest;
}

template <class T>
typename TileTransform<T>::Scratch TileTransform<T>::scratch(T* memory) const {
  T* columns = memory + rows_scratch_size();
  return {memory, columns, columns + columns_scratch_size()};
}

/// The factors between the steps of a sequence.
template <class T>
void TileTransform<T>::multiply_rows(T* rows, std::int64_t vectors) const {
  const std::int64_t lanes = kernels_.lanes;
  for (std::int64_t k = 0; k < spectrum_rows_; ++k) {
    const T* factors = factors_.data() + k * 2 * padded_columns_;
    T* row = rows + k * row_size_;
    kernels_.fft.multiply({row, row + padded_columns_, lanes},
                          {factors, factors + padded_columns_, lanes}, vectors);
  }
}

/// The first step forward, of one slice.
template <class T>
void TileTransform<T>::transform_rows(const T* slice, std::int64_t vectors, const Scratch& work,
                                      T* to) const {
  const std::int64_t lanes = kernels_.lanes;
  LaneTransform<T> rows = rows_.transform();
  if (size_.cyclic) {
    // Even rows are real parts, odd ones imaginary parts.
    kernels_.fft.transform(rows, vectors, {slice, slice + pitch_, 2 * pitch_}, lanes,
                           {to, to + padded_columns_, row_size_}, lanes, work.lanes);
    for (T* vector = to; vector < to + vectors * lanes; vector += lanes) {
      kernels_.fft.real_spectrum({vector, vector + padded_columns_, row_size_}, half_rows_,
                                 spectrum_factors_.data(),
                                 {vector, vector + padded_columns_, row_size_});
    }
    if (size_.sequence) multiply_rows(to, vectors);
    return;
  }
  if (size_.sequence) {
    rows.factors_out = {factors_.data(), factors_.data() + padded_columns_, 2 * padded_columns_};
    rows.factor_step = lanes;
  }
  // i times the numbers: kernel and tile both, so that it cancels in products with conjugates.
  const T* second_half = slice + half_rows_ * pitch_;
  kernels_.fft.transform(rows, vectors, {second_half, slice, pitch_}, lanes,
                         {to, to + padded_columns_, row_size_}, lanes, work.lanes);
}

/// The last step back, of one slice; real and imaginary parts have changed places.
template <class T>
void TileTransform<T>::transform_rows_back(T* from, std::int64_t vectors, const Scratch& work,
                                           T* slice) const {
  const std::int64_t lanes = kernels_.lanes;
  LaneTransform<T> rows = rows_back_.transform();
  if (size_.cyclic) {
    if (size_.sequence) multiply_rows(from, vectors);
    for (T* vector = from; vector < from + vectors * lanes; vector += lanes) {
      kernels_.fft.half_spectrum({vector + padded_columns_, vector, row_size_}, half_rows_,
                                 half_scale_, half_factors_.data(),
                                 {vector + padded_columns_, vector, row_size_});
    }
    kernels_.fft.transform(rows, vectors, {from, from + padded_columns_, row_size_}, lanes,
                           {slice + pitch_, slice, 2 * pitch_}, lanes, work.lanes);
    return;
  }
  if (size_.sequence && rows.stages == 1) {
    // A single stage has one kind of factors alone.
    multiply_rows(from, vectors);
  } else if (size_.sequence) {
    rows.factors_in = {factors_.data(), factors_.data() + padded_columns_, 2 * padded_columns_};
    rows.factor_step = lanes;
  }
  kernels_.fft.transform(rows, vectors, {from, from + padded_columns_, row_size_}, lanes,
                         {slice, slice + half_rows_ * pitch_, pitch_}, lanes, work.lanes);
}

/// In place.
template <class T>
void TileTransform<T>::transform_depth(const Scratch& work, std::int64_t vectors) const {
  if (size_.depth == 1) return;
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t slice_step = spectrum_rows_ * row_size_;
  for (std::int64_t k = 0; k < spectrum_rows_; ++k) {
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
  for (std::int64_t d = 0; d < size_.depth; ++d) {
    transform_rows(plane + d * size_.rows * pitch_, vectors, work,
                   work.rows + d * spectrum_rows_ * row_size_);
  }
  transform_depth(work, vectors);
  // The frequencies of these rows are never looked at, but subnormal numbers would take long.
  std::fill(work.rows + size_.depth * spectrum_rows_ * row_size_, work.columns, T(0));
  const std::int64_t filled = vectors * lanes;
  std::fill(work.columns + filled * 2 * lanes, work.lanes, T(0));
  for (std::int64_t block = 0; block < row_blocks_; ++block) {
    for (std::int64_t part = 0; part < 2; ++part) {
      kernels_.transpose_sums(work.columns + part * lanes, 2 * lanes,
                              work.rows + block * lanes * row_size_ + part * padded_columns_,
                              row_size_, {lanes, filled}, 1, 0);
    }
    T* to = spectrum + block * size_.columns * layer_step;
    kernels_.fft.transform(columns_.transform(), 1, {work.columns, work.columns + lanes, 2 * lanes},
                           0, {to, to + lanes, layer_step}, 0, work.lanes);
  }
}

/// Real and imaginary parts change places on the way in, which turns the sign of the exponent.
template <class T>
void TileTransform<T>::inverse(const T* spectrum, std::int64_t layer_step, std::int64_t columns,
                               T* plane, T* memory) const {
  const Scratch work = scratch(memory);
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t vectors = ceil_divide(columns, lanes);
  std::fill(work.columns + size_.columns * 2 * lanes, work.lanes, T(0));
  for (std::int64_t block = 0; block < row_blocks_; ++block) {
    const T* from = spectrum + block * size_.columns * layer_step;
    kernels_.fft.transform(columns_.transform(), 1, {from + lanes, from, layer_step}, 0,
                           {work.columns, work.columns + lanes, 2 * lanes}, 0, work.lanes);
    for (std::int64_t part = 0; part < 2; ++part) {
      kernels_.transpose_sums(work.rows + block * lanes * row_size_ + part * padded_columns_,
                              row_size_, work.columns + part * lanes, 2 * lanes,
                              {vectors * lanes, lanes}, 1, 0);
    }
  }
  transform_depth(work, vectors);
  for (std::int64_t d = 0; d < size_.depth; ++d) {
    transform_rows_back(work.rows + d * spectrum_rows_ * row_size_, vectors, work,
                        plane + d * size_.rows * pitch_);
  }
}

template class TileTransform<float>;
template class TileTransform<double>;

}  // namespace fastconv::fft
