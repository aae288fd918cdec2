#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "algorithms/direct/geometry.hpp"

namespace fastconv::depthwise {

/// Neighbouring taps of a run that read one plane of the source (see direct/geometry.hpp): tap t
/// has shift `shift + t * step` and stands for kernel element `kernel + t * kernel_step`.
struct TapGroup {
  std::int64_t plane;
  std::int64_t shift;
  std::int64_t kernel;
  std::int64_t kernel_step;
  std::int64_t count;
};

/// A run with its taps sorted into groups. Shifts ascend, by the same step in all groups.
struct TapRun {
  const direct::AxisRun* run;
  std::int64_t step;
  std::vector<TapGroup> groups;
};

/// One axis of a pass: what direct/geometry.hpp says, with the taps of each run in groups.
struct AxisTaps {
  direct::AxisPhases phases;
  std::vector<TapRun> runs;

  explicit AxisTaps(direct::AxisPhases axis_phases);
  AxisTaps(AxisTaps&&) noexcept;

  /// The element of the source that position `index` of a plane stands for.
  std::int64_t source(std::int64_t plane, std::int64_t index) const {
    return phases.source_first + phases.residues[static_cast<std::size_t>(plane)] +
           phases.source_step * index;
  }
};

/// Positions [first, end) of a plane that lie inside a source of `size` elements, of the `count`
/// from `origin` on; counted from `origin`.
struct InsideRange {
  std::int64_t first;
  std::int64_t end;
};
InsideRange inside_range(const AxisTaps& axis, std::int64_t plane, std::int64_t origin,
                         std::int64_t count, std::int64_t size);

/// Whether a pass writes so much that the caches will not hold it until it is read, in vectors that
/// are whole cache lines: parts of lines are slow to write past the caches.
bool streams_result(const Problem& problem, std::int64_t lanes);

/// The three axes of a pass with padding that adds nothing; a gradient of the weight reads the
/// input as the forward pass does.
std::array<AxisTaps, 3> pass_taps(const Problem& problem);

}  // namespace fastconv::depthwise
