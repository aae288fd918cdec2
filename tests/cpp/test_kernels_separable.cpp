/// What is particular to kernels of rank 1: every option of both passes on weights that have it,
/// with memory that ends at guard pages, and where they cease to have it.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "algorithms/separable/rank_one.hpp"
#include "convolution_case.hpp"
#include "fastconv/error.hpp"
#include "forced_isa.hpp"

namespace fastconv::testing {
namespace {

constexpr Pass kCorrelations[] = {Pass::forward, Pass::backward_input};

ProblemDescription filter(std::int64_t channels, std::int64_t height, std::int64_t width,
                          std::int64_t kernel_height, std::int64_t kernel_width) {
  ProblemDescription d;
  d.n = 2;
  d.c = d.k = d.groups = channels;
  d.input = {1, height, width};
  d.kernel = {1, kernel_height, kernel_width};
  d.pad_before = d.pad_after = {0, kernel_height / 2, kernel_width / 2};
  return d;
}

/// Products of 0, 1, 2 and their negatives, so that factors and sums are exact.
void fill_with_rank_one(const TensorView& weight, std::int64_t except, std::mt19937_64& random) {
  with_storage(weight.type, [&]<class Storage>(Storage, int) {
    if constexpr (std::is_floating_point_v<Storage>) {
      constexpr int kFactors[] = {1, 2, 0, -1, -2};
      std::vector<int> column(static_cast<std::size_t>(weight.sizes[3]));
      std::vector<int> row(static_cast<std::size_t>(weight.sizes[4]));
      for (std::int64_t k = 0; k < weight.sizes[0]; ++k) {
        for (int& factor : column) factor = kFactors[random() % 5];
        for (int& factor : row) factor = kFactors[random() % 5];
        column[0] = row[1] = 1;
        for (std::int64_t a = 0; a < weight.sizes[3] && k != except; ++a) {
          for (std::int64_t b = 0; b < weight.sizes[4]; ++b) {
            static_cast<Storage*>(weight.data)[k * weight.strides[0] + a * weight.strides[3] +
                                               b * weight.strides[4]] =
                static_cast<Storage>(column[static_cast<std::size_t>(a)] *
                                     row[static_cast<std::size_t>(b)]);
          }
        }
      }
    }
    return 0;
  });
}

/// All kernels but one of rank 1; the result is exactly that of the formula.
void expect_exact(const Problem& problem, const CaseOptions& options, std::mt19937_64& random) {
  const ProblemTensors tensors(problem, options.layouts, Side::end, options.bias_stride);
  tensors.fill_with_integers(random);
  fill_with_rank_one(tensors.weight().view(), problem.k > 4 ? 3 : -1, random);
  const ProblemTensors expected(problem, options.layouts, Side::end, options.bias_stride);
  expected.copy_memory_from(tensors);
  Plan(problem, {.algorithm = "reference"}).execute(expected.arguments(), nullptr);
  const Plan plan(problem, {.algorithm = "separable", .threads = options.threads});
  const GuardedBuffer packed(plan.packed_weight_bytes(), Side::end);
  plan.pack_weights(tensors.weight().view(), packed.data());
  EXPECT_NE(plan.description(packed.data()).find("rank 1: two passes"), std::string::npos);
  for (const Side side : {Side::end, Side::start}) {
    const ProblemTensors placed(problem, options.layouts, side, options.bias_stride);
    placed.copy_memory_from(tensors);
    execute_guarded(plan, placed.arguments(), options.packed, side);
    EXPECT_TRUE(same_memory(placed.written(), expected.written()))
        << problem.to_string() << ", layout " << static_cast<int>(options.layouts[0]);
  }
}

TEST(Separable, TakesEveryOptionOfBothPasses) {
  std::mt19937_64 random(1);
  for (const Pass pass : kCorrelations) {
    for (const DataType type : {DataType::float32, DataType::float64}) {
      for (const Layout layout : kLayouts) {
        if (layout == Layout::repeated) continue;
        for (const std::int64_t channels : {3, 37}) {
          for (const bool flip : {false, true}) {
            ProblemDescription d = filter(channels, 19, 45, 5, 4);
            set_types(d, pass, uniform(type));
            d.flip = flip;
            d.has_bias = true;
            d.accumulate = flip;
            d.activation = flip ? Activation::relu : Activation::none;
            d.pad_before = {0, 4, -2};
            expect_exact(describe(d),
                         {.layouts = {layout, Layout::channels_first, layout},
                          .threads = 2,
                          .packed = flip,
                          .bias_stride = 2},
                         random);
          }
        }
      }
    }
  }
}

TEST(Separable, TakesSizesAroundTiles) {
  std::mt19937_64 random(2);
  for (const Pass pass : kCorrelations) {
    for (const Layout layout : {Layout::channels_first, Layout::channels_last}) {
      for (const auto& d : {filter(1, 4, 1, 2, 2), filter(1, 3, 17, 3, 18), filter(5, 65, 16, 7, 9),
                            filter(2, 9, 700, 3, 40), filter(70, 5, 130, 5, 31),
                            filter(9, 70, 3, 6, 3), filter(2, 50, 9, 45, 3)}) {
        ProblemDescription description = d;
        set_types(description, pass, uniform(DataType::float32));
        expect_exact(describe(description),
                     {.layouts = {layout, Layout::channels_first, layout}, .threads = 3}, random);
      }
    }
  }
}

TEST(Separable, TakesPaddingOfEveryModeAndMultipliers) {
  std::mt19937_64 random(3);
  for (const PaddingMode mode : kPaddingModes) {
    for (const Layout layout : kLayouts) {
      for (const std::int64_t multiplier : {1, 2}) {
        ProblemDescription d = filter(18, 9, 33, 5, 7);
        set_types(d, Pass::forward, uniform(DataType::float32));
        d.k *= multiplier;
        d.pad_before = {0, 4, 1};
        d.pad_after = {0, 0, 6};
        d.padding_mode = mode;
        if (mode == PaddingMode::constant) d.padding_value = 2.0;
        const Layout of_output = layout == Layout::repeated ? Layout::channels_first : layout;
        expect_exact(describe(d), {.layouts = {layout, Layout::channels_first, of_output}}, random);
      }
    }
  }
}

TEST(Separable, HandsOverWhatHasAnotherRank) {
  std::mt19937_64 random(4);
  for (const Pass pass : kCorrelations) {
    for (const bool packed : {false, true}) {
      ProblemDescription d = filter(6, 20, 37, 5, 7);
      set_types(d, pass, uniform(DataType::float32));
      expect_equal_to_reference(describe(d), {.packed = packed}, random);
    }
  }
}

/// Rows and columns whose products are exact, but for one tap.
template <class T>
void expect_tolerance(double relative_error, bool expected) {
  constexpr std::int64_t kHeight = 3;
  constexpr std::int64_t kWidth = 4;
  const double tolerance = separable::rank_one_tolerance<T>(kHeight * kWidth);
  for (std::int64_t changed = 0; changed < kHeight * kWidth; ++changed) {
    T kernel[kHeight * kWidth];
    for (std::int64_t a = 0; a < kHeight; ++a) {
      for (std::int64_t b = 0; b < kWidth; ++b) {
        kernel[a * kWidth + b] = std::ldexp(T(1), static_cast<int>(3 * a - 7 * b));
      }
    }
    // The largest tap is the one that the factors are made from.
    if (changed == (kHeight - 1) * kWidth) continue;
    // So are those of its row and column, whose errors the others show.
    kernel[changed] = static_cast<T>(kernel[changed] * (1.0 + relative_error * tolerance));
    T column[kHeight];
    T row[kWidth];
    EXPECT_EQ(separable::factor_rank_one(kernel, kHeight, kWidth, column, row), expected)
        << changed;
  }
}

TEST(Separable, KernelsAreFactoredWithinTheToleranceOfEachTap) {
  expect_tolerance<float>(0.5, true);
  expect_tolerance<double>(0.5, true);
  expect_tolerance<float>(1.5, false);
  expect_tolerance<double>(1.5, false);
}

TEST(Separable, FactorsOfTheColumnAddUpToLessThanOne) {
  for (const float scale : {1e-30f, 1.0f, 1e30f}) {
    const float kernel[] = {2 * scale, -6 * scale, 1 * scale, -3 * scale};
    float column[2];
    float row[2];
    ASSERT_TRUE(separable::factor_rank_one(kernel, 2, 2, column, row));
    const float sum = std::abs(column[0]) + std::abs(column[1]);
    EXPECT_GE(sum, 0.25f);
    EXPECT_LT(sum, 0.5f);
  }
}

TEST(Separable, KernelsThatAreZeroTinyOrNotFiniteHaveNoFactors) {
  const float tiny = std::numeric_limits<float>::min();
  const float most = std::numeric_limits<float>::max();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  float column[2];
  float row[2];
  for (const auto& kernel : std::initializer_list<std::array<float, 4>>{{0, 0, 0, 0},
                                                                        {tiny, tiny, tiny, tiny},
                                                                        {1, 1, 1, nan},
                                                                        {nan, nan, nan, nan},
                                                                        {infinity, 1, 1, 1},
                                                                        {1, 1, 1, 0},
                                                                        {most, 0, 0, most}}) {
    EXPECT_FALSE(separable::factor_rank_one(kernel.data(), 2, 2, column, row));
  }
  const float row_alone[] = {0, 0, 3, 0};
  EXPECT_TRUE(separable::factor_rank_one(row_alone, 2, 2, column, row));
}

TEST(Separable, RefusesWhatItCannotDo) {
  const ProblemDescription d = filter(4, 20, 20, 5, 5);
  EXPECT_FALSE(refuses("separable", d));
  const auto changed = [&](auto&& change) {
    ProblemDescription other = d;
    change(other);
    return other;
  };
  EXPECT_TRUE(refuses("separable", changed([](auto& p) { p.stride[2] = 2; })));
  EXPECT_TRUE(refuses("separable", changed([](auto& p) { p.dilation[1] = 2; })));
  EXPECT_TRUE(refuses("separable", changed([](auto& p) { p.kernel[1] = 1; })));
  EXPECT_TRUE(refuses("separable", changed([](auto& p) { p.groups = 2, p.c_per_group = 2; })));
  EXPECT_TRUE(refuses("separable", changed([](auto& p) { p.pass = Pass::backward_weight; })));
  EXPECT_TRUE(
      refuses("separable", changed([](auto& p) { p.k = 8, p.pass = Pass::backward_input; })));
  EXPECT_FALSE(refuses("separable", changed([](auto& p) { p.k = 8; })));
  EXPECT_THROW(Plan(describe(d), {.algorithm = "separable", .precision = Precision::strict}),
               UnsupportedError);
}

}  // namespace
}  // namespace fastconv::testing
