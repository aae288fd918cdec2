#include "algorithms/fft/fft.hpp"

#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/staged_gradient.hpp"
#include "algorithms/fft/tile_choice.hpp"

namespace fastconv::fft_convolution {
namespace {

bool is_empty(const Problem& problem) { return problem.n == 0 || problem.c == 0 || problem.k == 0; }

/// Problems whose transforms are not worth looking for: they never pay.
bool is_small(const Problem& problem) {
  constexpr std::int64_t kFewTaps = 9;
  constexpr double kFewMultiplyAdds = 3e5;
  const auto& axes = problem.axes;
  return axes[0].kernel * axes[1].kernel * axes[2].kernel <= kFewTaps ||
         problem.multiply_adds() < kFewMultiplyAdds;
}

/// Whether the taps reach so far that there may be no transform.
bool reaches_far(const Problem& problem) {
  constexpr std::int64_t kReach = 128;
  for (const Axis& axis : problem.axes) {
    if (axis.dilation * (axis.kernel - 1) > kReach) return true;
  }
  return false;
}

}  // namespace

std::optional<std::string> refuses(const Problem& problem) {
  const ComputeType type = problem.compute_type();
  if (type != ComputeType::float32 && type != ComputeType::float64) {
    return "integers are exact, and transforms round";
  }
  const bool complex = problem.is_complex();
  if (is_complex(problem.input_type) != complex || is_complex(problem.weight_type) != complex ||
      is_complex(problem.output_type) != complex) {
    return "some of its tensors are complex and others are not";
  }
  if (problem.pass == Pass::backward_weight && problem.accumulate) {
    return "it adds to the gradient that is there";
  }
  if (is_empty(problem)) return "there is nothing to transform";
  if (const auto reason = direct::refuses(problem)) return reason;
  if (reaches_far(problem) && choose_tile(problem).seconds < 0.0) {
    return "its kernel is longer than the longest transform";
  }
  return std::nullopt;
}

double estimate_cost(const Problem& problem, int threads) {
  constexpr double kCallSeconds = 2e-6;
  constexpr double kSmallMultiplyAddsPerSecond = 1e10;
  constexpr double kImageBytesPerSecond = 6e9;
  if (is_small(problem)) {
    double bytes = 0.0;
    for (const auto& sizes : {problem.input_sizes(), problem.output_sizes()}) {
      double size = static_cast<double>(size_of(problem.result_type()));
      for (const std::int64_t extent : sizes) size *= static_cast<double>(extent);
      bytes += size;
    }
    return kCallSeconds +
           (problem.multiply_adds() / kSmallMultiplyAddsPerSecond + bytes / kImageBytesPerSecond) /
               threads;
  }
  return choose_tile(problem).seconds / threads;
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads,
                                                       std::size_t max_workspace) {
  if (direct::is_staged(problem)) {
    return direct::make_staged_plan(
        problem, threads, make_plan(direct::staged_problem(problem), threads, max_workspace));
  }
  const auto make = [&]<class T>(T) {
    return problem.pass == Pass::backward_weight
               ? make_weight_gradient_plan<T>(problem, threads, max_workspace)
               : make_correlation_plan<T>(problem, threads, max_workspace);
  };
  return problem.compute_type() == ComputeType::float32 ? make(float()) : make(double());
}

}  // namespace fastconv::fft_convolution
