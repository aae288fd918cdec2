#include "algorithms/winograd/weight_transform.hpp"

#include <algorithm>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::winograd {

template <class T>
WeightTransform<T>::WeightTransform(const Geometry& geometry, const TensorView& weight,
                                    const TypedKernels<T>& kernels)
    : geometry_(geometry),
      weight_(weight),
      kernels_(kernels),
      transforms_(kernels_of(geometry, kernels)),
      taps_(geometry.part_taps()),
      source_stride_(weight_.stride(geometry.forward ? 1 : 0)),
      destination_stride_(weight_.stride(geometry.forward ? 0 : 1)) {}

/// A few source channels of all vectors, then the next: either way of looking at a weight finds
/// neighbours in memory.
template <class T>
void WeightTransform<T>::transform(std::int64_t group, std::int64_t first, std::int64_t vectors,
                                   T* to, std::int64_t to_pitch,
                                   std::int64_t frequency_pitch) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t sources = geometry_.source_channels;
  const bool kernels_at_once = geometry_.parts() > 1 && has_contiguous_kernels();
  const std::int64_t most = kernels_at_once ? kMostColumns / kernel_size() : kGatheredSources;
  alignas(kAlignment) T kernels[kMostGathered];
  alignas(kAlignment) T taps[kMostGathered];
  for (std::int64_t source = 0; source < sources; source += most) {
    const std::int64_t count = std::min(most, sources - source);
    for (std::int64_t v = 0; v < vectors; ++v) {
      const std::int64_t channel = first + v * lanes;
      if (kernels_at_once) gather_kernels(group, channel, source, count, kernels);
      for (std::int64_t part = 0; part < geometry_.parts(); ++part) {
        if (kernels_at_once) {
          take_part(part, kernels, count, taps);
        } else {
          gather(group, channel, part, source, count, taps);
        }
        transform_gathered(taps, count, to + (part * sources + source) * to_pitch + v * lanes,
                           to_pitch, frequency_pitch);
      }
    }
  }
}

template <class T>
std::int64_t WeightTransform<T>::kernel_size() const {
  return geometry_.depth_taps * geometry_.axes[0].taps * geometry_.axes[1].taps;
}

/// Whether a kernel is a row of taps.
template <class T>
bool WeightTransform<T>::has_contiguous_kernels() const {
  const std::int64_t height = geometry_.axes[0].taps;
  const std::int64_t width = geometry_.axes[1].taps;
  return weight_.type() == stored_type<T>() && weight_.parts() == 1 &&
         kernel_size() <= kMostColumns && (width == 1 || weight_.stride(4) == 1) &&
         (height == 1 || weight_.stride(3) == width) &&
         (geometry_.depth_taps == 1 || weight_.stride(2) == height * width);
}

/// kernels[source][element][lane]: all parts of a kernel are transposed together.
template <class T>
void WeightTransform<T>::gather_kernels(std::int64_t group, std::int64_t channel,
                                        std::int64_t first_source, std::int64_t sources,
                                        T* kernels) const {
  const std::int64_t offset = offset_of(group, channel, {}, first_source);
  transpose({reinterpret_cast<const T*>(weight_.at(offset)), source_stride_, destination_stride_},
            kernel_size(), rows_of(channel), sources, kernels);
}

/// to[source][tap][lane] of `taps` in a row for each source channel, which may follow one another.
template <class T>
void WeightTransform<T>::transpose(const TapMatrix& from, std::int64_t taps, std::int64_t rows,
                                   std::int64_t sources, T* to) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t pieces = from.source_stride == taps ? 1 : sources;
  const std::int64_t columns = taps * (sources / pieces);
  for (std::int64_t piece = 0; piece < pieces; ++piece) {
    kernels_.vectors_from_planes(from.first + piece * from.source_stride, from.destination_stride,
                                 {rows, columns}, to + piece * columns * lanes, lanes);
  }
}

/// The taps of a part as `gather` finds them.
template <class T>
void WeightTransform<T>::take_part(std::int64_t index, const T* kernels, std::int64_t sources,
                                   T* taps) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t height = geometry_.axes[0].taps;
  const std::int64_t width = geometry_.axes[1].taps;
  const std::int64_t tile_width = geometry_.axes[1].tile.taps;
  const Part part = part_of(index);
  const auto& [rows, columns] = part.axes;
  if (rows.count * columns.count < taps_) std::fill_n(taps, sources * taps_ * lanes, T(0));
  for (std::int64_t s = 0; s < sources; ++s) {
    for (std::int64_t h = 0; h < rows.count; ++h) {
      const std::int64_t element =
          (part.depth_element * height + rows.first + h) * width + columns.first;
      std::copy_n(kernels + (s * kernel_size() + element) * lanes, columns.count * lanes,
                  taps + (s * taps_ + (rows.place + h) * tile_width + columns.place) * lanes);
    }
  }
}

template <class T>
void WeightTransform<T>::transform_gathered(const T* taps, std::int64_t sources, T* to,
                                            std::int64_t to_pitch,
                                            std::int64_t frequency_pitch) const {
  const std::int64_t lanes = kernels_.lanes;
  const bool mirrored = geometry_.mirrored;
  transforms_.weights(mirrored ? taps + (taps_ - 1) * lanes : taps, mirrored ? -lanes : lanes,
                      taps_ * lanes, sources, to, to_pitch, frequency_pitch);
}

/// A mirrored kernel's parts begin with its last taps, which stand last among a tile's.
template <class T>
typename WeightTransform<T>::Part WeightTransform<T>::part_of(std::int64_t part) const {
  const std::int64_t columns = geometry_.axes[1].parts;
  const auto range = [&](std::size_t axis, std::int64_t index) -> TapRange {
    const std::int64_t taps = geometry_.axes[axis].taps;
    const std::int64_t most = geometry_.axes[axis].tile.taps;
    const std::int64_t count = std::min(most, taps - most * index);
    if (geometry_.mirrored) return {taps - most * index - count, count, most - count};
    return {most * index, count, 0};
  };
  return {geometry_.kernel_element(part / geometry_.slice_parts(), geometry_.depth_taps),
          {range(0, part % geometry_.slice_parts() / columns), range(1, part % columns)}};
}

template <class T>
std::int64_t WeightTransform<T>::offset_of(std::int64_t group, std::int64_t channel,
                                           const Part& part, std::int64_t source) const {
  const std::int64_t components = geometry_.components;
  const std::int64_t k_per_group =
      (geometry_.forward ? geometry_.destination_channels : geometry_.source_channels) / components;
  return group * k_per_group * weight_.stride(0) + part.depth_element * weight_.stride(2) +
         part.axes[0].first * weight_.stride(3) + part.axes[1].first * weight_.stride(4) +
         source / components * source_stride_ + channel / components * destination_stride_;
}

/// Destination channels of the vector that begins with `channel`.
template <class T>
std::int64_t WeightTransform<T>::rows_of(std::int64_t channel) const {
  return std::min<std::int64_t>(kernels_.lanes, geometry_.destination_channels - channel);
}

template <class T>
void WeightTransform<T>::gather(std::int64_t group, std::int64_t channel, std::int64_t part,
                                std::int64_t first_source, std::int64_t sources, T* taps) const {
  const Part taps_of_part = part_of(part);
  gather(offset_of(group, channel, taps_of_part, first_source), taps_of_part, rows_of(channel),
         sources, taps);
}

template <class T>
LinesAhead WeightTransform<T>::lines_of(std::int64_t group, std::int64_t channel, std::int64_t part,
                                        std::int64_t first_source, std::int64_t sources) const {
  struct Channels {
    std::int64_t count;
    std::int64_t stride;
  };
  Channels far{sources, source_stride_};
  Channels near{rows_of(channel), destination_stride_};
  if (far.stride < near.stride) std::swap(far, near);
  const std::int64_t slice = (geometry_.axes[0].tile.taps - 1) * weight_.stride(3) +
                             (geometry_.axes[1].tile.taps - 1) * weight_.stride(4) + 1;
  if (weight_.parts() > 1 || weight_.stride(3) < 0 || weight_.stride(4) < 0 ||
      near.stride < slice || near.stride > geometry_.parts() * slice) {
    return {};
  }
  const std::int64_t size = weight_.element_bytes();
  return {weight_.at(offset_of(group, channel, part_of(part), first_source)), far.count,
          far.stride * size, ((near.count - 1) * near.stride + slice) * size};
}

/// Whatever the order in memory.
template <class T>
void WeightTransform<T>::gather(std::int64_t weights, const Part& part, std::int64_t rows,
                                std::int64_t sources, T* taps) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t step_h = weight_.stride(3);
  const std::int64_t step_w = weight_.stride(4);
  const std::int64_t tile_width = geometry_.axes[1].tile.taps;
  const auto& [row_range, column_range] = part.axes;
  const std::int64_t height = row_range.count;
  const std::int64_t width = column_range.count;
  const bool whole = height * width == taps_;
  const bool together = is_contiguous(part);
  const bool side_by_side = source_stride_ == 1 || destination_stride_ == 1;
  if (weight_.type() != stored_type<T>() || weight_.parts() > 1 ||
      !(together || side_by_side || step_w == 1)) {
    gather_converted(weights, part, rows, sources, taps);
    return;
  }
  const auto* from = reinterpret_cast<const T*>(weight_.at(weights));
  if (!whole) std::fill_n(taps, sources * taps_ * lanes, T(0));
  T* first = taps + (row_range.place * tile_width + column_range.place) * lanes;
  if (together) {
    transpose({from, source_stride_, destination_stride_}, taps_, rows, sources, taps);
  } else if (side_by_side) {
    for (std::int64_t tap = 0; tap < height * width; ++tap) {
      const T* from_tap = from + tap / width * step_h + tap % width * step_w;
      T* to = first + (tap / width * tile_width + tap % width) * lanes;
      if (source_stride_ == 1) {
        kernels_.vectors_from_planes(from_tap, destination_stride_, {rows, sources}, to,
                                     taps_ * lanes);
      } else {
        kernels_.vectors_from_pixels(from_tap, source_stride_, {sources, rows}, to, taps_ * lanes);
      }
    }
  } else {
    for (std::int64_t s = 0; s < sources; ++s) {
      for (std::int64_t h = 0; h < height; ++h) {
        kernels_.vectors_from_planes(from + s * source_stride_ + h * step_h, destination_stride_,
                                     {rows, width}, first + (s * taps_ + h * tile_width) * lanes,
                                     lanes);
      }
    }
  }
}

/// Whether the part is a whole tile's, one tap after the other.
template <class T>
bool WeightTransform<T>::is_contiguous(const Part& part) const {
  const auto& [rows, columns] = part.axes;
  return rows.count * columns.count == taps_ && (columns.count == 1 || weight_.stride(4) == 1) &&
         (rows.count == 1 || weight_.stride(3) == columns.count);
}

/// Taps in a row, those of all sources for each row or of all rows for each source, are converted
/// as they are, and transposed then.
template <class T>
void WeightTransform<T>::gather_long_rows(std::int64_t weights, std::int64_t rows,
                                          std::int64_t sources, T* taps) const {
  alignas(kAlignment) T copy[kMostGathered];
  const bool by_rows = source_stride_ == taps_;
  const std::int64_t lines = by_rows ? rows : sources;
  const std::int64_t length = taps_ * (by_rows ? sources : rows);
  const std::int64_t stride = by_rows ? destination_stride_ : source_stride_;
  const auto load = kernels_.load_row[static_cast<int>(weight_.type())];
  for (std::int64_t line = 0; line < lines; ++line) {
    load(copy + line * length, 1, weight_.at(weights + line * stride), 1, length);
  }
  transpose({copy, by_rows ? taps_ : length, by_rows ? length : taps_}, taps_, rows, sources, taps);
}

/// Of any type and strides.
template <class T>
void WeightTransform<T>::gather_converted(std::int64_t weights, const Part& part, std::int64_t rows,
                                          std::int64_t sources, T* taps) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t components = geometry_.components;
  if (components == 1 && is_contiguous(part) &&
      (source_stride_ == taps_ || destination_stride_ == taps_)) {
    gather_long_rows(weights, rows, sources, taps);
    return;
  }
  const std::int64_t tile_width = geometry_.axes[1].tile.taps;
  const auto& [row_range, column_range] = part.axes;
  const std::int64_t height = row_range.count;
  const std::int64_t width = column_range.count;
  if (height * width < taps_ || rows < lanes) std::fill_n(taps, sources * taps_ * lanes, T(0));
  T* first = taps + (row_range.place * tile_width + column_range.place) * lanes;
  const auto load_weights = kernels_.load_weights[static_cast<int>(weight_.type())];
  const WeightShape shape{.sources = sources / components,
                          .taps = width,
                          .rows = rows / components,
                          .source_stride = source_stride_,
                          .tap_stride = weight_.stride(4),
                          .row_stride = destination_stride_,
                          .to_source_pitch = components * taps_ * lanes,
                          .to_tap_pitch = lanes,
                          .to_row_step = components};
  for (std::int64_t pair = 0; pair < components * components; ++pair) {
    const std::int64_t source = pair / components;
    const std::int64_t destination = pair % components;
    const WeightPart of_weight = weight_part(destination, source, geometry_.conjugate);
    T* to = first + source * taps_ * lanes + destination;
    for (std::int64_t h = 0; h < height; ++h) {
      load_weights(to + h * tile_width * lanes,
                   weight_.at(weights + h * weight_.stride(3) + of_weight.part), shape);
    }
    if (!of_weight.negated) continue;
    for (std::int64_t s = 0; s < shape.sources; ++s) {
      T* matrix = taps + (components * s + source) * taps_ * lanes + destination;
      for (std::int64_t i = 0; i < taps_ * lanes; i += components) matrix[i] = -matrix[i];
    }
  }
}

template class WeightTransform<float>;
template class WeightTransform<double>;

}  // namespace fastconv::winograd
