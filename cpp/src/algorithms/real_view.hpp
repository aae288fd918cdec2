#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "fastconv/tensor_view.hpp"

namespace fastconv {

/// The type that T itself is stored as.
template <class T>
constexpr DataType stored_type() {
  constexpr bool floating = T(0.5) != T(0);
  if constexpr (sizeof(T) == 4) return floating ? DataType::float32 : DataType::int32;
  return floating ? DataType::float64 : DataType::int64;
}

/// Which part of a complex weight, 0 for the real one, takes a part of the source to one of the
/// destination: it acts on such pairs as the matrix [re -im; im re], conjugated [re im; -im re].
struct WeightPart {
  std::int64_t part;
  bool negated;
};
constexpr WeightPart weight_part(std::int64_t destination_part, std::int64_t source_part,
                                 bool conjugate) {
  const bool imaginary = destination_part != source_part;
  return {imaginary ? 1 : 0, imaginary && (source_part == 1) != conjugate};
}

/// A tensor as real numbers: a complex one has twice the channels, real and imaginary parts
/// alternating, and every stride counts parts.
class RealView {
 public:
  explicit RealView(const TensorView& view)
      : data_(static_cast<std::byte*>(view.data)),
        parts_(is_complex(view.type) ? 2 : 1),
        type_(real_type(view.type)),
        element_bytes_(static_cast<std::int64_t>(size_of(type_))) {
    for (std::size_t a = 0; a < 5; ++a) strides_[a] = view.strides[a] * parts_;
  }

  static DataType real_type(DataType type) {
    return type == DataType::complex64    ? DataType::float32
           : type == DataType::complex128 ? DataType::float64
                                          : type;
  }

  /// Every `step`-th channel from the given one on.
  RealView channels_from(std::int64_t channel, std::int64_t step) const {
    RealView view = *this;
    view.data_ = at(channel_offset(channel));
    view.strides_[1] *= step;
    return view;
  }

  DataType type() const { return type_; }
  int parts() const { return parts_; }
  std::int64_t element_bytes() const { return element_bytes_; }
  /// In real elements.
  std::int64_t stride(std::size_t axis) const { return strides_[axis]; }
  /// Where a channel of the doubled kind begins, in real elements.
  std::int64_t channel_offset(std::int64_t channel) const {
    return channel / parts_ * strides_[1] + channel % parts_;
  }
  std::byte* at(std::int64_t offset) const { return data_ + offset * element_bytes_; }

 private:
  std::byte* data_;
  int parts_;
  DataType type_;
  std::int64_t element_bytes_;
  std::array<std::int64_t, 5> strides_{};
};

}  // namespace fastconv
