#include "algorithms/winograd/winograd.hpp"

#include "algorithms/winograd/geometry.hpp"
#include "kernels/kernel_table.hpp"
#include "padding.hpp"

namespace fastconv::winograd {

std::optional<std::string> refuses(const Problem& problem) {
  constexpr std::int64_t kLeastChannels = 4;
  constexpr std::int64_t kMostChannels = 4096;
  if (problem.pass == Pass::backward_weight) return "it does not compute gradients of weights";
  const DataType type = problem.result_type();
  if (type != DataType::float32 && type != DataType::float64) {
    return "it computes float32 and float64 alone";
  }
  if (problem.input_type != type || problem.weight_type != type || problem.output_type != type) {
    return "its tensors have different types";
  }
  const Axis& depth = problem.axes[0];
  if (depth.kernel != 1 || depth.stride != 1 || depth.pad_before != 0 || depth.pad_after != 0) {
    return "its kernel is three-dimensional";
  }
  for (std::size_t a = 1; a < 3; ++a) {
    const Axis& axis = problem.axes[a];
    if (axis.kernel != 3) return "its kernel is not 3x3";
    if (axis.stride != 1 || axis.dilation != 1) return "it has a stride or dilation";
  }
  if (problem.pass == Pass::backward_input && repeats_input(problem.padding_mode)) {
    return "its padding repeats the input";
  }
  const Geometry geometry(problem);
  if (std::min(geometry.source_channels, geometry.destination_channels) < kLeastChannels) {
    return "a group has few channels, so that transforms would cost more than they save";
  }
  if (geometry.source_channels > kMostChannels) {
    return "a group has so many channels that rounding errors would grow";
  }
  return std::nullopt;
}

double estimate_cost(const Problem& problem, int threads) {
  static_cast<void>(problem);
  return 1.0 / threads;
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads) {
  return problem.compute_type() == ComputeType::float32 ? make_typed_plan<float>(problem, threads)
                                                        : make_typed_plan<double>(problem, threads);
}

}  // namespace fastconv::winograd
