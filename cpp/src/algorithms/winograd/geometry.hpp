#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "fastconv/problem.hpp"
#include "fastconv/tensor_view.hpp"
#include "kernels/winograd_points.hpp"

namespace fastconv::winograd {

inline std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Either pass as a correlation of a source (forward the input, backward the gradient of the
/// output) with a kernel that may be mirrored: position o of the destination reads
/// source[o + first + a] for the taps a.
struct Geometry {
  explicit Geometry(const Problem& problem)
      : forward(problem.pass == Pass::forward),
        mirrored(problem.flip == forward),
        images(problem.n * problem.axes[0].output),
        depth(problem.axes[0].output),
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

  /// Elements from the view's beginning to an image: one slice of one item of the batch.
  std::int64_t image_offset(const TensorView& view, std::int64_t image) const {
    return image / depth * view.strides[0] + image % depth * view.strides[2];
  }

  bool forward;
  bool mirrored;
  std::int64_t images;
  std::int64_t depth;
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

}  // namespace fastconv::winograd
