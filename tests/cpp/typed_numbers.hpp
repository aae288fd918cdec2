#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <type_traits>

#include "kernels/kernel_table.hpp"

namespace fastconv::testing {

using ComputeTypes = ::testing::Types<float, double, std::int32_t, std::int64_t>;

/// Names typed tests after the type rather than its index.
struct ComputeTypeName {
  template <class T>
  static std::string GetName(int) {
    if constexpr (std::is_floating_point_v<T>) {
      return sizeof(T) == 4 ? "float32" : "float64";
    } else {
      return sizeof(T) == 4 ? "int32" : "int64";
    }
  }
};

/// Floating-point numbers are small integers, so that sums of them are exact in any order and
/// compare for equality; integers are any, so that their sums wrap around.
template <class T>
T random_number(std::mt19937_64& random) {
  if constexpr (std::is_floating_point_v<T>) {
    return static_cast<T>(static_cast<int>(random() % 15) - 7);
  } else {
    return static_cast<T>(random());
  }
}

template <class Range>
void fill_random(Range& range, std::mt19937_64& random) {
  using T = std::remove_reference_t<decltype(*range.begin())>;
  for (T& element : range) element = random_number<T>(random);
}

/// a * b + c, modulo 2^n for integers.
template <class T>
T multiply_add(T a, T b, T c) {
  if constexpr (std::is_floating_point_v<T>) {
    return a * b + c;
  } else {
    using Unsigned = std::make_unsigned_t<T>;
    return static_cast<T>(static_cast<Unsigned>(a) * static_cast<Unsigned>(b) +
                          static_cast<Unsigned>(c));
  }
}

}  // namespace fastconv::testing
