#pragma once

#include <array>
#include <string>
#include <vector>

#include "algorithms/direct/tile.hpp"
#include "fft/tile_transform.hpp"

namespace fastconv::fft_convolution {

using direct::AxisPhases;
using direct::Extent;
using direct::Runs;
using direct::Tile;

/// Axes along which tiles are whole periods, so that what wraps around needs no padding.
using PeriodicAxes = std::array<bool, 3>;

/// A problem as dense correlations: positions, taps and shifts along each axis, in the terms of
/// direct/geometry.hpp. Forward, a stride makes planes of the source; backward, runs of the
/// destination; dilation alone makes several regions, one for each place on the grid that the taps
/// of an output lie on, with the same kernel. Going backward through padding that repeats the
/// input, further regions add the gradients of the copies. The weight gradient reads the input like
/// the forward pass.
class Regions {
 public:
  explicit Regions(const Problem& problem, const PeriodicAxes& periodic = {});

  /// The axes along which tiles can be whole periods: circular padding, and an output as large as
  /// the input. A sequence must divide into rows of whole vectors besides.
  static PeriodicAxes possible_periods(const Problem& problem);
  bool wraps(std::size_t axis) const { return axes_[axis].front().wraps; }
  /// ", one period along height and width", or nothing.
  std::string describe_periods() const;

  /// One set of phases for each axis; all have the same taps.
  using Phases = std::array<const AxisPhases*, 3>;
  std::int64_t count() const { return phases_count(0) * phases_count(1) * phases_count(2); }
  Phases phases(std::int64_t region) const;
  /// All combinations of one run of each axis.
  std::vector<Runs> runs(std::int64_t region) const;

  /// Whether a region adds to what others wrote, and whether it writes an element several times.
  bool adds(std::int64_t region) const;
  bool repeats(std::int64_t region) const;
  /// Tiles of so many positions along an axis, of all of its phases.
  std::int64_t tile_count(std::size_t axis, std::int64_t positions) const;

  /// Of the first region.
  std::int64_t positions(std::size_t axis) const { return axes_[axis].front().count; }
  std::int64_t reach(std::size_t axis) const { return axes_[axis].front().reach; }
  /// Columns of a plane that taps stand in.
  std::int64_t tap_columns() const;
  std::int64_t planes() const;
  std::int64_t run_count() const;
  /// Whether only the last axis has more than one position.
  bool is_sequence() const;

 private:
  std::int64_t phases_count(std::size_t axis) const {
    return static_cast<std::int64_t>(axes_[axis].size());
  }

  std::array<std::vector<AxisPhases>, 3> axes_;
};

/// The tiles of a region for a transform.
Tile make_tile(const Regions::Phases& phases, const fft::TileSize& size, std::int64_t pitch);

/// The destination of some runs, to be read in the tiles that it is written in: position j of a run
/// is the element destination(j).
class DestinationTiles {
 public:
  DestinationTiles(const Runs& runs, const Tile& source);
  DestinationTiles(const DestinationTiles&) = delete;
  DestinationTiles& operator=(const DestinationTiles&) = delete;

  const Tile& tile() const { return tile_; }

 private:
  std::array<AxisPhases, 3> phases_;
  Tile tile_;
};

}  // namespace fastconv::fft_convolution
