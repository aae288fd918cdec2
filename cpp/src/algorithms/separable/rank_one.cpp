#include "algorithms/separable/rank_one.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fastconv::separable {
namespace {

/// The largest magnitude, in several partial maxima that a compiler makes vectors of. What it is
/// among NaNs does not matter: they fail the comparison with the product.
template <class T>
T largest_magnitude(const T* values, std::int64_t count) {
  constexpr std::int64_t kPartials = 16;
  T most[kPartials] = {};
  const std::int64_t whole = count - count % kPartials;
  for (std::int64_t first = 0; first < whole; first += kPartials) {
    for (std::int64_t i = 0; i < kPartials; ++i) {
      const T magnitude = std::abs(values[first + i]);
      most[i] = magnitude > most[i] ? magnitude : most[i];
    }
  }
  for (std::int64_t i = whole; i < count; ++i) most[0] = std::max(most[0], std::abs(values[i]));
  return *std::max_element(most, most + kPartials);
}

}  // namespace

template <class T>
double rank_one_tolerance(std::int64_t taps) {
  return 2.0 * std::numeric_limits<T>::epsilon() * std::sqrt(static_cast<double>(taps));
}

template <class T>
bool factor_rank_one(const T* kernel, std::int64_t height, std::int64_t width, T* column, T* row) {
  const T largest = largest_magnitude(kernel, height * width);
  if (largest == T(0) || largest > std::numeric_limits<T>::max()) return false;
  const std::int64_t pivot =
      std::find_if(kernel, kernel + height * width, [&](T w) { return std::abs(w) == largest; }) -
      kernel;
  if (pivot == height * width) return false;
  const T* pivot_row = kernel + pivot / width * width;
  double sum = 0.0;
  for (std::int64_t a = 0; a < height; ++a) {
    sum += std::abs(static_cast<double>(kernel[a * width + pivot % width]));
  }
  if (!std::isfinite(sum)) return false;
  const int exponent = -std::ilogb(sum);
  for (std::int64_t a = 0; a < height; ++a) {
    column[a] = std::ldexp(kernel[a * width + pivot % width], exponent);
  }
  const double pivot_factor = column[pivot / width];
  constexpr T kLeast = std::numeric_limits<T>::min() / std::numeric_limits<T>::epsilon();
  for (std::int64_t b = 0; b < width; ++b) {
    row[b] = static_cast<T>(pivot_row[b] / pivot_factor);
    if (row[b] != T(0) && std::abs(row[b]) < kLeast) return false;
  }
  const double tolerance = rank_one_tolerance<T>(height * width);
  for (std::int64_t a = 0; a < height; ++a, kernel += width) {
    const double factor = column[a];
    bool close = true;
    for (std::int64_t b = 0; b < width; ++b) {
      const double weight = kernel[b];
      const double difference = std::abs(factor * row[b] - weight);
      const bool both_zero = (weight == 0.0) == (factor == 0.0 || row[b] == T(0));
      close &= (difference <= tolerance * std::abs(weight)) & both_zero;
    }
    if (!close) return false;
  }
  return true;
}

template double rank_one_tolerance<float>(std::int64_t);
template double rank_one_tolerance<double>(std::int64_t);
template bool factor_rank_one<float>(const float*, std::int64_t, std::int64_t, float*, float*);
template bool factor_rank_one<double>(const double*, std::int64_t, std::int64_t, double*, double*);

}  // namespace fastconv::separable
