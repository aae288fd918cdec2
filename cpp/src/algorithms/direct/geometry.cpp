#include "algorithms/direct/geometry.hpp"

#include <algorithm>
#include <numeric>
#include <unordered_map>

#include "padding.hpp"

namespace fastconv::direct {
namespace {

std::int64_t floor_divide(std::int64_t a, std::int64_t b) {
  return a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0);
}

/// Positions [first, first + count) of the padded input, which stand for the input's elements
/// destination_first + i * destination_step.
struct Segment {
  std::int64_t first;
  std::int64_t count;
  std::int64_t destination_first;
  std::int64_t destination_step;
  bool adds;
};

/// The padding, cut where the map from padding to input changes direction.
void append_padding_segments(const Axis& axis, PaddingMode mode, std::int64_t first,
                             std::int64_t end, std::vector<Segment>& segments) {
  const auto source = [&](std::int64_t p) {
    return padded_source(p - axis.pad_before, axis.input, mode);
  };
  while (first < end) {
    Segment segment{first, 1, source(first), 0, true};
    for (std::int64_t p = first + 1; p < end; ++p) {
      const std::int64_t step = source(p) - source(p - 1);
      if (segment.count > 1 && step != segment.destination_step) break;
      if (step < -1 || step > 1) break;
      segment.destination_step = step;
      ++segment.count;
    }
    segments.push_back(segment);
    first += segment.count;
  }
}

/// The first tap whose reach leaves each residue modulo the stride; the further ones follow it at
/// steps of stride / gcd(stride, dilation).
std::unordered_map<std::int64_t, std::int64_t> first_taps(const Axis& axis, std::int64_t step) {
  std::unordered_map<std::int64_t, std::int64_t> taps;
  for (std::int64_t a = 0; a < std::min(axis.kernel, step); ++a) {
    taps.emplace(a * axis.dilation % axis.stride, a);
  }
  return taps;
}

/// Phase of a segment that starts at its element `offset`; every stride-th belongs to it.
AxisRun phase_run(const Axis& axis, const Segment& segment, std::int64_t offset, bool flip,
                  const std::unordered_map<std::int64_t, std::int64_t>& taps,
                  std::int64_t tap_step) {
  const std::int64_t position = segment.first + offset;
  const std::int64_t phase = floor_divide(position, axis.stride);
  const std::int64_t residue = position - phase * axis.stride;
  AxisRun run;
  run.count = (segment.count - offset + axis.stride - 1) / axis.stride;
  run.destination_first = segment.destination_first + offset * segment.destination_step;
  run.destination_step = segment.destination_step * axis.stride;
  run.adds = segment.adds;
  run.residues.push_back(0);
  const auto first_tap = taps.find(residue);
  if (first_tap == taps.end()) return run;
  run.kernel_first = flip ? axis.kernel - 1 - first_tap->second : first_tap->second;
  run.kernel_step = flip ? -tap_step : tap_step;
  for (std::int64_t a = first_tap->second; a < axis.kernel; a += tap_step) {
    // Output o = phase + j - reach / stride has this input element under the tap.
    run.taps.push_back({0, phase - a * axis.dilation / axis.stride});
  }
  run.source_first = run.taps.back().shift;  // the last tap reaches furthest back
  run.reach = run.taps.front().shift - run.source_first;
  for (Tap& tap : run.taps) tap.shift -= run.source_first;
  return run;
}

}  // namespace

AxisRun forward_run(const Axis& axis, bool flip) {
  AxisRun run;
  run.count = axis.output;
  run.source_first = -axis.pad_before;
  run.source_step = axis.stride;
  run.kernel_first = flip ? axis.kernel - 1 : 0;
  run.kernel_step = flip ? -1 : 1;
  run.taps.reserve(static_cast<std::size_t>(axis.kernel));
  for (std::int64_t a = 0; a < axis.kernel; ++a) {
    const std::int64_t reach = a * axis.dilation;
    const std::int64_t residue = reach % axis.stride;
    auto found = std::find(run.residues.begin(), run.residues.end(), residue);
    if (found == run.residues.end()) found = run.residues.insert(found, residue);
    run.taps.push_back({found - run.residues.begin(), reach / axis.stride});
    run.reach = std::max(run.reach, reach / axis.stride);
  }
  return run;
}

std::vector<AxisRun> backward_runs(const Axis& axis, PaddingMode mode, bool flip,
                                   bool fill_unmet) {
  std::vector<Segment> segments{{axis.pad_before, axis.input, 0, 1, false}};
  if (repeats_input(mode)) {
    append_padding_segments(axis, mode, 0, axis.pad_before, segments);
    append_padding_segments(axis, mode, axis.pad_before + axis.input,
                            axis.pad_before + axis.input + axis.pad_after, segments);
  }
  const std::int64_t tap_step = axis.stride / std::gcd(axis.stride, axis.dilation);
  const auto taps = first_taps(axis, tap_step);
  std::vector<AxisRun> runs;
  bool unmet = false;
  for (const Segment& segment : segments) {
    const std::int64_t phases = std::min(axis.stride, segment.count);
    for (std::int64_t offset = 0; offset < phases; ++offset) {
      AxisRun run = phase_run(axis, segment, offset, flip, taps, tap_step);
      const bool empty = run.taps.empty();
      unmet = unmet || (empty && !segment.adds);
      if (empty && (fill_unmet || segment.adds)) continue;
      runs.push_back(std::move(run));
    }
  }
  if (unmet && fill_unmet) {
    AxisRun fill;
    fill.count = axis.input;
    fill.residues.push_back(0);
    runs.insert(runs.begin(), std::move(fill));
  }
  return runs;
}

}  // namespace fastconv::direct
