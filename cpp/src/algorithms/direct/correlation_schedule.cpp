#include "algorithms/direct/correlation_schedule.hpp"

#include <algorithm>

#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/joined_products.hpp"
#include "fastconv/cpu.hpp"
#include "runtime/vector_units.hpp"

namespace fastconv::direct {
namespace {

/// Positions that share the time of packing weights, where that is worth avoiding. More of them
/// take weights that lie evenly in place too, as fast as packed ones, where caches are far.
constexpr std::int64_t kMostPositions = 1024;

template <class T>
KernelsByVectors<T> kernels_of_rows(const TypedKernels<T>& kernels, int rows) {
  KernelsByVectors<T> result{};
  for (const CorrelationKernel<T>& kernel : kernels.correlation) {
    if (kernel.rows != rows) continue;
    for (int v = kernel.vectors; v <= kMaxCorrelationVectors; ++v) {
      auto& best = result[static_cast<std::size_t>(v)];
      if (best == nullptr || best->vectors < kernel.vectors) best = &kernel;
    }
  }
  return result;
}

/// The first kernel of the split that takes the least time: fewer accumulators than eight wait for
/// each other, and each kernel has to be started.
template <class T>
KernelsByPixels<T> kernels_of_vectors(const TypedKernels<T>& kernels, int vectors) {
  constexpr int kFewestAccumulators = 8;
  constexpr int kStartPixels = 1;
  KernelsByPixels<T> result{};
  std::array<int, kMostSplitPixels + 1> least{};
  for (int left = 1; left <= kMostSplitPixels; ++left) {
    const auto at = static_cast<std::size_t>(left);
    for (const ChannelCorrelationKernel<T>& kernel : kernels.channel_correlation) {
      if (kernel.vectors != vectors || kernel.pixels > left) continue;
      const int time = std::max(kernel.pixels, kFewestAccumulators / vectors) + kStartPixels +
                       least[static_cast<std::size_t>(left - kernel.pixels)];
      const bool larger = result[at] != nullptr && kernel.pixels > result[at]->pixels;
      if (result[at] != nullptr && (time > least[at] || (time == least[at] && !larger))) continue;
      result[at] = &kernel;
      least[at] = time;
    }
  }
  return result;
}

/// The runs with all of their taps, where they were cut.
Runs whole_runs(const Tile& tile, const Runs& runs) {
  Runs whole = runs;
  for (std::size_t a = 0; a < 3; ++a) {
    if (tile.phases[a]->whole) whole[a] = &*tile.phases[a]->whole;
  }
  return whole;
}

/// The taps of `runs` among those of the runs that they were cut from.
std::vector<TapSpan> tap_spans(const Runs& runs, const Runs& whole) {
  std::vector<TapSpan> spans;
  const std::int64_t width = runs[2]->tap_count();
  for (std::int64_t d = 0; d < runs[0]->tap_count(); ++d) {
    for (std::int64_t h = 0; h < runs[1]->tap_count(); ++h) {
      const std::int64_t packed =
          ((runs[0]->first_tap + d) * whole[1]->tap_count() + runs[1]->first_tap + h) *
              whole[2]->tap_count() +
          runs[2]->first_tap;
      if (!spans.empty() && spans.back().packed + spans.back().count == packed) {
        spans.back().count += width;
      } else {
        spans.push_back({(d * runs[1]->tap_count() + h) * width, packed, width});
      }
    }
  }
  return spans;
}

}  // namespace

std::int64_t region_taps(const Tile& tile) {
  std::int64_t taps = 1;
  for (const AxisPhases* phases : tile.phases) {
    std::int64_t most = 0;
    for (const AxisRun& run : phases->runs) most = std::max(most, run.tap_count());
    taps *= most;
  }
  return taps;
}

FlatRuns flat_runs(const Extent& size, const Extent& pitch, Flattening flattening) {
  switch (flattening) {
    case Flattening::rows:
      return {size[0] * size[1], size[2]};
    case Flattening::slices:
      return {size[0], (size[1] - 1) * pitch[2] + size[2]};
    case Flattening::tile:
      return {1, ((size[0] - 1) * pitch[1] + size[1] - 1) * pitch[2] + size[2]};
  }
  return {};
}

FlatRun flat_run(Flattening flattening, const Extent& size, std::int64_t run) {
  switch (flattening) {
    case Flattening::rows:
      return {run / size[1], run / size[1] + 1, run % size[1], run % size[1] + 1};
    case Flattening::slices:
      return {run, run + 1, 0, size[1]};
    case Flattening::tile:
      return {0, size[0], 0, size[1]};
  }
  return {};
}

BoxLines box_lines(const Extent& size, const Extent& pitch, Flattening flattening) {
  const FlatRuns runs = flat_runs(size, pitch, flattening);
  const std::int64_t columns = size[0] * size[2];
  const bool upright = columns * steps_of_line(size[1]) < runs.count * steps_of_line(runs.length);
  return upright ? BoxLines{columns, size[1], true} : BoxLines{runs.count, runs.length, false};
}

template <class T>
CorrelationSchedule<T>::CorrelationSchedule(const Problem& problem, const TypedKernels<T>& kernels,
                                            int thread_count)
    : threads(thread_count),
      parts(problem.is_complex() ? 2 : 1),
      kernels_(kernels),
      channels_last_(problem.channels_last),
      sources_lie_inside_(problem.pass == Pass::forward),
      images_(problem.n),
      groups_(problem.g),
      kernel_{problem.axes[0].kernel, problem.axes[1].kernel, problem.axes[2].kernel} {
  const bool forward = problem.pass == Pass::forward;
  source_channels = ceil_divide((forward ? problem.c : problem.k) / problem.g * parts,
                                kernels.channels_per_element);
  destination_channels = (forward ? problem.k : problem.c) / problem.g * parts;
  if constexpr (std::is_same_v<T, std::int32_t>) {
    source_shift = direct::source_shift(problem, kernels);
  }
  if (problem.n == 0 || destination_channels == 0) return;
  make_phases(problem);
  choose_lanes(problem);
  choose_blocks();
  choose_groups_per_item();
  make_regions();
  find_tap_targets();
  const Region& first = regions.front();
  const bool one_run = lanes_along == LanesAlong::channels ||
                       flat_runs(first.tile.size, first.tile.pitch, first.flattening).count == 1;
  packs_whole_blocks = lanes_along == LanesAlong::channels && !tap_targets.empty() &&
                       !leaves_out_padding && first.sources_per_item >= source_channels;
  // What turns out to be infinite must be computed again, which adding to the result forbids. A
  // shift has to be made good from the beginning, out of all weights.
  uses_weights_once = source_shift == 0 && regions.size() == 1 &&
                      (tap_sets.size() == 1 || packs_whole_blocks) && !problem.accumulate &&
                      ceil_divide(images_, first.images_per_item) * first.tile.tile_count() == 1 &&
                      one_run;
  packs_whole_blocks = packs_whole_blocks && uses_weights_once;
  if (packs_whole_blocks) let_phases_wait(regions.front());
  const bool far = last_cache_is_far();
  fetches_weights =
      is_limited_by_weights() && !(far && (sources_lie_inside_ || product(kernel_) == 1));
  packs_short_pieces = fetches_weights ? !sources_lie_inside_
                                       : lanes_along == LanesAlong::channels &&
                                             !leaves_out_padding && halved_vector_factor() == 1.0;
  fetches_sources = !far || lanes_along == LanesAlong::channels;
  may_use_weights_in_place = gains_from_weights_in_place();
  uses_even_weights_alone = positions_of_phase() > kMostPositions;
}

/// Positions of all images that share the weights of a set of taps.
template <class T>
std::int64_t CorrelationSchedule<T>::positions_of_phase() const {
  std::int64_t most = 0;
  for (const Region& region : regions) {
    if (region.reads) most = std::max(most, images_ * product(region.tile.counts));
  }
  return most;
}

/// Packing weights takes a share of the time that many positions hide, and which is lost where
/// every tile and phase has to bring them into the cache anew. Few rows are packed in no time, and
/// those without a channel have no weights.
template <class T>
bool CorrelationSchedule<T>::gains_from_weights_in_place() const {
  constexpr std::int64_t kMostPasses = 8;
  if (leaves_out_padding) return false;
  const bool all_rows = std::ranges::all_of(
      blocks, [](const Block<T>& block) { return block.channels == block.rows; });
  std::int64_t tiles = 0;
  for (const Region& region : regions) {
    if (!region.reads) continue;
    tiles += ceil_divide(images_, region.images_per_item) * region.tile.tile_count();
  }
  const auto cache = static_cast<std::int64_t>(second_level_cache_bytes() / sizeof(T));
  const std::int64_t passes = tiles * std::ssize(tap_sets);
  return all_rows && may_lie_in_place(positions_of_phase()) &&
         (passes <= kMostPasses || packed_weight_count() <= cache);
}

/// The same, as far as it does not depend on tiles.
template <class T>
bool CorrelationSchedule<T>::may_lie_in_place(std::int64_t positions) const {
  if (parts != 1 || kernels_.channels_per_element != 1 || source_shift != 0) return false;
  // Backward the weights of neighbouring steps lie far apart, which a far cache makes wait.
  const bool far = last_cache_is_far();
  if (far && !sources_lie_inside_) return false;
  return destination_channels >= full_rows() && (far || positions <= kMostPositions);
}

/// The sums of all phases side by side.
template <class T>
void CorrelationSchedule<T>::let_phases_wait(Region& region) {
  region.sums_pitch = 0;
  for (Phase& phase : region.phases) {
    phase.sums_first = region.sums_pitch;
    region.sums_pitch += positions(region.tile, region.tile.size_at({0, 0, 0}, phase.runs));
  }
  sums_size = std::max(sums_size, region.images_per_item * sums_rows() * region.sums_pitch);
}

/// Large weights that one small image uses once: memory is what limits them. Only sizes that no
/// number of threads cuts, for the bits of the result depend on it.
template <class T>
bool CorrelationSchedule<T>::is_limited_by_weights() const {
  const auto cache = static_cast<std::int64_t>(second_level_cache_bytes() / sizeof(T));
  return uses_weights_once && lanes_along == LanesAlong::channels && images_ == 1 &&
         product(regions.front().tile.size) <= least_shared_positions() &&
         packed_weight_count() > cache / 4;
}

/// Positions of a tile that is not worth cutting for the sake of threads.
template <class T>
std::int64_t CorrelationSchedule<T>::least_shared_positions() const {
  return 4 * std::int64_t{kMaxCorrelationVectors} * kernels_.lanes;
}

template <class T>
void CorrelationSchedule<T>::find_tap_targets() {
  if (tap_sets.size() < 2) return;
  tap_targets.resize(static_cast<std::size_t>(product(kernel_)));
  std::int64_t taps_before = 0;
  for (const TapSet& set : tap_sets) {
    const std::int64_t taps = tap_count(set.runs);
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      std::int64_t rest = tap;
      std::int64_t element = 0;
      std::int64_t pitch = 1;
      for (const std::size_t a : {std::size_t{2}, std::size_t{1}, std::size_t{0}}) {
        const AxisRun& run = *set.runs[a];
        element += (run.kernel_first + rest % run.tap_count() * run.kernel_step) * pitch;
        rest /= run.tap_count();
        pitch *= kernel_[a];
      }
      tap_targets[static_cast<std::size_t>(element)] = {taps_before, taps, tap};
    }
    taps_before += taps;
  }
  const bool complete = std::ranges::all_of(
      tap_targets, [](const TapTarget& target) { return target.taps_before >= 0; });
  if (!complete) tap_targets.clear();
}

template <class T>
std::int64_t CorrelationSchedule<T>::full_rows() const {
  const bool eight = std::ranges::any_of(kernels_.correlation,
                                         [](const auto& kernel) { return kernel.rows == 8; });
  return eight ? 8 : 4;
}

template <class T>
std::int64_t CorrelationSchedule<T>::max_rows() const {
  if (lanes_along == LanesAlong::channels) return kChannelVectors * kernels_.lanes;
  int rows = 1;
  for (const auto& kernel : kernels_.correlation) rows = std::max(rows, kernel.rows);
  return rows;
}

template <class T>
std::int64_t CorrelationSchedule<T>::sums_rows() const {
  if (lanes_along == LanesAlong::channels) return max_rows();
  return std::min(kStoredChannels + max_rows(), groups_per_item * padded_rows);
}

template <class T>
std::int64_t CorrelationSchedule<T>::sources_per_piece() const {
  return sources_for_taps(max_depth / std::max<std::int64_t>(1, source_channels));
}

template <class T>
std::int64_t CorrelationSchedule<T>::sources_for_taps(std::int64_t taps) const {
  const std::int64_t depth = packs_short_pieces ? kShortDepth
                             : fetches_weights  ? kDepthChunk / kShortDepth * kShortDepth
                                                : kDepthChunk;
  return std::max<std::int64_t>(1, depth / std::max<std::int64_t>(1, taps));
}

template <class T>
bool CorrelationSchedule<T>::reads_beyond(const Extent& sizes) const {
  return std::ranges::any_of(regions, [&](const Region& region) {
    for (std::size_t a = 0; a < 3; ++a) {
      if (!reads_inside(*region.tile.phases[a], sizes[a])) return true;
    }
    return false;
  });
}

/// Rows of the next block. Along the pixels: full blocks first, of 8 rows where the registers hold
/// so many sums and 4 elsewhere; then one for what is left, with a padded row if there is no kernel
/// of just so many. Along the channels: two vectors, or the last one.
template <class T>
std::int64_t CorrelationSchedule<T>::most_rows(std::int64_t left) const {
  if (lanes_along == LanesAlong::channels) {
    return std::min(kChannelVectors, ceil_divide(left, kernels_.lanes)) * kernels_.lanes;
  }
  constexpr std::int64_t kMostLeft = 6;
  if (left <= 4) return left;
  return left <= kMostLeft ? kMostLeft : full_rows();
}

template <class T>
void CorrelationSchedule<T>::choose_blocks() {
  std::int64_t first = 0;
  while (first < destination_channels) {
    const std::int64_t left = destination_channels - first;
    const std::int64_t rows = most_rows(left);
    const std::int64_t channels = std::min(rows, left);
    Block<T> block{first, channels, static_cast<int>(rows), padded_rows, {}, {}};
    if (!blocks.empty() && blocks.back().rows == block.rows) {
      // All but the last block have as many rows.
      block.kernels = blocks.back().kernels;
      block.channel_kernels = blocks.back().channel_kernels;
    } else if (lanes_along == LanesAlong::channels) {
      block.channel_kernels = kernels_of_vectors(kernels_, block.rows / kernels_.lanes);
    } else {
      block.kernels = kernels_of_rows(kernels_, block.rows);
    }
    blocks.push_back(block);
    padded_rows += rows;
    first += channels;
  }
}

/// Channels-last rows hold all groups side by side, so small groups are packed together.
template <class T>
void CorrelationSchedule<T>::choose_groups_per_item() {
  constexpr std::int64_t kChannelsPerCacheLine = 16;
  const std::int64_t channels = std::max(source_channels, destination_channels);
  groups_per_item = std::clamp<std::int64_t>(kChannelsPerCacheLine / channels, 1, groups_);
  if (lanes_along == LanesAlong::channels) groups_per_item = 1;
  if (threads == 1) return;
  const std::int64_t enough = images_ * groups_ / (kItemsPerThread * threads);
  groups_per_item = std::clamp<std::int64_t>(groups_per_item, 1, std::max<std::int64_t>(1, enough));
}

template <class T>
void CorrelationSchedule<T>::make_phases(const Problem& problem) {
  for (std::size_t a = 0; a < 3; ++a) {
    const Axis& axis = problem.axes[a];
    if (problem.pass == Pass::forward) {
      phases_[a].push_back(forward_phases(axis, problem.flip));
    } else {
      phases_[a] = backward_phases(axis, problem.padding_mode, problem.flip, !problem.accumulate);
    }
  }
}

template <class T>
void CorrelationSchedule<T>::make_regions() {
  regions.reserve(phases_[0].size() * phases_[1].size() * phases_[2].size());
  // Regions that add come after all that write.
  for (const bool adds : {false, true}) {
    for (const AxisPhases& d : phases_[0]) {
      for (const AxisPhases& h : phases_[1]) {
        for (const AxisPhases& w : phases_[2]) {
          if ((d.adds || h.adds || w.adds) != adds || is_filled_already({&d, &h, &w})) continue;
          add_region({&d, &h, &w}, adds);
        }
      }
    }
  }
}

/// Zeros where a stride leaves elements that no tap meets are written by the first region, along
/// all axes that have any.
template <class T>
bool CorrelationSchedule<T>::is_filled_already(
    const std::array<const AxisPhases*, 3>& phases) const {
  bool fills = false;
  bool fills_everywhere = true;
  for (std::size_t a = 0; a < 3; ++a) {
    const AxisPhases& first = phases_[a].front();
    if (!std::ranges::all_of(first.runs, [](const AxisRun& run) { return run.taps.empty(); })) {
      continue;
    }
    fills = fills || phases[a] == &first;
    fills_everywhere = fills_everywhere && phases[a] == &first;
  }
  return fills && !fills_everywhere;
}

template <class T>
void CorrelationSchedule<T>::add_region(const std::array<const AxisPhases*, 3>& phases, bool adds) {
  Region region{.tile = Tile(phases), .phases = {}, .adds = adds};
  choose_tile(region);
  for_each_phase(phases, [&](const Runs& runs) { add_phase(region, runs); });
  packed_size = std::max(packed_size, packed_elements(region));
  region.sums_pitch = positions(region.tile);
  if (rows_alternate(region.tile)) region.alternate_sums = sums_rows() * region.sums_pitch;
  most_positions = std::max(most_positions, region.sums_pitch);
  sums_size = std::max(sums_size, sums_elements(region));
  std::int64_t depth = 0;
  std::int64_t sums = 0;
  for (Phase& phase : region.phases) {
    phase.first_offset = depth;
    depth += phase.depth();
    if (!leaves_out_padding) continue;
    phase.sums_first = sums;
    sums += positions(region.tile, region.tile.size_at({0, 0, 0}, phase.runs));
  }
  total_depth = std::max(total_depth, depth);
  regions.push_back(std::move(region));
}

template <class T>
void CorrelationSchedule<T>::add_phase(Region& region, const Runs& runs) {
  Phase phase{.runs = runs, .offsets = {}, .spans = {}, .taps = tap_count(runs)};
  const std::vector<std::int64_t> taps = region.tile.tap_offsets(runs);
  phase.offsets.reserve(static_cast<std::size_t>(source_channels) * taps.size());
  for_each_step(phase.taps, [&](std::int64_t source, std::int64_t tap) {
    phase.offsets.push_back(source * region.tile.channel_size() +
                            taps[static_cast<std::size_t>(tap)]);
  });
  if (phase.depth() > 0) {
    const Runs whole = whole_runs(region.tile, runs);
    phase.tap_set = tap_set_of(whole, source_channels * tap_count(whole));
    phase.spans = tap_spans(runs, whole);
    region.reads = true;
  } else {
    phase.spans = {{0, 0, 0}};
  }
  region.phases.push_back(std::move(phase));
}

/// The set of the taps; makes it if no phase before had the same taps. The first tap of a run
/// decides on its others.
template <class T>
std::size_t CorrelationSchedule<T>::tap_set_of(const Runs& runs, std::int64_t depth) {
  const Extent first_taps{runs[0]->kernel_first, runs[1]->kernel_first, runs[2]->kernel_first};
  const auto [found, is_new] = tap_sets_by_first_.emplace(first_taps, tap_sets.size());
  if (is_new) {
    tap_sets.push_back({runs, depth, all_depth});
    all_depth += depth;
    max_depth = std::max(max_depth, depth);
  }
  return found->second;
}

template class CorrelationSchedule<float>;
template class CorrelationSchedule<double>;
template class CorrelationSchedule<std::int32_t>;
template class CorrelationSchedule<std::int64_t>;

}  // namespace fastconv::direct
