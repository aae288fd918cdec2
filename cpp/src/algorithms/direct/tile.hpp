#pragma once

#include <array>
#include <cstdint>
#include <type_traits>
#include <vector>

#include "algorithms/direct/geometry.hpp"
#include "algorithms/real_view.hpp"
#include "ceil_divide.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

using Extent = std::array<std::int64_t, 3>;

inline std::int64_t product(const Extent& extent) { return extent[0] * extent[1] * extent[2]; }

/// a + b, modulo 2^n for integers.
template <class T>
inline T wrapping_sum(T a, T b) {
  if constexpr (T(0.5) == T(0)) {
    return static_cast<T>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(b));
  } else {
    return a + b;
  }
}

/// One run along each axis.
using Runs = std::array<const AxisRun*, 3>;

inline std::int64_t tap_count(const Runs& runs) {
  return runs[0]->tap_count() * runs[1]->tap_count() * runs[2]->tap_count();
}

/// A box of positions j along each axis, and the padded planes that hold what all phases of the
/// three axes read for it.
///
/// A channel of the packed source is `planes` planes (one for each combination of residues), each
/// [pitch_d][pitch_h][pitch_w] positions; every tap of every position of the tile lies at a fixed
/// offset from the position's own index, so a plane can be read as one flat row.
struct Tile {
  std::array<const AxisPhases*, 3> phases;
  Extent counts;  ///< positions of the whole box
  Extent size;    ///< positions of one tile; the last along an axis may have fewer
  Extent pitch;   ///< of the window that `size` positions read
  Extent tiles;   ///< tiles along each axis
  std::int64_t planes = 1;
  std::int64_t plane_size = 0;

  explicit Tile(const std::array<const AxisPhases*, 3>& axis_phases);

  /// Tiles of at most `most` positions, nearly equal ones, in planes of a given pitch.
  Tile(const std::array<const AxisPhases*, 3>& axis_phases, const Extent& most,
       const Extent& pitch);

  /// Halves the tile along the axis where that repeats the fewest source elements; false if it
  /// cannot be halved without leaving fewer than `least_width` positions in a row.
  bool halve(std::int64_t least_width);
  /// Gives the tile this size, at most that of the box.
  void cut(const Extent& tile_size);

  /// Where the rows of a tile join to one, changes their number a little so that they fill whole
  /// vectors of `lanes` pixels.
  void fill_vectors(std::int64_t lanes);

  std::int64_t tile_count() const { return product(tiles); }
  std::int64_t channel_size() const { return planes * plane_size; }
  /// First position of a tile, and how many it has of the box, or of a run of each axis (none, if
  /// the run is shorter than the longest one).
  Extent origin(std::int64_t index) const;
  Extent size_at(const Extent& origin) const;
  Extent size_at(const Extent& origin, const Runs& runs) const;

  /// Offsets of all taps of the runs from a position's own index, in the order of the packed
  /// weights.
  std::vector<std::int64_t> tap_offsets(const Runs& runs) const;
  /// Of one.
  std::int64_t tap_offset(const Tap& d, const Tap& h, const Tap& w) const {
    const std::int64_t plane =
        (d.plane * phases[1]->plane_count() + h.plane) * phases[2]->plane_count() + w.plane;
    return plane * plane_size + (d.shift * pitch[1] + h.shift) * pitch[2] + w.shift;
  }

 private:
  void update();
};

/// What stands outside the source.
struct SourcePadding {
  Extent sizes;                           ///< of the source, spatially
  PaddingMode mode;                       ///< zeros where the source is a gradient
  std::array<double, 2> value{0.0, 0.0};  ///< real and imaginary
  std::int64_t integer = 0;
};

SourcePadding input_padding(const Problem& problem);

/// What turns elements of the source into elements of packed planes: one into one, or those of
/// several channels into one.
template <class T>
class BlockLoader {
 public:
  BlockLoader(LoadBlockFunction<T> load_block) : load_block_(load_block) {}
  BlockLoader(LoadJoinedFunction<T> load_joined, JoinedChannels channels)
      : load_joined_(load_joined), channels_(channels) {}

  void operator()(T* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch,
                  std::int64_t from_stride, BlockShape shape) const {
    if (load_joined_ != nullptr) {
      load_joined_(to, to_pitch, from, from_pitch, from_stride, shape, channels_);
    } else {
      load_block_(to, to_pitch, from, from_pitch, from_stride, shape);
    }
  }

 private:
  LoadBlockFunction<T> load_block_ = nullptr;
  LoadJoinedFunction<T> load_joined_ = nullptr;
  JoinedChannels channels_{};
};

/// Copies the source of one tile, channels [first, first + count), into packed planes, converting
/// to T. Channels are those of the real view. Channels-last memory is read row by row, all channels
/// at once, other memory plane by plane.
template <class T>
void pack_source(const Tile& tile, const SourcePadding& padding, const Extent& origin,
                 const RealView& source, std::int64_t n, std::int64_t first, std::int64_t count,
                 std::type_identity_t<BlockLoader<T>> load_block, T* packed);

}  // namespace fastconv::direct
