#include "algorithms/depthwise/tap_groups.hpp"

#include <algorithm>
#include <utility>

namespace fastconv::depthwise {
namespace {

std::int64_t ceil_divide_signed(std::int64_t a, std::int64_t b) {
  return a >= 0 ? (a + b - 1) / b : -(-a / b);
}

TapRun group_taps(const direct::AxisRun& run) {
  TapRun result{&run, 1, {}};
  for (std::int64_t t = 0; t < run.tap_count(); ++t) {
    const direct::Tap& tap = run.taps[static_cast<std::size_t>(t)];
    const auto group = std::find_if(result.groups.begin(), result.groups.end(),
                                    [&](const TapGroup& g) { return g.plane == tap.plane; });
    const std::int64_t kernel = run.kernel_first + t * run.kernel_step;
    if (group == result.groups.end()) {
      result.groups.push_back({tap.plane, tap.shift, kernel, 0, 1});
      continue;
    }
    if (group->count == 1) {
      result.step = tap.shift - group->shift;
      group->kernel_step = kernel - group->kernel;
    }
    ++group->count;
  }
  if (result.step < 0) {
    result.step = -result.step;
    for (TapGroup& group : result.groups) {
      group.shift -= (group.count - 1) * result.step;
      group.kernel += (group.count - 1) * group.kernel_step;
      group.kernel_step = -group.kernel_step;
    }
  }
  return result;
}

direct::AxisPhases axis_phases(const Problem& problem, std::size_t axis) {
  if (problem.pass == Pass::backward_input) {
    return std::move(
        direct::backward_phases(problem.axes[axis], PaddingMode::zeros, problem.flip, false)[0]);
  }
  return direct::forward_phases(problem.axes[axis], problem.flip);
}

}  // namespace

AxisTaps::AxisTaps(direct::AxisPhases axis_phases) : phases(std::move(axis_phases)) {
  runs.reserve(phases.runs.size());
  for (const direct::AxisRun& run : phases.runs) runs.push_back(group_taps(run));
}

AxisTaps::AxisTaps(AxisTaps&&) noexcept = default;

InsideRange inside_range(const AxisTaps& axis, std::int64_t plane, std::int64_t origin,
                         std::int64_t count, std::int64_t size) {
  const std::int64_t start = axis.source(plane, origin);
  const std::int64_t step = axis.phases.source_step;
  const std::int64_t first = std::clamp<std::int64_t>(ceil_divide_signed(-start, step), 0, count);
  const std::int64_t end = std::clamp(ceil_divide_signed(size - start, step), first, count);
  return {first, end};
}

bool streams_result(const Problem& problem, std::int64_t lanes) {
  constexpr std::int64_t kLine = 64;
  constexpr double kCachedBytes = 16.0 * 1024 * 1024;
  const auto element = static_cast<std::int64_t>(size_of(problem.result_type()));
  double bytes = static_cast<double>(element);
  for (const std::int64_t size : problem.result_sizes()) bytes *= static_cast<double>(size);
  return lanes * element == kLine && bytes >= kCachedBytes;
}

std::array<AxisTaps, 3> pass_taps(const Problem& problem) {
  return {AxisTaps(axis_phases(problem, 0)), AxisTaps(axis_phases(problem, 1)),
          AxisTaps(axis_phases(problem, 2))};
}

}  // namespace fastconv::depthwise
