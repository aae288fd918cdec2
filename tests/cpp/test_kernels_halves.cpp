/// float16 and bfloat16: every bit pattern, and how float32 rounds to them, against a search for
/// the nearest of all values.
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "forced_isa.hpp"
#include "kernels/kernel_table.hpp"
#include "storage_elements.hpp"
#include "stored_values.hpp"

namespace fastconv::testing {
namespace {

template <class Storage>
struct Format;
template <>
struct Format<Half> {
  static constexpr DataType kType = DataType::float16;
  static constexpr std::uint32_t kInfinity = 0x7c00;
};
template <>
struct Format<BrainHalf> {
  static constexpr DataType kType = DataType::bfloat16;
  static constexpr std::uint32_t kInfinity = 0x7f80;
};

struct FormatName {
  template <class Storage>
  static std::string GetName(int) {
    return name_of(Format<Storage>::kType);
  }
};

template <class Storage>
class Halves : public ::testing::Test {
 protected:
  static constexpr auto kInfinity = static_cast<std::int64_t>(Format<Storage>::kInfinity);

  static std::vector<float> load(const std::vector<std::uint16_t>& bits) {
    std::vector<float> values(bits.size());
    active_kernels().float32.load_row[static_cast<int>(Format<Storage>::kType)](
        values.data(), 1, bits.data(), 1, static_cast<std::int64_t>(bits.size()));
    return values;
  }
  static std::vector<std::uint16_t> store(const std::vector<float>& values) {
    return stored_values<std::uint16_t>(values, Format<Storage>::kType);
  }
  static std::vector<std::uint16_t> all_bits() {
    std::vector<std::uint16_t> bits(65536);
    for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
    return bits;
  }
  static bool is_nan(std::uint16_t bits) { return (bits & 0x7fff) > kInfinity; }

  /// Magnitudes in the order of their bits; infinity counts as the power of two that would follow
  /// the largest number, which is how IEEE 754 says when to round to it.
  static std::vector<double> magnitudes() {
    std::vector<double> values(static_cast<std::size_t>(kInfinity) + 1);
    for (std::size_t i = 0; i < values.size(); ++i) {
      values[i] = value_of(Storage{static_cast<std::uint16_t>(i)});
    }
    const std::size_t last = values.size() - 1;
    values[last] = 2.0 * values[last - 1] - values[last - 2];
    return values;
  }

  /// Round to nearest, ties to even, by bisection.
  static std::uint16_t nearest(float value, const std::vector<double>& values) {
    const std::uint16_t sign = std::signbit(value) ? 0x8000 : 0;
    const double magnitude = std::abs(static_cast<double>(value));
    const auto above = std::lower_bound(values.begin(), values.end(), magnitude);
    if (above == values.end()) return static_cast<std::uint16_t>(sign | kInfinity);
    auto index = static_cast<std::uint16_t>(above - values.begin());
    if (index > 0) {
      const double to_lower = magnitude - values[index - 1u];
      const double to_upper = values[index] - magnitude;
      if (to_lower < to_upper || (to_lower == to_upper && index % 2 == 1)) --index;
    }
    return static_cast<std::uint16_t>(sign | index);
  }
};
using Formats = ::testing::Types<Half, BrainHalf>;
TYPED_TEST_SUITE(Halves, Formats, FormatName);

TYPED_TEST(Halves, EveryPatternLoadsItsValue) {
  const std::vector<std::uint16_t> bits = this->all_bits();
  const std::vector<float> values = this->load(bits);
  for (std::size_t i = 0; i < bits.size(); ++i) {
    const double expected = value_of(TypeParam{bits[i]});
    if (this->is_nan(bits[i])) {
      ASSERT_TRUE(std::isnan(values[i])) << std::hex << bits[i];
    } else {
      ASSERT_EQ(values[i], expected) << std::hex << bits[i];
      ASSERT_EQ(std::signbit(values[i]), (bits[i] & 0x8000) != 0) << std::hex << bits[i];
    }
  }
}

TYPED_TEST(Halves, EveryPatternSurvivesARoundTrip) {
  const std::vector<std::uint16_t> bits = this->all_bits();
  const std::vector<std::uint16_t> result = this->store(this->load(bits));
  for (std::size_t i = 0; i < bits.size(); ++i) {
    if (this->is_nan(bits[i])) {
      ASSERT_TRUE(this->is_nan(result[i])) << std::hex << bits[i];
    } else {
      ASSERT_EQ(result[i], bits[i]) << std::hex << bits[i];
    }
  }
}

TYPED_TEST(Halves, TiesAndTheirNeighboursRoundToNearestEven) {
  const std::vector<double> values = this->magnitudes();
  std::vector<float> cases;
  for (std::size_t i = 0; i + 1 < values.size(); ++i) {
    const auto tie = static_cast<float>(0.5 * (values[i] + values[i + 1]));
    for (const float value : {std::nextafterf(tie, 0.0f), tie, std::nextafterf(tie, INFINITY)}) {
      cases.push_back(value);
      cases.push_back(-value);
    }
  }
  const std::vector<std::uint16_t> result = this->store(cases);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    ASSERT_EQ(result[i], this->nearest(cases[i], values)) << cases[i];
  }
}

TYPED_TEST(Halves, NumbersOfEveryMagnitudeRoundToNearest) {
  const std::vector<double> values = this->magnitudes();
  std::vector<float> cases;
  // An odd step through the bits of all positive numbers, and their opposites.
  for (std::uint32_t bits = 1; bits < 0x7f800000; bits += 10007) {
    cases.push_back(std::bit_cast<float>(bits));
    cases.push_back(-cases.back());
  }
  const std::vector<std::uint16_t> result = this->store(cases);
  for (std::size_t i = 0; i < cases.size(); ++i) {
    ASSERT_EQ(result[i], this->nearest(cases[i], values)) << cases[i];
  }
}

TYPED_TEST(Halves, InfinityAndNanStayWhatTheyAre) {
  const auto infinity = static_cast<std::uint16_t>(this->kInfinity);
  const std::vector<float> cases{INFINITY,
                                 -INFINITY,
                                 std::numeric_limits<float>::max(),
                                 -std::numeric_limits<float>::max(),
                                 std::bit_cast<float>(0x7f800001u),
                                 std::bit_cast<float>(0xffffffffu),
                                 std::bit_cast<float>(0x7fffffffu),
                                 std::numeric_limits<float>::quiet_NaN()};
  const std::vector<std::uint16_t> result = this->store(cases);
  for (std::size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(result[i], infinity | (i % 2 == 1 ? 0x8000 : 0)) << cases[i];
  }
  for (std::size_t i = 4; i < cases.size(); ++i) EXPECT_TRUE(this->is_nan(result[i])) << i;
}

}  // namespace
}  // namespace fastconv::testing
