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

/// The elements themselves, then their copies in the padding.
std::vector<Segment> segments_of(const Axis& axis, PaddingMode mode) {
  std::vector<Segment> segments{{axis.pad_before, axis.input, 0, 1, false}};
  if (repeats_input(mode)) {
    append_padding_segments(axis, mode, 0, axis.pad_before, segments);
    append_padding_segments(axis, mode, axis.pad_before + axis.input,
                            axis.pad_before + axis.input + axis.pad_after, segments);
  }
  return segments;
}

/// Phase of a segment that starts at its element `offset`, before the first one if negative; every
/// stride-th belongs to it. Shifts are still source positions.
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
  const auto first_tap = taps.find(residue);
  if (first_tap == taps.end()) return run;
  run.kernel_first = flip ? axis.kernel - 1 - first_tap->second : first_tap->second;
  run.kernel_step = flip ? -tap_step : tap_step;
  for (std::int64_t a = first_tap->second; a < axis.kernel; a += tap_step) {
    // Output o = phase + j - reach / stride has this input element under the tap.
    run.taps.push_back({0, phase - a * axis.dilation / axis.stride});
  }
  return run;
}

/// Makes shifts relative to the first source position that any tap of any run reads.
void set_window(AxisPhases& phases) {
  phases.count = 0;
  bool any = false;
  std::int64_t first = 0;
  std::int64_t last = 0;
  for (const AxisRun& run : phases.runs) {
    phases.count = std::max(phases.count, run.count);
    phases.repeats = phases.repeats || (run.destination_step == 0 && run.count > 1);
    for (const Tap& tap : run.taps) {
      first = any ? std::min(first, tap.shift) : tap.shift;
      last = any ? std::max(last, tap.shift) : tap.shift;
      any = true;
    }
  }
  phases.source_first = first;
  phases.reach = last - first;
  for (AxisRun& run : phases.runs) {
    for (Tap& tap : run.taps) tap.shift -= first;
  }
}

/// The element of the source that the first position of a run reads under the tap.
std::int64_t first_read(const AxisPhases& phases, const Tap& tap) {
  return phases.source_first + phases.residues[static_cast<std::size_t>(tap.plane)] +
         phases.source_step * tap.shift;
}

}  // namespace

AxisPhases forward_phases(const Axis& axis, bool flip) {
  AxisRun run;
  run.count = axis.output;
  run.kernel_first = flip ? axis.kernel - 1 : 0;
  run.kernel_step = flip ? -1 : 1;
  run.taps.reserve(static_cast<std::size_t>(axis.kernel));
  AxisPhases phases;
  phases.count = axis.output;
  phases.source_first = -axis.pad_before;
  phases.source_step = axis.stride;
  // Residues repeat with this period; the first taps have one each.
  const std::int64_t period = axis.stride / std::gcd(axis.stride, axis.dilation);
  phases.residues.clear();
  for (std::int64_t a = 0; a < axis.kernel; ++a) {
    const std::int64_t reach = a * axis.dilation;
    if (a < period) phases.residues.push_back(reach % axis.stride);
    // Divisions are slow, and there may be a hundred thousand taps.
    const std::int64_t shift = axis.stride == 1 ? reach : reach / axis.stride;
    run.taps.push_back({period == 1 ? 0 : a % period, shift});
    phases.reach = std::max(phases.reach, shift);
  }
  phases.runs.push_back(std::move(run));
  return phases;
}

std::vector<AxisPhases> backward_phases(const Axis& axis, PaddingMode mode, bool flip,
                                        bool fill_unmet) {
  const std::int64_t tap_step = axis.stride / std::gcd(axis.stride, axis.dilation);
  const auto taps = first_taps(axis, tap_step);
  std::vector<AxisPhases> result;
  bool unmet = false;
  for (const Segment& segment : segments_of(axis, mode)) {
    AxisPhases phases;
    phases.adds = segment.adds;
    for (std::int64_t offset = 0; offset < std::min(axis.stride, segment.count); ++offset) {
      AxisRun run = phase_run(axis, segment, offset, flip, taps, tap_step);
      const bool empty = run.taps.empty();
      unmet = unmet || (empty && !segment.adds);
      if (empty && (fill_unmet || segment.adds)) continue;
      phases.runs.push_back(std::move(run));
    }
    if (phases.runs.empty()) continue;
    set_window(phases);
    result.push_back(std::move(phases));
  }
  if (unmet && fill_unmet) {
    AxisPhases fill;
    fill.count = axis.input;
    fill.runs.emplace_back().count = axis.input;
    result.insert(result.begin(), std::move(fill));
  }
  return result;
}

std::vector<AxisPhases> aligned_backward_phases(const Axis& axis, PaddingMode mode, bool flip) {
  const std::int64_t tap_step = axis.stride / std::gcd(axis.stride, axis.dilation);
  const auto taps = first_taps(axis, tap_step);
  std::vector<AxisPhases> result;
  for (const Segment& segment : segments_of(axis, mode)) {
    AxisPhases phases;
    phases.adds = segment.adds;
    const std::int64_t residue =
        segment.first - floor_divide(segment.first, axis.stride) * axis.stride;
    for (std::int64_t r = 0; r < axis.stride; ++r) {
      AxisRun run = phase_run(axis, segment, r - residue, flip, taps, tap_step);
      run.first = r < residue ? 1 : 0;
      phases.runs.push_back(std::move(run));
    }
    set_window(phases);
    // Several runs may write the element too.
    phases.repeats = segment.destination_step == 0 && segment.count > 1;
    result.push_back(std::move(phases));
  }
  return result;
}

std::int64_t AxisPhases::window(std::int64_t size) const {
  std::int64_t end = size;
  if (wraps) return end;
  for (const AxisRun& run : runs) {
    for (const Tap& tap : run.taps) end = std::max(end, std::min(size, run.count) + tap.shift);
  }
  return end;
}

AxisPhases leave_out_padding(const AxisPhases& phases, std::int64_t size) {
  const AxisRun& whole = phases.runs.front();
  const std::int64_t step = phases.source_step;
  // Positions [first, end) of each tap that read the source.
  struct Inside {
    std::int64_t first;
    std::int64_t end;
  };
  std::vector<Inside> inside;
  std::vector<std::int64_t> cuts{0, whole.count};
  for (const Tap& tap : whole.taps) {
    const std::int64_t read = first_read(phases, tap);
    const auto position_at_or_after = [&](std::int64_t element) {
      return std::clamp<std::int64_t>(-floor_divide(read - element, step), 0, whole.count);
    };
    inside.push_back({position_at_or_after(0), position_at_or_after(size)});
    cuts.push_back(inside.back().first);
    cuts.push_back(inside.back().end);
  }
  std::ranges::sort(cuts);
  AxisPhases result = phases;
  result.runs.clear();
  result.whole = whole;
  for (std::size_t c = 0; c + 1 < cuts.size(); ++c) {
    if (cuts[c] == cuts[c + 1]) continue;
    const auto reads = [&](const Inside& tap) {
      return tap.first <= cuts[c] && cuts[c + 1] <= tap.end;
    };
    // What later taps read lies further on (or back), so those inside are neighbours.
    const auto first = std::ranges::find_if(inside, reads);
    const auto end = std::find_if_not(first, inside.end(), reads);
    AxisRun run = whole;
    run.first_tap = first - inside.begin();
    run.count = cuts[c + 1] - cuts[c];
    run.destination_first = whole.destination(cuts[c]);
    run.kernel_first = whole.kernel_first + run.first_tap * whole.kernel_step;
    run.taps.assign(whole.taps.begin() + run.first_tap,
                    whole.taps.begin() + (end - inside.begin()));
    for (Tap& tap : run.taps) tap.shift += cuts[c];
    result.runs.push_back(std::move(run));
  }
  const std::int64_t first = result.source_first;
  set_window(result);
  result.source_first = first + result.source_first * step;
  return result;
}

bool reads_inside(const AxisPhases& phases, std::int64_t size) {
  for (const AxisRun& run : phases.runs) {
    for (const Tap& tap : run.taps) {
      const std::int64_t first = first_read(phases, tap);
      if (first < 0 || first + (run.count - 1) * phases.source_step >= size) return false;
    }
  }
  return true;
}

}  // namespace fastconv::direct
