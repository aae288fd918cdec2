#include "fft/large_transform.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "ceil_divide.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::fft {
namespace {

/// Vectors that pass through stages when `points` are cut into `rows` rows.
double cut_cost(std::int64_t points, std::int64_t rows, std::int64_t lanes) {
  const std::int64_t columns = points / rows;
  const auto stages = [](std::int64_t length) {
    return 2.0 + std::log2(static_cast<double>(length));
  };
  const double cost = static_cast<double>(ceil_divide(columns, lanes) * rows) * stages(rows) +
                      static_cast<double>(ceil_divide(rows, lanes) * columns) * stages(columns);
  // Squares at an edge are transposed element by element.
  return rows % lanes == 0 && columns % lanes == 0 ? cost : 1.3 * cost;
}

/// The divisor of `points` that makes the fewest vectors, and of such the squarest cut.
std::int64_t cheapest_rows(std::int64_t points, std::int64_t lanes) {
  std::int64_t best = 1;
  double least = std::numeric_limits<double>::infinity();
  for (std::int64_t rows = 1; rows * rows <= points; ++rows) {
    if (points % rows != 0) continue;
    for (const std::int64_t candidate : {rows, points / rows}) {
      const double cost = cut_cost(points, candidate, lanes);
      if (!is_supported_length(candidate) || !is_supported_length(points / candidate)) continue;
      if (cost <= least) {
        least = cost;
        best = candidate;
      }
    }
  }
  return best;
}

}  // namespace

double cut_vector_cost(std::int64_t points, std::int64_t lanes) {
  return cut_cost(points, cheapest_rows(points, lanes), lanes);
}

template <class T>
LargeTransform<T>::LargeTransform(FourierKind kind, std::int64_t length,
                                  const TypedKernels<T>& kernels)
    : kind_(kind),
      length_(length),
      kernels_(kernels),
      points_(complex_points(kind, length)),
      rows_(cheapest_rows(points_, kernels.lanes)),
      columns_(points_ / rows_),
      padded_columns_(ceil_divide(columns_, kernels.lanes) * kernels.lanes),
      row_size_(2 * padded_columns_),
      parts_in_(is_real(kind) && (is_inverse(kind) || length % 2 != 0)),
      parts_out_(is_real(kind) && (!is_inverse(kind) || length % 2 != 0)),
      along_rows_(rows_),
      along_columns_(columns_),
      factors_(rounded_parts<T>(spectrum_factors(kind, length))) {
  // The kernel for rows of a spectrum reads whole vectors of factors.
  factors_.resize(factors_.size() + static_cast<std::size_t>(2 * kernels.lanes));
  twiddles_.resize(static_cast<std::size_t>(rows_ * 2 * padded_columns_));
  // Where no factors of a spectrum scale the result, these do.
  const bool scales = is_inverse(kind) && points_ == length;
  const double scale = scales ? 1.0 / static_cast<double>(length) : 1.0;
  for (std::int64_t k = 0; k < rows_; ++k) {
    T* row = twiddles_.data() + k * 2 * padded_columns_;
    for (std::int64_t j = 0; j < columns_; ++j) {
      const std::complex<double> factor = scale * root_of_unity(j * k, points_);
      row[j] = static_cast<T>(factor.real());
      row[padded_columns_ + j] = static_cast<T>(factor.imag());
    }
  }
  // Rows a multiple of some cache lines apart would fall into few sets of a cache.
  if (row_size_ % 64 == 0) row_size_ += kernels.lanes;
}

template <class T>
std::int64_t LargeTransform<T>::scratch_size() const {
  return 6 * kernels_.lanes * std::max(rows_, columns_);
}

template <class T>
void LargeTransform<T>::load_parts(const T* in, SplitRow<T> parts) const {
  if (kind_ == FourierKind::real_to_complex) {
    std::copy_n(in, length_, parts.re);
    std::fill_n(parts.im, length_, T(0));
    return;
  }
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t numbers = length_ / 2 + 1;
  const std::int64_t whole = numbers / lanes;
  kernels_.fft.split_columns(in, 2 * lanes, whole, lanes, {parts.re, parts.im, lanes});
  for (std::int64_t k = whole * lanes; k < numbers; ++k) {
    parts.re[k] = in[2 * k];
    parts.im[k] = in[2 * k + 1];
  }
  if (points_ < length_) {
    kernels_.fft.half_spectrum_row({parts.re, parts.im}, points_,
                                   static_cast<T>(spectrum_scale(kind_, length_)), factors_.data(),
                                   parts);
    return;
  }
  parts.im[0] = T(0);
  for (std::int64_t k = 1; k < numbers; ++k) {
    parts.re[length_ - k] = parts.re[k];
    parts.im[length_ - k] = -parts.im[k];
  }
}

template <class T>
void LargeTransform<T>::store_parts(SplitRow<T> parts, T* out) const {
  if (kind_ == FourierKind::complex_to_real) {
    std::copy_n(parts.re, length_, out);
    return;
  }
  if (points_ < length_) {
    kernels_.fft.real_spectrum_row({parts.re, parts.im}, points_,
                                   static_cast<T>(spectrum_scale(kind_, length_)), factors_.data(),
                                   parts);
  }
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t numbers = length_ / 2 + 1;
  const std::int64_t whole = numbers / lanes;
  kernels_.fft.join_columns({parts.re, parts.im, lanes}, whole, lanes, out, 2 * lanes);
  for (std::int64_t k = whole * lanes; k < numbers; ++k) {
    out[2 * k] = parts.re[k];
    out[2 * k + 1] = parts.im[k];
  }
}

/// Real and imaginary parts change places on the way in of an inverse transform, and on its way
/// out, which turns the sign of the exponent.
template <class T>
void LargeTransform<T>::transform_columns(std::int64_t block, const T* in, SplitRow<T> parts,
                                          T* middle, T* scratch) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t first = block * lanes;
  const std::int64_t count = std::min(lanes, columns_ - first);
  T* numbers = scratch;
  ComplexVectors<const T> from{numbers, numbers + lanes, 2 * lanes};
  if (parts_in_) {
    from = {parts.re + first, parts.im + first, columns_};
  } else {
    kernels_.fft.split_columns(in + 2 * first, 2 * columns_, rows_, count,
                               {numbers, numbers + lanes, 2 * lanes});
  }
  if (is_inverse(kind_)) std::swap(from.re, from.im);
  const ComplexVectors<T> to{middle + first, middle + padded_columns_ + first, row_size_};
  const T* twiddles = twiddles_.data() + first;
  LaneTransform<T> transform = along_rows_.transform();
  transform.factors_out = {twiddles, twiddles + padded_columns_, 2 * padded_columns_};
  kernels_.fft.transform(transform, 1, from, 0, to, 0, scratch + 2 * lanes * rows_);
}

template <class T>
void LargeTransform<T>::transform_rows(std::int64_t block, const T* middle, SplitRow<T> parts,
                                       T* out, T* scratch) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t first = block * lanes;
  const std::int64_t count = std::min(lanes, rows_ - first);
  T* numbers = scratch;
  const std::int64_t step = 2 * lanes;
  if (count < lanes) std::fill_n(numbers, step * columns_, T(0));
  for (std::int64_t part = 0; part < 2; ++part) {
    kernels_.transpose_sums(numbers + part * lanes, step,
                            middle + first * row_size_ + part * padded_columns_, row_size_,
                            {count, columns_}, 1, 0);
  }
  const bool direct = parts_out_ && count == lanes;
  ComplexVectors<T> to{numbers, numbers + lanes, step};
  if (direct) to = {parts.re + first, parts.im + first, rows_};
  kernels_.fft.transform(
      along_columns_.transform(), 1, {numbers, numbers + lanes, step}, 0,
      is_inverse(kind_) && direct ? ComplexVectors<T>{to.im, to.re, to.step} : to, 0,
      scratch + step * columns_);
  if (direct) return;
  ComplexVectors<const T> result{to.re, to.im, to.step};
  if (is_inverse(kind_)) std::swap(result.re, result.im);
  if (!parts_out_) {
    kernels_.fft.join_columns(result, columns_, count, out + 2 * first, 2 * rows_);
    return;
  }
  for (std::int64_t k = 0; k < columns_; ++k) {
    std::copy_n(result.re + k * step, count, parts.re + first + k * rows_);
    std::copy_n(result.im + k * step, count, parts.im + first + k * rows_);
  }
}

template <class T>
void LargeTransform<T>::execute(const T* in, T* out, T* work, T* scratch,
                                int threads) const noexcept {
  const std::int64_t lanes = kernels_.lanes;
  T* middle = work;
  const SplitRow<T> parts{work + middle_size(), work + middle_size() + parts_pitch()};
  if (parts_in_) load_parts(in, parts);
  parallel_for(ceil_divide(columns_, lanes), threads, [&](std::int64_t block, int thread) {
    transform_columns(block, in, parts, middle, scratch + thread * scratch_size());
  });
  parallel_for(ceil_divide(rows_, lanes), threads, [&](std::int64_t block, int thread) {
    transform_rows(block, middle, parts, out, scratch + thread * scratch_size());
  });
  if (parts_out_) store_parts(parts, out);
}

template class LargeTransform<float>;
template class LargeTransform<double>;

}  // namespace fastconv::fft
