#include "algorithms/separable/rank_one.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace fastconv::separable {
namespace {

/// Loops over taps keep several partial results, of which a compiler makes vectors.
constexpr std::int64_t kPartials = 16;

/// What it is among NaNs does not matter: they are close to nothing.
template <class T>
T largest_magnitude(const T* values, std::int64_t count) {
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

/// The smallest one that is not zero.
template <class T>
double smallest_magnitude(const T* values, std::int64_t count) {
  double least = std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < count; ++i) {
    if (values[i] != T(0)) least = std::min<double>(least, std::abs(values[i]));
  }
  return least;
}

/// Whether |factor * row[b] - taps[b]| <= tolerance * |taps[b]| for all b.
template <class T>
bool is_multiple(const T* taps, double factor, const T* row, std::int64_t count, double tolerance) {
  double apart[kPartials] = {};
  const auto compare = [&](std::int64_t b) {
    const double tap = taps[b];
    return std::abs(factor * row[b] - tap) <= tolerance * std::abs(tap) ? 0.0 : 1.0;
  };
  const std::int64_t whole = count - count % kPartials;
  for (std::int64_t first = 0; first < whole; first += kPartials) {
    for (std::int64_t i = 0; i < kPartials; ++i) apart[i] += compare(first + i);
  }
  for (std::int64_t b = whole; b < count; ++b) apart[0] += compare(b);
  return std::all_of(apart, apart + kPartials, [](double taps_apart) { return taps_apart == 0.0; });
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
  const int exponent = -2 - std::ilogb(sum);
  for (std::int64_t a = 0; a < height; ++a) {
    column[a] = std::ldexp(kernel[a * width + pivot % width], exponent);
  }
  const double pivot_factor = column[pivot / width];
  for (std::int64_t b = 0; b < width; ++b) row[b] = static_cast<T>(pivot_row[b] / pivot_factor);
  constexpr double kLeast = std::numeric_limits<T>::min();
  const double least = smallest_magnitude(row, width);
  if (least < kLeast / std::numeric_limits<T>::epsilon()) return false;
  if (least * smallest_magnitude(column, height) < kLeast) return false;
  const double tolerance = rank_one_tolerance<T>(height * width);
  for (std::int64_t a = 0; a < height; ++a) {
    if (!is_multiple(kernel + a * width, column[a], row, width, tolerance)) return false;
  }
  return true;
}

template double rank_one_tolerance<float>(std::int64_t);
template double rank_one_tolerance<double>(std::int64_t);
template bool factor_rank_one<float>(const float*, std::int64_t, std::int64_t, float*, float*);
template bool factor_rank_one<double>(const double*, std::int64_t, std::int64_t, double*, double*);

}  // namespace fastconv::separable
