/// What the ways to compute a convolution cost, counted in multiply-adds of vectors: which way the
/// vectors lie, how rows are strung together, whether taps in the padding are left out.
#include <algorithm>

#include "algorithms/direct/correlation_schedule.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/vector_units.hpp"

namespace fastconv::direct {
namespace {

/// Starting a kernel, in multiply-adds of all of its accumulators' vectors.
constexpr double kStart = 40.0;

/// Of the runs of an axis: a stride makes phases of more and fewer taps.
double average_taps(const AxisPhases& phases) {
  std::int64_t taps = 0;
  for (const AxisRun& run : phases.runs) taps += run.tap_count();
  return static_cast<double>(taps) / static_cast<double>(phases.runs.size());
}

/// Steps of a line of pixels in those of a full tile: starting a tile that is not full takes the
/// same time.
double full_tile_steps(std::int64_t pixels) {
  constexpr double kFullTile = kMaxCorrelationPixels;
  const auto steps = static_cast<double>(steps_of_line(pixels));
  return pixels < kMaxCorrelationPixels ? (steps + 1.0) * kFullTile / (kFullTile + 1.0) : steps;
}

}  // namespace

/// Multiply-adds of vectors in one step of the reduction, garbage and partly filled vectors
/// included, plus what it costs to pack the source and to transpose the sums where they lie the
/// other way than memory.
template <class T>
void CorrelationSchedule<T>::choose_lanes(const Problem& problem) {
  // Elements that are moved in the time of one multiply-add of vectors, which takes twice as long
  // where units are half as wide.
  const double halved = halved_vector_factor();
  const double transposed_sums = 0.625 * halved;
  const double transposed_elements = 0.4 * halved;
  const double copied_elements = 2.0 * halved;
  constexpr double kSplitLoads = 1.1;
  if (parts != 1 || 2 * destination_channels < kernels_.lanes) return;
  double depth = static_cast<double>(source_channels);
  double elements = static_cast<double>(destination_channels);
  double source_elements = static_cast<double>(source_channels);
  bool inside = true;
  const auto phases = main_phases();
  for (std::size_t a = 0; a < 3; ++a) {
    const Axis& axis = problem.axes[a];
    const bool forward = problem.pass == Pass::forward;
    depth *= average_taps(*phases[a]);
    elements *= static_cast<double>(phases[a]->count);
    source_elements *=
        static_cast<double>(phases[a]->window(phases[a]->count) * phases[a]->plane_count());
    inside = inside && reads_inside(*phases[a], forward ? axis.input : axis.output);
  }
  if (depth == 0.0) return;
  const double packing =
      source_elements / (channels_last_ ? transposed_elements : copied_elements) / depth;
  const double transposing = elements / transposed_sums / depth;
  const bool pixels_in_place = inside && !channels_last_ && phases[2]->source_step == 1;
  // A single tap along the rows meets pixels on cache lines, packed or in long runs.
  const bool aligned = phases[2]->runs.front().tap_count() == 1 &&
                       (!pixels_in_place || begins_on_lines(product(Tile(phases).counts)));
  const double along_pixels =
      steps_along_pixels() * (loads_split() && !aligned ? kSplitLoads : 1.0) +
      (channels_last_ ? transposing : 0.0) + (pixels_in_place ? 0.0 : packing);
  const double more_along_channels =
      (channels_last_ ? 0.0 : transposing) + (inside ? 0.0 : packing);
  const double weights = transposed_weights(images_ * product(Tile(phases).counts));
  const double along_channels = steps_along_channels() + weights;
  if (along_channels + more_along_channels < along_pixels) lanes_along = LanesAlong::channels;
  if (!may_leave_out_padding(problem)) return;
  constexpr double kWorthwhile = 0.97;
  constexpr double kOrderedByTaps = 2.0;
  const std::array<AxisPhases, 3> cut = phases_without_padding(problem);
  const double without_padding = steps_along_channels(cut) + kOrderedByTaps * weights;
  if (without_padding + more_along_channels < kWorthwhile * along_pixels &&
      without_padding < kWorthwhile * along_channels) {
    lanes_along = LanesAlong::channels;
    leaves_out_padding = true;
    for (std::size_t a = 0; a < 3; ++a) phases_[a].front() = cut[a];
  }
}

/// What it costs to transpose the weights for one step of one image, if with vectors along the
/// pixels they were read where they lie.
template <class T>
double CorrelationSchedule<T>::transposed_weights(std::int64_t positions) const {
  // Pages beyond those that a processor's table of addresses knows. With one tap pixels are waited
  // for instead.
  constexpr std::int64_t kManyBytes = 8 << 20;
  if (!may_lie_in_place(positions)) return 0.0;
  const std::int64_t taps = product(kernel_);
  const auto bytes = static_cast<std::int64_t>(sizeof(T)) * groups_ * destination_channels *
                     source_channels * taps;
  const double elements = (bytes > kManyBytes && taps > 1 ? 0.75 : 2.0) * halved_vector_factor();
  return static_cast<double>(destination_channels) / elements / static_cast<double>(images_);
}

/// Whether a load that does not begin on a cache line takes two of them: vectors are as long as
/// lines, and so wide are the units.
template <class T>
bool CorrelationSchedule<T>::loads_split() const {
  return kernels_.lanes * sizeof(T) == kAlignment && halved_vector_factor() == 1.0;
}

/// Whether `compute_along_pixels` can let its tiles begin on cache lines in all channels.
template <class T>
bool CorrelationSchedule<T>::begins_on_lines(std::int64_t positions) const {
  return positions % kernels_.lanes == 0 && positions >= kLeastAlignedVectors * kernels_.lanes;
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

/// The phases, cut along those axes that leave the fewest steps.
template <class T>
std::array<AxisPhases, 3> CorrelationSchedule<T>::phases_without_padding(
    const Problem& problem) const {
  std::array<AxisPhases, 3> all;
  std::array<AxisPhases, 3> cut;
  for (std::size_t a = 0; a < 3; ++a) {
    const Axis& axis = problem.axes[a];
    all[a] = phases_[a].front();
    cut[a] = leave_out_padding(all[a], problem.pass == Pass::forward ? axis.input : axis.output);
    // Weights of which none is used would not be looked through.
    const bool meets = std::ranges::any_of(
        cut[a].runs, [](const AxisRun& run) { return run.count > 0 && run.tap_count() > 0; });
    if (!meets) cut[a] = all[a];
  }
  std::array<AxisPhases, 3> best = all;
  double least = 0.0;
  constexpr unsigned kAllAxes = 7;
  for (unsigned axes = 1; axes <= kAllAxes; ++axes) {
    std::array<AxisPhases, 3> phases = all;
    for (std::size_t a = 0; a < 3; ++a) {
      if ((axes >> a & 1U) != 0) phases[a] = cut[a];
    }
    const double steps = steps_along_channels(phases);
    if (axes > 1 && steps >= least) continue;
    least = steps;
    best = std::move(phases);
  }
  return best;
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

/// The same measure for phases that leave out padding: a box of positions for each combination of
/// runs, in lines of pixels. Rows of all columns are one line.
template <class T>
double CorrelationSchedule<T>::steps_along_channels(const std::array<AxisPhases, 3>& cut) const {
  // Pixels of a column lie in as many cache lines.
  constexpr double kColumn = 1.5;
  std::int64_t whole_taps = 1;
  for (const AxisPhases& phases : cut) {
    whole_taps *= phases.whole.value_or(phases.runs.front()).tap_count();
  }
  const auto channels = static_cast<double>(source_channels);
  const double pieces =
      std::max(1.0, channels * static_cast<double>(whole_taps) / static_cast<double>(kDepthChunk));
  double steps = 0.0;
  for (const AxisRun& d : cut[0].runs) {
    for (const AxisRun& h : cut[1].runs) {
      for (const AxisRun& w : cut[2].runs) {
        const bool all_columns = cut[2].runs.size() == 1;
        const Extent size{d.count, h.count, w.count};
        const BoxLines lines =
            box_lines(size, size, all_columns ? Flattening::slices : Flattening::rows);
        const auto rows_of_taps = static_cast<double>(d.tap_count() * h.tap_count());
        const double start = kStart / kChannelVectors * pieces / channels *
                             (1.0 + static_cast<double>(lines.length) / kMaxCorrelationPixels);
        const double line = full_tile_steps(lines.length) * (lines.upright ? kColumn : 1.0) *
                            static_cast<double>(w.tap_count()) * rows_of_taps;
        steps +=
            static_cast<double>(lines.count) * ((all_columns ? 1.0 : rows_of_taps) * start + line);
      }
    }
  }
  return steps / static_cast<double>(whole_taps) *
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
  const double moved_row = 32.0 / halved_vector_factor();
  const FlatRuns runs = flat_runs(tile.size, tile.pitch, flattening);
  const double count = static_cast<double>(runs.count);
  const double depth = static_cast<double>(source_channels * region_taps(tile));
  if (lanes == LanesAlong::pixels) {
    const double vectors = vectors_at_work(ceil_divide(runs.length, kernels_.lanes));
    const bool garbage = runs.count * runs.length != product(tile.size);
    const bool moves = garbage && !channels_last_ && depth > 0.0;
    const double rows = static_cast<double>(tile.size[0] * tile.size[1]);
    const double moved = moves ? (kMovedVector * vectors * count + moved_row * rows) / depth : 0.0;
    const double starts = depth > 0.0 ? kStart / static_cast<double>(full_rows()) / depth : 0.0;
    return count * (starts * (1.0 + vectors / 3.0) + vectors) + moved;
  }
  const double pixels = full_tile_steps(runs.length);
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
