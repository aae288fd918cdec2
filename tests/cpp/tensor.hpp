#pragma once

#include <gtest/gtest.h>

#include <array>
#include <complex>
#include <cstdint>
#include <cstring>
#include <random>

#include "fastconv/tensor_view.hpp"
#include "guarded_buffer.hpp"
#include "storage_elements.hpp"

namespace fastconv::testing {

using Sizes = std::array<std::int64_t, 5>;
using Strides = std::array<std::int64_t, 5>;

/// Orders of the axes in memory. `spread` leaves gaps between elements and rows and runs backward
/// along height; `mirrored` is `channels_first` backward along width and channels;
/// `repeated` has strides of zero along batch and width, for tensors that are only read.
enum class Layout { channels_first, channels_last, spread, mirrored, repeated };
inline constexpr Layout kLayouts[] = {Layout::channels_first, Layout::channels_last, Layout::spread,
                                      Layout::mirrored, Layout::repeated};

inline Strides strides_of(const Sizes& sizes, Layout layout) {
  switch (layout) {
    case Layout::channels_first:
      return channels_first_view(nullptr, DataType::float32, sizes).strides;
    case Layout::channels_last:
      return channels_last_view(nullptr, DataType::float32, sizes).strides;
    case Layout::mirrored: {
      Strides strides = strides_of(sizes, Layout::channels_first);
      strides[1] = -strides[1];
      strides[4] = -strides[4];
      return strides;
    }
    case Layout::repeated:
      return {0, sizes[2] * sizes[3], sizes[3], 1, 0};
    case Layout::spread:
      break;
  }
  const std::int64_t row = 3 * sizes[4] + 2;
  const std::int64_t slice = row * sizes[3] + 1;
  const std::int64_t channel = slice * sizes[2] + 3;
  return {channel * sizes[1], channel, slice, -row, 3};
}

/// The real type of the elements or of their parts: body(Storage(), parts).
template <class Body>
auto with_storage(DataType type, Body&& body) {
  switch (type) {
    case DataType::float32:
      return body(float(), 1);
    case DataType::float64:
      return body(double(), 1);
    case DataType::complex64:
      return body(float(), 2);
    case DataType::complex128:
      return body(double(), 2);
    case DataType::float16:
      return body(Half(), 1);
    case DataType::bfloat16:
      return body(BrainHalf(), 1);
    case DataType::int8:
      return body(std::int8_t(), 1);
    case DataType::uint8:
      return body(std::uint8_t(), 1);
    case DataType::int16:
      return body(std::int16_t(), 1);
    case DataType::uint16:
      return body(std::uint16_t(), 1);
    case DataType::int32:
      return body(std::int32_t(), 1);
    case DataType::uint32:
      return body(std::uint32_t(), 1);
    case DataType::int64:
      return body(std::int64_t(), 1);
    default:
      return body(std::uint64_t(), 1);
  }
}

/// A five-dimensional array in memory that is exactly as large as it, against inaccessible pages.
/// All memory, gaps included, begins as a pattern that is a finite number of every type.
class Tensor {
 public:
  Tensor(DataType type, const Sizes& sizes, const Strides& strides, Side side = Side::end)
      : span_(span_of(sizes, strides)),
        buffer_(static_cast<std::size_t>(span_) * size_of(type), side,
                is_complex(type) ? size_of(type) / 2 : size_of(type), 0x5a),
        view_{buffer_.data(), type, sizes, strides} {
    std::int64_t first = 0;
    for (std::size_t a = 0; a < 5; ++a) {
      if (strides[a] < 0) first -= strides[a] * (sizes[a] - 1);
    }
    if (span_ > 0) view_.data = buffer_.as<std::byte>() + first * size_as_signed();
  }
  Tensor(DataType type, const Sizes& sizes, Layout layout = Layout::channels_first,
         Side side = Side::end)
      : Tensor(type, sizes, strides_of(sizes, layout), side) {}

  const TensorView& view() const { return view_; }
  /// Elements from the first to the last in memory, gaps included.
  std::int64_t span() const { return span_; }
  const std::byte* memory() const { return buffer_.as<std::byte>(); }
  bool intact() const { return buffer_.intact(); }

  /// Small integers in every element and every part: sums of their products are exact in every
  /// type, whatever the order, so that results compare for equality.
  void fill_with_integers(std::mt19937_64& random, int least = -3, int greatest = 3) const {
    const auto range = static_cast<std::uint64_t>(greatest - least + 1);
    fill([&] { return static_cast<double>(static_cast<int>(random() % range) + least); });
  }

  /// Halves get multiples of 2^-8, which they hold.
  void fill_with_normal_numbers(std::mt19937_64& random) const {
    std::normal_distribution<double> normal;
    const bool rounded = is_half(view_.type);
    fill([&] {
      const double number = normal(random);
      return rounded ? std::round(256.0 * number) / 256.0 : number;
    });
  }

  void copy_memory_from(const Tensor& other) const {
    std::memcpy(buffer_.data(), other.buffer_.data(), buffer_.bytes());
  }

  /// Element [n, c, d, h, w] as a complex number.
  std::complex<double> at(std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h,
                          std::int64_t w) const {
    const Sizes position{n, c, d, h, w};
    std::int64_t offset = 0;
    for (std::size_t a = 0; a < 5; ++a) offset += position[a] * view_.strides[a];
    return with_storage(view_.type, [&]<class Storage>(Storage, int parts) {
      const auto* element = static_cast<const Storage*>(view_.data) + offset * parts;
      return std::complex<double>(widened<double>(element[0]),
                                  parts == 2 ? widened<double>(element[1]) : 0.0);
    });
  }

  /// Calls body(n, c, d, h, w) for every element.
  template <class Body>
  void for_each_position(Body&& body) const {
    const auto [size_n, size_c, size_d, size_h, size_w] = view_.sizes;
    for (std::int64_t n = 0; n < size_n; ++n) {
      for (std::int64_t c = 0; c < size_c; ++c) {
        for (std::int64_t d = 0; d < size_d; ++d) {
          for (std::int64_t h = 0; h < size_h; ++h) {
            for (std::int64_t w = 0; w < size_w; ++w) body(n, c, d, h, w);
          }
        }
      }
    }
  }

 private:
  static std::int64_t span_of(const Sizes& sizes, const Strides& strides) {
    std::int64_t last = 0;
    for (std::size_t a = 0; a < 5; ++a) {
      if (sizes[a] == 0) return 0;
      last += std::abs(strides[a]) * (sizes[a] - 1);
    }
    return last + 1;
  }
  std::int64_t size_as_signed() const { return static_cast<std::int64_t>(size_of(view_.type)); }

  template <class Next>
  void fill(Next&& next) const {
    with_storage(view_.type, [&]<class Storage>(Storage, int parts) {
      for_each_position(
          [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
            const Strides& s = view_.strides;
            auto* element = static_cast<Storage*>(view_.data) +
                            (n * s[0] + c * s[1] + d * s[2] + h * s[3] + w * s[4]) * parts;
            for (int part = 0; part < parts; ++part) element[part] = converted<Storage>(next());
          });
      return 0;
    });
  }

  template <class Storage>
  static Storage converted(double value) {
    if constexpr (std::is_same_v<Storage, Half>) {
      return exact_half(value);
    } else if constexpr (std::is_integral_v<Storage>) {
      return static_cast<Storage>(static_cast<std::int64_t>(value));
    } else {
      return narrowed<Storage>(value);
    }
  }

  std::int64_t span_;
  GuardedBuffer buffer_;
  TensorView view_;
};

/// Whether two tensors of the same kind hold the same numbers, in the gaps as well.
inline ::testing::AssertionResult same_memory(const Tensor& actual, const Tensor& expected) {
  if (std::memcmp(actual.memory(), expected.memory(),
                  static_cast<std::size_t>(actual.span()) * size_of(actual.view().type)) == 0) {
    return ::testing::AssertionSuccess();
  }
  return with_storage(actual.view().type, [&]<class Storage>(Storage, int parts) {
    const auto* a = reinterpret_cast<const Storage*>(actual.memory());
    const auto* b = reinterpret_cast<const Storage*>(expected.memory());
    std::int64_t first = -1;
    std::int64_t differing = 0;
    for (std::int64_t i = 0; i < actual.span() * parts; ++i) {
      if (same_value(a[i], b[i])) continue;
      if (first < 0) first = i;
      ++differing;
    }
    if (differing == 0) return ::testing::AssertionSuccess();
    return ::testing::AssertionFailure()
           << differing << " of " << actual.span() * parts << " numbers differ, the first at "
           << first << " of the memory: " << widened<double>(a[first]) << " instead of "
           << widened<double>(b[first]);
  });
}

}  // namespace fastconv::testing
