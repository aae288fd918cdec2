#pragma once

#include <complex>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/fft_kernels.hpp"

/// The transform engine: discrete Fourier transforms of numbers in the lanes of vectors.
namespace fastconv::fft {

/// Whether the stages that exist make up this length.
bool is_supported_length(std::int64_t length);

/// The shortest supported length that is at least `length`.
std::int64_t next_supported_length(std::int64_t length);

/// e^(-2 pi i numerator / denominator), to the last place of a double.
std::complex<double> root_of_unity(std::int64_t numerator, std::int64_t denominator);

/// Pairs of parts, rounded.
template <class T>
std::vector<T> rounded_parts(const std::vector<std::complex<double>>& numbers) {
  std::vector<T> parts;
  parts.reserve(2 * numbers.size());
  for (const std::complex<double>& number : numbers) {
    parts.push_back(static_cast<T>(number.real()));
    parts.push_back(static_cast<T>(number.imag()));
  }
  return parts;
}

/// Where frequencies lie: at k, or at k + 1/4.
enum class FrequencyShift { none, quarter };

/// The tables of a transform, made once. Immutable.
template <class T>
class LaneTransformTables {
 public:
  /// The twists have `length` numbers, or are empty. Not both at once.
  explicit LaneTransformTables(std::int64_t length,
                               const std::vector<std::complex<double>>& twist_in = {},
                               const std::vector<std::complex<double>>& twist_out = {},
                               FrequencyShift shift = FrequencyShift::none);

  std::int64_t length() const { return transform_.length; }
  /// Points into tables that live as long as a copy of this object.
  const LaneTransform<T>& transform() const { return transform_; }
  /// Elements of scratch memory.
  std::int64_t scratch_size(std::int64_t lanes) const { return 4 * length() * lanes; }

 private:
  std::shared_ptr<const std::vector<T>> tables_;  ///< twiddle factors, then the twists
  LaneTransform<T> transform_;
};

}  // namespace fastconv::fft
