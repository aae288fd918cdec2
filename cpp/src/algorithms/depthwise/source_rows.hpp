#pragma once

#include <array>
#include <cstdint>

#include "algorithms/depthwise/tap_groups.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/real_view.hpp"
#include "kernels/kernel_table.hpp"

/// Rows of pixels as the kernels read them: where they lie, or in a padded copy.
namespace fastconv::depthwise {

/// Rows of one slice of a channel, which may lie outside the source.
struct RowsInPlace {
  std::int64_t n;
  std::int64_t channel;
  std::int64_t slice;
  std::int64_t first;
  std::int64_t spacing;  ///< from one row to the next
  std::int64_t count;
  std::int64_t column;  ///< where the pointers point, inside the source or not
};

/// Writes a pointer for each of the rows, `zeros` for those outside a source of these sizes;
/// returns the place behind the last.
template <class T>
const T** find_rows(const RealView& source, const direct::Extent& sizes, const RowsInPlace& of,
                    const T* zeros, const T** rows);

/// The channels [first, first + channels) of an image, for the tile at `origin`.
struct TileChannels {
  direct::Extent origin;
  std::int64_t n;
  std::int64_t first;
  std::int64_t channels;
};

/// Packs a tile as direct::pack_source does, for rows of neighbouring elements, padding with zeros
/// and steps of 1 or 2.
template <class T>
void pack_rows(const direct::Tile& tile, const std::array<AxisTaps, 3>& axes,
               const RealView& source, const direct::Extent& sizes, const TileChannels& of,
               PadRowsFunction<T> pad_rows, T* packed);

}  // namespace fastconv::depthwise
