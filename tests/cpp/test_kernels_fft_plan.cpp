/// What is particular to convolution by transforms: every option of all passes, sequences and
/// volumes, shares of kernels and blocks of tiles where memory is short.
#include <gtest/gtest.h>

#include "convolution_case.hpp"
#include "forced_isa.hpp"

namespace fastconv::testing {
namespace {

constexpr Pass kPasses[] = {Pass::forward, Pass::backward_input, Pass::backward_weight};

ProblemDescription layer(std::int64_t n, std::int64_t c, std::int64_t k,
                         std::array<std::int64_t, 3> size, std::array<std::int64_t, 3> kernel) {
  ProblemDescription d;
  d.n = n;
  d.c = d.c_per_group = c;
  d.k = k;
  d.input = size;
  d.kernel = kernel;
  d.spatial_rank = 3;
  d.pad_before = d.pad_after = {kernel[0] / 2, kernel[1] / 2, kernel[2] / 2};
  return d;
}

TEST(FftConvolution, TakesEveryOptionOfAllPasses) {
  std::mt19937_64 random(1);
  for (const Pass pass : kPasses) {
    for (const DataType type : {DataType::float32, DataType::float64, DataType::complex64}) {
      for (const Layout layout : {Layout::channels_first, Layout::channels_last, Layout::spread}) {
        for (const bool flip : {false, true}) {
          ProblemDescription d = layer(2, 2 * 3, 2 * 5, {1, 21, 35}, {1, 5, 7});
          set_types(d, pass, uniform(type));
          d.groups = 2;
          d.c_per_group = 3;
          d.flip = flip;
          d.stride = {1, 2, 1};
          d.dilation = {1, 1, 2};
          if (pass != Pass::backward_weight) {
            d.has_bias = true;
            d.accumulate = pass == Pass::forward;
          }
          const Problem problem = describe(d);
          ASSERT_NO_THROW(Plan(problem, {.algorithm = "fft"}));
          const CaseOptions options{.layouts = {layout, layout, layout},
                                    .threads = 2,
                                    .packed = flip && pass != Pass::backward_weight};
          expect_equal_to_reference(problem, options, random);
        }
      }
    }
  }
}

TEST(FftConvolution, TakesSequencesAndVolumes) {
  std::mt19937_64 random(2);
  for (const Pass pass : kPasses) {
    for (const auto& d :
         {layer(3, 2, 3, {1, 1, 700}, {1, 1, 40}), layer(1, 1, 1, {1, 1, 3000}, {1, 1, 501}),
          layer(2, 2, 2, {7, 9, 20}, {3, 5, 4}), layer(1, 3, 2, {12, 1, 9}, {5, 1, 3})}) {
      ProblemDescription description = d;
      set_types(description, pass, uniform(DataType::float32));
      const Problem problem = describe(description);
      ASSERT_NO_THROW(Plan(problem, {.algorithm = "fft"}));
      for (const int threads : {1, 3}) {
        expect_equal_to_reference(problem, {.threads = threads}, random);
      }
    }
  }
}

/// Where memory is short, kernels are transformed in shares and tiles in small blocks.
TEST(FftConvolution, KeepsToItsMemory) {
  std::mt19937_64 random(3);
  for (const Pass pass : kPasses) {
    ProblemDescription d = layer(2, 32, 48, {1, 1, 400}, {1, 1, 129});
    set_types(d, pass, uniform(DataType::float32));
    const Problem problem = describe(d);
    const Plan ample(problem, {.algorithm = "fft", .threads = 2});
    constexpr std::size_t kLittle = std::size_t{1} << 20;
    const Plan scarce(problem, {.algorithm = "fft", .threads = 2, .max_workspace = kLittle});
    EXPECT_LT(scarce.workspace_bytes(), ample.workspace_bytes() / 2);
    EXPECT_LT(scarce.workspace_bytes(), 2 * kLittle);

    constexpr std::array<Layout, 3> kDense{};
    const ProblemTensors tensors(problem, kDense, Side::end);
    tensors.fill_with_integers(random);
    const ProblemTensors expected(problem, kDense, Side::end);
    expected.copy_memory_from(tensors);
    Plan(problem, {.algorithm = "reference"}).execute(expected.arguments(), nullptr);
    execute_guarded(scarce, tensors.arguments());
    forgive_rounding(tensors.written(), expected.written(), error_of_transforms(problem, tensors));
    EXPECT_TRUE(same_memory(tensors.written(), expected.written())) << problem.to_string();
  }
}

/// Both gradients at once against the reference of each.
void expect_gradients(ProblemDescription d, DataType type, const PlanOptions& options,
                      const std::array<Layout, 3>& layouts, std::mt19937_64& random) {
  d.conjugate = true;
  set_types(d, Pass::backward_input, uniform(type));
  const Problem of_input = describe(d);
  d.pass = Pass::backward_weight;
  const Problem of_weight = describe(d);
  const ProblemTensors input(of_input, layouts, Side::end);
  const ProblemTensors weight(of_weight, layouts, Side::end);
  input.fill_with_integers(random);
  weight.input().copy_memory_from(input.input());
  weight.output().copy_memory_from(input.output());
  for (const ProblemTensors* tensors : {&input, &weight}) {
    const Problem& problem = tensors == &input ? of_input : of_weight;
    Plan(problem, {.algorithm = "reference"}).execute(tensors->arguments(), nullptr);
  }
  const Tensor grad_input(type, of_input.input_sizes(), layouts[0], Side::end);
  const Tensor grad_weight(type, of_weight.weight_sizes(), layouts[1], Side::end);
  const GradientsPlan plan(of_input, of_weight, options);
  EXPECT_TRUE(plan.shares_transforms()) << of_input.to_string();
  const GuardedBuffer workspace(plan.workspace_bytes(), Side::end);
  plan.execute({weight.input().view(), input.weight().view(), input.output().view(),
                grad_input.view(), grad_weight.view()},
               workspace.data());
  EXPECT_TRUE(workspace.intact());
  forgive_rounding(grad_input, input.input(), error_of_transforms(of_input, input));
  forgive_rounding(grad_weight, weight.weight(), error_of_transforms(of_weight, weight));
  EXPECT_TRUE(same_memory(grad_input, input.input())) << of_input.to_string();
  EXPECT_TRUE(same_memory(grad_weight, weight.weight())) << of_weight.to_string();
}

TEST(FftGradients, AreThoseOfTheTwoPasses) {
  std::mt19937_64 random(4);
  for (const DataType type : {DataType::float32, DataType::float64, DataType::complex64}) {
    for (const Layout layout : {Layout::channels_first, Layout::channels_last, Layout::spread}) {
      for (const std::int64_t stride : {1, 2, 3}) {
        ProblemDescription d = layer(2, 2 * 3, 2 * 5, {1, 21, 35}, {1, 5, 7});
        d.groups = 2;
        d.c_per_group = 3;
        d.flip = stride == 2;
        d.stride = {1, stride, 1};
        d.dilation = {1, 1, 2};
        for (const int threads : {1, 3}) {
          expect_gradients(d, type, {.algorithm = "fft", .threads = threads},
                           {layout, layout, layout}, random);
        }
      }
    }
  }
}

TEST(FftGradients, OfSequencesAndVolumesInLittleMemory) {
  std::mt19937_64 random(5);
  for (const auto& d :
       {layer(3, 2, 3, {1, 1, 700}, {1, 1, 40}), layer(1, 1, 1, {1, 1, 3000}, {1, 1, 501}),
        layer(2, 2, 2, {7, 9, 20}, {3, 5, 4}), layer(2, 32, 48, {1, 1, 400}, {1, 1, 129})}) {
    for (const std::size_t max_workspace : {std::size_t{1} << 20, std::size_t{256} << 20}) {
      expect_gradients(
          d, DataType::float32, {.algorithm = "fft", .threads = 2, .max_workspace = max_workspace},
          {Layout::channels_first, Layout::channels_first, Layout::channels_first}, random);
    }
  }
}

/// Where padding holds more than zeros the weights' gradient has sums that the input's has not, and
/// an input shorter than the stride leaves taps without any.
TEST(FftGradients, GoTheirOwnWaysWhereTheyDiffer) {
  ProblemDescription d = layer(1, 2, 2, {1, 20, 30}, {1, 5, 5});
  const auto shares = [&] {
    set_types(d, Pass::backward_input, uniform(DataType::float32));
    const Problem of_input = describe(d);
    d.pass = Pass::backward_weight;
    return GradientsPlan(of_input, describe(d), {.algorithm = "fft"}).shares_transforms();
  };
  EXPECT_TRUE(shares());
  d.padding_mode = PaddingMode::reflect;
  EXPECT_FALSE(shares());
  d.padding_mode = PaddingMode::zeros;
  d.stride = {1, 4, 1};
  d.input = {1, 3, 30};
  EXPECT_FALSE(shares());
}

}  // namespace
}  // namespace fastconv::testing
