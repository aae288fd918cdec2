#pragma once

#include <algorithm>
#include <array>
#include <complex>
#include <cstdint>
#include <optional>
#include <string>

#include "ceil_divide.hpp"
#include "fastconv/problem.hpp"
#include "fastconv/tensor_view.hpp"
#include "kernels/kernel_table.hpp"
#include "padding.hpp"

namespace fastconv::winograd {

/// How tiles compute a spatial axis, if they can.
std::optional<TileAxis> tile_axis(const Axis& axis, Pass pass);

/// The kernels of tiles whose axes are these, or null.
template <class T>
const WinogradKernels<T>* find_kernels(const TypedKernels<T>& kernels, const TileAxis& rows,
                                       const TileAxis& columns) {
  for (const WinogradKernels<T>& candidate : kernels.winograd) {
    if (candidate.rows == rows && candidate.columns == columns) return &candidate;
  }
  return nullptr;
}

/// A spatial axis, cut into tiles. With a dilation the outputs are those of several phases: every
/// `dilation`th output reads every `dilation`th position, and is an axis without a dilation. Tile t
/// of a phase computes its outputs from start + tile.outputs * t on, and reads the inputs of its
/// window from tile.step * t on. More taps than a tile has are parts, whose inputs begin later.
struct AxisGeometry {
  AxisGeometry(const Axis& axis, Pass pass);

  /// The inputs of a phase: input i is the source's element at origin + dilation * i. No output
  /// reads those from `end` on.
  struct Window {
    std::int64_t origin;
    std::int64_t end;
  };

  Window window(std::int64_t phase) const;
  /// Outputs of a phase.
  std::int64_t outputs_of(std::int64_t phase) const {
    return ceil_divide(destination_size - phase, dilation);
  }
  /// Inputs of so many tiles side by side, for all parts of the kernel.
  std::int64_t inputs_of(std::int64_t count) const {
    return tile.step * (count - 1) + tile.inputs + tile.taps * (parts - 1);
  }
  /// The source position that a tap multiplies for a position of the destination, if it meets one;
  /// it may lie in the padding.
  std::optional<std::int64_t> source_position(std::int64_t destination, std::int64_t tap) const;

  TileAxis tile;
  bool forward;
  std::int64_t source_size;
  std::int64_t destination_size;
  std::int64_t taps;
  std::int64_t parts;     ///< of the kernel
  std::int64_t stride;    ///< of the convolution
  std::int64_t dilation;  ///< likewise; 1 for a single tap
  std::int64_t phases;
  std::int64_t offset;  ///< of tap 0 and output 0, in positions of the convolution's input
  std::int64_t start;   ///< 0, or -1 for an output that does not exist
  std::int64_t tiles;   ///< of a phase
};

/// Either pass as a correlation of a source (forward the input, backward the gradient of the
/// output) with a kernel that may be mirrored. The axes of the problem have tiles.
struct Geometry {
  explicit Geometry(const Problem& problem);

  /// What `images` counts: the phases of one slice of one item of the batch.
  struct Image {
    std::int64_t item;
    std::int64_t slice;
    std::array<std::int64_t, 2> phase;
  };
  Image image_of(std::int64_t index) const;

  const TensorView& source(const TensorView& input, const TensorView& output) const {
    return forward ? input : output;
  }
  /// The slice of the source that one of the destination meets with a tap of the kernel's depth, or
  /// -1 where it lies in the padding.
  std::int64_t source_slice(std::int64_t slice, std::int64_t depth_tap) const {
    return padded_source(slice + first_depth + depth_tap, source_depth, mode);
  }
  /// The element of the kernel that stands at a tap of an axis.
  std::int64_t kernel_element(std::int64_t tap, std::int64_t taps) const {
    return mirrored ? taps - 1 - tap : tap;
  }
  std::int64_t frequencies() const {
    return axes[0].tile.frequencies * std::int64_t{axes[1].tile.frequencies};
  }
  std::int64_t tiles() const { return images * axes[0].tiles * axes[1].tiles; }
  /// Of one part of the kernel.
  std::int64_t part_taps() const { return axes[0].tile.taps * std::int64_t{axes[1].tile.taps}; }
  /// Parts of one slice of the kernel.
  std::int64_t slice_parts() const { return axes[0].parts * axes[1].parts; }
  /// Each counts as further source channels.
  std::int64_t parts() const { return depth_taps * slice_parts(); }

  bool forward;
  bool mirrored;       ///< the kernel, along every axis
  std::int64_t depth;  ///< of the destination
  std::int64_t source_depth;
  std::int64_t depth_taps;
  std::int64_t first_depth;
  std::int64_t groups;
  std::int64_t components;       ///< real numbers of an element: channels are those of a RealView
  bool conjugate;                ///< the weights
  std::int64_t source_channels;  ///< of one group
  std::int64_t destination_channels;  ///< likewise
  PaddingMode mode;
  std::complex<double> fill;  ///< what stands in the padding
  std::array<AxisGeometry, 2> axes;
  std::int64_t images;
};

/// Those of the problem's tiles.
template <class T>
const WinogradKernels<T>& kernels_of(const Geometry& geometry, const TypedKernels<T>& kernels) {
  return *find_kernels(kernels, geometry.axes[0].tile, geometry.axes[1].tile);
}

/// Such as "F(4x4, 3x3)": outputs of a tile and taps.
std::string tile_name(const Geometry& geometry);

/// Tiles side by side and below each other within one image.
struct TileBox {
  std::int64_t image;
  std::int64_t row;  ///< of tiles
  std::int64_t rows;
  std::int64_t column;
  std::int64_t columns;
};

/// Rows [first_row, end_row) of tiles, counted through all images, and some of their columns.
struct TileBlock {
  std::int64_t first_row;
  std::int64_t end_row;
  std::int64_t column;
  std::int64_t columns;

  std::int64_t tiles() const { return (end_row - first_row) * columns; }
};

/// Calls body(box, first tile) for the block's boxes of at most so many rows.
template <class Body>
void for_each_box(const Geometry& geometry, const TileBlock& block, std::int64_t most_rows,
                  Body&& body) {
  const std::int64_t image_rows = geometry.axes[0].tiles;
  for (std::int64_t row = block.first_row; row < block.end_row;) {
    const std::int64_t image_row = row % image_rows;
    const std::int64_t rows = std::min({most_rows, block.end_row - row, image_rows - image_row});
    body(TileBox{row / image_rows, image_row, rows, block.column, block.columns},
         (row - block.first_row) * block.columns);
    row += rows;
  }
}

}  // namespace fastconv::winograd
