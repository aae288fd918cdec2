/// The gradient of the bias: sums over images and positions.
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "fastconv/plan.hpp"
#include "tensor.hpp"

namespace fastconv::testing {
namespace {

constexpr Sizes kSizes[] = {{2, 3, 1, 4, 5},   {1, 17, 2, 3, 300}, {3, 33, 1, 1, 1},
                            {2, 5, 1, 1, 256}, {0, 4, 1, 3, 3},    {1, 40, 1, 60, 61}};

std::vector<std::complex<double>> channel_sums(const Tensor& gradient) {
  std::vector<std::complex<double>> sums(static_cast<std::size_t>(gradient.view().sizes[1]));
  gradient.for_each_position(
      [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
        sums[static_cast<std::size_t>(c)] += gradient.at(n, c, d, h, w);
      });
  return sums;
}

TEST(BiasGradient, IsTheExactSumOfIntegers) {
  std::mt19937_64 random(12);
  for (const DataType type : {DataType::float32, DataType::float64, DataType::complex64,
                              DataType::complex128, DataType::int64}) {
    for (const Sizes& sizes : kSizes) {
      for (const Layout layout : kLayouts) {
        const Tensor gradient(type, sizes, layout);
        gradient.fill_with_integers(random);
        const std::vector<std::complex<double>> expected = channel_sums(gradient);
        for (const std::int64_t stride : {1, 2, -1}) {
          for (const int threads : {1, 3}) {
            const Tensor result(type, {1, sizes[1], 1, 1, 1}, {0, stride, 0, 0, 0});
            bias_gradient(gradient.view(), result.view().data, stride, threads);
            for (std::int64_t c = 0; c < sizes[1]; ++c) {
              ASSERT_EQ(result.at(0, c, 0, 0, 0), expected[static_cast<std::size_t>(c)])
                  << name_of(type) << ", channel " << c << ", stride " << stride;
            }
          }
        }
      }
    }
  }
}

TEST(BiasGradient, OfHalvesIsRoundedOnce) {
  std::mt19937_64 random(13);
  for (const DataType type : {DataType::float16, DataType::bfloat16}) {
    const Tensor gradient(type, {3, 5, 1, 20, 30}, Layout::channels_last);
    gradient.fill_with_normal_numbers(random);
    const std::vector<std::complex<double>> expected = channel_sums(gradient);
    const Tensor result(type, {1, 5, 1, 1, 1});
    bias_gradient(gradient.view(), result.view().data, 1);
    const double epsilon = std::ldexp(1.0, type == DataType::float16 ? -11 : -8);
    for (std::int64_t c = 0; c < 5; ++c) {
      const double sum = expected[static_cast<std::size_t>(c)].real();
      EXPECT_NEAR(result.at(0, c, 0, 0, 0).real(), sum, epsilon * std::abs(sum));
    }
  }
}

TEST(BiasGradient, AddsManySmallNumbersToALargeOne) {
  constexpr std::int64_t kCount = 1 << 20;
  std::vector<float> gradient(kCount, 1.0f);
  gradient.front() = 0x1p24f;  // adding 1 to it in single precision would change nothing
  float result = 0.0f;
  bias_gradient(channels_first_view(gradient.data(), DataType::float32, {1, 1, 1, 1, kCount}),
                &result, 1);
  EXPECT_EQ(result, 0x1p24f + 0x1p20f);
}

TEST(BiasGradient, GivesTheSameBitsOnAnyNumberOfThreads) {
  std::mt19937_64 random(14);
  const Tensor gradient(DataType::float32, {2, 37, 1, 50, 61});
  gradient.fill_with_normal_numbers(random);
  std::vector<float> expected(37);
  bias_gradient(gradient.view(), expected.data(), 1, 1);
  for (const int threads : {2, 3, 7}) {
    std::vector<float> result(37);
    bias_gradient(gradient.view(), result.data(), 1, threads);
    EXPECT_EQ(result, expected);
  }
}

}  // namespace
}  // namespace fastconv::testing
