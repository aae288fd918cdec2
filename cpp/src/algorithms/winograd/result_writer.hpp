#pragma once

#include <optional>

#include "algorithms/real_view.hpp"
#include "algorithms/winograd/geometry.hpp"
#include "fastconv/plan.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::winograd {

/// The bias of a call in whole vectors, `padded` channels for each group; null if there is none.
template <class T>
const T* read_bias(const Problem& problem, const Geometry& geometry, const Arguments& arguments,
                   const TypedKernels<T>& kernels, std::int64_t padded, T* bias);

/// Transforms the sums of a row of tiles back, one vector of channels at a time, and writes the
/// outputs to memory of any strides.
///
/// An output that is not finite is computed again by the formula. So an infinity or NaN of the
/// source, which spreads over its tile, stays in the windows that hold it, and what overflowed
/// only on the way is right as well. Which outputs those are depends on the problem alone.
template <class T>
class ResultWriter {
 public:
  /// `bias` holds whole vectors for each group, or is null.
  ResultWriter(const Problem& problem, const Geometry& geometry, const Arguments& arguments,
               const TypedKernels<T>& kernels, const T* bias);

  struct Sums {
    const T* first;
    std::int64_t tile_pitch;
    std::int64_t frequency_pitch;
  };

  /// `row` is a box of one row of tiles; channels [first, first + lanes) of the group, of which
  /// those beyond the last are left out.
  void write(const TileBox& row, std::int64_t group, std::int64_t first, const Sums& sums,
             T* scratch) const;

  /// Elements of scratch memory for rows of so many tiles.
  static std::int64_t scratch_size(const Geometry& geometry, std::int64_t tiles,
                                   std::int64_t lanes);

 private:
  /// Outputs of one vector of channels in memory of pixels.
  struct Pixels {
    T* first;
    std::int64_t row_pitch;
    std::int64_t pixel_pitch;
  };

  /// What of a row of tiles lies within the destination.
  struct Region {
    std::int64_t item;
    std::int64_t slice;
    std::int64_t group;
    std::int64_t channel;  ///< of the group
    std::int64_t channels;
    std::int64_t h;
    std::int64_t rows;
    std::int64_t w;
    std::int64_t columns;
  };

  /// Outputs of tiles side by side that exist.
  struct Extent {
    std::int64_t skipped;  ///< before them
    std::int64_t first;    ///< position in the destination
    std::int64_t count;
    bool whole;
  };

  Extent extent_of(const AxisGeometry& axis, std::int64_t phase, std::int64_t tile,
                   std::int64_t tiles) const;
  void repair(const Region& region, const Pixels& pixels) const;
  T compute(const Region& region, std::int64_t channel, std::int64_t h, std::int64_t w) const;
  /// Of the group's source channels. `from` and `factors` are where the group begins in the source
  /// and the first tap of the destination channel in the weight; no `from` for padding.
  double dot(std::optional<std::int64_t> from, std::int64_t factors, std::int64_t component) const;
  // Places in the destination are offsets of the real view.
  void store_pixels(const Pixels& pixels, std::int64_t columns, std::int64_t channels,
                    std::int64_t to) const;
  void store_planes(const Pixels& pixels, std::int64_t columns, std::int64_t channels, T* planes,
                    std::int64_t to) const;

  const Problem& problem_;
  const Geometry& geometry_;
  RealView source_;
  RealView weight_;
  RealView destination_;
  const TypedKernels<T>& kernels_;
  const WinogradKernels<T>& transforms_;
  const T* bias_;
  bool channels_last_;
  bool converts_;  ///< elements that are stored are not of T
  // Between neighbours of a phase in the destination.
  std::int64_t row_step_;
  std::int64_t column_step_;
};

}  // namespace fastconv::winograd
