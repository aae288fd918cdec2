#include "algorithms/winograd/geometry.hpp"

namespace fastconv::winograd {
namespace {

/// Where tap 0 of output 0 lies, in positions of the input. Backward a mirrored kernel's last tap
/// is its first.
std::int64_t first_offset(const Axis& axis, Pass pass) {
  return pass == Pass::forward ? -axis.pad_before
                               : axis.pad_before - axis.dilation * (axis.kernel - 1);
}

}  // namespace

std::optional<TileAxis> tile_axis(const Axis& axis, Pass pass) {
  if (axis.stride == 1) {
    if (axis.kernel == 1) return kPlainAxis;
    // Twice two of four taps take fewer multiplications than three and one.
    return axis.kernel == 2 || axis.kernel == 4 ? kTwoTapsAxis : kThreeTapsAxis;
  }
  if (axis.stride != 2 || axis.dilation != 1) return std::nullopt;
  const bool forward = pass == Pass::forward;
  if (axis.kernel == 3) return forward ? kStridedThreeAxis : kSpreadThreeAxis;
  if (axis.kernel == 4) return forward ? kStridedFourAxis : kSpreadFourAxis;
  return std::nullopt;
}

AxisGeometry::AxisGeometry(const Axis& axis, Pass pass)
    : tile(*tile_axis(axis, pass)),
      forward(pass == Pass::forward),
      source_size(forward ? axis.input : axis.output),
      destination_size(forward ? axis.output : axis.input),
      taps(axis.kernel),
      parts(ceil_divide(axis.kernel, std::int64_t{tile.taps})),
      stride(axis.stride),
      dilation(axis.kernel == 1 ? 1 : axis.dilation),
      phases(std::min(dilation, destination_size)),
      offset(first_offset(axis, pass)),
      // Backward the first output is one that the first tap, or of three the second, makes.
      start(!forward && stride == 2 && (offset + taps) % 2 != 0 ? -1 : 0),
      tiles(ceil_divide(outputs_of(0) - start, std::int64_t{tile.outputs})) {}

AxisGeometry::Window AxisGeometry::window(std::int64_t phase) const {
  const auto input_of = [&](std::int64_t output) { return output * tile.step / tile.outputs; };
  const std::int64_t reach = tile.inputs - input_of(tile.outputs - 1) + taps - tile.taps;
  Window window{phase + offset, input_of(outputs_of(phase) - 1 - start) + reach};
  if (!forward && stride == 2) window.origin = (start + offset + taps % 2) / 2;
  return window;
}

std::optional<std::int64_t> AxisGeometry::source_position(std::int64_t destination,
                                                          std::int64_t tap) const {
  if (forward) return destination * stride + offset + tap * dilation;
  const std::int64_t position = destination + offset + tap * dilation;
  if (position % stride != 0) return std::nullopt;
  return position / stride;
}

Geometry::Geometry(const Problem& problem)
    : forward(problem.pass == Pass::forward),
      mirrored(problem.flip == forward),
      depth(forward ? problem.axes[0].output : problem.axes[0].input),
      source_depth(forward ? problem.axes[0].input : problem.axes[0].output),
      depth_taps(problem.axes[0].kernel),
      first_depth(first_offset(problem.axes[0], problem.pass)),
      groups(problem.g),
      components(problem.is_complex() ? 2 : 1),
      conjugate(problem.conjugate),
      source_channels(components * (forward ? problem.c : problem.k) / problem.g),
      destination_channels(components * (forward ? problem.k : problem.c) / problem.g),
      mode(forward ? problem.padding_mode : PaddingMode::zeros),
      fill(mode == PaddingMode::constant ? problem.padding_value : 0.0),
      axes{AxisGeometry(problem.axes[1], problem.pass),
           AxisGeometry(problem.axes[2], problem.pass)},
      images(problem.n * depth * axes[0].phases * axes[1].phases) {}

Geometry::Image Geometry::image_of(std::int64_t index) const {
  const std::int64_t phases = axes[0].phases * axes[1].phases;
  const std::int64_t slice = index / phases;
  const std::int64_t phase = index % phases;
  return {slice / depth, slice % depth, {phase / axes[1].phases, phase % axes[1].phases}};
}

std::string tile_name(const Geometry& geometry) {
  const auto product = [](int rows, int columns) {
    return std::to_string(rows) + "x" + std::to_string(columns);
  };
  const TileAxis& rows = geometry.axes[0].tile;
  const TileAxis& columns = geometry.axes[1].tile;
  std::string name =
      "F(" + product(rows.outputs, columns.outputs) + ", " + product(rows.taps, columns.taps) + ")";
  if (geometry.axes[0].stride * geometry.axes[1].stride > 1) name += " of stride 2";
  if (geometry.slice_parts() > 1) {
    name += " for " + std::to_string(geometry.slice_parts()) + " parts of the kernel";
  }
  return name;
}

}  // namespace fastconv::winograd
