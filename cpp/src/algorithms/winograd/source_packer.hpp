#pragma once

#include "algorithms/real_view.hpp"
#include "algorithms/winograd/geometry.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::winograd {

/// Copies the windows of a box of tiles into memory of pixels, one vector of channels each, with
/// the padding in place: [row][column][lane]. Rows and columns that no output needs are zeros. Then
/// transforms them.
template <class T>
class SourcePacker {
 public:
  SourcePacker(const Geometry& geometry, const TensorView& source, const TypedKernels<T>& kernels);

  /// Transformed windows: first[f * frequency_pitch + tile * tile_pitch + part * part_pitch + lane]
  /// for the parts of one slice of the kernel.
  struct Frequencies {
    T* first;
    std::int64_t part_pitch;
    std::int64_t tile_pitch;
    std::int64_t frequency_pitch;
  };

  /// Elements of scratch memory for rows of so many tiles.
  static std::int64_t scratch_size(const Geometry& geometry, std::int64_t tiles,
                                   std::int64_t lanes);

  /// For a tap of the kernel's depth: channels [first, first + count), of all groups together, at
  /// most one vector that begins with a real part. `pixels` holds what is packed on the way.
  void transform(const TileBox& box, std::int64_t depth_tap, std::int64_t first, std::int64_t count,
                 T* scratch, T* pixels, const Frequencies& to) const;

 private:
  /// The columns of a box.
  struct Columns {
    std::int64_t count;
    std::int64_t first_position;  ///< in the source, of column 0
    std::int64_t inside_first;
    std::int64_t inside_end;
    std::int64_t needed_end;
  };

  void pack(const TileBox& box, std::int64_t depth_tap, std::int64_t first, std::int64_t count,
            T* scratch, T* to) const;
  Columns columns_of(const TileBox& box, std::int64_t phase) const;
  // Places in the source are offsets of the real view.
  void pack_row(std::int64_t row, const Columns& columns, std::int64_t count, T* scratch,
                T* to) const;
  void load(std::int64_t pixels, std::int64_t width, std::int64_t count, T* scratch, T* to) const;
  void load_converted(std::int64_t pixels, std::int64_t width, std::int64_t count, T* scratch,
                      T* to) const;
  /// Pixels of the padding.
  void fill(std::int64_t pixels, T* to) const;

  const Geometry& geometry_;
  RealView source_;
  const TypedKernels<T>& kernels_;
  const WinogradKernels<T>& transforms_;
};

}  // namespace fastconv::winograd
