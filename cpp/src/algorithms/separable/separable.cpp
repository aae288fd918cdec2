#include "algorithms/separable/separable.hpp"

#include <string_view>

#include "algorithms/depthwise/depthwise.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::separable {
namespace {

/// What "auto" would take if this algorithm did not exist.
const Algorithm& other_algorithm(const Problem& problem) {
  const Algorithm* best = nullptr;
  double best_cost = 0.0;
  for (const Algorithm& algorithm : algorithm_list()) {
    if (algorithm.make_plan == make_plan || algorithm.refuses(problem)) continue;
    if (algorithm.last_resort && best != nullptr) continue;
    const double cost = algorithm.estimate_cost(problem, 1);
    if (best == nullptr || cost < best_cost) {
      best = &algorithm;
      best_cost = cost;
    }
  }
  return *best;
}

double product(const std::array<std::int64_t, 5>& sizes) {
  double result = 1.0;
  for (const std::int64_t size : sizes) result *= static_cast<double>(size);
  return result;
}

}  // namespace

std::optional<std::string> refuses(const Problem& problem) {
  if (problem.pass == Pass::backward_weight) return "it does not compute gradients of weights";
  const auto& axes = problem.axes;
  if (axes[0].kernel != 1 || axes[1].kernel < 2 || axes[2].kernel < 2) {
    return "its kernel is not one of several rows and columns";
  }
  for (const Axis& axis : axes) {
    if (axis.stride != 1 || (axis.kernel > 1 && axis.dilation != 1)) {
      return "it has a stride or dilation";
    }
  }
  if (problem.pass == Pass::backward_input && problem.k != problem.g) {
    return "its gradients add up several kernels";
  }
  return depthwise::refuses(problem);
}

/// Of kernels that have rank 1: vectors of multiply-adds, moving images, and for each kernel its
/// factors and the way from one to the next. Measured beside the estimates of `depthwise`, so that
/// the faster of the two has the lower one: from 7x7 on, unless images are tiny.
double estimate_cost(const Problem& problem, int threads) {
  constexpr double kCallSeconds = 2e-6;
  constexpr double kVectorMultiplyAddSeconds = 0.24e-9;
  constexpr double kImageBytesPerSecond = 15e9;
  constexpr double kKernelSeconds = 200e-9;
  constexpr double kTapSeconds = 2e-9;
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  const auto& axes = problem.axes;
  const bool single = problem.result_type() == DataType::float32;
  const KernelTable& kernels = active_kernels();
  const double lanes = single ? kernels.float32.lanes : kernels.float64.lanes;
  const double bytes = number(static_cast<std::int64_t>(size_of(problem.result_type())));
  const double results = product(problem.result_sizes());
  const double multiply_adds = results * number(axes[1].kernel + axes[2].kernel);
  const double image_bytes =
      bytes * (product(problem.input_sizes()) + product(problem.output_sizes()));
  const double kernel_seconds =
      kKernelSeconds + number(axes[1].kernel * axes[2].kernel) * kTapSeconds;
  return kCallSeconds + (multiply_adds / lanes * kVectorMultiplyAddSeconds +
                         image_bytes / kImageBytesPerSecond + number(problem.k) * kernel_seconds) /
                            threads;
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads,
                                                       std::size_t max_workspace) {
  const Algorithm& other = other_algorithm(problem);
  auto otherwise = other.make_plan(problem, threads, max_workspace);
  return problem.compute_type() == ComputeType::float32
             ? make_typed_plan<float>(problem, threads, other.name, std::move(otherwise))
             : make_typed_plan<double>(problem, threads, other.name, std::move(otherwise));
}

}  // namespace fastconv::separable
