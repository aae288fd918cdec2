#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <type_traits>

#include "fastconv/data_type.hpp"

/// Elements as they stand in memory. The conversions of halves are written from the definition of
/// their bits, for values that they hold exactly.
namespace fastconv::testing {

struct Half {
  std::uint16_t bits;
};
struct BrainHalf {
  std::uint16_t bits;
};

/// sign * significand * 2^exponent, from the three fields of a float16.
inline double value_of(Half half) {
  const int exponent = half.bits >> 10 & 0x1f;
  const int fraction = half.bits & 0x3ff;
  const double magnitude = exponent == 0x1f
                               ? (fraction == 0 ? std::numeric_limits<double>::infinity()
                                                : std::numeric_limits<double>::quiet_NaN())
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return (half.bits & 0x8000) != 0 ? -magnitude : magnitude;
}
inline double value_of(BrainHalf half) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(half.bits) << 16);
}

/// The bits of a value that is a normal float16, or zero.
inline Half exact_half(double value) {
  if (value == 0.0) return {0};
  int exponent = 0;
  const double fraction = std::frexp(std::abs(value), &exponent);  // in [0.5, 1)
  const int bits = ((exponent + 14) << 10) + static_cast<int>((2.0 * fraction - 1.0) * 1024.0);
  return {static_cast<std::uint16_t>(bits | (value < 0.0 ? 0x8000 : 0))};
}
inline BrainHalf exact_brain_half(double value) {
  return {
      static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(value)) >> 16)};
}

template <class T, class Storage>
T widened(Storage element) {
  if constexpr (std::is_same_v<Storage, Half> || std::is_same_v<Storage, BrainHalf>) {
    return static_cast<T>(value_of(element));
  } else {
    return static_cast<T>(element);
  }
}

template <class Storage, class T>
Storage narrowed(T value) {
  if constexpr (std::is_same_v<Storage, Half>) {
    return exact_half(value);
  } else if constexpr (std::is_same_v<Storage, BrainHalf>) {
    return exact_brain_half(value);
  } else {
    return static_cast<Storage>(value);
  }
}

/// Equality of numbers: the two zeros are the same.
template <class Storage>
bool same_value(const Storage& a, const Storage& b) {
  if constexpr (std::is_same_v<Storage, Half> || std::is_same_v<Storage, BrainHalf>) {
    return value_of(a) == value_of(b);
  } else {
    return a == b;
  }
}

/// Small integers for floating-point types, anything for integers.
template <class Storage>
Storage random_storage(std::mt19937_64& random) {
  if constexpr (std::is_integral_v<Storage>) {
    return static_cast<Storage>(random());
  } else {
    return narrowed<Storage>(static_cast<double>(static_cast<int>(random() % 15) - 7));
  }
}

/// Calls body(Storage(), type) for every type that the compute type T is loaded from.
template <class T, class Body>
void for_each_storage_type(Body&& body) {
  if constexpr (std::is_same_v<T, float>) {
    body(float(), DataType::float32);
    body(Half(), DataType::float16);
    body(BrainHalf(), DataType::bfloat16);
  } else if constexpr (std::is_same_v<T, double>) {
    body(double(), DataType::float64);
  } else {
    body(std::int8_t(), DataType::int8);
    body(std::uint8_t(), DataType::uint8);
    body(std::int32_t(), DataType::int32);
    if constexpr (sizeof(T) == 8) {
      body(std::int16_t(), DataType::int16);
      body(std::uint16_t(), DataType::uint16);
      body(std::uint32_t(), DataType::uint32);
      body(std::int64_t(), DataType::int64);
      body(std::uint64_t(), DataType::uint64);
    }
  }
}

}  // namespace fastconv::testing
