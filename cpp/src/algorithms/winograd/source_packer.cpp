#include "algorithms/winograd/source_packer.hpp"

#include <algorithm>

namespace fastconv::winograd {

template <class T>
SourcePacker<T>::SourcePacker(const Geometry& geometry, const TensorView& source,
                              const TypedKernels<T>& kernels)
    : geometry_(geometry), source_(source), kernels_(kernels) {}

/// The source element at a position that some output needs, or -1 for padding; -2 for one that no
/// output needs.
template <class T>
std::int64_t SourcePacker<T>::source_position(std::size_t axis, std::int64_t position) const {
  if (position - geometry_.first[axis] >= geometry_.destination_size[axis] + 2) return -2;
  return padded_source(position, geometry_.source_size[axis], geometry_.mode);
}

template <class T>
void SourcePacker<T>::pack(const TileBox& box, std::int64_t depth_tap, std::int64_t first,
                           std::int64_t count, T* scratch, T* to) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t slice = geometry_.source_slice(box.image, depth_tap);
  if (slice < 0) {
    std::fill_n(to, rows_of(box.rows) * rows_of(box.columns) * lanes,
                static_cast<T>(geometry_.fill));
    return;
  }
  const T* image = static_cast<const T*>(source_.data) +
                   geometry_.source_offset(source_, box.image, slice) + first * source_.strides[1];
  const auto& source_size = geometry_.source_size;
  Columns columns{};
  columns.start = geometry_.first[1] + kTileOutputs * box.column;
  columns.count = kTileOutputs * box.columns + 2;
  const std::int64_t needed = geometry_.first[1] + geometry_.destination_size[1] + 2;
  columns.inside_first = std::clamp<std::int64_t>(-columns.start, 0, columns.count);
  columns.inside_end = std::clamp(std::min(source_size[1], needed) - columns.start,
                                  columns.inside_first, columns.count);
  for (std::int64_t h = 0; h < rows_of(box.rows); ++h) {
    T* row = to + h * columns.count * lanes;
    const std::int64_t source_h =
        source_position(0, geometry_.first[0] + kTileOutputs * box.row + h);
    if (source_h < 0) {
      std::fill_n(row, columns.count * lanes,
                  source_h == -1 ? static_cast<T>(geometry_.fill) : T(0));
    } else {
      pack_row(image + source_h * source_.strides[3], columns, count, scratch, row);
    }
  }
}

template <class T>
void SourcePacker<T>::transform(const TileBox& box, std::int64_t depth_tap, std::int64_t first,
                                std::int64_t count, T* scratch, T* pixels, T* to,
                                std::int64_t tile_pitch, std::int64_t frequency_pitch) const {
  pack(box, depth_tap, first, count, scratch, pixels);
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t row_pitch = rows_of(box.columns) * lanes;
  for (std::int64_t row = 0; row < box.rows; ++row) {
    kernels_.winograd.source(pixels + kTileOutputs * row * row_pitch, row_pitch, lanes, box.columns,
                             to + row * box.columns * tile_pitch, tile_pitch, frequency_pitch);
  }
}

template <class T>
void SourcePacker<T>::pack_row(const T* row, const Columns& columns, std::int64_t count, T* scratch,
                               T* to) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t step = source_.strides[4];
  if (columns.inside_end > columns.inside_first) {
    load(row + (columns.start + columns.inside_first) * step,
         columns.inside_end - columns.inside_first, count, scratch,
         to + columns.inside_first * lanes);
  }
  const auto pack_border = [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t w = begin; w < end; ++w) {
      const std::int64_t position = source_position(1, columns.start + w);
      if (position >= 0) {
        load(row + position * step, 1, count, scratch, to + w * lanes);
      } else {
        std::fill_n(to + w * lanes, lanes, position == -1 ? static_cast<T>(geometry_.fill) : T(0));
      }
    }
  };
  pack_border(0, columns.inside_first);
  pack_border(columns.inside_end, columns.count);
}

/// Pixels of a row of the source itself.
template <class T>
void SourcePacker<T>::load(const T* pixels, std::int64_t width, std::int64_t count, T* scratch,
                           T* to) const {
  const std::int64_t channel_step = source_.strides[1];
  const std::int64_t step = source_.strides[4];
  if (channel_step == 1) {
    kernels_.vectors_from_pixels(pixels, step, {width, count}, to, kernels_.lanes);
  } else if (step == 1 || width == 1) {
    kernels_.vectors_from_planes(pixels, channel_step, {count, width}, to, kernels_.lanes);
  } else {
    const auto load_block = kernels_.load_block[static_cast<int>(source_.type)];
    load_block(scratch, width, pixels, channel_step, step, {count, width});
    kernels_.vectors_from_planes(scratch, width, {count, width}, to, kernels_.lanes);
  }
}

template class SourcePacker<float>;
template class SourcePacker<double>;

}  // namespace fastconv::winograd
