/// What the ways to compute a convolution cost, counted in multiply-adds of vectors: which way the
/// vectors lie, how rows are strung together, whether taps in the padding are left out.
#include <algorithm>

#include "algorithms/direct/correlation_schedule.hpp"

namespace fastconv::direct {
namespace {

/// Starting a kernel, in multiply-adds of all of its accumulators' vectors.
constexpr double kStart = 40.0;

/// Fewer pixels leave the multipliers waiting for each other.
constexpr std::int64_t kFewestPixels = 4;

}  // namespace

/// Multiply-adds of vectors in one step of the reduction, garbage and partly filled vectors
/// included, plus what it costs to pack the source and to transpose the sums where they lie the
/// other way than memory.
template <class T>
void CorrelationSchedule<T>::choose_lanes(const Problem& problem) {
  // Elements that are moved in the time of one multiply-add of vectors.
  constexpr double kTransposedSums = 1.25;
  constexpr double kTransposedElements = 0.8;
  constexpr double kCopiedElements = 4.0;
  if (parts != 1 || 2 * destination_channels < kernels_.lanes) return;
  double depth = static_cast<double>(source_channels);
  double elements = static_cast<double>(destination_channels);
  double source_elements = static_cast<double>(source_channels);
  bool inside = true;
  const auto phases = main_phases();
  for (std::size_t a = 0; a < 3; ++a) {
    const Axis& axis = problem.axes[a];
    const bool forward = problem.pass == Pass::forward;
    depth *= static_cast<double>(phases[a]->runs.front().tap_count());
    elements *= static_cast<double>(phases[a]->count);
    source_elements *=
        static_cast<double>((phases[a]->count + phases[a]->reach) * phases[a]->plane_count());
    inside = inside && reads_inside(*phases[a], forward ? axis.input : axis.output);
  }
  if (depth == 0.0) return;
  const double packing =
      source_elements / (channels_last_ ? kTransposedElements : kCopiedElements) / depth;
  const double transposing = elements / kTransposedSums / depth;
  const bool pixels_in_place = inside && !channels_last_ && phases[2]->source_step == 1;
  const double along_pixels = steps_along_pixels() + (channels_last_ ? transposing : 0.0) +
                              (pixels_in_place ? 0.0 : packing);
  const double more_along_channels =
      (channels_last_ ? 0.0 : transposing) + (inside ? 0.0 : packing);
  const double along_channels = steps_along_channels();
  if (along_channels + more_along_channels < along_pixels) lanes_along = LanesAlong::channels;
  if (!may_leave_out_padding(problem)) return;
  constexpr double kWorthwhile = 0.9;
  const std::array<AxisPhases, 3> cut = phases_without_padding(problem);
  const double without_padding = steps_along_channels(cut);
  if (without_padding + more_along_channels < kWorthwhile * along_pixels &&
      without_padding < kWorthwhile * along_channels) {
    lanes_along = LanesAlong::channels;
    leaves_out_padding = true;
    for (std::size_t a = 0; a < 3; ++a) phases_[a].front() = cut[a];
  }
}

/// Only padding with zeros adds nothing to a sum, if they are packed as zeros; going backward there
/// is no padding.
template <class T>
bool CorrelationSchedule<T>::may_leave_out_padding(const Problem& problem) const {
  if (problem.pass == Pass::forward && problem.padding_mode != PaddingMode::zeros) return false;
  if (source_shift != 0) return false;
  return std::ranges::all_of(phases_, [](const std::vector<AxisPhases>& phases) {
    return phases.size() == 1 && phases.front().runs.size() == 1;
  });
}

/// The phases, cut along the axes where that leaves out enough.
template <class T>
std::array<AxisPhases, 3> CorrelationSchedule<T>::phases_without_padding(
    const Problem& problem) const {
  constexpr double kWorthwhile = 0.92;
  std::array<AxisPhases, 3> result;
  for (std::size_t a = 0; a < 3; ++a) {
    const AxisPhases& all = phases_[a].front();
    const Axis& axis = problem.axes[a];
    result[a] = leave_out_padding(all, problem.pass == Pass::forward ? axis.input : axis.output);
    std::int64_t met = 0;
    for (const AxisRun& run : result[a].runs) met += run.count * run.tap_count();
    // Weights of which none is used would not be looked through.
    const auto all_taps = static_cast<double>(all.count * all.runs.front().tap_count());
    if (met == 0 || static_cast<double>(met) > kWorthwhile * all_taps) result[a] = all;
  }
  return result;
}

/// The phases that do the work: those that only write zeros come first, if there are any.
template <class T>
std::array<const AxisPhases*, 3> CorrelationSchedule<T>::main_phases() const {
  std::array<const AxisPhases*, 3> result{};
  for (std::size_t a = 0; a < 3; ++a) {
    const auto found = std::ranges::find_if(
        phases_[a], [](const AxisPhases& phases) { return phases.runs.front().tap_count() > 0; });
    result[a] = found == phases_[a].end() ? &phases_[a].front() : &*found;
  }
  return result;
}

template <class T>
double CorrelationSchedule<T>::steps_along_pixels() const {
  const Tile tile(main_phases());
  const Flattening flattening = choose_flattening(tile, LanesAlong::pixels);
  return flat_cost(tile, flattening, LanesAlong::pixels) *
         static_cast<double>(destination_channels);
}

template <class T>
double CorrelationSchedule<T>::steps_along_channels() const {
  const Tile tile(main_phases());
  const Flattening flattening = choose_flattening(tile, LanesAlong::channels);
  return flat_cost(tile, flattening, LanesAlong::channels) *
         static_cast<double>(ceil_divide(destination_channels, kernels_.lanes));
}

/// The same measure for phases that leave out padding: a row of positions is computed in as many
/// pieces as there are rows of taps.
template <class T>
double CorrelationSchedule<T>::steps_along_channels(const std::array<AxisPhases, 3>& cut) const {
  double rows = 1.0;
  double taps = static_cast<double>(cut[2].whole.value_or(cut[2].runs.front()).tap_count());
  for (std::size_t a = 0; a < 2; ++a) {
    double met = 0.0;
    for (const AxisRun& run : cut[a].runs) met += static_cast<double>(run.count * run.tap_count());
    rows *= met;
    taps *= static_cast<double>(cut[a].whole.value_or(cut[a].runs.front()).tap_count());
  }
  double steps = 0.0;
  for (const AxisRun& run : cut[2].runs) {
    const auto pixels = static_cast<double>(std::max(kFewestPixels, run.count));
    steps += kStart / kChannelVectors * (1.0 + pixels / kMaxCorrelationPixels) /
                 static_cast<double>(source_channels) +
             pixels * static_cast<double>(run.tap_count());
  }
  return rows * steps / taps *
         static_cast<double>(ceil_divide(destination_channels, kernels_.lanes));
}

/// The vectors of a flat run along the pixels, and what they leave idle: fewer accumulators than
/// eight wait for each other.
template <class T>
double CorrelationSchedule<T>::vectors_at_work(std::int64_t vectors) const {
  constexpr std::int64_t kFewestAccumulators = 8;
  double sum = 0.0;
  for (std::int64_t left = destination_channels; left > 0;) {
    const std::int64_t rows = most_rows(left);
    sum += static_cast<double>(rows * std::max(vectors, kFewestAccumulators / rows));
    left -= rows;
  }
  return sum / static_cast<double>(destination_channels);
}

/// Multiply-adds of vectors for one channel (along the pixels) or one vector of channels. Sums with
/// garbage between them cannot be formed where they belong, which matters where the depth is small.
template <class T>
double CorrelationSchedule<T>::flat_cost(const Tile& tile, Flattening flattening,
                                         LanesAlong lanes) const {
  constexpr double kMovedVector = 8.0;
  const FlatRuns runs = flat_runs(tile.size, tile.pitch, flattening);
  const double count = static_cast<double>(runs.count);
  const double depth = static_cast<double>(source_channels * region_taps(tile));
  if (lanes == LanesAlong::pixels) {
    const double vectors = vectors_at_work(ceil_divide(runs.length, kernels_.lanes));
    const bool garbage = runs.count * runs.length != product(tile.size);
    const double moved = garbage && !channels_last_ && depth > 0.0 ? kMovedVector / depth : 0.0;
    const double starts = depth > 0.0 ? kStart / static_cast<double>(full_rows()) / depth : 0.0;
    return count * (starts * (1.0 + vectors / 3.0) + vectors * (1.0 + moved));
  }
  const double pixels = static_cast<double>(std::max(kFewestPixels, runs.length));
  const double starts = depth > 0.0 ? kStart / kChannelVectors / depth : 0.0;
  return count * (starts * (1.0 + pixels / kMaxCorrelationPixels) + pixels);
}

template <class T>
Flattening CorrelationSchedule<T>::choose_flattening(const Tile& tile, LanesAlong lanes) const {
  Flattening best = Flattening::rows;
  double least = 0.0;
  for (const Flattening flattening : {Flattening::rows, Flattening::slices, Flattening::tile}) {
    const double cost = flat_cost(tile, flattening, lanes);
    if (flattening == Flattening::rows || cost < least) {
      least = cost;
      best = flattening;
    }
  }
  return best;
}

template class CorrelationSchedule<float>;
template class CorrelationSchedule<double>;
template class CorrelationSchedule<std::int32_t>;
template class CorrelationSchedule<std::int64_t>;

}  // namespace fastconv::direct
