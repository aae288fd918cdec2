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
      source_stride_(weight.strides[geometry.forward ? 1 : 0]),
      destination_stride_(weight.strides[geometry.forward ? 0 : 1]) {}

/// A few source channels of all vectors, then the next: either way of looking at a weight finds
/// neighbours in memory.
template <class T>
void WeightTransform<T>::transform(std::int64_t group, std::int64_t first, std::int64_t vectors,
                                   T* to, std::int64_t to_pitch,
                                   std::int64_t frequency_pitch) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t sources = geometry_.source_channels;
  alignas(kAlignment) T taps[kMostGathered];
  for (std::int64_t depth_tap = 0; depth_tap < geometry_.depth_taps; ++depth_tap) {
    T* to_slice = to + depth_tap * sources * to_pitch;
    for (std::int64_t source = 0; source < sources; source += kGatheredSources) {
      const std::int64_t count = std::min(kGatheredSources, sources - source);
      for (std::int64_t v = 0; v < vectors; ++v) {
        gather(group, first + v * lanes, depth_tap, source, count, taps);
        transform_gathered(taps, count, to_slice + source * to_pitch + v * lanes, to_pitch,
                           frequency_pitch);
      }
    }
  }
}

template <class T>
void WeightTransform<T>::transform_gathered(const T* taps, std::int64_t sources, T* to,
                                            std::int64_t to_pitch,
                                            std::int64_t frequency_pitch) const {
  const std::int64_t lanes = kernels_.lanes;
  const bool mirrored = geometry_.mirrored;
  kernels_.winograd.weights(mirrored ? taps + (kTaps - 1) * lanes : taps, mirrored ? -lanes : lanes,
                            kTaps * lanes, sources, to, to_pitch, frequency_pitch);
}

template <class T>
const T* WeightTransform<T>::taps_of(std::int64_t group, std::int64_t channel,
                                     std::int64_t depth_tap, std::int64_t source) const {
  const std::int64_t k_per_group =
      geometry_.forward ? geometry_.destination_channels : geometry_.source_channels;
  return static_cast<const T*>(weight_.data) + group * k_per_group * weight_.strides[0] +
         geometry_.kernel_element(depth_tap, geometry_.depth_taps) * weight_.strides[2] +
         source * source_stride_ + channel * destination_stride_;
}

/// Destination channels of the vector that begins with `channel`.
template <class T>
std::int64_t WeightTransform<T>::rows_of(std::int64_t channel) const {
  return std::min<std::int64_t>(kernels_.lanes, geometry_.destination_channels - channel);
}

template <class T>
void WeightTransform<T>::gather(std::int64_t group, std::int64_t channel, std::int64_t depth_tap,
                                std::int64_t first_source, std::int64_t sources, T* taps) const {
  gather(taps_of(group, channel, depth_tap, first_source), rows_of(channel), sources, taps);
}

template <class T>
LinesAhead WeightTransform<T>::lines_of(std::int64_t group, std::int64_t channel,
                                        std::int64_t depth_tap, std::int64_t first_source,
                                        std::int64_t sources) const {
  struct Channels {
    std::int64_t count;
    std::int64_t stride;
  };
  Channels far{sources, source_stride_};
  Channels near{rows_of(channel), destination_stride_};
  if (far.stride < near.stride) std::swap(far, near);
  const std::int64_t slice = 2 * (weight_.strides[3] + weight_.strides[4]) + 1;
  if (weight_.strides[3] < 0 || weight_.strides[4] < 0 || near.stride < slice ||
      near.stride > geometry_.depth_taps * slice) {
    return {};
  }
  const auto size = static_cast<std::int64_t>(sizeof(T));
  return {reinterpret_cast<const std::byte*>(taps_of(group, channel, depth_tap, first_source)),
          far.count, far.stride * size, ((near.count - 1) * near.stride + slice) * size};
}

/// Whatever the order in memory.
template <class T>
void WeightTransform<T>::gather(const T* weights, std::int64_t rows, std::int64_t sources,
                                T* taps) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t step_h = weight_.strides[3];
  const std::int64_t step_w = weight_.strides[4];
  if (step_w == 1 && step_h == 3 && source_stride_ == kTaps) {
    kernels_.vectors_from_planes(weights, destination_stride_, {rows, kTaps * sources}, taps,
                                 lanes);
  } else if (step_w == 1 && step_h == 3) {
    for (std::int64_t s = 0; s < sources; ++s) {
      kernels_.vectors_from_planes(weights + s * source_stride_, destination_stride_, {rows, kTaps},
                                   taps + s * kTaps * lanes, lanes);
    }
  } else if (source_stride_ == 1 || destination_stride_ == 1) {
    for (std::int64_t tap = 0; tap < kTaps; ++tap) {
      const T* from = weights + tap / 3 * step_h + tap % 3 * step_w;
      if (source_stride_ == 1) {
        kernels_.vectors_from_planes(from, destination_stride_, {rows, sources}, taps + tap * lanes,
                                     kTaps * lanes);
      } else {
        kernels_.vectors_from_pixels(from, source_stride_, {sources, rows}, taps + tap * lanes,
                                     kTaps * lanes);
      }
    }
  } else {
    if (rows < lanes) std::fill_n(taps, sources * kTaps * lanes, T(0));
    const auto load_weights = kernels_.load_weights[static_cast<int>(weight_.type)];
    for (std::int64_t h = 0; h < 3; ++h) {
      load_weights(taps + 3 * h * lanes, weights + h * step_h,
                   {.sources = sources,
                    .taps = 3,
                    .rows = rows,
                    .source_stride = source_stride_,
                    .tap_stride = step_w,
                    .row_stride = destination_stride_,
                    .to_source_pitch = kTaps * lanes,
                    .to_tap_pitch = lanes,
                    .to_row_step = 1});
    }
  }
}

template class WeightTransform<float>;
template class WeightTransform<double>;

}  // namespace fastconv::winograd
