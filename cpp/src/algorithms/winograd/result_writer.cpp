#include "algorithms/winograd/result_writer.hpp"

#include <algorithm>
#include <cmath>

#include "algorithms/direct/bias.hpp"

namespace fastconv::winograd {
namespace {

/// Pixels in a row of tiles, in whole vectors of them. Where the first output does not exist, the
/// squares that are transposed begin one pixel later, and the last of them ends later too.
std::int64_t scratch_columns(const Geometry& geometry, std::int64_t tiles, std::int64_t lanes) {
  const AxisGeometry& axis = geometry.axes[1];
  return ceil_divide(axis.tile.outputs * tiles - axis.start, lanes) * lanes;
}

}  // namespace

/// The last group is the first to move apart.
template <class T>
const T* read_bias(const Problem& problem, const Geometry& geometry, const Arguments& arguments,
                   const TypedKernels<T>& kernels, std::int64_t padded, T* bias) {
  if (direct::read_bias(problem, arguments, geometry.components, kernels, bias) == nullptr) {
    return nullptr;
  }
  const std::int64_t channels = geometry.destination_channels;
  for (std::int64_t group = geometry.groups - 1; group >= 0; --group) {
    const T* from = bias + group * channels;
    T* to = bias + group * padded;
    if (to != from) std::copy_backward(from, from + channels, to + channels);
    std::fill(to + channels, to + padded, T(0));
  }
  return bias;
}

template <class T>
ResultWriter<T>::ResultWriter(const Problem& problem, const Geometry& geometry,
                              const Arguments& arguments, const TypedKernels<T>& kernels,
                              const T* bias)
    : problem_(problem),
      geometry_(geometry),
      source_(geometry.forward ? arguments.input : arguments.output),
      weight_(arguments.weight),
      destination_(geometry.forward ? arguments.output : arguments.input),
      kernels_(kernels),
      transforms_(kernels_of(geometry, kernels)),
      bias_(bias),
      channels_last_(destination_.stride(1) == destination_.parts()),
      converts_(destination_.type() != stored_type<T>()),
      row_step_(destination_.stride(3) * geometry.axes[0].dilation),
      column_step_(destination_.stride(4) * geometry.axes[1].dilation) {}

/// The rows of a tile as pixels in whole squares of lanes x lanes, and one row of planes.
template <class T>
std::int64_t ResultWriter<T>::scratch_size(const Geometry& geometry, std::int64_t tiles,
                                           std::int64_t lanes) {
  return (geometry.axes[0].tile.outputs + 1) * scratch_columns(geometry, tiles, lanes) * lanes;
}

template <class T>
typename ResultWriter<T>::Extent ResultWriter<T>::extent_of(const AxisGeometry& axis,
                                                            std::int64_t phase, std::int64_t tile,
                                                            std::int64_t tiles) const {
  const std::int64_t begin = axis.start + axis.tile.outputs * tile;
  const std::int64_t first = std::max<std::int64_t>(begin, 0);
  const std::int64_t end = std::min(begin + axis.tile.outputs * tiles, axis.outputs_of(phase));
  return {first - begin, phase + axis.dilation * first, std::max<std::int64_t>(end - first, 0),
          end - first == axis.tile.outputs * tiles};
}

template <class T>
void ResultWriter<T>::write(const TileBox& row, std::int64_t group, std::int64_t first,
                            const Sums& sums, T* scratch) const {
  const std::int64_t lanes = kernels_.lanes;
  const Geometry::Image image = geometry_.image_of(row.image);
  const Extent rows = extent_of(geometry_.axes[0], image.phase[0], row.row, 1);
  const Extent columns = extent_of(geometry_.axes[1], image.phase[1], row.column, row.columns);
  if (rows.count == 0 || columns.count == 0) return;
  Region region{};
  region.item = image.item;
  region.slice = image.slice;
  region.group = group;
  region.channel = first;
  region.channels = std::min(lanes, geometry_.destination_channels - first);
  region.h = rows.first;
  region.w = columns.first;
  region.rows = rows.count;
  region.columns = columns.count;
  const std::int64_t padded_channels = ceil_divide(geometry_.destination_channels, lanes) * lanes;
  const T* bias = bias_ != nullptr ? bias_ + group * padded_channels + first : nullptr;
  const std::int64_t to =
      image.item * destination_.stride(0) + image.slice * destination_.stride(2) +
      destination_.channel_offset(group * geometry_.destination_channels + first) +
      region.h * destination_.stride(3) + region.w * destination_.stride(4);

  const bool whole = rows.whole && columns.whole && region.channels == lanes;
  const bool in_place = channels_last_ && whole && !problem_.accumulate && !converts_;
  const std::int64_t pitch = scratch_columns(geometry_, row.columns, lanes) * lanes;
  const Pixels computed =
      in_place ? Pixels{reinterpret_cast<T*>(destination_.at(to)), row_step_, column_step_}
               : Pixels{scratch, pitch, lanes};
  const bool finite =
      transforms_.sums(sums.first, sums.tile_pitch, sums.frequency_pitch, row.columns, bias,
                       computed.first, computed.row_pitch, computed.pixel_pitch);
  Pixels pixels = computed;
  pixels.first += rows.skipped * pixels.row_pitch + columns.skipped * pixels.pixel_pitch;
  if (!finite) repair(region, pixels);
  for (std::int64_t h = 0; h < region.rows; ++h) {
    const Pixels line{pixels.first + h * pixels.row_pitch, 0, pixels.pixel_pitch};
    if (in_place) {
      if (problem_.activation == Activation::none) return;
      for (std::int64_t w = 0; w < region.columns; ++w) {
        kernels_.activate(line.first + w * line.pixel_pitch, lanes, problem_.activation);
      }
    } else if (channels_last_) {
      store_pixels(line, region.columns, region.channels, to + h * row_step_);
    } else {
      store_planes(line, region.columns, region.channels,
                   scratch + geometry_.axes[0].tile.outputs * pitch, to + h * row_step_);
    }
  }
}

template <class T>
void ResultWriter<T>::store_pixels(const Pixels& pixels, std::int64_t columns,
                                   std::int64_t channels, std::int64_t to) const {
  if (problem_.accumulate || channels < kernels_.lanes || converts_) {
    const auto store = kernels_.store_block[static_cast<int>(destination_.type())];
    store(destination_.at(to), column_step_, 1, pixels.first, pixels.pixel_pitch,
          {columns, channels}, {nullptr, 0, problem_.activation, problem_.accumulate});
    return;
  }
  kernels_.activate(pixels.first, columns * pixels.pixel_pitch, problem_.activation);
  kernels_.vectors_from_pixels(pixels.first, pixels.pixel_pitch, {columns, channels},
                               reinterpret_cast<T*>(destination_.at(to)), column_step_);
}

template <class T>
void ResultWriter<T>::store_planes(const Pixels& pixels, std::int64_t columns,
                                   std::int64_t channels, T* planes, std::int64_t to) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t pitch = ceil_divide(columns, lanes) * lanes;
  for (std::int64_t w = 0; w < columns; w += lanes) {
    kernels_.vectors_from_planes(pixels.first + w * pixels.pixel_pitch, pixels.pixel_pitch,
                                 {lanes, lanes}, planes + w, pitch);
  }
  const auto store = kernels_.store_block[static_cast<int>(destination_.type())];
  const std::int64_t parts = destination_.parts();
  for (std::int64_t part = 0; part < parts; ++part) {
    store(destination_.at(to + part), destination_.stride(1), column_step_, planes + part * pitch,
          parts * pitch, {channels / parts, columns},
          {nullptr, 0, problem_.activation, problem_.accumulate});
  }
}

template <class T>
void ResultWriter<T>::repair(const Region& region, const Pixels& pixels) const {
  const std::int64_t padded_channels =
      ceil_divide(geometry_.destination_channels, kernels_.lanes) * kernels_.lanes;
  for (std::int64_t h = 0; h < region.rows; ++h) {
    for (std::int64_t w = 0; w < region.columns; ++w) {
      T* lane = pixels.first + h * pixels.row_pitch + w * pixels.pixel_pitch;
      for (std::int64_t m = 0; m < region.channels; ++m) {
        if (std::isfinite(lane[m])) continue;
        lane[m] = compute(region, m, region.h + geometry_.axes[0].dilation * h,
                          region.w + geometry_.axes[1].dilation * w);
        if (bias_ != nullptr) {
          lane[m] += bias_[region.group * padded_channels + region.channel + m];
        }
      }
    }
  }
}

/// The formula, with the padding that it has in a forward pass and lacks in a backward one.
template <class T>
T ResultWriter<T>::compute(const Region& region, std::int64_t channel, std::int64_t h,
                           std::int64_t w) const {
  const std::int64_t components = geometry_.components;
  const std::int64_t sources = geometry_.source_channels;
  const std::int64_t k_per_group =
      (geometry_.forward ? geometry_.destination_channels : sources) / components;
  const std::int64_t weight =
      region.group * k_per_group * weight_.stride(0) +
      (region.channel + channel) / components * weight_.stride(geometry_.forward ? 0 : 1);
  const std::int64_t item =
      region.item * source_.stride(0) + source_.channel_offset(region.group * sources);
  const auto& [rows, columns] = geometry_.axes;
  double sum = 0.0;
  for (std::int64_t d = 0; d < geometry_.depth_taps; ++d) {
    for (std::int64_t tap = 0; tap < rows.taps * columns.taps; ++tap) {
      const std::int64_t tap_h = tap / columns.taps;
      const std::int64_t tap_w = tap % columns.taps;
      const auto at_h = rows.source_position(h, tap_h);
      const auto at_w = columns.source_position(w, tap_w);
      if (!at_h || !at_w) continue;
      const std::int64_t slice = geometry_.source_slice(region.slice, d);
      const std::int64_t source_h = padded_source(*at_h, rows.source_size, geometry_.mode);
      const std::int64_t source_w = padded_source(*at_w, columns.source_size, geometry_.mode);
      const bool inside = slice >= 0 && source_h >= 0 && source_w >= 0;
      if (!inside && !geometry_.forward) continue;
      std::optional<std::int64_t> from;
      if (inside) {
        from = item + slice * source_.stride(2) + source_h * source_.stride(3) +
               source_w * source_.stride(4);
      }
      sum += dot(from,
                 weight + geometry_.kernel_element(d, geometry_.depth_taps) * weight_.stride(2) +
                     geometry_.kernel_element(tap_h, rows.taps) * weight_.stride(3) +
                     geometry_.kernel_element(tap_w, columns.taps) * weight_.stride(4),
                 channel % components);
    }
  }
  return static_cast<T>(sum);
}

template <class T>
double ResultWriter<T>::dot(std::optional<std::int64_t> from, std::int64_t factors,
                            std::int64_t component) const {
  constexpr std::int64_t kPiece = 64;
  std::array<T, kPiece> values;
  std::array<T, kPiece> weights;
  const std::int64_t components = geometry_.components;
  const std::int64_t elements = geometry_.source_channels / components;
  const std::int64_t stride = weight_.stride(geometry_.forward ? 1 : 0);
  const auto load_value = kernels_.load_row[static_cast<int>(source_.type())];
  const auto load_weight = kernels_.load_row[static_cast<int>(weight_.type())];
  double sum = 0.0;
  for (std::int64_t part = 0; part < components; ++part) {
    const WeightPart of_weight = weight_part(component, part, geometry_.conjugate);
    const double sign = of_weight.negated ? -1.0 : 1.0;
    const double fill = part == 0 ? geometry_.fill.real() : geometry_.fill.imag();
    values.fill(static_cast<T>(fill));
    for (std::int64_t c = 0; c < elements; c += kPiece) {
      const std::int64_t count = std::min(kPiece, elements - c);
      if (from) {
        load_value(values.data(), 1, source_.at(*from + part + c * source_.stride(1)),
                   source_.stride(1), count);
      }
      load_weight(weights.data(), 1, weight_.at(factors + of_weight.part + c * stride), stride,
                  count);
      for (std::size_t i = 0; i < static_cast<std::size_t>(count); ++i) {
        sum += sign * static_cast<double>(values[i]) * static_cast<double>(weights[i]);
      }
    }
  }
  return sum;
}

template const float* read_bias(const Problem&, const Geometry&, const Arguments&,
                                const TypedKernels<float>&, std::int64_t, float*);
template const double* read_bias(const Problem&, const Geometry&, const Arguments&,
                                 const TypedKernels<double>&, std::int64_t, double*);
template class ResultWriter<float>;
template class ResultWriter<double>;

}  // namespace fastconv::winograd
