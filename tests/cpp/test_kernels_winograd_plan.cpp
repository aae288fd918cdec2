/// What is particular to Winograd's convolution: every option of both passes, errors, numbers that
/// are not finite, shares of weights, blocks of many images.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>
#include <utility>

#include "convolution_case.hpp"
#include "fastconv/error.hpp"
#include "forced_isa.hpp"

namespace fastconv::testing {
namespace {

constexpr std::array<Layout, 3> kDense{};

ProblemDescription layer(std::int64_t n, std::int64_t c, std::int64_t k, std::int64_t height,
                         std::int64_t width) {
  ProblemDescription d;
  d.n = n;
  d.c = d.c_per_group = c;
  d.k = k;
  d.input = {1, height, width};
  d.kernel = {1, 3, 3};
  d.pad_before = d.pad_after = {0, 1, 1};
  return d;
}

struct Kind {
  std::array<std::int64_t, 2> kernel;
  std::array<std::int64_t, 2> stride;
  std::int64_t dilation = 1;
};

/// The same with another kernel, padded so that about the whole input has outputs.
ProblemDescription layer(std::int64_t n, std::int64_t c, std::int64_t k,
                         std::array<std::int64_t, 2> size, const Kind& kind) {
  ProblemDescription d = layer(n, c, k, size[0], size[1]);
  for (std::size_t a = 0; a < 2; ++a) {
    const std::int64_t taps = kind.kernel[a];
    d.kernel[a + 1] = taps;
    d.stride[a + 1] = kind.stride[a];
    d.dilation[a + 1] = kind.dilation;
    d.pad_before[a + 1] = d.pad_after[a + 1] = taps == 1 ? 0 : kind.dilation * (taps / 2);
  }
  return d;
}

constexpr Pass kCorrelations[] = {Pass::forward, Pass::backward_input};
constexpr DataType kTypes[] = {DataType::float32,    DataType::float64, DataType::complex64,
                               DataType::complex128, DataType::float16, DataType::bfloat16};

/// Tiles of every kind, kernels of several parts, phases of dilations.
constexpr Kind kKinds[] = {
    {{3, 3}, {1, 1}},  {{3, 3}, {2, 2}}, {{4, 4}, {2, 2}},    {{1, 3}, {1, 1}},   {{1, 3}, {1, 2}},
    {{1, 4}, {1, 2}},  {{3, 1}, {1, 1}}, {{2, 2}, {1, 1}},    {{1, 4}, {1, 1}},   {{5, 5}, {1, 1}},
    {{1, 11}, {1, 1}}, {{7, 1}, {1, 1}}, {{3, 3}, {1, 1}, 2}, {{1, 7}, {1, 1}, 3}};

TEST(Winograd, TakesEveryOptionOfBothPasses) {
  std::mt19937_64 random(1);
  for (const Pass pass : kCorrelations) {
    for (const DataType type : kTypes) {
      for (const Layout layout : kLayouts) {
        if (layout == Layout::repeated) continue;
        for (const bool flip : {false, true}) {
          ProblemDescription d = layer(2, 2 * 18, 2 * 5, 9, 14);
          set_types(d, pass, uniform(type));
          d.groups = 2;
          d.c_per_group = 18;
          d.flip = flip;
          d.has_bias = d.accumulate = true;
          if (!is_complex(type)) d.activation = Activation::relu;
          d.conjugate = flip;
          d.pad_before = {0, 2, -1};
          const CaseOptions options{
              .layouts = {layout, layout, layout}, .threads = 2, .packed = flip, .bias_stride = 2};
          expect_equal_to_reference(describe(d), options, random);
        }
      }
    }
  }
}

/// Images around the tiles of every kind, with padding that puts the first output of a tile
/// backward within the image or before it, and crops.
TEST(Winograd, TakesKernelsOfEveryKind) {
  std::mt19937_64 random(11);
  for (const Pass pass : kCorrelations) {
    for (const Kind& kind : kKinds) {
      for (const std::array<std::int64_t, 2> size :
           {std::array<std::int64_t, 2>{4, 4}, {7, 16}, {8, 17}, {9, 15}, {18, 23}, {31, 5}}) {
        for (const std::int64_t padding : {-1, 0, 1, 2}) {
          const Layout layout = padding < 1 ? Layout::channels_first : Layout::channels_last;
          ProblemDescription d = layer(2, 5, 19, size, kind);
          set_types(d, pass, uniform(DataType::float32));
          d.flip = padding == 2;
          d.accumulate = padding == 1;
          for (std::size_t a = 1; a < 3; ++a) {
            if (d.kernel[a] > 1) d.pad_before[a] += padding - 1;
          }
          expect_equal_to_reference(describe(d),
                                    {.layouts = {layout, layout, layout}, .threads = 2}, random);
        }
      }
    }
  }
}

/// A kernel of one slice and of several, and every mode of padding.
TEST(Winograd, TakesVolumesAndPadding) {
  std::mt19937_64 random(2);
  for (const auto& [mode, depth] : {std::pair{PaddingMode::zeros, 1},
                                    {PaddingMode::constant, 1},
                                    {PaddingMode::reflect, 3},
                                    {PaddingMode::symmetric, 2},
                                    {PaddingMode::replicate, 1},
                                    {PaddingMode::circular, 3},
                                    {PaddingMode::constant, 4}}) {
    for (const Kind& kind : kKinds) {
      ProblemDescription d = layer(2, 7, 9, {6, 11}, kind);
      d.spatial_rank = 3;
      d.input[0] = 4;
      d.kernel[0] = depth;
      d.pad_before = {depth / 2, 4, 3};
      d.pad_after = {depth, 3, 5};
      d.padding_mode = mode;
      for (const auto& [layout, type] : {std::pair{Layout::channels_first, DataType::float32},
                                         {Layout::channels_last, DataType::float32},
                                         {Layout::repeated, DataType::float32},
                                         {Layout::channels_first, DataType::bfloat16},
                                         {Layout::channels_last, DataType::complex64},
                                         {Layout::channels_first, DataType::complex64}}) {
        if (type != DataType::float32 && mode != PaddingMode::constant) continue;
        const bool complex = is_complex(type);
        if (mode == PaddingMode::constant) d.padding_value = {2.0, complex ? -1.0 : 0.0};
        set_types(d, Pass::forward, uniform(type));
        const Problem problem = describe(d);
        ASSERT_NO_THROW(Plan(problem, {.algorithm = "winograd"}));
        const Layout of_output = layout == Layout::repeated ? Layout::channels_first : layout;
        expect_equal_to_reference(problem, {.layouts = {layout, layout, of_output}}, random);
      }
    }
  }
}

TEST(Winograd, TakesEveryOptionOfVolumes) {
  std::mt19937_64 random(9);
  for (const Pass pass : kCorrelations) {
    for (const std::int64_t channels : {5, 16}) {
      for (const Layout layout : {Layout::channels_first, Layout::channels_last, Layout::spread}) {
        for (const bool flip : {false, true}) {
          ProblemDescription d = layer(1, 2 * channels, 2 * 70, 5, 2);
          set_types(d, pass, uniform(DataType::float32));
          d.spatial_rank = 3;
          d.groups = 2;
          d.c_per_group = channels;
          d.input[0] = 5;
          d.kernel[0] = 3;
          d.pad_before[0] = 2;
          d.pad_after[0] = -1;
          d.flip = flip;
          d.has_bias = d.accumulate = true;
          expect_equal_to_reference(
              describe(d), {.layouts = {layout, layout, layout}, .threads = 3, .packed = flip},
              random);
        }
      }
    }
  }
}

TEST(Winograd, TakesManySmallImagesAndSharesOfWeights) {
  std::mt19937_64 random(3);
  for (const Pass pass : kCorrelations) {
    for (const auto& d : {layer(70, 5, 6, 3, 5), layer(1, 256, 260, 3, 4), layer(3, 260, 256, 2, 1),
                          layer(1, 4, 5, 3, 700), layer(0, 4, 5, 6, 7)}) {
      ProblemDescription description = d;
      set_types(description, pass, uniform(DataType::float32));
      for (const int threads : {1, 2, 5}) {
        for (const bool packed : {false, true}) {
          expect_equal_to_reference(describe(description), {.threads = threads, .packed = packed},
                                    random);
        }
      }
    }
  }
}

/// Few tiles and more transformed weights than a cache holds: those of one piece of the source
/// channels after another.
TEST(Winograd, TransformsWeightsOfFewTilesInPieces) {
  std::mt19937_64 random(10);
  for (const Pass pass : kCorrelations) {
    for (const auto& [type, layout, kernel, stride] :
         {std::tuple{DataType::float32, Layout::channels_first, 3, 1},
          {DataType::float32, Layout::channels_last, 3, 1},
          {DataType::float32, Layout::spread, 3, 1},
          {DataType::float64, Layout::channels_first, 3, 1},
          {DataType::complex64, Layout::channels_first, 3, 1},
          {DataType::complex128, Layout::channels_last, 3, 1},
          {DataType::float16, Layout::channels_first, 3, 1},
          {DataType::bfloat16, Layout::channels_last, 3, 1},
          {DataType::float32, Layout::channels_first, 3, 2},
          {DataType::float32, Layout::channels_first, 4, 2},
          {DataType::float32, Layout::channels_last, 4, 2}}) {
      // Odd channels on both sides, groups, several images, a tile at an edge.
      const std::int64_t channels = is_complex(type) ? 35 : 69;
      ProblemDescription d = layer(2, 2 * channels, 2 * (channels - 2), {5 * stride, 6 * stride},
                                   {{kernel, kernel}, {stride, stride}});
      set_types(d, pass, uniform(type));
      d.groups = 2;
      d.c_per_group = channels;
      d.has_bias = d.accumulate = true;
      if (!is_complex(type)) d.activation = Activation::relu;
      for (const auto& [threads, packed] : {std::pair{1, false}, {1, true}, {3, false}}) {
        d.flip = packed;
        const Problem problem = describe(d);
        ASSERT_NE(Plan(problem, {.algorithm = "winograd"}).description().find("at once"),
                  std::string::npos);
        expect_equal_to_reference(problem,
                                  {.layouts = {layout, layout, layout},
                                   .threads = threads,
                                   .packed = packed,
                                   .bias_stride = 2},
                                  random);
      }
    }
    ProblemDescription d = layer(1, 69, 67, 3, 2);
    set_types(d, pass, uniform(DataType::float32));
    d.spatial_rank = 3;
    d.input[0] = 2;
    d.kernel[0] = 3;
    d.pad_before[0] = d.pad_after[0] = 1;
    expect_equal_to_reference(describe(d), {.threads = 2}, random);
  }
}

/// max |error| <= 1e-5 max |result| in float32, 1e-13 in float64, on normal numbers.
TEST(Winograd, StaysWithinTheDocumentedError) {
  std::mt19937_64 random(4);
  for (const Pass pass : kCorrelations) {
    for (const std::int64_t channels : {16, 256, 2048}) {
      for (const auto& [type, kind] : {std::pair{DataType::float32, kKinds[0]},
                                       {DataType::float64, kKinds[0]},
                                       {DataType::float32, kKinds[1]},
                                       {DataType::float64, kKinds[1]},
                                       {DataType::float32, kKinds[2]},
                                       {DataType::float64, kKinds[2]},
                                       {DataType::float32, kKinds[9]},
                                       {DataType::float32, kKinds[10]}}) {
        const bool forward = pass == Pass::forward;
        ProblemDescription d =
            layer(1, forward ? channels : 16, forward ? 16 : channels, {8, 8}, kind);
        set_types(d, pass, uniform(type));
        const Problem problem = describe(d);
        const ProblemTensors tensors(problem, kDense, Side::end);
        tensors.fill_with_normal_numbers(random);
        const ProblemTensors expected(problem, kDense, Side::end);
        expected.copy_memory_from(tensors);
        Plan(problem, {.algorithm = "reference"}).execute(expected.arguments(), nullptr);
        execute_guarded(Plan(problem, {.algorithm = "winograd"}), tensors.arguments());
        double largest = 0.0;
        double error = 0.0;
        tensors.written().for_each_position([&](auto... position) {
          const double truth = expected.written().at(position...).real();
          largest = std::max(largest, std::abs(truth));
          error = std::max(error, std::abs(tensors.written().at(position...).real() - truth));
        });
        EXPECT_LE(error, largest * (type == DataType::float32 ? 1e-5 : 1e-13))
            << problem.to_string();
      }
    }
  }
}

/// NaN where the other is NaN, infinite where it is, and otherwise close.
void expect_same_kind(const Tensor& actual, const Tensor& expected, double tolerance) {
  const auto expect_same = [&](double a, double b) {
    if (std::isnan(b)) {
      ASSERT_TRUE(std::isnan(a)) << a;
    } else if (std::isinf(b)) {
      ASSERT_EQ(a, b);
    } else {
      ASSERT_NEAR(a, b, tolerance);
    }
  };
  actual.for_each_position([&](auto... position) {
    expect_same(actual.at(position...).real(), expected.at(position...).real());
    expect_same(actual.at(position...).imag(), expected.at(position...).imag());
  });
}

/// The real part of an element.
void set_element(const TensorView& view, std::int64_t offset, float value) {
  if (view.type == DataType::bfloat16) {
    static_cast<BrainHalf*>(view.data)[offset] = exact_brain_half(value);
  } else {
    static_cast<float*>(view.data)[is_complex(view.type) ? 2 * offset : offset] = value;
  }
}

/// What one element of an operand that is not finite, or overflows on the way, does to a result.
void expect_windows_kept(Pass pass, const Kind& kind, DataType type, std::mt19937_64& random) {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float value :
       {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), 0x1.fep127f}) {
    for (const bool in_weight : {false, true}) {
      for (const Layout layout : {Layout::channels_first, Layout::channels_last}) {
        ProblemDescription d = layer(2, 7, 9, {9 * kind.stride[0], 13 * kind.stride[1]}, kind);
        set_types(d, pass, uniform(type));
        d.spatial_rank = 3;
        d.input[0] = d.kernel[0] = 2;
        d.pad_before[0] = 1;
        d.has_bias = d.conjugate = true;
        const Problem problem = describe(d);
        const std::array<Layout, 3> layouts{layout, Layout::channels_first, layout};
        const ProblemTensors tensors(problem, layouts, Side::end);
        tensors.fill_with_integers(random);
        const Tensor& source = pass == Pass::forward ? tensors.input() : tensors.output();
        const TensorView& view = (in_weight ? tensors.weight() : source).view();
        const std::array<std::int64_t, 5> position =
            in_weight ? std::array<std::int64_t, 5>{3, 2, 1, kind.kernel[0] - 1, 0}
                      : std::array<std::int64_t, 5>{1, 4, 1, 6, 9};
        std::int64_t offset = 0;
        for (std::size_t a = 0; a < 5; ++a) offset += position[a] * view.strides[a];
        set_element(view, offset, value);
        const ProblemTensors expected(problem, layouts, Side::end);
        expected.copy_memory_from(tensors);
        Plan(problem, {.algorithm = "reference"}).execute(expected.arguments(), nullptr);
        for (const int threads : {1, 3}) {
          execute_guarded(Plan(problem, {.algorithm = "winograd", .threads = threads}),
                          tensors.arguments());
          const bool large = std::isfinite(value);
          // A weight of 3e38 meets zeros and ones: what remains finite may be as large.
          expect_same_kind(tensors.written(), expected.written(), large ? 1e33 : 1e-3);
        }
      }
    }
  }
}

TEST(Winograd, KeepsWhatIsNotFiniteWithinItsWindows) {
  std::mt19937_64 random(5);
  for (const Pass pass : kCorrelations) {
    for (const Kind& kind : kKinds) expect_windows_kept(pass, kind, DataType::float32, random);
    expect_windows_kept(pass, kKinds[0], DataType::bfloat16, random);
    expect_windows_kept(pass, kKinds[1], DataType::complex64, random);
  }
}

TEST(Winograd, DoesNotDependOnTheNumberOfThreads) {
  std::mt19937_64 random(6);
  for (const Pass pass : kCorrelations) {
    for (const Kind& kind : kKinds) {
      ProblemDescription d = layer(3, 40, 130, {17, 30}, kind);
      set_types(d, pass, uniform(DataType::float32));
      const Problem problem = describe(d);
      const ProblemTensors expected(problem, kDense, Side::end);
      expected.fill_with_normal_numbers(random);
      const ProblemTensors tensors(problem, kDense, Side::end);
      tensors.copy_memory_from(expected);
      execute_guarded(Plan(problem, {.algorithm = "winograd", .threads = 1}), expected.arguments());
      for (const int threads : {2, 3, 16, 64}) {
        for (const bool packed : {false, true}) {
          execute_guarded(Plan(problem, {.algorithm = "winograd", .threads = threads}),
                          tensors.arguments(), packed);
          EXPECT_TRUE(same_memory(tensors.written(), expected.written())) << threads << " threads";
        }
      }
    }
  }
}

TEST(Winograd, RefusesWhatItCannotTransform) {
  ProblemDescription d = layer(1, 16, 16, 9, 9);
  EXPECT_FALSE(refuses("winograd", d));
  const auto changed = [&](auto&& change) {
    ProblemDescription other = d;
    change(other);
    return other;
  };
  EXPECT_TRUE(refuses("winograd", changed([](auto& p) { p.stride[2] = 2; })));
  EXPECT_TRUE(
      refuses("winograd", changed([](auto& p) { p.stride[1] = p.stride[2] = p.dilation[1] = 2; })));
  EXPECT_TRUE(refuses("winograd", changed([](auto& p) { p.kernel[1] = 2; })));
  EXPECT_TRUE(refuses("winograd", changed([](auto& p) { p.kernel[1] = p.kernel[2] = 1; })));
  EXPECT_TRUE(refuses("winograd", changed([](auto& p) { p.kernel[1] = p.kernel[2] = 9; })));
  EXPECT_TRUE(refuses("winograd", changed([](auto& p) { p.stride[1] = p.stride[2] = 3; })));
  EXPECT_FALSE(refuses("winograd", changed([](auto& p) { p.stride[1] = p.stride[2] = 2; })));
  EXPECT_TRUE(refuses("winograd", changed([](auto& p) { p.groups = 16, p.c_per_group = 1; })));
  EXPECT_TRUE(refuses("winograd", changed([](auto& p) { p.pass = Pass::backward_weight; })));
  EXPECT_FALSE(refuses("winograd", changed([](auto& p) {
                         p.input_type = p.weight_type = p.output_type = DataType::complex64;
                       })));
  EXPECT_TRUE(refuses("winograd", changed([](auto& p) {
                        p.input_type = p.weight_type = p.output_type = DataType::int32;
                      })));
  EXPECT_THROW(Plan(describe(d), {.algorithm = "winograd", .precision = Precision::strict}),
               UnsupportedError);
}

}  // namespace
}  // namespace fastconv::testing
