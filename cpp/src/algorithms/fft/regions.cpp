#include "algorithms/fft/regions.hpp"

#include <algorithm>
#include <iterator>
#include <numeric>

#include "fft/fourier.hpp"

namespace fastconv::fft_convolution {
namespace {

/// Taps that all lie on one grid of positions: as many phases as the grid has places, each with
/// taps side by side.
std::vector<AxisPhases> split_by_dilation(AxisPhases phases) {
  std::vector<AxisPhases> parts;
  std::int64_t step = 0;
  if (phases.runs.size() == 1 && phases.plane_count() == 1) {
    for (const direct::Tap& tap : phases.runs.front().taps) {
      step = std::gcd(step, tap.shift);
      if (step == 1) break;
    }
  }
  if (step <= 1) {
    parts.push_back(std::move(phases));
    return parts;
  }
  for (std::int64_t place = 0; place < std::min(step, phases.count); ++place) {
    AxisPhases part = phases;
    direct::AxisRun& run = part.runs.front();
    run.count = ceil_divide(run.count - place, step);
    run.destination_first += place * run.destination_step;
    run.destination_step *= step;
    for (direct::Tap& tap : run.taps) tap.shift /= step;
    part.count = run.count;
    part.source_first += place * phases.source_step;
    part.source_step *= step;
    part.reach /= step;
    parts.push_back(std::move(part));
  }
  return parts;
}

AxisPhases destination_phases(const direct::AxisRun& run) {
  AxisPhases phases;
  phases.count = run.count;
  phases.source_first = run.destination_first;
  phases.source_step = run.destination_step;
  phases.runs.push_back(run);
  phases.runs.front().taps = {{0, 0}};
  return phases;
}

bool is_single(const Axis& axis) { return axis.output == 1 && axis.kernel == 1; }

bool is_period(const Problem& problem, std::size_t a) {
  const Axis& axis = problem.axes[a];
  // A single tap wraps nothing around.
  if (problem.padding_mode != PaddingMode::circular || axis.stride != 1 || axis.kernel == 1 ||
      axis.output != axis.input || axis.dilation * (axis.kernel - 1) >= axis.input) {
    return false;
  }
  const bool sequence = is_single(problem.axes[0]) && is_single(problem.axes[1]);
  // Cyclic rows, and a sequence that is cut into rows, are pairs of real numbers.
  if (a == 1 || sequence) return axis.input % 2 == 0 && fft::has_small_factors(axis.input);
  return fft::is_supported_length(axis.input);
}

/// All positions of an axis that is a period, forward or backward.
AxisPhases period(const Axis& axis, bool flip, bool backward) {
  AxisPhases phases = direct::forward_phases(axis, flip);
  phases.reach = 0;
  phases.wraps = true;
  if (!backward) return phases;
  phases.source_first = 0;
  for (std::size_t a = 0; a < phases.runs.front().taps.size(); ++a) {
    const std::int64_t read = axis.pad_before - static_cast<std::int64_t>(a) * axis.dilation;
    phases.runs.front().taps[a].shift = (read % axis.input + axis.input) % axis.input;
  }
  return phases;
}

}  // namespace

PeriodicAxes Regions::possible_periods(const Problem& problem) {
  return {is_period(problem, 0), is_period(problem, 1), is_period(problem, 2)};
}

Regions::Regions(const Problem& problem, const PeriodicAxes& periodic) {
  for (std::size_t a = 0; a < 3; ++a) {
    const Axis& axis = problem.axes[a];
    if (periodic[a]) {
      axes_[a].push_back(period(axis, problem.flip, problem.pass == Pass::backward_input));
    } else if (problem.pass == Pass::backward_input) {
      // Elements that no tap meets have runs without taps: their spectra are zeros.
      for (AxisPhases& phases :
           direct::aligned_backward_phases(axis, problem.padding_mode, problem.flip)) {
        std::ranges::move(split_by_dilation(std::move(phases)), std::back_inserter(axes_[a]));
      }
    } else {
      axes_[a] = split_by_dilation(direct::forward_phases(axis, problem.flip));
    }
  }
}

std::string Regions::describe_periods() const {
  constexpr std::array<const char*, 3> kNames{"depth", "height", "width"};
  std::string text;
  for (std::size_t a = 0; a < kNames.size(); ++a) {
    if (!wraps(a)) continue;
    text += (text.empty() ? ", one period along " : " and ") + std::string(kNames[a]);
  }
  return text;
}

Regions::Phases Regions::phases(std::int64_t region) const {
  const std::int64_t w = phases_count(2);
  const std::int64_t h = phases_count(1);
  return {&axes_[0][static_cast<std::size_t>(region / (w * h))],
          &axes_[1][static_cast<std::size_t>(region / w % h)],
          &axes_[2][static_cast<std::size_t>(region % w)]};
}

std::vector<Runs> Regions::runs(std::int64_t region) const {
  std::vector<Runs> all;
  const Phases axes = phases(region);
  for (const direct::AxisRun& d : axes[0]->runs) {
    for (const direct::AxisRun& h : axes[1]->runs) {
      for (const direct::AxisRun& w : axes[2]->runs) all.push_back({&d, &h, &w});
    }
  }
  return all;
}

bool Regions::adds(std::int64_t region) const {
  return std::ranges::any_of(phases(region), [](const AxisPhases* axis) { return axis->adds; });
}

bool Regions::repeats(std::int64_t region) const {
  return std::ranges::any_of(phases(region), [](const AxisPhases* axis) { return axis->repeats; });
}

std::int64_t Regions::tile_count(std::size_t axis, std::int64_t positions) const {
  std::int64_t count = 0;
  for (const AxisPhases& phases : axes_[axis]) {
    count += ceil_divide(phases.count, positions);
  }
  return count;
}

std::int64_t Regions::tap_columns() const {
  std::int64_t last = 0;
  for (const direct::AxisRun& run : axes_[2].front().runs) {
    for (const direct::Tap& tap : run.taps) last = std::max(last, tap.shift);
  }
  return last + 1;
}

std::int64_t Regions::planes() const {
  std::int64_t planes = 1;
  for (const auto& axis : axes_) planes *= axis.front().plane_count();
  return planes;
}

std::int64_t Regions::run_count() const {
  std::size_t runs = 1;
  for (const auto& axis : axes_) runs *= axis.front().runs.size();
  return static_cast<std::int64_t>(runs);
}

bool Regions::is_sequence() const {
  const auto single = [&](std::size_t axis) { return positions(axis) == 1 && reach(axis) == 0; };
  return single(0) && single(1);
}

Tile make_tile(const Regions::Phases& phases, const fft::TileSize& size, std::int64_t pitch) {
  const Extent sizes =
      size.sequence ? Extent{1, 1, size.points()} : Extent{size.depth, size.rows, size.columns};
  Extent most;
  for (std::size_t a = 0; a < 3; ++a) most[a] = sizes[a] - phases[a]->reach;
  const Extent pitches = size.sequence ? sizes : Extent{size.depth, size.rows, pitch};
  return Tile(phases, most, pitches);
}

DestinationTiles::DestinationTiles(const Runs& runs, const Tile& source)
    : phases_{destination_phases(*runs[0]), destination_phases(*runs[1]),
              destination_phases(*runs[2])},
      tile_({&phases_[0], &phases_[1], &phases_[2]}, source.size, source.pitch) {
  // A run that is shorter than others of its phases has the tiles of those nevertheless.
  tile_.size = source.size;
  tile_.tiles = source.tiles;
}

}  // namespace fastconv::fft_convolution
