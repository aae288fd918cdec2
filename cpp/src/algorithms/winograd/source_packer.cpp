#include "algorithms/winograd/source_packer.hpp"

#include <algorithm>

namespace fastconv::winograd {

template <class T>
SourcePacker<T>::SourcePacker(const Geometry& geometry, const TensorView& source,
                              const TypedKernels<T>& kernels)
    : geometry_(geometry),
      source_(source),
      kernels_(kernels),
      transforms_(kernels_of(geometry, kernels)) {}

template <class T>
std::int64_t SourcePacker<T>::scratch_size(const Geometry& geometry, std::int64_t tiles,
                                           std::int64_t lanes) {
  return std::max(geometry.axes[1].inputs_of(tiles), lanes) * lanes;
}

template <class T>
void SourcePacker<T>::pack(const TileBox& box, std::int64_t depth_tap, std::int64_t first,
                           std::int64_t count, T* scratch, T* to) const {
  const std::int64_t lanes = kernels_.lanes;
  const AxisGeometry& axis = geometry_.axes[0];
  const Geometry::Image image = geometry_.image_of(box.image);
  const Columns columns = columns_of(box, image.phase[1]);
  const std::int64_t rows = axis.inputs_of(box.rows);
  const std::int64_t row_size = columns.count * lanes;
  const std::int64_t slice = geometry_.source_slice(image.slice, depth_tap);
  if (slice < 0) {
    fill(rows * columns.count, to);
    return;
  }
  const std::int64_t from =
      image.item * source_.stride(0) + source_.channel_offset(first) + slice * source_.stride(2);
  const AxisGeometry::Window window = axis.window(image.phase[0]);
  for (std::int64_t h = 0; h < rows; ++h) {
    const std::int64_t index = axis.tile.step * box.row + h;
    const std::int64_t source_h =
        padded_source(window.origin + axis.dilation * index, axis.source_size, geometry_.mode);
    T* row = to + h * row_size;
    if (index >= window.end) {
      std::fill_n(row, row_size, T(0));
    } else if (source_h < 0) {
      fill(columns.count, row);
    } else {
      pack_row(from + source_h * source_.stride(3), columns, count, scratch, row);
    }
  }
}

template <class T>
typename SourcePacker<T>::Columns SourcePacker<T>::columns_of(const TileBox& box,
                                                              std::int64_t phase) const {
  const AxisGeometry& axis = geometry_.axes[1];
  const AxisGeometry::Window window = axis.window(phase);
  const std::int64_t first = axis.tile.step * box.column;
  Columns columns{};
  columns.count = axis.inputs_of(box.columns);
  columns.first_position = window.origin + axis.dilation * first;
  columns.needed_end = std::clamp<std::int64_t>(window.end - first, 0, columns.count);
  // Columns before a position: as many as there are steps to it, rounded up.
  const auto before = [&](std::int64_t position) {
    const std::int64_t distance = std::max<std::int64_t>(position - columns.first_position, 0);
    return std::min(ceil_divide(distance, axis.dilation), columns.needed_end);
  };
  columns.inside_first = before(0);
  columns.inside_end = before(axis.source_size);
  return columns;
}

template <class T>
void SourcePacker<T>::transform(const TileBox& box, std::int64_t depth_tap, std::int64_t first,
                                std::int64_t count, T* scratch, T* pixels,
                                const Frequencies& to) const {
  pack(box, depth_tap, first, count, scratch, pixels);
  const auto& [rows, columns] = geometry_.axes;
  const std::int64_t pixel_pitch = kernels_.lanes;
  const std::int64_t row_pitch = columns.inputs_of(box.columns) * pixel_pitch;
  T* part = to.first;
  for (std::int64_t row_part = 0; row_part < rows.parts; ++row_part) {
    for (std::int64_t column_part = 0; column_part < columns.parts; ++column_part) {
      const T* window = pixels + rows.tile.taps * row_part * row_pitch +
                        columns.tile.taps * column_part * pixel_pitch;
      for (std::int64_t row = 0; row < box.rows; ++row) {
        transforms_.source(window + rows.tile.step * row * row_pitch, row_pitch, pixel_pitch,
                           box.columns, part + row * box.columns * to.tile_pitch, to.tile_pitch,
                           to.frequency_pitch);
      }
      part += to.part_pitch;
    }
  }
}

template <class T>
void SourcePacker<T>::pack_row(std::int64_t row, const Columns& columns, std::int64_t count,
                               T* scratch, T* to) const {
  const AxisGeometry& axis = geometry_.axes[1];
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t step = source_.stride(4);
  if (columns.inside_end > columns.inside_first) {
    load(row + (columns.first_position + axis.dilation * columns.inside_first) * step,
         columns.inside_end - columns.inside_first, count, scratch,
         to + columns.inside_first * lanes);
  }
  const auto pack_border = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t w = begin; w < end; ++w) {
      const std::int64_t position = padded_source(columns.first_position + axis.dilation * w,
                                                  axis.source_size, geometry_.mode);
      if (position >= 0) {
        load(row + position * step, 1, count, scratch, to + w * lanes);
      } else {
        fill(1, to + w * lanes);
      }
    }
  };
  pack_border(0, columns.inside_first);
  pack_border(columns.inside_end, columns.needed_end);
  std::fill_n(to + columns.needed_end * lanes, (columns.count - columns.needed_end) * lanes, T(0));
}

template <class T>
void SourcePacker<T>::fill(std::int64_t pixels, T* to) const {
  const std::int64_t count = pixels * kernels_.lanes;
  std::fill_n(to, count, static_cast<T>(geometry_.fill.real()));
  if (geometry_.components == 1) return;
  for (std::int64_t i = 1; i < count; i += 2) to[i] = static_cast<T>(geometry_.fill.imag());
}

/// Pixels of a row of the source itself.
template <class T>
void SourcePacker<T>::load(std::int64_t pixels, std::int64_t width, std::int64_t count, T* scratch,
                           T* to) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t channel_step = source_.stride(1);
  const std::int64_t step = source_.stride(4) * geometry_.axes[1].dilation;
  const bool side_by_side = channel_step == source_.parts();
  if (source_.type() != stored_type<T>() || (source_.parts() > 1 && !side_by_side)) {
    load_converted(pixels, width, count, scratch, to);
    return;
  }
  const auto* from = reinterpret_cast<const T*>(source_.at(pixels));
  if (side_by_side) {
    kernels_.vectors_from_pixels(from, step, {width, count}, to, lanes);
  } else if (step == 1 || width == 1) {
    kernels_.vectors_from_planes(from, channel_step, {count, width}, to, lanes);
  } else if (step > 0 && step < lanes) {
    // All pixels of a few vectors are transposed, to keep every `step`th.
    const std::int64_t most = ceil_divide(lanes, step);
    for (std::int64_t w = 0; w < width; w += most) {
      const std::int64_t kept = std::min(most, width - w);
      kernels_.vectors_from_planes(from + w * step, channel_step, {count, (kept - 1) * step + 1},
                                   scratch, lanes);
      kernels_.vectors_from_pixels(scratch, step * lanes, {kept, lanes}, to + w * lanes, lanes);
    }
  } else {
    load_converted(pixels, width, count, scratch, to);
  }
}

/// Of any type and strides, in two steps.
template <class T>
void SourcePacker<T>::load_converted(std::int64_t pixels, std::int64_t width, std::int64_t count,
                                     T* scratch, T* to) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t parts = source_.parts();
  const std::int64_t step = source_.stride(4) * geometry_.axes[1].dilation;
  const auto load_block = kernels_.load_block[static_cast<int>(source_.type())];
  if (source_.stride(1) == parts) {
    load_block(scratch, count, source_.at(pixels), step, 1, {width, count});
    kernels_.vectors_from_pixels(scratch, count, {width, count}, to, lanes);
    return;
  }
  for (std::int64_t part = 0; part < parts; ++part) {
    load_block(scratch + part * width, parts * width, source_.at(pixels + part), source_.stride(1),
               step, {count / parts, width});
  }
  kernels_.vectors_from_planes(scratch, width, {count, width}, to, lanes);
}

template class SourcePacker<float>;
template class SourcePacker<double>;

}  // namespace fastconv::winograd
