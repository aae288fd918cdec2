#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <string_view>

#include "algorithms/algorithm.hpp"
#include "fastconv/plan.hpp"
#include "fastconv/problem.hpp"
#include "tensor.hpp"

namespace fastconv::testing {

inline constexpr Pass kPasses[] = {Pass::forward, Pass::backward_input, Pass::backward_weight};
inline constexpr PaddingMode kPaddingModes[] = {PaddingMode::zeros,     PaddingMode::constant,
                                                PaddingMode::reflect,   PaddingMode::symmetric,
                                                PaddingMode::replicate, PaddingMode::circular};

/// The types of what a pass writes and of the two tensors that it multiplies, in the order input,
/// weight, output.
struct TypeCombination {
  DataType result;
  DataType first;
  DataType second;
};

constexpr TypeCombination uniform(DataType type) { return {type, type, type}; }

inline constexpr TypeCombination kTypeCombinations[] = {
    uniform(DataType::float32),
    uniform(DataType::float64),
    uniform(DataType::complex64),
    uniform(DataType::complex128),
    uniform(DataType::float16),
    uniform(DataType::bfloat16),
    {DataType::int32, DataType::int8, DataType::int8},
    {DataType::int32, DataType::uint8, DataType::int8},
    {DataType::int64, DataType::int16, DataType::uint16},
    {DataType::int64, DataType::int32, DataType::uint8},
    {DataType::int64, DataType::uint32, DataType::int64},
    {DataType::int64, DataType::int64, DataType::uint64},
};

inline void set_types(ProblemDescription& description, Pass pass, const TypeCombination& types) {
  description.pass = pass;
  const auto& [result, first, second] = types;
  description.input_type = pass == Pass::backward_input ? result : first;
  description.weight_type = pass == Pass::forward           ? second
                            : pass == Pass::backward_weight ? result
                                                            : first;
  description.output_type = pass == Pass::forward ? result : second;
}

inline bool fits(const ProblemDescription& d) {
  for (std::size_t a = 0; a < 3; ++a) {
    if (d.input[a] + d.pad_before[a] + d.pad_after[a] < d.dilation[a] * (d.kernel[a] - 1) + 1) {
      return false;
    }
  }
  return true;
}

/// The three tensors of a problem and its bias.
class ProblemTensors {
 public:
  /// Layouts in the order input, weight, output.
  ProblemTensors(const Problem& problem, const std::array<Layout, 3>& layouts, Side side,
                 std::int64_t bias_stride = 1)
      : pass_(problem.pass),
        input_(problem.input_type, problem.input_sizes(), layouts[0], side),
        weight_(problem.weight_type, problem.weight_sizes(), layouts[1], side),
        output_(problem.output_type, problem.output_sizes(), layouts[2], side),
        bias_(problem.result_type(), {1, written().view().sizes[bias_axis()], 1, 1, 1},
              {0, bias_stride, 0, 0, 0}, side) {
    arguments_ = {input_.view(), weight_.view(), output_.view(), nullptr, bias_stride};
    if (problem.has_bias) arguments_.bias = bias_.view().data;
  }

  void fill_with_integers(std::mt19937_64& random) const {
    input_.fill_with_integers(random);
    weight_.fill_with_integers(random);
    output_.fill_with_integers(random);
    bias_.fill_with_integers(random);
  }
  void fill_with_normal_numbers(std::mt19937_64& random) const {
    input_.fill_with_normal_numbers(random);
    weight_.fill_with_normal_numbers(random);
    output_.fill_with_normal_numbers(random);
    bias_.fill_with_normal_numbers(random);
  }

  void copy_memory_from(const ProblemTensors& other) const {
    input_.copy_memory_from(other.input_);
    weight_.copy_memory_from(other.weight_);
    output_.copy_memory_from(other.output_);
    bias_.copy_memory_from(other.bias_);
  }

  const Tensor& input() const { return input_; }
  const Tensor& weight() const { return weight_; }
  const Tensor& output() const { return output_; }
  const Tensor& written() const {
    return pass_ == Pass::forward ? output_ : pass_ == Pass::backward_input ? input_ : weight_;
  }
  const Arguments& arguments() const { return arguments_; }

 private:
  std::size_t bias_axis() const { return pass_ == Pass::backward_weight ? 0 : 1; }

  Pass pass_;
  Tensor input_;
  Tensor weight_;
  Tensor output_;
  Tensor bias_;
  Arguments arguments_;
};

/// Executes with a workspace of exactly the size that the plan asks for, full of NaN, and with
/// weights packed beforehand if asked for.
inline void execute_guarded(const Plan& plan, const Arguments& arguments, bool packed = false,
                            Side side = Side::end) {
  const GuardedBuffer workspace(plan.workspace_bytes(), side);
  const GuardedBuffer weights(packed ? plan.packed_weight_bytes() : 0, side);
  const bool use_packed = packed && plan.packed_weight_bytes() > 0;
  if (use_packed) plan.pack_weights(arguments.weight, weights.data());
  plan.execute(arguments, workspace.data(), use_packed ? weights.data() : nullptr);
  EXPECT_TRUE(workspace.intact()) << "written outside the workspace";
  EXPECT_TRUE(weights.intact()) << "written outside the packed weights";
}

/// Whether an algorithm refuses a problem.
inline bool refuses(std::string_view name, const ProblemDescription& description) {
  for (const AlgorithmReport& report : explain(describe(description))) {
    if (report.name == name) return !report.refusal.empty();
  }
  return false;
}

struct CaseOptions {
  std::array<Layout, 3> layouts{Layout::channels_first, Layout::channels_first,
                                Layout::channels_first};
  int threads = 1;
  bool packed = false;
  std::int64_t bias_stride = 1;
};

/// The error that an algorithm may have that transforms its sums: of the largest result, which the
/// square root of the number of products stands for, so that an activation does not count.
inline double error_of_transforms(const Problem& problem, const ProblemTensors& tensors) {
  const auto largest = [](const Tensor& tensor) {
    double result = 0.0;
    tensor.for_each_position(
        [&](auto... position) { result = std::max(result, std::abs(tensor.at(position...))); });
    return result;
  };
  const bool of_weights = problem.pass == Pass::backward_weight;
  double products =
      static_cast<double>(of_weights ? problem.n : std::max(problem.c, problem.k) / problem.g);
  for (const Axis& axis : problem.axes) {
    products *= static_cast<double>(of_weights ? axis.output : axis.kernel);
  }
  const double tolerance = problem.compute_type() == ComputeType::float32 ? 1e-5 : 1e-13;
  const bool reads_input = problem.pass != Pass::backward_input;
  return tolerance * std::sqrt(products) * std::max(1.0, std::abs(problem.padding_value)) *
         std::max(1.0, largest(reads_input ? tensors.input() : tensors.output())) *
         std::max(1.0, largest(of_weights ? tensors.output() : tensors.weight()));
}

/// Puts the expected number wherever an element is within `tolerance` of it, or a step of a half
/// further, so that the memory compares for equality, gaps included.
inline void forgive_rounding(const Tensor& actual, const Tensor& expected, double tolerance) {
  with_storage(actual.view().type, [&]<class Storage>(Storage, int parts) {
    if constexpr (!std::is_integral_v<Storage>) {
      const double step = std::is_same_v<Storage, Half>        ? 0x1p-10
                          : std::is_same_v<Storage, BrainHalf> ? 0x1p-7
                                                               : 0.0;
      auto* elements = static_cast<Storage*>(actual.view().data);
      const auto* truth = static_cast<const Storage*>(expected.view().data);
      actual.for_each_position(
          [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
            const Strides& s = actual.view().strides;
            const std::int64_t at = n * s[0] + c * s[1] + d * s[2] + h * s[3] + w * s[4];
            for (std::int64_t i = parts * at; i < parts * (at + 1); ++i) {
              const auto wanted = widened<double>(truth[i]);
              const double error = std::abs(widened<double>(elements[i]) - wanted);
              if (error <= tolerance + step * std::abs(wanted)) elements[i] = truth[i];
            }
          });
    }
    return 0;
  });
}

/// Runs a problem with every algorithm that takes it on tensors of small integers against either
/// guard, and expects what `reference` computes, bit for bit (but for the sign of zeros, and within
/// the documented error where sums are transformed), gaps included.
inline void expect_equal_to_reference(const Problem& problem, const CaseOptions& options,
                                      std::mt19937_64& random) {
  const ProblemTensors tensors(problem, options.layouts, Side::end, options.bias_stride);
  tensors.fill_with_integers(random);
  const ProblemTensors expected(problem, options.layouts, Side::end, options.bias_stride);
  expected.copy_memory_from(tensors);
  Plan(problem, {.algorithm = "reference"}).execute(expected.arguments(), nullptr);

  for (const Algorithm& algorithm : algorithm_list()) {
    if (algorithm.last_resort || algorithm.refuses(problem)) continue;
    const Plan plan(problem, {.algorithm = algorithm.name, .threads = options.threads});
    for (const Side side : {Side::end, Side::start}) {
      const ProblemTensors placed(problem, options.layouts, side, options.bias_stride);
      placed.copy_memory_from(tensors);
      execute_guarded(plan, placed.arguments(), options.packed, side);
      if (algorithm.reassociates) {
        forgive_rounding(placed.written(), expected.written(),
                         error_of_transforms(problem, tensors));
      }
      EXPECT_TRUE(same_memory(placed.written(), expected.written()))
          << algorithm.name << ": " << problem.to_string() << ", layouts "
          << static_cast<int>(options.layouts[0]) << static_cast<int>(options.layouts[1])
          << static_cast<int>(options.layouts[2]) << ", " << options.threads << " threads"
          << (options.packed ? ", packed" : "");
    }
  }
}

}  // namespace fastconv::testing
