/// Rows of elements on their way into and out of tiles: conversion, strides, and the epilogue.

struct Float16 {
  std::uint16_t bits;
};
struct BFloat16 {
  std::uint16_t bits;
};

/// The exponent of a half is rebased by a multiplication, which also normalises subnormals.
inline float to_compute(Float16 half) {
  const std::uint32_t magnitude = half.bits & 0x7fffu;
  const std::uint32_t sign = (half.bits & 0x8000u) << 16;
  const float scaled = __builtin_bit_cast(float, magnitude << 13) * 0x1p112f;
  const std::uint32_t bits =
      __builtin_bit_cast(std::uint32_t, scaled) | (magnitude >= 0x7c00u ? 0x7f800000u : 0u);
  return __builtin_bit_cast(float, bits | sign);
}
inline float to_compute(BFloat16 half) {
  return __builtin_bit_cast(float, static_cast<std::uint32_t>(half.bits) << 16);
}
template <class Storage>
inline Storage to_compute(Storage value) {
  return value;
}

template <class Storage>
struct ToStorage {
  template <class T>
  static Storage convert(T value) {
    return static_cast<Storage>(value);
  }
};

/// Rounds to nearest, ties to even. Subnormal results come from adding a constant whose last
/// place is the half's smallest step.
template <>
struct ToStorage<Float16> {
  static Float16 convert(float value) {
    const auto bits = __builtin_bit_cast(std::uint32_t, value);
    const std::uint32_t sign = (bits >> 16) & 0x8000u;
    const std::uint32_t magnitude = bits & 0x7fffffffu;
    const float shifted = __builtin_bit_cast(float, magnitude) + 0.5f;
    const std::uint32_t subnormal = __builtin_bit_cast(std::uint32_t, shifted) - 0x3f000000u;
    const std::uint32_t odd = (magnitude >> 13) & 1u;
    const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + odd) >> 13;
    std::uint32_t result = magnitude < 0x38800000u ? subnormal : normal;
    result = magnitude >= 0x477ff000u ? 0x7c00u : result;
    result = magnitude > 0x7f800000u ? 0x7e00u : result;
    return {static_cast<std::uint16_t>(result | sign)};
  }
};
template <>
struct ToStorage<BFloat16> {
  static BFloat16 convert(float value) {
    const auto bits = __builtin_bit_cast(std::uint32_t, value);
    const std::uint32_t rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
    const std::uint32_t quiet = (bits >> 16) | 0x40u;
    return {static_cast<std::uint16_t>((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded)};
  }
};

template <class T, class Storage>
void load_row(T* to, std::int64_t to_stride, const void* from, std::int64_t from_stride,
              std::int64_t count) {
  const auto* source = static_cast<const Storage*>(from);
  if (to_stride == 1 && from_stride == 1) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(to_compute(source[i]));
  } else if (to_stride == 1 && from_stride == 2) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(to_compute(source[2 * i]));
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      to[i * to_stride] = static_cast<T>(to_compute(source[i * from_stride]));
    }
  }
}

template <class T, class Storage>
void store_row(void* to, std::int64_t to_stride, const T* sums, std::int64_t count,
               const Epilogue<T>& epilogue) {
  auto* result = static_cast<Storage*>(to);
  const T bias = epilogue.bias;
  if (to_stride == 1 && !epilogue.accumulate && epilogue.activation == Activation::none) {
    for (std::int64_t i = 0; i < count; ++i) {
      result[i] = ToStorage<Storage>::convert(wrapping_add(sums[i], bias));
    }
    return;
  }
  constexpr std::int64_t kChunk = 256;
  T values[kChunk];
  for (std::int64_t first = 0; first < count; first += kChunk) {
    const std::int64_t size = count - first < kChunk ? count - first : kChunk;
    Storage* chunk = result + first * to_stride;
    for (std::int64_t i = 0; i < size; ++i) values[i] = wrapping_add(sums[first + i], bias);
    if (epilogue.accumulate) {
      for (std::int64_t i = 0; i < size; ++i) {
        values[i] = wrapping_add(values[i], static_cast<T>(to_compute(chunk[i * to_stride])));
      }
    }
    activate(values, size, epilogue.activation);
    if (to_stride == 1) {
      for (std::int64_t i = 0; i < size; ++i) chunk[i] = ToStorage<Storage>::convert(values[i]);
    } else {
      for (std::int64_t i = 0; i < size; ++i) {
        chunk[i * to_stride] = ToStorage<Storage>::convert(values[i]);
      }
    }
  }
}
