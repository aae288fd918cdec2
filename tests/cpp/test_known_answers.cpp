/// Examples worked out by hand, for every algorithm: what the reference itself is tested by.
#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <string_view>
#include <vector>

#include "fastconv/plan.hpp"
#include "fastconv/problem.hpp"

namespace fastconv {
namespace {

class KnownAnswers : public ::testing::TestWithParam<const char*> {
 protected:
  using Numbers = std::vector<double>;

  /// Executes in double precision with channels first; the written tensor begins as given.
  static void run(ProblemDescription d, Numbers& input, Numbers& weight, Numbers& output,
                  const double* bias = nullptr) {
    d.input_type = d.weight_type = d.output_type = DataType::float64;
    d.c_per_group = d.c / d.groups;
    const Problem problem = describe(d);
    const auto view = [](Numbers& numbers, const std::array<std::int64_t, 5>& sizes) {
      const TensorView result = channels_first_view(numbers.data(), DataType::float64, sizes);
      EXPECT_EQ(static_cast<std::size_t>(result.element_count()), numbers.size());
      return result;
    };
    const Arguments arguments{view(input, problem.input_sizes()),
                              view(weight, problem.weight_sizes()),
                              view(output, problem.output_sizes()), bias, 1};
    // What an algorithm refuses is computed by the one that is chosen instead.
    const bool refused = std::ranges::any_of(explain(problem), [](const AlgorithmReport& report) {
      return report.name == std::string_view(GetParam()) && !report.refusal.empty();
    });
    execute(problem, arguments, {.algorithm = refused ? "auto" : GetParam()});
  }

  /// Exactly: sums of small integers are exact in any order. Only roots of unity round.
  static void expect_answer(const Numbers& actual, const Numbers& expected) {
    if (GetParam() != std::string_view("fft")) {
      EXPECT_EQ(actual, expected);
      return;
    }
    ASSERT_EQ(actual.size(), expected.size());
    const double largest = *std::ranges::max_element(expected);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      EXPECT_NEAR(actual[i], expected[i], 1e-13 * largest) << i;
    }
  }

  static ProblemDescription row(std::int64_t input, std::int64_t kernel) {
    ProblemDescription d;
    d.input[2] = input;
    d.kernel[2] = kernel;
    return d;
  }
};
std::string algorithm_of(const ::testing::TestParamInfo<const char*>& algorithm) {
  return algorithm.param;
}
INSTANTIATE_TEST_SUITE_P(Algorithm, KnownAnswers, ::testing::ValuesIn(algorithm_names()),
                         algorithm_of);

TEST_P(KnownAnswers, TheTextbookImageInAllThreePasses) {
  ProblemDescription d;
  d.input = {1, 3, 3};
  d.kernel = {1, 2, 2};
  Numbers input{0, 1, 2, 3, 4, 5, 6, 7, 8};
  Numbers weight{0, 1, 2, 3};
  Numbers output(4);
  run(d, input, weight, output);
  expect_answer(output, (Numbers{19, 25, 37, 43}));

  Numbers gradient{1, 2, 3, 4};
  d.pass = Pass::backward_input;
  Numbers input_gradient(9);
  run(d, input_gradient, weight, gradient);
  expect_answer(input_gradient, (Numbers{0, 1, 2, 2, 10, 10, 6, 17, 12}));

  d.pass = Pass::backward_weight;
  Numbers weight_gradient(4);
  run(d, input, weight_gradient, gradient);
  expect_answer(weight_gradient, (Numbers{27, 37, 57, 67}));
}

TEST_P(KnownAnswers, FlipMirrorsTheKernel) {
  ProblemDescription d = row(3, 2);
  d.padding_rule = PaddingRule::full;
  Numbers input{1, 2, 3};
  Numbers weight{1, 10};
  Numbers output(4);
  run(d, input, weight, output);
  expect_answer(output, (Numbers{10, 21, 32, 3}));
  d.flip = true;  // the product of 321 and 101 without carries
  run(d, input, weight, output);
  expect_answer(output, (Numbers{1, 12, 23, 30}));
}

TEST_P(KnownAnswers, StrideDilationAndUnequalPadding) {
  ProblemDescription d = row(7, 2);
  d.stride[2] = 3;
  d.dilation[2] = 2;
  d.pad_before[2] = 1;
  d.pad_after[2] = 2;
  Numbers input{1, 2, 3, 4, 5, 6, 7};
  Numbers weight{1, 100};
  Numbers output(3);
  run(d, input, weight, output);  // elements (-1, 1), (2, 4), (5, 7)
  expect_answer(output, (Numbers{200, 503, 6}));
  d.pass = Pass::backward_input;
  Numbers gradient{1, 2, 3};
  run(d, input, weight, gradient);
  expect_answer(input, (Numbers{0, 100, 2, 0, 200, 3, 0}));
}

TEST_P(KnownAnswers, NegativePaddingCrops) {
  ProblemDescription d = row(5, 1);
  d.pad_before[2] = -1;
  d.pad_after[2] = -2;
  Numbers input{1, 2, 3, 4, 5};
  Numbers weight{2};
  Numbers output(2);
  run(d, input, weight, output);
  expect_answer(output, (Numbers{4, 6}));
  d.pass = Pass::backward_input;
  run(d, input, weight, output);
  expect_answer(input, (Numbers{0, 8, 12, 0, 0}));
}

TEST_P(KnownAnswers, ModesOfPadding) {
  const struct {
    PaddingMode mode;
    Numbers padded;             ///< 1 2 3 with two more on the left and one on the right
    Numbers gradient_of_input;  ///< for a gradient of ones
  } cases[] = {
      {PaddingMode::zeros, {0, 0, 1, 2, 3, 0}, {1, 1, 1}},
      {PaddingMode::constant, {9, 9, 1, 2, 3, 9}, {1, 1, 1}},
      {PaddingMode::reflect, {3, 2, 1, 2, 3, 2}, {1, 3, 2}},
      {PaddingMode::symmetric, {2, 1, 1, 2, 3, 3}, {2, 2, 2}},
      {PaddingMode::replicate, {1, 1, 1, 2, 3, 3}, {3, 1, 2}},
      {PaddingMode::circular, {2, 3, 1, 2, 3, 1}, {2, 2, 2}},
  };
  for (const auto& [mode, padded, gradient_of_input] : cases) {
    SCOPED_TRACE(name_of(mode));
    ProblemDescription d = row(3, 1);
    d.pad_before[2] = 2;
    d.pad_after[2] = 1;
    d.padding_mode = mode;
    d.padding_value = 9.0;
    Numbers input{1, 2, 3};
    Numbers weight{1};
    Numbers output(6);
    run(d, input, weight, output);
    expect_answer(output, padded);
    d.pass = Pass::backward_input;
    Numbers ones(6, 1.0);
    run(d, input, weight, ones);
    expect_answer(input, gradient_of_input);
  }
}

TEST_P(KnownAnswers, GroupsKeepToThemselves) {
  ProblemDescription d = row(2, 1);
  d.groups = 2;
  d.c = 4;
  d.k = 2;
  Numbers input{1, 2, 10, 20, 100, 200, 1000, 2000};
  Numbers weight{1, 1, 2, 3};
  Numbers output(4);
  run(d, input, weight, output);
  expect_answer(output, (Numbers{11, 22, 3200, 6400}));
}

TEST_P(KnownAnswers, BiasSumAndActivationInThatOrder) {
  ProblemDescription d = row(3, 1);
  d.k = 2;
  d.has_bias = d.accumulate = true;
  d.activation = Activation::relu6;
  Numbers input{1, 2, 3};
  Numbers weight{1, -1};
  Numbers output{-9, 0, 1, 5, 5, -5};
  const double bias[]{1, 2};
  run(d, input, weight, output, bias);
  expect_answer(output, (Numbers{0, 3, 5, 6, 5, 0}));
}

}  // namespace
}  // namespace fastconv
