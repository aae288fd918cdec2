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

/// Of kernels that have rank 1.
double estimate_cost(const Problem& problem, int threads) {
  return 0.9 * depthwise::estimate_cost(problem, threads);
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads) {
  const Algorithm& other = other_algorithm(problem);
  auto otherwise = other.make_plan(problem, threads);
  return problem.compute_type() == ComputeType::float32
             ? make_typed_plan<float>(problem, threads, other.name, std::move(otherwise))
             : make_typed_plan<double>(problem, threads, other.name, std::move(otherwise));
}

}  // namespace fastconv::separable
