#pragma once

#include <algorithm>
#include <map>
#include <vector>

#include "algorithms/direct/tile.hpp"
#include "algorithms/direct/weight_packing.hpp"

/// Everything about a forward or backward-input convolution that is decided before its arrays are
/// seen: how destination channels fall into blocks, positions into regions and tiles, and where
/// packed weights lie. `CorrelationPlan` carries it out.
namespace fastconv::direct {

/// The best kernel for a number of vectors still to do, for one number of rows.
template <class T>
using KernelsByVectors = std::array<const CorrelationKernel<T>*, kMaxCorrelationVectors + 1>;

/// Pixels of which the best split into kernels is known; of more the largest kernel comes first.
inline constexpr int kMostSplitPixels = 4 * kMaxCorrelationPixels;

/// The next kernel for a number of pixels still to do, for one number of vectors.
template <class T>
using KernelsByPixels = std::array<const ChannelCorrelationKernel<T>*, kMostSplitPixels + 1>;

/// What the vectors of the microkernels lie along. Along the pixels, channels need not fill
/// vectors and channels-first memory is written as it is; along the channels, rows of any length
/// fill tiles without garbage and channels-last memory is written as it is.
enum class LanesAlong { pixels, channels };

/// Channels times taps that are added up in one sequence: rounding errors grow with the length of
/// a piece and the number of pieces, not with their product.
inline constexpr std::int64_t kDepthChunk = 1024;

/// Vectors of output channels that the kernels with lanes along the channels take at most.
inline constexpr std::int64_t kChannelVectors = 2;

/// The same where vectors lie along the channels and the next weights are fetched meanwhile, or
/// vectors are multiplied faster than the second-level cache delivers weights: few enough for the
/// cache lines of as many to be on their way at a time and for the first-level cache to keep them,
/// enough to hide that sums are loaded and stored.
inline constexpr std::int64_t kShortDepth = 144;

/// Vectors of a flat run for which one more is worth letting all others begin on a cache line.
inline constexpr std::int64_t kLeastAlignedVectors = 32;

/// Channels that are stored together where memory has them side by side: a cache line of float32.
inline constexpr std::int64_t kStoredChannels = 16;

/// How a tile's positions are strung into flat rows: garbage between rows costs multiply-adds,
/// short rows cost partly filled vectors.
enum class Flattening { rows, slices, tile };

/// Taps whose weights are packed together; phases of several regions may share them.
struct TapSet {
  Runs runs;
  std::int64_t depth;         ///< source channels times taps
  std::int64_t depth_before;  ///< of the sets before
};

/// Taps of a phase that lie side by side among those of its set.
struct TapSpan {
  std::int64_t first;   ///< in the phase
  std::int64_t packed;  ///< in the set
  std::int64_t count;
};

/// One run along each axis.
struct Phase {
  Runs runs;
  std::vector<std::int64_t> offsets;  ///< of every step of the reduction
  std::vector<TapSpan> spans;         ///< one of no taps where there are none
  std::size_t tap_set = 0;
  std::int64_t taps = 0;
  std::int64_t first_offset = 0;  ///< depths of the region's phases before
  std::int64_t sums_first = 0;    ///< positions of the phases before whose sums wait beside these
  std::int64_t depth() const { return static_cast<std::int64_t>(offsets.size()); }
};

/// Phases that read the same tiles.
struct Region {
  Tile tile;
  std::vector<Phase> phases;
  Flattening flattening = Flattening::rows;
  bool adds = false;
  bool reads = false;                 ///< some phase has taps
  std::int64_t sources_per_item = 0;  ///< source channels whose tiles are packed together
  std::int64_t images_per_item = 1;
  std::int64_t sums_pitch = 0;  ///< positions of an image whose sums wait, in whole vectors
  /// Elements of the sums of one phase, if its rows and those of the next alternate in memory and
  /// both wait to be stored together; or 0.
  std::int64_t alternate_sums = 0;
  std::int64_t channel_shares = 1;
  std::int64_t items = 0;
};

/// Flat rows of a tile: how many, and how long each.
struct FlatRuns {
  std::int64_t count;
  std::int64_t length;
};

/// Items of work for each thread, so that none waits long for the last.
inline constexpr std::int64_t kItemsPerThread = 4;

/// Calls body(runs) for each combination of one run along each axis.
template <class Body>
void for_each_phase(const std::array<const AxisPhases*, 3>& phases, const Body& body) {
  for (const AxisRun& d : phases[0]->runs) {
    for (const AxisRun& h : phases[1]->runs) {
      for (const AxisRun& w : phases[2]->runs) body(Runs{&d, &h, &w});
    }
  }
}

/// Taps of the longest phase.
std::int64_t region_taps(const Tile& tile);

FlatRuns flat_runs(const Extent& size, const Extent& pitch, Flattening flattening);

/// Rows of a tile that are computed as one: [first_d, end_d) x [first_h, end_h).
struct FlatRun {
  std::int64_t first_d;
  std::int64_t end_d;
  std::int64_t first_h;
  std::int64_t end_h;
};

FlatRun flat_run(Flattening flattening, const Extent& size, std::int64_t run);

/// Lines of a box that kernels with lanes along the channels follow: its flat runs, or its columns.
struct BoxLines {
  std::int64_t count;
  std::int64_t length;
  bool upright;
};

/// The lines that take the fewest steps: a column of a narrow box is long where rows are short.
BoxLines box_lines(const Extent& size, const Extent& pitch, Flattening flattening);

/// Steps of the reduction that a line of pixels takes, in those of one pixel: few pixels leave the
/// multipliers waiting for each other.
constexpr std::int64_t steps_of_line(std::int64_t pixels) {
  constexpr std::int64_t kFewestPixels = 4;
  return std::max(kFewestPixels, pixels);
}

/// Destination channels of a group that a microkernel computes together.
template <class T>
struct Block {
  std::int64_t first;
  std::int64_t channels;  ///< real ones; the rest of the rows have zero weights
  int rows;
  std::int64_t packed_first;  ///< rows of the blocks before, padding included
  KernelsByVectors<T> kernels;
  KernelsByPixels<T> channel_kernels;
};

template <class T>
class CorrelationSchedule {
 public:
  CorrelationSchedule(const Problem& problem, const TypedKernels<T>& kernels, int threads);
  CorrelationSchedule(const CorrelationSchedule&) = delete;  // regions point into phases_

  int threads;
  LanesAlong lanes_along = LanesAlong::pixels;
  std::int64_t parts;  ///< real numbers that an element consists of
  /// Of one group, in the real view; pairs or quads of them where the kernels multiply such. A
  /// reduction takes as many steps for each tap.
  std::int64_t source_channels = 0;
  std::int64_t destination_channels = 0;  ///< likewise
  std::int64_t groups_per_item = 1;       ///< groups whose tiles are packed together
  std::vector<Block<T>> blocks;
  std::int64_t padded_rows = 0;  ///< of all blocks
  std::vector<Region> regions;   ///< in the order in which they must run
  std::vector<TapSet> tap_sets;
  /// Where the elements of the kernel are packed; empty unless there are several sets of taps and
  /// every element belongs to one.
  std::vector<TapTarget> tap_targets;
  std::int64_t max_depth = 0;  ///< of all sets of taps
  std::int64_t all_depth = 0;  ///< of them together
  /// Whether there is a phase for each box of positions that the same taps meet, those that meet
  /// padding alone being left out. Then all phases share a set of taps, and both offsets and
  /// weights are ordered [piece of the source channels][tap][source channel of the piece]: any
  /// neighbouring taps are contiguous.
  bool leaves_out_padding = false;
  std::int64_t sources_together = 1;  ///< source channels of such a piece
  std::int32_t source_shift = 0;      ///< see joined_products.hpp
  /// One image in one tile (and one flat row of pixels): no block of weights is needed twice.
  bool uses_weights_once = false;
  /// Then, with several sets of taps: a piece of a block is packed for all of them before it is
  /// used.
  bool packs_whole_blocks = false;
  /// Whether weights that lie suitably are not packed.
  bool may_use_weights_in_place = false;
  /// Of those, with many positions, only weights from each of which one step leads to the next.
  bool uses_even_weights_alone = false;
  /// Whether few weights are used at a time, and the next ones or the next item's source fetched
  /// meanwhile. Requests that wait for a far cache hold up the kernels' own: there weights are
  /// fetched in short rows alone, which the processor does not foresee, as they are going backward,
  /// and sources by kernels that take long, with vectors along the channels.
  bool packs_short_pieces = false;
  bool fetches_weights = false;
  bool fetches_sources = false;
  std::int64_t packed_size = 0;     ///< elements of the largest packed tile
  std::int64_t most_positions = 0;  ///< whose sums wait together, of all regions
  std::int64_t sums_size = 0;       ///< elements of all sums that wait to be stored
  std::int64_t total_depth = 0;     ///< of the phases of one region, at most

  WeightOrder weight_order() const {
    return leaves_out_padding ? WeightOrder::taps : WeightOrder::sources;
  }
  /// Rows of packed weights, of all groups.
  std::int64_t packed_rows() const { return groups_ * padded_rows; }
  std::int64_t packed_weight_count() const { return packed_rows() * all_depth; }
  std::int64_t block_count() const { return static_cast<std::int64_t>(blocks.size()); }
  std::int64_t group_blocks() const { return ceil_divide(groups_, groups_per_item); }
  /// Most destination channels that a microkernel computes.
  std::int64_t max_rows() const;
  /// Most destination channels whose sums wait to be stored.
  std::int64_t sums_rows() const;
  /// Source channels whose products are added up in one sequence: as many for all sets of taps.
  /// Whether these share what is packed depends on the number of threads, which must not show in
  /// the bits of the result.
  std::int64_t sources_per_piece() const;
  /// Whether a phase reads beyond the borders of a source of these sizes.
  bool reads_beyond(const Extent& sizes) const;
  /// Calls body(source channel, tap) in the order of the reduction.
  template <class Body>
  void for_each_step(std::int64_t taps, const Body& body) const {
    for (std::int64_t first = 0; first < source_channels; first += sources_together) {
      const std::int64_t end = std::min(first + sources_together, source_channels);
      for (std::int64_t tap = 0; tap < taps; ++tap) {
        for (std::int64_t source = first; source < end; ++source) body(source, tap);
      }
    }
  }

 private:
  std::int64_t sources_for_taps(std::int64_t taps) const;
  void choose_lanes(const Problem& problem);
  bool loads_split() const;
  double transposed_weights(std::int64_t positions) const;
  bool begins_on_lines(std::int64_t positions) const;
  std::array<const AxisPhases*, 3> main_phases() const;
  double steps_along_pixels() const;
  double steps_along_channels() const;
  bool may_leave_out_padding(const Problem& problem) const;
  std::array<AxisPhases, 3> phases_without_padding(const Problem& problem) const;
  double steps_along_channels(const std::array<AxisPhases, 3>& cut) const;
  void choose_blocks();
  std::int64_t full_rows() const;
  std::int64_t most_rows(std::int64_t left) const;
  void choose_groups_per_item();
  void make_phases(const Problem& problem);
  void make_regions();
  void find_tap_targets();
  bool is_filled_already(const std::array<const AxisPhases*, 3>& phases) const;
  void add_region(const std::array<const AxisPhases*, 3>& phases, bool adds);
  void add_phase(Region& region, const Runs& runs);
  std::size_t tap_set_of(const Runs& runs, std::int64_t depth);
  std::int64_t packed_elements(const Region& region) const;
  bool rows_alternate(const Tile& tile) const;
  std::int64_t sums_elements(const Region& region) const;
  std::int64_t positions(const Tile& tile, const Extent& size) const;
  std::int64_t positions(const Tile& tile) const;
  void choose_tile(Region& region);
  bool fit_cache(Region& region) const;
  void let_phases_wait(Region& region);
  bool is_limited_by_weights() const;
  std::int64_t positions_of_phase() const;
  bool gains_from_weights_in_place() const;
  bool may_lie_in_place(std::int64_t positions) const;
  std::int64_t least_shared_positions() const;
  void share_out(Region& region) const;
  Flattening choose_flattening(const Tile& tile, LanesAlong lanes) const;
  double vectors_at_work(std::int64_t vectors) const;
  double flat_cost(const Tile& tile, Flattening flattening, LanesAlong lanes) const;

  const TypedKernels<T>& kernels_;
  bool channels_last_;
  bool sources_lie_inside_;  ///< of a weight's memory, so that many are a long row
  std::int64_t images_;
  std::int64_t groups_;
  Extent kernel_;
  std::array<std::vector<AxisPhases>, 3> phases_;
  std::map<Extent, std::size_t> tap_sets_by_first_;
};

}  // namespace fastconv::direct
