/// Plans: packed weights, any number of threads and callers, epilogues, empty problems, and the
/// choice of an algorithm.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

#include "convolution_case.hpp"
#include "fastconv/error.hpp"
#include "fastconv/threads.hpp"

namespace fastconv::testing {
namespace {

constexpr std::array<Layout, 3> kDense{};

/// Several blocks of channels, and several regions going backward.
ProblemDescription small_problem(Pass pass, DataType type = DataType::float32) {
  ProblemDescription d;
  set_types(d, pass, uniform(type));
  d.n = 2;
  d.groups = 2;
  d.c = 6;
  d.c_per_group = 3;
  d.k = 22;
  d.input = {1, 29, 43};
  d.kernel = {1, 3, 4};
  d.stride = {1, 1, 2};
  d.pad_before = {0, 2, 1};
  d.pad_after = {0, 1, 3};
  d.padding_mode = PaddingMode::reflect;
  return d;
}

/// The same, large enough to be shared among threads and cut into pieces.
ProblemDescription shared_problem(Pass pass, DataType type = DataType::float32) {
  ProblemDescription d = small_problem(pass, type);
  d.k = 44;
  d.input = {1, 67, 89};
  const Problem problem = describe(d);
  EXPECT_NE(Plan(problem, {.threads = 3}).workspace_bytes(),
            Plan(problem, {.threads = 1}).workspace_bytes())
      << "too small to be shared";
  return d;
}

bool same_bits(const Tensor& a, const Tensor& b) {
  return std::memcmp(a.memory(), b.memory(),
                     static_cast<std::size_t>(a.span()) * size_of(a.view().type)) == 0;
}

class EveryPass : public ::testing::TestWithParam<Pass> {
 protected:
  std::mt19937_64 random_{9};
};
std::string pass_name(const ::testing::TestParamInfo<Pass>& pass) { return name_of(pass.param); }
INSTANTIATE_TEST_SUITE_P(Plan, EveryPass, ::testing::ValuesIn(kPasses), pass_name);

TEST_P(EveryPass, GivesTheSameBitsOnAnyNumberOfThreads) {
  for (const DataType type : {DataType::float32, DataType::complex64, DataType::float16}) {
    for (const PaddingMode mode : {PaddingMode::zeros, PaddingMode::replicate}) {
      ProblemDescription d = shared_problem(GetParam(), type);
      d.padding_mode = mode;
      const Problem problem = describe(d);
      const ProblemTensors expected(problem, kDense, Side::end);
      expected.fill_with_normal_numbers(random_);
      const ProblemTensors tensors(problem, kDense, Side::end);
      tensors.copy_memory_from(expected);
      execute_guarded(Plan(problem, {.threads = 1}), expected.arguments());
      for (const int threads : {1, 2, 3, 7}) {
        const Plan plan(problem, {.threads = threads});
        EXPECT_EQ(plan.threads(), threads);
        execute_guarded(plan, tensors.arguments());
        EXPECT_TRUE(same_bits(tensors.written(), expected.written()))
            << threads << " threads, " << problem.to_string();
      }
    }
  }
}

TEST_P(EveryPass, RunsFromSeveralThreadsAtOnce) {
  const Problem problem = describe(shared_problem(GetParam()));
  const ProblemTensors expected(problem, kDense, Side::end);
  expected.fill_with_normal_numbers(random_);
  const Plan plan(problem, {.threads = 2});
  constexpr std::size_t kCallers = 4;
  std::vector<std::unique_ptr<ProblemTensors>> tensors;
  for (std::size_t caller = 0; caller < kCallers; ++caller) {
    tensors.push_back(std::make_unique<ProblemTensors>(problem, kDense, Side::end));
    tensors.back()->copy_memory_from(expected);
  }
  execute_guarded(plan, expected.arguments());
  std::vector<std::thread> callers;
  for (const auto& of_caller : tensors) {
    callers.emplace_back([&plan, &of_caller] {
      for (int i = 0; i < 5; ++i) execute_guarded(plan, of_caller->arguments());
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const auto& of_caller : tensors) {
    EXPECT_TRUE(same_bits(of_caller->written(), expected.written()));
  }
}

TEST_P(EveryPass, TakesWeightsPackedBeforehand) {
  if (GetParam() == Pass::backward_weight) {
    EXPECT_EQ(Plan(describe(shared_problem(GetParam()))).packed_weight_bytes(), 0u);
    return;
  }
  const Problem problem = describe(shared_problem(GetParam()));
  const ProblemTensors expected(problem, kDense, Side::end);
  expected.fill_with_normal_numbers(random_);
  const ProblemTensors tensors(problem, kDense, Side::end);
  tensors.copy_memory_from(expected);
  const Plan plan(problem, {.algorithm = "direct", .threads = 2});
  ASSERT_GT(plan.packed_weight_bytes(), 0u);
  execute_guarded(plan, expected.arguments());

  const GuardedBuffer packed(plan.packed_weight_bytes());
  const GuardedBuffer workspace(plan.workspace_bytes());
  plan.pack_weights(tensors.weight().view(), packed.data());
  EXPECT_TRUE(packed.intact());
  // The weights themselves are not read again.
  tensors.weight().fill_with_integers(random_, 50, 50);
  for (int call = 0; call < 2; ++call) {
    plan.execute(tensors.arguments(), workspace.data(), packed.data());
    EXPECT_TRUE(same_bits(tensors.written(), expected.written())) << "call " << call;
  }
}

TEST_P(EveryPass, RunsInOneStep) {
  const Problem problem = describe(shared_problem(GetParam()));
  const ProblemTensors expected(problem, kDense, Side::end);
  expected.fill_with_normal_numbers(random_);
  const ProblemTensors tensors(problem, kDense, Side::end);
  tensors.copy_memory_from(expected);
  execute_guarded(Plan(problem), expected.arguments());
  execute(problem, tensors.arguments());
  EXPECT_TRUE(same_bits(tensors.written(), expected.written()));
}

TEST_P(EveryPass, SurvivesBeingMoved) {
  const Problem problem = describe(small_problem(GetParam()));
  Plan original(problem, {.algorithm = "direct", .threads = 3});
  const std::size_t bytes = original.workspace_bytes();
  Plan plan(describe(ProblemDescription{}));
  plan = std::move(original);
  EXPECT_EQ(plan.workspace_bytes(), bytes);
  EXPECT_EQ(plan.threads(), 3);
  EXPECT_STREQ(plan.algorithm(), "direct");
  EXPECT_FALSE(plan.description().empty());
  EXPECT_EQ(plan.problem().to_string(), problem.to_string());
}

TEST_P(EveryPass, OfAnEmptyBatchWritesNothingOrZeros) {
  for (const char* algorithm : {"direct", "reference"}) {
    ProblemDescription d = small_problem(GetParam());
    d.n = 0;
    const Problem problem = describe(d);
    const ProblemTensors tensors(problem, kDense, Side::end);
    tensors.fill_with_integers(random_);
    execute_guarded(Plan(problem, {.algorithm = algorithm}), tensors.arguments());
    const Tensor& written = tensors.written();
    if (GetParam() != Pass::backward_weight) {
      EXPECT_EQ(written.view().element_count(), 0);
      continue;
    }
    written.for_each_position(
        [&](std::int64_t k, std::int64_t c, std::int64_t a0, std::int64_t a1, std::int64_t a2) {
          ASSERT_EQ(written.at(k, c, a0, a1, a2), 0.0) << algorithm;
        });
  }
}

TEST_P(EveryPass, WithoutChannelsOnOneSideLeavesTheBias) {
  for (const char* algorithm : {"direct", "reference"}) {
    for (const bool no_inputs : {false, true}) {
      ProblemDescription d = small_problem(GetParam());
      d.padding_mode = PaddingMode::zeros;
      d.has_bias = GetParam() != Pass::backward_weight;
      d.groups = 1;
      d.c = d.c_per_group = no_inputs ? 0 : 6;
      d.k = no_inputs ? 22 : 0;
      const Problem problem = describe(d);
      const ProblemTensors tensors(problem, kDense, Side::end);
      tensors.fill_with_integers(random_);
      execute_guarded(Plan(problem, {.algorithm = algorithm}), tensors.arguments());
      const auto* bias = static_cast<const float*>(tensors.arguments().bias);
      const Tensor& written = tensors.written();
      written.for_each_position([&](std::int64_t n, std::int64_t channel, std::int64_t z,
                                    std::int64_t y, std::int64_t x) {
        ASSERT_EQ(written.at(n, channel, z, y, x), static_cast<double>(bias[channel])) << algorithm;
      });
    }
  }
}

double inner_product(const Tensor& a, const Tensor& b) {
  std::complex<double> sum = 0.0;
  a.for_each_position(
      [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
        sum += std::conj(a.at(n, c, d, h, w)) * b.at(n, c, d, h, w);
      });
  return sum.real();
}

/// <conv(x, w), g> = <x, gradient of x> = <w, gradient of w>, exactly for small integers.
TEST(Adjoint, GradientsAreThoseOfTheForwardPass) {
  std::mt19937_64 random(10);
  for (const DataType type : {DataType::float32, DataType::float64, DataType::complex64}) {
    for (const PaddingMode mode : kPaddingModes) {
      for (const bool flip : {false, true}) {
        ProblemDescription d = small_problem(Pass::forward, type);
        d.padding_mode = mode;
        d.flip = flip;
        const Problem forward = describe(d);
        const ProblemTensors tensors(forward, kDense, Side::end);
        tensors.fill_with_integers(random);
        const Tensor gradient(type, forward.output_sizes());
        gradient.fill_with_integers(random);
        execute(forward, tensors.arguments());
        const double expected = inner_product(tensors.output(), gradient);

        d.conjugate = true;
        for (const Pass pass : {Pass::backward_input, Pass::backward_weight}) {
          d.pass = pass;
          const Problem backward = describe(d);
          const ProblemTensors result(backward, kDense, Side::end);
          result.copy_memory_from(tensors);
          result.output().copy_memory_from(gradient);
          execute(backward, result.arguments());
          const double actual = pass == Pass::backward_input
                                    ? inner_product(tensors.input(), result.input())
                                    : inner_product(tensors.weight(), result.weight());
          EXPECT_EQ(actual, expected) << backward.to_string();
        }
      }
    }
  }
}

TEST(GradientsPlan, NeedsTheTwoGradientsOfOneConvolution) {
  const Problem of_input = describe(small_problem(Pass::backward_input));
  const Problem of_weight = describe(small_problem(Pass::backward_weight));
  EXPECT_NO_THROW(GradientsPlan(of_input, of_weight));
  EXPECT_THROW(GradientsPlan(of_weight, of_input), ValueError);
  Problem other_size = of_weight;
  other_size.axes[2].input += 2;
  EXPECT_THROW(GradientsPlan(of_input, other_size), ValueError);
  Problem with_bias = of_input;
  with_bias.has_bias = true;
  Problem also_with_bias = of_weight;
  also_with_bias.has_bias = true;
  EXPECT_THROW(GradientsPlan(with_bias, also_with_bias), ValueError);
}

TEST(PlanOptions, ThreadsDefaultToTheCurrentNumber) {
  const Problem problem = describe(ProblemDescription{});
  const int before = set_thread_override(5);
  EXPECT_EQ(Plan(problem).threads(), 5);
  EXPECT_EQ(Plan(problem, {.threads = 2}).threads(), 2);
  set_thread_override(before);
  EXPECT_EQ(Plan(problem).threads(), num_threads());
}

TEST(PlanOptions, AnUnknownAlgorithmIsAnErrorThatNamesTheOthers) {
  try {
    const Plan plan(describe(ProblemDescription{}), {.algorithm = "fastest"});
    FAIL() << "took " << plan.algorithm();
  } catch (const ValueError& error) {
    const std::string message = error.what();
    EXPECT_EQ(message.find("algorithm"), 0u) << message;
    EXPECT_NE(message.find("'fastest'"), std::string::npos) << message;
    EXPECT_NE(message.find("'auto'"), std::string::npos) << message;
    for (const char* name : algorithm_names()) {
      EXPECT_NE(message.find("'" + std::string(name) + "'"), std::string::npos) << message;
    }
  }
  EXPECT_THROW(explain(describe(ProblemDescription{}), {.algorithm = ""}), ValueError);
}

TEST(Explain, HasARowForEveryAlgorithmAndOneChoice) {
  for (const Pass pass : kPasses) {
    const Problem problem = describe(small_problem(pass));
    const std::vector<const char*> names = algorithm_names();
    const std::vector<AlgorithmReport> reports = explain(problem);
    ASSERT_EQ(reports.size(), names.size());
    int chosen = 0;
    for (std::size_t i = 0; i < reports.size(); ++i) {
      EXPECT_STREQ(reports[i].name, names[i]);
      if (!reports[i].refusal.empty()) continue;
      EXPECT_TRUE(std::isfinite(reports[i].estimated_seconds));
      EXPECT_GT(reports[i].estimated_seconds, 0.0);
      if (!reports[i].chosen) continue;
      ++chosen;
      EXPECT_STREQ(Plan(problem).algorithm(), reports[i].name);
      for (const AlgorithmReport& other : reports) {
        if (other.refusal.empty()) {
          EXPECT_GE(other.estimated_seconds, reports[i].estimated_seconds);
        }
      }
    }
    EXPECT_EQ(chosen, 1);
    // A name overrules the estimates, and the strictest precision leaves an algorithm.
    EXPECT_TRUE(explain(problem, {.algorithm = "reference"}).back().chosen);
    EXPECT_STREQ(Plan(problem, {.precision = Precision::strict}).algorithm(), "direct");
  }
}

}  // namespace
}  // namespace fastconv::testing
