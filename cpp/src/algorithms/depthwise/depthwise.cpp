#include "algorithms/depthwise/depthwise.hpp"

#include "algorithms/direct/direct.hpp"
#include "kernels/kernel_table.hpp"
#include "padding.hpp"

namespace fastconv::depthwise {

std::optional<std::string> refuses(const Problem& problem) {
  if (problem.c != problem.g || problem.k < problem.g) {
    return "groups of more or less than one input channel";
  }
  const DataType type = problem.result_type();
  if (type != DataType::float32 && type != DataType::float64)
    return "types but float32 and float64";
  if (problem.pass == Pass::backward_input && repeats_input(problem.padding_mode)) {
    return "gradients of padding that repeats the input";
  }
  return direct::refuses(problem);
}

/// Measured beside `direct`: with one output channel for each input channel mostly two to four
/// times as fast; with several, `direct` computes them together from what it loads once, and is
/// faster in most layouts, but not where their gradients are added up. Wide kernels have less to
/// gain.
double estimate_cost(const Problem& problem, int threads) {
  // More than two phases along a row are stored one after the other, which leaves it little ahead,
  // or behind where rows are long.
  const bool many_phases =
      problem.pass == Pass::backward_input && !problem.channels_last && problem.axes[2].stride > 2;
  const bool long_rows = problem.axes[2].output > 2 * active_kernels().float32.lanes;
  const bool wide = problem.axes[2].kernel > 7;
  // Without masks the ends of rows are slow, and narrow vectors leave loads to limit wide kernels.
  constexpr std::int64_t kFewChannels = 8;
  const bool loads = wide && !active_kernels().float32.depthwise.masks_loads &&
                     problem.pass != Pass::backward_weight && problem.g < kFewChannels;
  const bool adds_up = problem.pass == Pass::backward_input && problem.k != problem.g &&
                       problem.axes[1].stride == 1 && problem.axes[2].stride == 1;
  const double ratio = adds_up                           ? (problem.channels_last ? 0.95 : 0.75)
                       : problem.k != problem.g || loads ? 1.25
                       : many_phases                     ? (long_rows ? 1.05 : 0.7)
                       : wide                            ? 0.85
                                                         : 0.5;
  return ratio * direct::estimate_cost(problem, threads);
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads) {
  const auto make = [&]<class T>(T) {
    return problem.pass == Pass::backward_weight ? make_weight_gradient_plan<T>(problem, threads)
                                                 : make_correlation_plan<T>(problem, threads);
  };
  return problem.compute_type() == ComputeType::float64 ? make(double()) : make(float());
}

}  // namespace fastconv::depthwise
