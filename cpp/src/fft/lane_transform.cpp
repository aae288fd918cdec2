#include "fft/lane_transform.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fastconv::fft {
namespace {

/// Stages of a length, few and large ones; empty where there are none.
std::vector<int> radices_of(std::int64_t length) {
  std::vector<int> radices;
  int twos = 0;
  for (; length % 2 == 0; length /= 2) ++twos;
  // A stage of 8 and one of 2 cost more than two of 4.
  for (; twos > 4 || twos == 3; twos -= 3) radices.push_back(8);
  for (; twos >= 2; twos -= 2) radices.push_back(4);
  if (twos == 1) radices.push_back(2);
  for (const int radix : {3, 5, 7, 11}) {
    for (; length % radix == 0; length /= radix) radices.push_back(radix);
  }
  if (length != 1 || radices.size() > kMostTransformStages) return {};
  if (radices.empty()) radices.push_back(1);
  return radices;
}

}  // namespace

bool is_supported_length(std::int64_t length) { return length > 0 && !radices_of(length).empty(); }

std::int64_t next_supported_length(std::int64_t length) {
  std::int64_t next = std::max<std::int64_t>(1, length);
  while (!is_supported_length(next)) ++next;
  return next;
}

/// Angles are reduced to the first eighth of the circle, where the functions are most exact.
std::complex<double> root_of_unity(std::int64_t numerator, std::int64_t denominator) {
  // Eighths of the circle, and what is left.
  const std::int64_t turned = 8 * (numerator % denominator);
  const std::int64_t reduced = turned < 0 ? turned + 8 * denominator : turned;
  const std::int64_t eighth = reduced / denominator;
  const bool mirrored = eighth % 2 == 1;
  const std::int64_t rest =
      mirrored ? (eighth + 1) * denominator - reduced : reduced - eighth * denominator;
  const double angle =
      std::numbers::pi / 4 * static_cast<double>(rest) / static_cast<double>(denominator);
  double cosine = std::cos(angle);
  double sine = std::sin(angle);
  // Angle of the point before it was reduced, from the nearest multiple of a quarter.
  if (mirrored) sine = -sine;
  switch ((eighth + 1) / 2 % 4) {
    case 1:
      std::swap(cosine, sine);
      cosine = -cosine;
      break;
    case 2:
      cosine = -cosine;
      sine = -sine;
      break;
    case 3:
      std::swap(cosine, sine);
      sine = -sine;
      break;
    default:
      break;
  }
  return {cosine, -sine};
}

template <class T>
LaneTransformTables<T>::LaneTransformTables(std::int64_t length,
                                            const std::vector<std::complex<double>>& twist_in,
                                            const std::vector<std::complex<double>>& twist_out,
                                            FrequencyShift shift)
    : transform_{} {
  transform_.length = length;
  transform_.shifted = shift != FrequencyShift::none;
  std::vector<std::complex<double>> numbers;
  std::vector<std::size_t> offsets;
  std::int64_t before = 1;
  for (const int radix : radices_of(length)) {
    offsets.push_back(2 * numbers.size());
    for (std::int64_t k = 0; k < before; ++k) {
      for (std::int64_t a = 1; a < radix; ++a) {
        // In every stage, k stands for the frequencies k of all transforms of that length.
        const std::int64_t quarters = 4 * k + (transform_.shifted ? 1 : 0);
        numbers.push_back(root_of_unity(a * quarters, 4 * before * radix));
      }
    }
    transform_.stage[transform_.stages++] = {radix, before, length / (before * radix), nullptr};
    before *= radix;
  }
  const std::size_t twists = 2 * numbers.size();
  numbers.insert(numbers.end(), twist_in.begin(), twist_in.end());
  numbers.insert(numbers.end(), twist_out.begin(), twist_out.end());
  tables_ = std::make_shared<const std::vector<T>>(rounded_parts<T>(numbers));
  const T* data = tables_->data();
  for (std::size_t s = 0; s < offsets.size(); ++s) transform_.stage[s].twiddles = data + offsets[s];
  if (!twist_in.empty()) transform_.twist_in = data + twists;
  if (!twist_out.empty()) transform_.twist_out = data + twists;
}

template class LaneTransformTables<float>;
template class LaneTransformTables<double>;

}  // namespace fastconv::fft
