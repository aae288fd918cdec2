#include "algorithms/fft/non_finite.hpp"

#include <cmath>

namespace fastconv::fft_convolution {
namespace {

/// Calls body(index in a plane) for the positions of a tile.
template <class Body>
void for_each_position(const Tile& tile, const Extent& size, Body&& body) {
  for (std::int64_t d = 0; d < size[0]; ++d) {
    for (std::int64_t h = 0; h < size[1]; ++h) {
      const std::int64_t row = (d * tile.pitch[1] + h) * tile.pitch[2];
      for (std::int64_t w = 0; w < size[2]; ++w) body(row + w);
    }
  }
}

/// The position that a tap reads, where the source of an axis may be a period.
std::int64_t read_position(const direct::AxisPhases& phases, std::int64_t position,
                           const direct::Tap& tap) {
  const std::int64_t read = position + tap.shift;
  return phases.wraps && read >= phases.count ? read - phases.count : read;
}

/// Calls body(tap of each axis, index among all taps).
template <class Body>
void for_each_tap(const Runs& runs, Body&& body) {
  std::int64_t index = 0;
  for (const direct::Tap& d : runs[0]->taps) {
    for (const direct::Tap& h : runs[1]->taps) {
      for (const direct::Tap& w : runs[2]->taps) body(d, h, w, index++);
    }
  }
}

}  // namespace

template <class T>
void NonFiniteRepair<T>::repair(const Tile& tile, const Extent& origin, const Runs& runs,
                                std::int64_t n, std::int64_t group, std::int64_t channel, T* sums,
                                T* scratch) const {
  auto* wide = reinterpret_cast<double*>(scratch);
  T* planes = scratch + tile.plane_size * (sizeof(double) / sizeof(T));
  T* taps = planes + tile.channel_size();
  const Extent size = tile.size_at(origin, runs);
  const std::int64_t parts = kernels_.parts();
  bool overflowed = false;
  for_each_position(tile, size, [&](std::int64_t at) {
    const bool finite = std::isfinite(sums[at]);
    overflowed = overflowed || !finite;
    wide[at] = finite ? static_cast<double>(sums[at]) : 0.0;
  });
  for (std::int64_t c = 0; c < source_channels_; ++c) {
    source_.pack(tile, origin, n, group * source_channels_ + c, 1, planes);
    kernels_.pack_taps(weight_, runs, group, channel, {c - c % parts, parts}, taps);
    const T* channel_taps = taps + c % parts * direct::tap_count(runs) * parts + channel % parts;
    if (overflowed) add_to_overflowed(tile, runs, size, planes, channel_taps, sums, wide);
    add_non_finite(tile, runs, size, planes, channel_taps, wide);
  }
  for_each_position(tile, size, [&](std::int64_t at) { sums[at] = static_cast<T>(wide[at]); });
}

/// The finite products of sums that are not finite although those all are.
template <class T>
void NonFiniteRepair<T>::add_to_overflowed(const Tile& tile, const Runs& runs, const Extent& size,
                                           const T* planes, const T* taps, const T* sums,
                                           double* wide) const {
  for_each_position(tile, size, [&](std::int64_t at) {
    if (std::isfinite(sums[at])) return;
    const std::int64_t slice = at / (tile.pitch[1] * tile.pitch[2]);
    const std::int64_t row = at / tile.pitch[2] % tile.pitch[1];
    const std::int64_t column = at % tile.pitch[2];
    for_each_tap(runs, [&](const direct::Tap& d, const direct::Tap& h, const direct::Tap& w,
                           std::int64_t index) {
      const T value = planes[tile.tap_offset({d.plane, read_position(*tile.phases[0], slice, d)},
                                             {h.plane, read_position(*tile.phases[1], row, h)},
                                             {w.plane, read_position(*tile.phases[2], column, w)})];
      if (std::isfinite(value)) {
        wide[at] +=
            static_cast<double>(value) * static_cast<double>(taps[index * kernels_.parts()]);
      }
    });
  });
}

template <class T>
void NonFiniteRepair<T>::add_non_finite(const Tile& tile, const Runs& runs, const Extent& size,
                                        const T* planes, const T* taps, double* wide) const {
  const auto& phases = tile.phases;
  const std::int64_t height = runs[1]->tap_count();
  const std::int64_t width = runs[2]->tap_count();
  for (std::int64_t element = 0; element < tile.channel_size(); ++element) {
    if (std::isfinite(planes[element])) continue;
    const auto value = static_cast<double>(planes[element]);
    const std::int64_t plane = element / tile.plane_size;
    const Extent planes_of{plane / (phases[1]->plane_count() * phases[2]->plane_count()),
                           plane / phases[2]->plane_count() % phases[1]->plane_count(),
                           plane % phases[2]->plane_count()};
    const std::int64_t in_plane = element % tile.plane_size;
    const Extent at{in_plane / (tile.pitch[1] * tile.pitch[2]),
                    in_plane / tile.pitch[2] % tile.pitch[1], in_plane % tile.pitch[2]};
    // The position whose window has the element under a tap, or -1.
    const auto position = [&](std::size_t axis, std::int64_t tap) {
      const direct::Tap& shifted = runs[axis]->taps[static_cast<std::size_t>(tap)];
      std::int64_t index = at[axis] - shifted.shift;
      if (phases[axis]->wraps && index < 0) index += phases[axis]->count;
      return shifted.plane == planes_of[axis] && index < size[axis] ? index : -1;
    };
    for (std::int64_t d = 0; d < runs[0]->tap_count(); ++d) {
      const std::int64_t to_d = position(0, d);
      for (std::int64_t h = 0; to_d >= 0 && h < height; ++h) {
        const std::int64_t to_h = position(1, h);
        for (std::int64_t w = 0; to_h >= 0 && w < width; ++w) {
          const std::int64_t to_w = position(2, w);
          if (to_w < 0) continue;
          wide[(to_d * tile.pitch[1] + to_h) * tile.pitch[2] + to_w] +=
              value * static_cast<double>(taps[((d * height + h) * width + w) * kernels_.parts()]);
        }
      }
    }
  }
}

template class NonFiniteRepair<float>;
template class NonFiniteRepair<double>;

}  // namespace fastconv::fft_convolution
