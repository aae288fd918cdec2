/// Rounding errors against the bound of the documentation, numbers that are not finite, and the
/// activations at the end of a convolution.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "convolution_case.hpp"
#include "forced_isa.hpp"

namespace fastconv::testing {
namespace {

constexpr std::array<Layout, 3> kDense{};

ProblemDescription image_problem(Pass pass, DataType type) {
  ProblemDescription d;
  set_types(d, pass, uniform(type));
  d.n = 2;
  d.c = d.c_per_group = 7;
  d.k = 9;
  d.input = {1, 13, 37};
  d.kernel = {1, 3, 5};
  d.pad_before = {0, 1, 2};
  d.pad_after = {0, 2, 2};
  d.stride = {1, 1, 2};
  return d;
}

/// A tensor of the same numbers in double precision, or of their magnitudes.
void widen(const Tensor& from, bool magnitudes, const Tensor& to) {
  from.for_each_position(
      [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
        const double value = from.at(n, c, d, h, w).real();
        const Strides& s = to.view().strides;
        static_cast<double*>(to.view().data)[n * s[0] + c * s[1] + d * s[2] + h * s[3] + w * s[4]] =
            magnitudes ? std::abs(value) : value;
      });
}

/// Products that an element of the result adds up at most.
double terms_of(const Problem& problem) {
  double terms = problem.pass == Pass::forward          ? static_cast<double>(problem.c)
                 : problem.pass == Pass::backward_input ? static_cast<double>(problem.k)
                                                        : static_cast<double>(problem.n);
  for (const Axis& axis : problem.axes) {
    terms *= static_cast<double>(problem.pass == Pass::backward_weight ? axis.output : axis.kernel);
  }
  return terms;
}

void compute_exactly(Problem problem, const ProblemTensors& tensors, bool magnitudes,
                     const ProblemTensors& exact) {
  problem.input_type = problem.weight_type = problem.output_type = DataType::float64;
  widen(tensors.input(), magnitudes, exact.input());
  widen(tensors.weight(), magnitudes, exact.weight());
  widen(tensors.output(), magnitudes, exact.output());
  Plan(problem, {.algorithm = "reference"}).execute(exact.arguments(), nullptr);
}

using PassAndType = std::tuple<Pass, DataType>;
class Rounding : public ::testing::TestWithParam<PassAndType> {};
std::string pass_and_type_name(const ::testing::TestParamInfo<PassAndType>& parameters) {
  const auto& [pass, type] = parameters.param;
  return std::string(name_of(pass)) + "_" + name_of(type);
}
INSTANTIATE_TEST_SUITE_P(Convolution, Rounding,
                         ::testing::Combine(::testing::ValuesIn(kPasses),
                                            ::testing::Values(DataType::float32, DataType::float16,
                                                              DataType::bfloat16)),
                         pass_and_type_name);

/// |error| <= 16 eps sqrt(terms) sum |w| |x|, and for halves the rounding of the result.
TEST_P(Rounding, OfNormalNumbersStaysWithinTheBound) {
  const auto [pass, type] = GetParam();
  const Problem problem = describe(image_problem(pass, type));
  Problem wide = problem;
  wide.input_type = wide.weight_type = wide.output_type = DataType::float64;
  const ProblemTensors tensors(problem, kDense, Side::end);
  const ProblemTensors exact(wide, kDense, Side::end);
  const ProblemTensors magnitudes(wide, kDense, Side::end);
  std::mt19937_64 random(5);
  tensors.fill_with_normal_numbers(random);
  compute_exactly(problem, tensors, false, exact);
  compute_exactly(problem, tensors, true, magnitudes);
  const double storage_epsilon = type == DataType::float16    ? std::ldexp(1.0, -11)
                                 : type == DataType::bfloat16 ? std::ldexp(1.0, -8)
                                                              : 0.0;
  const double factor = 16.0 * std::numeric_limits<float>::epsilon() * std::sqrt(terms_of(problem));
  for (const char* algorithm : {"direct", "auto"}) {
    execute_guarded(Plan(problem, {.algorithm = algorithm}), tensors.arguments());
    tensors.written().for_each_position([&](std::int64_t n, std::int64_t c, std::int64_t d,
                                            std::int64_t h, std::int64_t w) {
      const double expected = exact.written().at(n, c, d, h, w).real();
      const double bound = factor * magnitudes.written().at(n, c, d, h, w).real() +
                           storage_epsilon * std::abs(expected) + std::ldexp(storage_epsilon, -14);
      ASSERT_NEAR(tensors.written().at(n, c, d, h, w).real(), expected, bound) << algorithm;
    });
  }
}

/// NaN where the other is NaN, otherwise equal, infinities included.
void expect_same_even_if_not_finite(const Tensor& actual, const Tensor& expected) {
  actual.for_each_position(
      [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
        const double a = actual.at(n, c, d, h, w).real();
        const double b = expected.at(n, c, d, h, w).real();
        ASSERT_TRUE(a == b || (std::isnan(a) && std::isnan(b)))
            << a << " instead of " << b << " at " << n << ", " << c << ", " << d << ", " << h
            << ", " << w;
      });
}

struct SpecialCase {
  const char* name;
  Pass pass;
  bool in_second;  ///< of the two factors, in the order input, weight, output
  double value;
};

class SpecialNumbers : public ::testing::TestWithParam<SpecialCase> {};
std::string special_case_name(const ::testing::TestParamInfo<SpecialCase>& special) {
  return special.param.name;
}
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
INSTANTIATE_TEST_SUITE_P(
    Convolution, SpecialNumbers,
    ::testing::Values(
        SpecialCase{"infinite_input", Pass::forward, false, kInfinity},
        SpecialCase{"nan_in_input", Pass::forward, false, kNan},
        SpecialCase{"infinite_weight", Pass::forward, true, -kInfinity},
        SpecialCase{"infinite_gradient", Pass::backward_input, true, kInfinity},
        SpecialCase{"nan_in_gradient", Pass::backward_input, true, kNan},
        SpecialCase{"infinite_weight_of_gradient", Pass::backward_input, false, kInfinity},
        SpecialCase{"infinite_input_of_weight", Pass::backward_weight, false, kInfinity},
        SpecialCase{"nan_in_gradient_of_weight", Pass::backward_weight, true, kNan}),
    special_case_name);

TEST_P(SpecialNumbers, ReachWhatTheFormulaSaysAndNothingElse) {
  const auto& [name, pass, in_second, value] = GetParam();
  for (const DataType type : {DataType::float32, DataType::float64}) {
    // With one channel and with several: dot products and outer products.
    for (const std::int64_t k : {1, 9}) {
      ProblemDescription description = image_problem(pass, type);
      description.k = k;
      const Problem problem = describe(description);
      const ProblemTensors tensors(problem, kDense, Side::end);
      std::mt19937_64 random(6);
      tensors.fill_with_integers(random);
      const Tensor& special =
          pass == Pass::forward          ? (in_second ? tensors.weight() : tensors.input())
          : pass == Pass::backward_input ? (in_second ? tensors.output() : tensors.weight())
                                         : (in_second ? tensors.output() : tensors.input());
      // The middle of an image; of a kernel, the last tap, which meets what is outside an image.
      const Sizes& sizes = special.view().sizes;
      const std::int64_t size = sizes[3] * sizes[4];
      const std::int64_t middle =
          sizes[0] * sizes[1] / 2 * size + (&special == &tensors.weight() ? size - 1 : size / 2);
      if (type == DataType::float32) {
        static_cast<float*>(special.view().data)[middle] = static_cast<float>(value);
      } else {
        static_cast<double*>(special.view().data)[middle] = value;
      }
      const ProblemTensors expected(problem, kDense, Side::end);
      expected.copy_memory_from(tensors);
      Plan(problem, {.algorithm = "reference"}).execute(expected.arguments(), nullptr);
      for (const char* algorithm : {"direct", "auto"}) {
        SCOPED_TRACE(algorithm + (", " + problem.to_string()));
        execute_guarded(Plan(problem, {.algorithm = algorithm}), tensors.arguments());
        expect_same_even_if_not_finite(tensors.written(), expected.written());
      }
    }
  }
}

TEST(Activation, AtTheEndOfAConvolutionIsThatOfTheSum) {
  std::mt19937_64 random(7);
  for (const Pass pass : {Pass::forward, Pass::backward_input}) {
    for (const DataType type : {DataType::float32, DataType::float64}) {
      for (const Activation activation :
           {Activation::leaky_relu, Activation::silu, Activation::gelu, Activation::sigmoid,
            Activation::tanh}) {
        ProblemDescription d = image_problem(pass, type);
        d.has_bias = true;
        d.accumulate = true;
        d.activation = activation;
        const Problem problem = describe(d);
        const ProblemTensors tensors(problem, kDense, Side::end);
        tensors.fill_with_integers(random);
        const ProblemTensors expected(problem, kDense, Side::end);
        expected.copy_memory_from(tensors);
        Plan(problem, {.algorithm = "reference"}).execute(expected.arguments(), nullptr);
        execute_guarded(Plan(problem, {.algorithm = "direct"}), tensors.arguments());
        const double tolerance = type == DataType::float32 ? 1e-6 : 1e-14;
        tensors.written().for_each_position([&](std::int64_t n, std::int64_t c, std::int64_t depth,
                                                std::int64_t h, std::int64_t w) {
          const double value = expected.written().at(n, c, depth, h, w).real();
          ASSERT_NEAR(tensors.written().at(n, c, depth, h, w).real(), value,
                      tolerance * std::max(1.0, std::abs(value)))
              << name_of(activation);
        });
      }
    }
  }
}

}  // namespace
}  // namespace fastconv::testing
