#include "fft/fourier.hpp"

#include <string>

#include "fastconv/error.hpp"

namespace fastconv::fft {

std::vector<std::complex<double>> spectrum_factors(FourierKind kind, std::int64_t length) {
  std::vector<std::complex<double>> factors;
  if (!is_real(kind) || length % 2 != 0) return factors;
  const bool forward = kind == FourierKind::real_to_complex;
  const std::complex<double> turn(0.0, (forward ? -1.0 : 1.0) * spectrum_scale(kind, length));
  for (std::int64_t k = 0; 4 * k <= length; ++k) {
    factors.push_back(turn * root_of_unity(forward ? k : -k, length));
  }
  return factors;
}

bool has_small_factors(std::int64_t length) {
  if (length < 1) return false;
  for (const std::int64_t prime : {2, 3, 5, 7, 11}) {
    while (length % prime == 0) length /= prime;
  }
  return length == 1;
}

std::int64_t next_length_with_small_factors(std::int64_t length) {
  std::int64_t next = length < 1 ? 1 : length;
  while (!has_small_factors(next)) ++next;
  return next;
}

void check_fourier_length(std::int64_t length) {
  if (has_small_factors(length)) return;
  throw ValueError("length: got " + std::to_string(length) +
                   ", needs one without prime factors other than 2, 3, 5, 7 and 11, such as " +
                   std::to_string(next_length_with_small_factors(length)));
}

}  // namespace fastconv::fft
