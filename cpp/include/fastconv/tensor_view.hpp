#pragma once

#include <array>
#include <cstdint>

#include "fastconv/data_type.hpp"

namespace fastconv {

/// Memory that somebody else owns, seen as a five-dimensional array.
///
/// Axes are (N, C, D, H, W) for images and (K, C / groups, D, H, W) for weights, whatever the
/// order in memory: a channels-last image is the same view with other strides. Strides count
/// elements and may be negative or zero. Axes that a 1-D or 2-D problem lacks have size 1.
struct TensorView {
  void* data = nullptr;
  DataType type = DataType::float32;
  std::array<std::int64_t, 5> sizes{1, 1, 1, 1, 1};
  std::array<std::int64_t, 5> strides{0, 0, 0, 0, 0};

  std::int64_t element_count() const {
    return sizes[0] * sizes[1] * sizes[2] * sizes[3] * sizes[4];
  }
};

/// View of a dense array whose axes lie in memory in the order (N, C, D, H, W).
inline TensorView channels_first_view(void* data, DataType type,
                                      std::array<std::int64_t, 5> sizes) {
  const auto [n, c, d, h, w] = sizes;
  static_cast<void>(n);
  return {data, type, sizes, {c * d * h * w, d * h * w, h * w, w, 1}};
}

/// View of a dense array whose axes lie in memory in the order (N, D, H, W, C); `sizes` are still
/// given as (N, C, D, H, W).
inline TensorView channels_last_view(void* data, DataType type, std::array<std::int64_t, 5> sizes) {
  const auto [n, c, d, h, w] = sizes;
  static_cast<void>(n);
  return {data, type, sizes, {c * d * h * w, 1, h * w * c, w * c, c}};
}

}  // namespace fastconv
