#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "ceil_divide.hpp"
#include "fastconv/problem.hpp"
#include "fastconv/tensor_view.hpp"
#include "kernels/winograd_points.hpp"
#include "padding.hpp"

namespace fastconv::winograd {

/// Either pass as a correlation of a source (forward the input, backward the gradient of the
/// output) with a kernel that may be mirrored: position o of the destination reads
/// source[o + first + a] for the taps a.
struct Geometry {
  explicit Geometry(const Problem& problem)
      : forward(problem.pass == Pass::forward),
        mirrored(problem.flip == forward),
        depth(forward ? problem.axes[0].output : problem.axes[0].input),
        source_depth(forward ? problem.axes[0].input : problem.axes[0].output),
        depth_taps(problem.axes[0].kernel),
        first_depth(forward ? -problem.axes[0].pad_before
                            : problem.axes[0].pad_before - (problem.axes[0].kernel - 1)),
        images(problem.n * depth),
        groups(problem.g),
        source_channels((forward ? problem.c : problem.k) / problem.g),
        destination_channels((forward ? problem.k : problem.c) / problem.g),
        mode(forward ? problem.padding_mode : PaddingMode::zeros),
        fill(mode == PaddingMode::constant ? problem.padding_value.real() : 0.0) {
    for (std::size_t a = 0; a < 2; ++a) {
      const Axis& axis = problem.axes[a + 1];
      source_size[a] = forward ? axis.input : axis.output;
      destination_size[a] = forward ? axis.output : axis.input;
      first[a] = forward ? -axis.pad_before : axis.pad_before - 2;
      tiles[a] = ceil_divide(destination_size[a], kTileOutputs);
    }
  }

  const TensorView& source(const TensorView& input, const TensorView& output) const {
    return forward ? input : output;
  }

  /// Elements from the view's beginning to an image of the destination: one slice of one item of
  /// the batch.
  std::int64_t destination_offset(const TensorView& view, std::int64_t image) const {
    return image / depth * view.strides[0] + image % depth * view.strides[2];
  }
  /// The slice of the source that an image meets with a tap of the kernel's depth, or -1 where it
  /// lies in the padding.
  std::int64_t source_slice(std::int64_t image, std::int64_t tap) const {
    return padded_source(image % depth + first_depth + tap, source_depth, mode);
  }
  std::int64_t source_offset(const TensorView& view, std::int64_t image, std::int64_t slice) const {
    return image / depth * view.strides[0] + slice * view.strides[2];
  }
  /// The element of the kernel that stands at a tap of an axis.
  std::int64_t kernel_element(std::int64_t tap, std::int64_t taps) const {
    return mirrored ? taps - 1 - tap : tap;
  }

  bool forward;
  bool mirrored;       ///< the kernel, along every axis
  std::int64_t depth;  ///< of the destination
  std::int64_t source_depth;
  std::int64_t depth_taps;
  std::int64_t first_depth;
  std::int64_t images;  ///< slices of all items of the batch
  std::int64_t groups;
  std::int64_t source_channels;       ///< of one group
  std::int64_t destination_channels;  ///< likewise
  PaddingMode mode;
  double fill;  ///< what stands in the padding
  std::array<std::int64_t, 2> source_size{};
  std::array<std::int64_t, 2> destination_size{};
  std::array<std::int64_t, 2> first{};
  std::array<std::int64_t, 2> tiles{};  ///< of one image
};

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
  for (std::int64_t row = block.first_row; row < block.end_row;) {
    const std::int64_t image_row = row % geometry.tiles[0];
    const std::int64_t rows =
        std::min({most_rows, block.end_row - row, geometry.tiles[0] - image_row});
    body(TileBox{row / geometry.tiles[0], image_row, rows, block.column, block.columns},
         (row - block.first_row) * block.columns);
    row += rows;
  }
}

}  // namespace fastconv::winograd
