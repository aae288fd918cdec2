#include "algorithms/direct/direct.hpp"

#include <algorithm>

#include "algorithms/direct/joined_products.hpp"
#include "algorithms/direct/staged_gradient.hpp"
#include "kernels/kernel_table.hpp"
#include "padding.hpp"
#include "runtime/vector_units.hpp"

namespace fastconv::direct {

std::optional<std::string> refuses(const Problem& problem) {
  constexpr double kMostTileElements = 1 << 28;
  constexpr std::int64_t kMostSegments = 1 << 24;
  const bool backward = problem.pass == Pass::backward_input;
  double elements = static_cast<double>(backward ? problem.k / problem.g : problem.c / problem.g);
  for (const Axis& axis : problem.axes) {
    const std::int64_t reach = axis.dilation * (axis.kernel - 1) / (backward ? axis.stride : 1);
    elements *= static_cast<double>(reach + 1);
    if (backward && repeats_input(problem.padding_mode) &&
        axis.pad_before + axis.pad_after > kMostSegments) {
      return "its padding repeats the input too often";
    }
  }
  if (elements > kMostTileElements) {
    return "its taps reach so far that the input of one output does not fit a tile";
  }
  return std::nullopt;
}

/// Multiply-adds at the rate of the microkernels, which a group with few channels to compute does
/// not reach, plus moving images once, which many taps hide, and arranging weights, plus the call.
double estimate_cost(const Problem& problem, int threads) {
  constexpr double kCallSeconds = 2e-6;
  constexpr double kVectorMultiplyAddsPerSecond = 6.4e9;
  constexpr double kHalvedMultiplyAddsPerSecond = 4e9;
  constexpr double kImageBytesPerSecond = 12e9;
  constexpr std::int64_t kRows = 8;
  constexpr double kTapsThatHideNothing = 9.0;
  const bool backward = problem.pass == Pass::backward_input;
  // Going backward the weights of a block lie far apart, unless they are fetched while others are
  // used.
  const double weight_bytes_per_second = !backward ? 25e9 : problem.n > 1 ? 12e9 : 18e9;
  const auto products = [](const auto& kernels) {
    return kernels.lanes * kernels.channels_per_element;
  };
  const ComputeType type = problem.compute_type();
  const int lanes = type == ComputeType::float32   ? products(active_kernels().float32)
                    : type == ComputeType::float64 ? products(active_kernels().float64)
                    : type == ComputeType::int32   ? products(int32_kernels(problem))
                                                   : products(active_kernels().int64);
  const std::int64_t channels = (backward ? problem.c : problem.k) / problem.g;
  const double used_rows =
      static_cast<double>(std::min(kRows, 1 + 2 * channels)) / static_cast<double>(kRows);
  const auto bytes = [](const std::array<std::int64_t, 5>& sizes, DataType element) {
    double count = static_cast<double>(size_of(element));
    for (const std::int64_t size : sizes) count *= static_cast<double>(size);
    return count;
  };
  const double vectors_per_second =
      halved_vector_factor() > 1.0 ? kHalvedMultiplyAddsPerSecond : kVectorMultiplyAddsPerSecond;
  const auto& axes = problem.axes;
  const auto taps = static_cast<double>(axes[0].kernel * axes[1].kernel * axes[2].kernel);
  const double image_bytes = (bytes(problem.input_sizes(), problem.input_type) +
                              bytes(problem.output_sizes(), problem.output_type)) *
                             std::min(1.0, kTapsThatHideNothing / taps);
  return kCallSeconds +
         (problem.multiply_adds() / (vectors_per_second * lanes * used_rows) +
          image_bytes / kImageBytesPerSecond +
          bytes(problem.weight_sizes(), problem.weight_type) / weight_bytes_per_second) /
             threads;
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads) {
  if (is_staged(problem)) {
    return make_staged_plan(problem, threads, make_plan(staged_problem(problem), threads));
  }
  const auto make = [&]<class T>(T) {
    return problem.pass == Pass::backward_weight ? make_weight_gradient_plan<T>(problem, threads)
                                                 : make_correlation_plan<T>(problem, threads);
  };
  switch (problem.compute_type()) {
    case ComputeType::float32:
      return make(float());
    case ComputeType::float64:
      return make(double());
    case ComputeType::int32:
      return make(std::int32_t());
    case ComputeType::int64:
      return make(std::int64_t());
  }
  return nullptr;
}

}  // namespace fastconv::direct
