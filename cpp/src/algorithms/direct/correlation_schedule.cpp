#include "algorithms/direct/correlation_schedule.hpp"

#include <algorithm>

#include "algorithms/direct/direct.hpp"
#include "fastconv/cpu.hpp"

namespace fastconv::direct {
namespace {

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

/// Items of work for each thread, so that none waits long for the last.
constexpr std::int64_t kItemsPerThread = 4;

}  // namespace

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

template <class T>
CorrelationSchedule<T>::CorrelationSchedule(const Problem& problem, int thread_count)
    : threads(worthwhile_threads(problem, thread_count)),
      parts(problem.is_complex() ? 2 : 1),
      kernels_(active_kernels().typed<T>()),
      images_(problem.n),
      groups_(problem.g) {
  const bool forward = problem.pass == Pass::forward;
  source_channels = (forward ? problem.c : problem.k) / problem.g * parts;
  destination_channels = (forward ? problem.k : problem.c) / problem.g * parts;
  if (problem.n == 0 || destination_channels == 0) return;
  choose_blocks();
  choose_groups_per_item();
  make_phases(problem);
  make_regions();
  const Region& first = regions.front();
  // What turns out to be infinite must be computed again, which adding to the result forbids.
  uses_weights_once = regions.size() == 1 && !problem.accumulate &&
                      images_ * first.tile.tile_count() == 1 &&
                      flat_runs(first.tile.size, first.tile.pitch, first.flattening).count == 1;
}

template <class T>
std::int64_t CorrelationSchedule<T>::max_rows() const {
  int rows = 1;
  for (const auto& kernel : kernels_.correlation) rows = std::max(rows, kernel.rows);
  return rows;
}

template <class T>
std::int64_t CorrelationSchedule<T>::sums_rows() const {
  return std::min(kStoredChannels + max_rows(), groups_per_item * padded_rows);
}

/// Full blocks first; what is left in powers of two, except that one padded row is cheaper than
/// two smaller blocks.
template <class T>
void CorrelationSchedule<T>::choose_blocks() {
  std::int64_t first = 0;
  std::int64_t rows = max_rows();
  while (first < destination_channels) {
    const std::int64_t left = destination_channels - first;
    while (rows > 1 && left < rows - (rows > 2 ? 1 : 0)) rows /= 2;
    const std::int64_t channels = std::min(rows, left);
    blocks.push_back({first, channels, static_cast<int>(rows), padded_rows,
                      kernels_of_rows(kernels_, static_cast<int>(rows))});
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
          if ((d.adds || h.adds || w.adds) == adds) add_region({&d, &h, &w}, adds);
        }
      }
    }
  }
}

template <class T>
void CorrelationSchedule<T>::add_region(const std::array<const AxisPhases*, 3>& phases, bool adds) {
  Region region{.tile = Tile(phases), .phases = {}, .adds = adds};
  choose_tile(region);
  for (const AxisRun& d : phases[0]->runs) {
    for (const AxisRun& h : phases[1]->runs) {
      for (const AxisRun& w : phases[2]->runs) add_phase(region, {&d, &h, &w});
    }
  }
  const std::int64_t flat_length =
      flat_runs(region.tile.size, region.tile.pitch, region.flattening).length;
  packed_size = std::max(packed_size, packed_elements(region.tile));
  sums_pitch = std::max(sums_pitch, ceil_divide(flat_length, kernels_.lanes) * kernels_.lanes);
  regions.push_back(std::move(region));
}

template <class T>
void CorrelationSchedule<T>::add_phase(Region& region, const Runs& runs) {
  Phase phase{.runs = runs, .offsets = {}};
  const std::vector<std::int64_t> taps = region.tile.tap_offsets(runs);
  phase.offsets.reserve(static_cast<std::size_t>(source_channels) * taps.size());
  for (std::int64_t c = 0; c < source_channels; ++c) {
    for (const std::int64_t tap : taps) {
      phase.offsets.push_back(c * region.tile.channel_size() + tap);
    }
  }
  max_depth = std::max(max_depth, phase.depth());
  if (phase.depth() > 0) {
    phase.weights = weights_of(runs, phase.depth());
    region.reads = true;
  }
  region.phases.push_back(std::move(phase));
}

/// Where the weights of the taps are packed; places them if no phase before had the same taps. The
/// first tap of a run decides on its others.
template <class T>
std::int64_t CorrelationSchedule<T>::weights_of(const Runs& runs, std::int64_t depth) {
  const Extent first_taps{runs[0]->kernel_first, runs[1]->kernel_first, runs[2]->kernel_first};
  const auto [found, is_new] = tap_sets_by_first_.emplace(first_taps, packed_weight_count);
  if (is_new) {
    tap_sets.push_back({runs, depth, packed_weight_count});
    packed_weight_count += groups_ * padded_rows * depth;
  }
  return found->second;
}

template <class T>
std::int64_t CorrelationSchedule<T>::packed_elements(const Tile& tile) const {
  return groups_per_item * source_channels * tile.channel_size();
}

/// The packed tile and its sums take half of the second-level cache; then tiles are halved and
/// channels shared out until every thread has several items.
template <class T>
void CorrelationSchedule<T>::choose_tile(Region& region) const {
  Tile& tile = region.tile;
  const auto budget = static_cast<std::int64_t>(second_level_cache_bytes() / 2 / sizeof(T));
  const std::int64_t least_width = std::int64_t{kMaxCorrelationVectors} * kernels_.lanes;
  while (packed_elements(tile) + sums_rows() * product(tile.pitch) > budget &&
         tile.halve(least_width)) {
  }
  const std::int64_t wanted = threads == 1 ? 1 : kItemsPerThread * threads;
  const std::int64_t images = images_ * group_blocks();
  while (images * tile.tile_count() < wanted && product(tile.size) > 4 * least_width &&
         tile.halve(least_width)) {
  }
  const std::int64_t shared = images * tile.tile_count();
  region.channel_shares = std::clamp<std::int64_t>(
      ceil_divide(wanted, std::max<std::int64_t>(1, shared)), 1, block_count());
  region.items = shared * region.channel_shares;
  choose_flattening(region);
}

template <class T>
void CorrelationSchedule<T>::choose_flattening(Region& region) const {
  double least = 0.0;
  for (const Flattening flattening : {Flattening::rows, Flattening::slices, Flattening::tile}) {
    const auto [count, length] = flat_runs(region.tile.size, region.tile.pitch, flattening);
    // Half a vector stands for the cost of starting a flat run.
    const double cost = static_cast<double>(count) *
                        (0.5 + static_cast<double>(ceil_divide(length, kernels_.lanes)));
    if (flattening == Flattening::rows || cost < least) {
      least = cost;
      region.flattening = flattening;
    }
  }
}

template class CorrelationSchedule<float>;
template class CorrelationSchedule<double>;
template class CorrelationSchedule<std::int32_t>;
template class CorrelationSchedule<std::int64_t>;

}  // namespace fastconv::direct
