#include "algorithms/winograd/result_writer.hpp"

#include <algorithm>
#include <cmath>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::winograd {

template <class T>
const T* read_bias(const Problem& problem, const Geometry& geometry, const Arguments& arguments,
                   std::int64_t padded, T* bias) {
  if (!problem.has_bias) return nullptr;
  const std::int64_t channels = geometry.destination_channels;
  const T* from = static_cast<const T*>(arguments.bias);
  for (std::int64_t group = 0; group < geometry.groups; ++group) {
    for (std::int64_t c = 0; c < padded; ++c) {
      bias[group * padded + c] =
          c < channels ? from[(group * channels + c) * arguments.bias_stride] : T(0);
    }
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
      bias_(bias),
      channels_last_(destination_.strides[1] == 1) {}

/// Four rows of pixels in whole squares of lanes x lanes, and one row of planes.
template <class T>
std::int64_t ResultWriter<T>::scratch_size(std::int64_t tiles, std::int64_t lanes) {
  const std::int64_t columns = ceil_divide(kTileOutputs * tiles, lanes) * lanes;
  return (kTileOutputs + 1) * columns * lanes;
}

template <class T>
void ResultWriter<T>::write(const TileBox& row, std::int64_t group, std::int64_t first,
                            const Sums& sums, T* scratch) const {
  const std::int64_t lanes = kernels_.lanes;
  Region region{};
  region.image = row.image;
  region.group = group;
  region.channel = first;
  region.channels = std::min(lanes, geometry_.destination_channels - first);
  region.h = kTileOutputs * row.row;
  region.w = kTileOutputs * row.column;
  region.rows = std::min<std::int64_t>(kTileOutputs, geometry_.destination_size[0] - region.h);
  region.columns = std::min(kTileOutputs * row.columns, geometry_.destination_size[1] - region.w);
  const std::int64_t padded_channels = ceil_divide(geometry_.destination_channels, lanes) * lanes;
  const T* bias = bias_ != nullptr ? bias_ + group * padded_channels + first : nullptr;
  const auto& strides = destination_.strides;
  T* to = static_cast<T*>(destination_.data) +
          geometry_.destination_offset(destination_, row.image) +
          (group * geometry_.destination_channels + first) * strides[1] + region.h * strides[3] +
          region.w * strides[4];

  const bool whole = region.rows == kTileOutputs && region.columns == kTileOutputs * row.columns &&
                     region.channels == lanes;
  const bool in_place = channels_last_ && whole && !problem_.accumulate;
  const std::int64_t columns = ceil_divide(kTileOutputs * row.columns, lanes) * lanes;
  const Pixels pixels =
      in_place ? Pixels{to, strides[3], strides[4]} : Pixels{scratch, columns * lanes, lanes};
  if (!kernels_.winograd.sums(sums.first, sums.tile_pitch, sums.frequency_pitch, row.columns, bias,
                              pixels.first, pixels.row_pitch, pixels.pixel_pitch)) {
    repair(region, pixels);
  }
  for (std::int64_t h = 0; h < region.rows; ++h) {
    const Pixels line{pixels.first + h * pixels.row_pitch, 0, pixels.pixel_pitch};
    if (in_place) {
      if (problem_.activation == Activation::none) return;
      for (std::int64_t w = 0; w < region.columns; ++w) {
        kernels_.activate(line.first + w * line.pixel_pitch, lanes, problem_.activation);
      }
    } else if (channels_last_) {
      store_pixels(line, region.columns, region.channels, to + h * strides[3]);
    } else {
      store_planes(line, region.columns, region.channels, scratch + kTileOutputs * columns * lanes,
                   to + h * strides[3]);
    }
  }
}

template <class T>
void ResultWriter<T>::store_pixels(const Pixels& pixels, std::int64_t columns,
                                   std::int64_t channels, T* to) const {
  const std::int64_t step = destination_.strides[4];
  if (problem_.accumulate || channels < kernels_.lanes) {
    const auto store = kernels_.store_block[static_cast<int>(destination_.type)];
    store(to, step, 1, pixels.first, pixels.pixel_pitch, {columns, channels},
          {nullptr, 0, problem_.activation, problem_.accumulate});
    return;
  }
  kernels_.activate(pixels.first, columns * pixels.pixel_pitch, problem_.activation);
  kernels_.vectors_from_pixels(pixels.first, pixels.pixel_pitch, {columns, channels}, to, step);
}

template <class T>
void ResultWriter<T>::store_planes(const Pixels& pixels, std::int64_t columns,
                                   std::int64_t channels, T* planes, T* to) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t pitch = ceil_divide(columns, lanes) * lanes;
  for (std::int64_t w = 0; w < columns; w += lanes) {
    kernels_.vectors_from_planes(pixels.first + w * pixels.pixel_pitch, pixels.pixel_pitch,
                                 {lanes, lanes}, planes + w, pitch);
  }
  const auto store = kernels_.store_block[static_cast<int>(destination_.type)];
  store(to, destination_.strides[1], destination_.strides[4], planes, pitch, {channels, columns},
        {nullptr, 0, problem_.activation, problem_.accumulate});
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
        lane[m] = compute(region, m, region.h + h, region.w + w);
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
  const std::int64_t sources = geometry_.source_channels;
  const auto& weights = weight_.strides;
  const std::int64_t k_per_group = geometry_.forward ? geometry_.destination_channels : sources;
  const T* weight = static_cast<const T*>(weight_.data) + region.group * k_per_group * weights[0] +
                    (region.channel + channel) * weights[geometry_.forward ? 0 : 1];
  const T* image =
      static_cast<const T*>(source_.data) + region.group * sources * source_.strides[1];
  double sum = 0.0;
  for (std::int64_t c = 0; c < sources; ++c) {
    for (std::int64_t tap = 0; tap < 9 * geometry_.depth_taps; ++tap) {
      const std::int64_t slice = geometry_.source_slice(region.image, tap / 9);
      const std::int64_t from_h = padded_source(h + geometry_.first[0] + tap / 3 % 3,
                                                geometry_.source_size[0], geometry_.mode);
      const std::int64_t from_w =
          padded_source(w + geometry_.first[1] + tap % 3, geometry_.source_size[1], geometry_.mode);
      const bool inside = slice >= 0 && from_h >= 0 && from_w >= 0;
      if (!inside && !geometry_.forward) continue;
      const double value = inside ? image[geometry_.source_offset(source_, region.image, slice) +
                                          c * source_.strides[1] + from_h * source_.strides[3] +
                                          from_w * source_.strides[4]]
                                  : geometry_.fill;
      sum += value * weight[c * weights[geometry_.forward ? 1 : 0] +
                            geometry_.kernel_element(tap / 9, geometry_.depth_taps) * weights[2] +
                            geometry_.kernel_element(tap / 3 % 3, 3) * weights[3] +
                            geometry_.kernel_element(tap % 3, 3) * weights[4]];
    }
  }
  return static_cast<T>(sum);
}

template const float* read_bias(const Problem&, const Geometry&, const Arguments&, std::int64_t,
                                float*);
template const double* read_bias(const Problem&, const Geometry&, const Arguments&, std::int64_t,
                                 double*);
template class ResultWriter<float>;
template class ResultWriter<double>;

}  // namespace fastconv::winograd
