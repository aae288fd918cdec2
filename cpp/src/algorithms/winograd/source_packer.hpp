#pragma once

#include "algorithms/winograd/geometry.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::winograd {

/// Copies the windows of a box of tiles into memory of pixels, one vector of channels each, with
/// the padding in place: [row][column][lane]. Rows and columns that no output needs are zeros.
template <class T>
class SourcePacker {
 public:
  SourcePacker(const Geometry& geometry, const TensorView& source, const TypedKernels<T>& kernels);

  /// For a tap of the kernel's depth: channels [first, first + count), of all groups together, at
  /// most one vector.
  void pack(const TileBox& box, std::int64_t depth_tap, std::int64_t first, std::int64_t count,
            T* scratch, T* to) const;

  /// The same windows, transformed: to[f * frequency_pitch + tile * tile_pitch + lane], with
  /// `pixels` for what is packed on the way.
  void transform(const TileBox& box, std::int64_t depth_tap, std::int64_t first, std::int64_t count,
                 T* scratch, T* pixels, T* to, std::int64_t tile_pitch,
                 std::int64_t frequency_pitch) const;

  static std::int64_t rows_of(std::int64_t tile_rows) { return kTileOutputs * tile_rows + 2; }

 private:
  struct Columns {
    std::int64_t start;  ///< source position of column 0
    std::int64_t count;
    std::int64_t inside_first;
    std::int64_t inside_end;
  };

  std::int64_t source_position(std::size_t axis, std::int64_t position) const;
  void pack_row(const T* row, const Columns& columns, std::int64_t count, T* scratch, T* to) const;
  void load(const T* pixels, std::int64_t width, std::int64_t count, T* scratch, T* to) const;

  const Geometry& geometry_;
  const TensorView& source_;
  const TypedKernels<T>& kernels_;
};

}  // namespace fastconv::winograd
