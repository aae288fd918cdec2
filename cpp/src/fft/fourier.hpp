#pragma once

#include <cstdint>

#include "fft/lane_transform.hpp"

namespace fastconv::fft {

/// The four transforms of NumPy's `fft`, `ifft`, `rfft` and `irfft`, with its exponents, order and
/// scale: inverse ones divide by the number of points.
enum class FourierKind { complex_forward, complex_inverse, real_to_complex, complex_to_real };

constexpr bool is_real(FourierKind kind) {
  return kind == FourierKind::real_to_complex || kind == FourierKind::complex_to_real;
}
constexpr bool is_inverse(FourierKind kind) {
  return kind == FourierKind::complex_inverse || kind == FourierKind::complex_to_real;
}

/// Elements of a row of `length` points. A complex number is two of them, and a spectrum of real
/// numbers has the frequencies up to half.
constexpr std::int64_t row_elements(std::int64_t length, bool real, bool spectrum) {
  if (!real) return 2 * length;
  return spectrum ? 2 * (length / 2 + 1) : length;
}
constexpr std::int64_t input_row_elements(FourierKind kind, std::int64_t length) {
  return row_elements(length, is_real(kind), is_inverse(kind));
}
constexpr std::int64_t output_row_elements(FourierKind kind, std::int64_t length) {
  return row_elements(length, is_real(kind), !is_inverse(kind));
}

/// Points of the complex transform within: an even number of real ones becomes half as many complex
/// ones, an odd one as many with zeros as imaginary parts.
constexpr std::int64_t complex_points(FourierKind kind, std::int64_t length) {
  return is_real(kind) && length % 2 == 0 ? length / 2 : length;
}

/// The factors that kernels want between the spectrum of real numbers and that of half as many
/// complex ones, see kernels/fft_rows.inl, and the scale beside them.
std::vector<std::complex<double>> spectrum_factors(FourierKind kind, std::int64_t length);
constexpr double spectrum_scale(FourierKind kind, std::int64_t length) {
  return kind == FourierKind::real_to_complex ? 0.5 : 1.0 / static_cast<double>(length);
}

/// Whether a length has no prime factor but 2, 3, 5, 7 and 11.
bool has_small_factors(std::int64_t length);
/// The shortest length of that kind that is at least `length`.
std::int64_t next_length_with_small_factors(std::int64_t length);

/// Throws ValueError, naming the length and the next one that is supported.
void check_fourier_length(std::int64_t length);

}  // namespace fastconv::fft
