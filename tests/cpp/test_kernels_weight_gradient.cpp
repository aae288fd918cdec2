/// What is particular to direct's gradient of the weight: taps that meet padding are multiplied
/// with the pixels that meet input alone.
#include <gtest/gtest.h>

#include "convolution_case.hpp"
#include "forced_isa.hpp"

namespace fastconv::testing {
namespace {

using Sizes = std::array<std::int64_t, 3>;

/// 29 input channels, which fill no tile, and 70 output channels, which fill no vector.
ProblemDescription layer(std::int64_t n, Sizes input, Sizes kernel, Sizes padding) {
  ProblemDescription d;
  d.n = n;
  d.c = d.c_per_group = 29;
  d.k = 70;
  d.spatial_rank = 3;
  d.input = input;
  d.kernel = kernel;
  d.pad_before = d.pad_after = padding;
  return d;
}

void check(ProblemDescription d, std::mt19937_64& random) {
  for (const DataType type : {DataType::float32, DataType::float64, DataType::int32}) {
    for (const Layout layout : {Layout::channels_first, Layout::channels_last, Layout::spread}) {
      for (const int threads : {1, 3}) {
        set_types(d, Pass::backward_weight, uniform(type));
        expect_equal_to_reference(
            describe(d), {.layouts = {layout, layout, layout}, .threads = threads}, random);
      }
    }
  }
}

TEST(WeightGradient, LeavesOutPaddingOfSmallImages) {
  std::mt19937_64 random(1);
  check(layer(5, {1, 4, 7}, {1, 3, 3}, {0, 1, 1}), random);
}

TEST(WeightGradient, LeavesOutPaddingOfVolumes) {
  std::mt19937_64 random(2);
  check(layer(2, {3, 4, 3}, {3, 2, 3}, {1, 1, 2}), random);
}

/// Taps that no input meets have no gradient; strides, and fewer elements before than behind.
TEST(WeightGradient, LeavesOutPaddingUnderDilationAndStride) {
  std::mt19937_64 random(3);
  ProblemDescription d = layer(1, {1, 9, 11}, {1, 3, 5}, {0, 12, 9});
  d.dilation = {1, 12, 6};
  check(d, random);
  d.stride = {1, 2, 3};
  d.pad_before = {0, 9, -1};
  d.pad_after = {0, 12, 20};
  check(d, random);
}

/// Many tiles: each has pixels of its own that meet a tap.
TEST(WeightGradient, LeavesOutPaddingOfLargeImages) {
  std::mt19937_64 random(4);
  ProblemDescription d = layer(1, {1, 60, 70}, {1, 3, 3}, {0, 25, 20});
  d.dilation = {1, 25, 20};
  set_types(d, Pass::backward_weight, uniform(DataType::float32));
  for (const int threads : {1, 2}) {
    expect_equal_to_reference(describe(d), {.threads = threads}, random);
  }
}

}  // namespace
}  // namespace fastconv::testing
