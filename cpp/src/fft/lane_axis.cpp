#include "fft/lane_axis.hpp"

#include <algorithm>

namespace fastconv::fft {
namespace {

/// What an inverse transform multiplies its results by, unless the step before it does.
std::vector<std::complex<double>> result_scale(FourierKind kind, std::int64_t points, bool halves) {
  if (!is_inverse(kind) || halves) return {};
  return std::vector<std::complex<double>>(static_cast<std::size_t>(points),
                                           1.0 / static_cast<double>(points));
}

bool has_halves(FourierKind kind, std::int64_t length) { return is_real(kind) && length % 2 == 0; }

/// Whole squares are transposed fast; a last number beside them is not worth another square.
std::int64_t whole_squares(std::int64_t elements, std::int64_t lanes) {
  return elements % lanes == 2 ? elements - 2 : elements;
}

}  // namespace

template <class T>
LaneAxis<T>::LaneAxis(FourierKind kind, std::int64_t length, const TypedKernels<T>& kernels)
    : kind_(kind),
      halves_(has_halves(kind, length)),
      kernels_(kernels),
      tables_(complex_points(kind, length), {},
              result_scale(kind, complex_points(kind, length), has_halves(kind, length))),
      factors_(rounded_parts<T>(spectrum_factors(kind, length))) {}

template <class T>
void LaneAxis<T>::load(const T* from, std::int64_t pitch, std::int64_t rows, T* numbers) const {
  const std::int64_t lanes = kernels_.lanes;
  if (rows < lanes) std::fill_n(numbers, buffer_size(), T(0));
  if (is_odd_real() && kind_ == FourierKind::real_to_complex) {
    for (std::int64_t i = 0; i < length(); ++i)
      std::fill_n(numbers + (2 * i + 1) * lanes, lanes, T(0));
    kernels_.transpose_sums(numbers, 2 * lanes, from, pitch, {rows, length()}, 1, 0);
    return;
  }
  const std::int64_t elements = input_elements();
  const std::int64_t squares = whole_squares(elements, lanes);
  kernels_.transpose_sums(numbers, lanes, from, pitch, {rows, squares}, 1, 0);
  for (std::int64_t i = squares; i < elements; ++i) {
    for (std::int64_t row = 0; row < rows; ++row) numbers[i * lanes + row] = from[row * pitch + i];
  }
}

template <class T>
void LaneAxis<T>::store(const T* numbers, std::int64_t rows, T* to, std::int64_t pitch) const {
  const std::int64_t lanes = kernels_.lanes;
  if (is_odd_real() && kind_ == FourierKind::complex_to_real) {
    kernels_.transpose_sums(to, pitch, numbers, 2 * lanes, {length(), rows}, 1, 0);
    return;
  }
  const std::int64_t elements = output_elements();
  const std::int64_t squares = whole_squares(elements, lanes);
  kernels_.transpose_sums(to, pitch, numbers, lanes, {squares, rows}, 1, 0);
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t i = squares; i < elements; ++i)
      to[row * pitch + i] = numbers[i * lanes + row];
  }
}

/// The frequencies of an odd number of real numbers that their spectrum leaves out.
template <class T>
void LaneAxis<T>::mirror_spectrum(T* numbers) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t points = tables_.length();
  std::fill_n(numbers + lanes, lanes, T(0));
  for (std::int64_t k = 1; 2 * k < points; ++k) {
    T* mirror = numbers + (points - k) * 2 * lanes;
    const T* number = numbers + k * 2 * lanes;
    for (std::int64_t lane = 0; lane < lanes; ++lane) {
      mirror[lane] = number[lane];
      mirror[lanes + lane] = -number[lanes + lane];
    }
  }
}

/// Real and imaginary parts change places on both ways, which turns the sign of the exponent.
template <class T>
void LaneAxis<T>::run(T* numbers, std::int64_t buffers, T* scratch) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t points = tables_.length();
  const auto parts = [&](std::int64_t buffer) {
    T* first = numbers + buffer * buffer_size();
    return ComplexVectors<T>{first, first + lanes, 2 * lanes};
  };
  const auto readable = [](const ComplexVectors<T>& written) {
    return ComplexVectors<const T>{written.re, written.im, written.step};
  };
  if (kind_ == FourierKind::complex_to_real) {
    for (std::int64_t buffer = 0; buffer < buffers; ++buffer) {
      const ComplexVectors<T> spectrum = parts(buffer);
      if (halves_) {
        kernels_.fft.half_spectrum(readable(spectrum), points,
                                   static_cast<T>(spectrum_scale(kind_, length())), factors_.data(),
                                   spectrum);
      } else {
        mirror_spectrum(spectrum.re);
      }
    }
  }
  ComplexVectors<T> first = parts(0);
  if (is_inverse(kind_)) std::swap(first.re, first.im);
  kernels_.fft.transform(tables_.transform(), buffers, readable(first), buffer_size(), first,
                         buffer_size(), scratch);
  if (kind_ == FourierKind::real_to_complex && halves_) {
    for (std::int64_t buffer = 0; buffer < buffers; ++buffer) {
      const ComplexVectors<T> spectrum = parts(buffer);
      kernels_.fft.real_spectrum(readable(spectrum), points, factors_.data(), spectrum);
    }
  }
}

template class LaneAxis<float>;
template class LaneAxis<double>;

}  // namespace fastconv::fft
