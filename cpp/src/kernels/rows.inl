/// Rows of elements on their way into and out of tiles: conversion, strides, and the epilogue.

template <class A, class B>
inline constexpr bool kSameType = false;
template <class A>
inline constexpr bool kSameType<A, A> = true;

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

/// Whether an instruction converts a piece of a row.
template <class T, class Storage>
constexpr bool converts_halves(int count) {
  return kSameType<Storage, Float16> && HalfConversion<T>::kExists && count == Vec<T>::kLanes;
}

/// A vector or less, which the compiler converts as one.
template <int kCount, class T, class Storage>
inline void load_piece(T* __restrict to, const Storage* __restrict from) {
  if constexpr (converts_halves<T, Storage>(kCount)) {
    HalfConversion<T>::load(to, from);
  } else {
    for (int i = 0; i < kCount; ++i) to[i] = static_cast<T>(to_compute(from[i]));
  }
}
template <int kCount, class T, class Storage>
inline void store_piece(Storage* __restrict to, const T* __restrict from) {
  if constexpr (converts_halves<T, Storage>(kCount)) {
    HalfConversion<T>::store(to, from);
  } else {
    for (int i = 0; i < kCount; ++i) to[i] = ToStorage<Storage>::convert(from[i]);
  }
}

/// Every kStride-th element: shuffles, where the compiler knows the stride.
template <std::int64_t kStride, class T, class Storage>
inline void load_every(T* __restrict to, const Storage* __restrict from, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) to[i] = static_cast<T>(to_compute(from[kStride * i]));
}

template <class T, class Storage>
void load_row(T* to, std::int64_t to_stride, const void* from, std::int64_t from_stride,
              std::int64_t count) {
  const auto* source = static_cast<const Storage*>(from);
  if (to_stride == 1 && from_stride == 1) {
    in_pieces<Vec<T>::kLanes>(count, [&](auto width, std::int64_t first) {
      load_piece<decltype(width)::kElements>(to + first, source + first);
    });
  } else if (to_stride == 1 && from_stride == 2) {
    load_every<2>(to, source, count);
  } else if (to_stride == 1 && from_stride == 4) {
    load_every<4>(to, source, count);
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      to[i * to_stride] = static_cast<T>(to_compute(source[i * from_stride]));
    }
  }
}

/// Transposing takes place in registers, or reads whole cache lines before it leaves them:
/// kTransposeWidth pixels of all channels at a time.
template <class T, class Storage>
void load_block(T* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch,
                std::int64_t from_stride, BlockShape shape) {
  const auto* source = static_cast<const Storage*>(from);
  constexpr std::int64_t kTransposeWidth = 16;
  if (from_pitch == 1 && from_stride != 1) {
    if constexpr (kSameType<T, Storage>) {
      transpose_sums(to, to_pitch, source, from_stride, {shape.count, shape.rows}, 1, 0);
      return;
    }
    const auto load = [&](auto width, std::int64_t r, std::int64_t i) {
      constexpr int kCount = decltype(width)::kElements;
      T wide[kCount];
      load_piece<kCount>(wide, source + r + i * from_stride);
      return ExtensionVec<T, kCount* int{sizeof(T)}>::load(wide);
    };
    if (transpose_squares(to, to_pitch, shape, load)) return;
    for (std::int64_t first = 0; first < shape.count; first += kTransposeWidth) {
      const std::int64_t left = shape.count - first;
      const std::int64_t width = left < kTransposeWidth ? left : kTransposeWidth;
      for (std::int64_t r = 0; r < shape.rows; ++r) {
        load_row<T, Storage>(to + r * to_pitch + first, 1, source + r + first * from_stride,
                             from_stride, width);
      }
    }
    return;
  }
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    load_row<T, Storage>(to + r * to_pitch, 1, source + r * from_pitch, from_stride, shape.count);
  }
}

/// The number of rows is a constant in the loops that matter: 8 channels are gathered from 8
/// streams and written side by side.
template <class T, class Storage, int kRows>
void load_weight_rows(T* to, const Storage* from, const WeightShape& shape) {
  const std::int64_t rows = kRows > 0 ? kRows : shape.rows;
  const std::int64_t to_row_step = kRows > 0 ? 1 : shape.to_row_step;
  for (std::int64_t s = 0; s < shape.sources; ++s) {
    for (std::int64_t t = 0; t < shape.taps; ++t) {
      T* to_rows = to + s * shape.to_source_pitch + t * shape.to_tap_pitch;
      const Storage* from_rows = from + s * shape.source_stride + t * shape.tap_stride;
#pragma GCC unroll 8
      for (std::int64_t m = 0; m < rows; ++m) {
        to_rows[m * to_row_step] = static_cast<T>(to_compute(from_rows[m * shape.row_stride]));
      }
    }
  }
}

/// Many rows side by side, at least a vector of them: the taps of a row are contiguous but for a
/// small step, so that squares of rows and taps are transposed. False if the taps lie too far
/// apart.
template <class T>
bool transpose_weights(T* to, const T* from, const WeightShape& shape) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  if (shape.tap_stride == 1 && shape.source_stride == shape.taps &&
      shape.to_source_pitch == shape.taps * shape.to_tap_pitch) {
    transpose_sums(to, shape.to_tap_pitch, from, shape.row_stride,
                   {shape.rows, shape.sources * shape.taps}, 1, 0);
    return true;
  }
  alignas(kLanes * sizeof(T)) T square[kLanes * kLanes];
  if (shape.tap_stride == 1 && shape.source_stride == shape.taps) {
    const std::int64_t all = shape.sources * shape.taps;
    for (std::int64_t first = 0; first < all; first += kLanes) {
      const std::int64_t count = all - first < kLanes ? all - first : kLanes;
      for (std::int64_t m = 0; m < shape.rows; m += kLanes) {
        transpose_sums(square, kLanes, from + m * shape.row_stride + first, shape.row_stride,
                       {kLanes, count}, 1, 0);
        std::int64_t s = first / shape.taps;
        std::int64_t t = first % shape.taps;
        for (std::int64_t i = 0; i < count; ++i) {
          Vec<T>::load(square + i * kLanes)
              .store(to + s * shape.to_source_pitch + t * shape.to_tap_pitch + m);
          if (++t == shape.taps) {
            t = 0;
            ++s;
          }
        }
      }
    }
    return true;
  }
  const std::int64_t step = shape.tap_stride < 0 ? -shape.tap_stride : shape.tap_stride;
  const std::int64_t columns = (shape.taps - 1) * step + 1;
  if (columns > kLanes || shape.row_stride < 0 || shape.source_stride < 0) return false;
  const T* lowest = shape.tap_stride < 0 ? from + (shape.taps - 1) * shape.tap_stride : from;
  for (std::int64_t s = 0; s < shape.sources; ++s) {
    T* to_taps = to + s * shape.to_source_pitch;
    for (std::int64_t m = 0; m < shape.rows; m += kLanes) {
      transpose_sums(square, kLanes, lowest + s * shape.source_stride + m * shape.row_stride,
                     shape.row_stride, {kLanes, columns}, 1, 0);
      for (std::int64_t t = 0; t < shape.taps; ++t) {
        const std::int64_t column = (shape.tap_stride < 0 ? shape.taps - 1 - t : t) * step;
        Vec<T>::load(square + column * kLanes).store(to_taps + t * shape.to_tap_pitch + m);
      }
    }
  }
  return true;
}

template <class T, class Storage>
void load_weights(T* to, const void* from, const WeightShape& shape) {
  const auto* source = static_cast<const Storage*>(from);
  if constexpr (kSameType<T, Storage>) {
    if (shape.to_row_step == 1 && shape.row_stride != 1 && shape.rows > 0 &&
        shape.rows % Vec<T>::kLanes == 0 && transpose_weights(to, source, shape)) {
      return;
    }
  }
  if (shape.rows == 8 && shape.to_row_step == 1) {
    load_weight_rows<T, Storage, 8>(to, source, shape);
  } else if (shape.rows == 4 && shape.to_row_step == 1) {
    load_weight_rows<T, Storage, 4>(to, source, shape);
  } else if (shape.row_stride == 1 && shape.to_row_step == 1) {
    for (std::int64_t s = 0; s < shape.sources; ++s) {
      for (std::int64_t t = 0; t < shape.taps; ++t) {
        load_row<T, Storage>(to + s * shape.to_source_pitch + t * shape.to_tap_pitch, 1,
                             source + s * shape.source_stride + t * shape.tap_stride, 1,
                             shape.rows);
      }
    }
  } else {
    load_weight_rows<T, Storage, 0>(to, source, shape);
  }
}

template <class T, class Storage>
void store_elements(Storage* to, std::int64_t to_stride, const T* sums, std::int64_t count) {
  if (to_stride == 1 && kSameType<T, Storage>) {
    for (std::int64_t i = 0; i < count; ++i) to[i] = ToStorage<Storage>::convert(sums[i]);
  } else if (to_stride == 1) {
    in_pieces<Vec<T>::kLanes>(count, [&](auto width, std::int64_t first) {
      store_piece<decltype(width)::kElements>(to + first, sums + first);
    });
  } else {
    std::int64_t first = 0;
    if constexpr (kSameType<T, Storage>) {
      constexpr std::int64_t kLanes = Vec<T>::kLanes;
      for (; to_stride == 2 && first + kLanes <= count; first += kLanes) {
        store_every_second(Vec<T>::load(sums + first), to + 2 * first);
      }
    }
    for (std::int64_t i = first; i < count; ++i)
      to[i * to_stride] = ToStorage<Storage>::convert(sums[i]);
  }
}

/// kRows channels side by side in memory, pixel by pixel.
template <class T, class Storage, int kRows>
void store_channels(Storage* to, std::int64_t to_stride, const T* sums, std::int64_t sums_pitch,
                    std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
#pragma GCC unroll 16
    for (int r = 0; r < kRows; ++r) {
      to[i * to_stride + r] = ToStorage<Storage>::convert(sums[r * sums_pitch + i]);
    }
  }
}

template <class T, class Storage>
void apply_epilogue(T* row, std::int64_t r, const Storage* old, std::int64_t old_stride,
                    std::int64_t count, const Epilogue<T>& epilogue) {
  if (epilogue.bias != nullptr && epilogue.bias_element_step == 1) {
    const T* bias = epilogue.bias + r * epilogue.bias_step;
    for (std::int64_t i = 0; i < count; ++i) row[i] = wrapping_add(row[i], bias[i]);
  } else if (epilogue.bias != nullptr) {
    const T bias = epilogue.bias[r * epilogue.bias_step];
    for (std::int64_t i = 0; i < count; ++i) row[i] = wrapping_add(row[i], bias);
  }
  if (epilogue.accumulate) {
    for (std::int64_t i = 0; i < count; ++i) {
      row[i] = wrapping_add(row[i], static_cast<T>(to_compute(old[i * old_stride])));
    }
  }
  activate(row, count, epilogue.activation);
}

template <class T, class Storage>
void store_block(void* to, std::int64_t to_pitch, std::int64_t to_stride, T* sums,
                 std::int64_t sums_pitch, BlockShape shape, const Epilogue<T>& epilogue) {
  auto* result = static_cast<Storage*>(to);
  const bool plain =
      epilogue.bias == nullptr && !epilogue.accumulate && epilogue.activation == Activation::none;
  for (std::int64_t r = 0; !plain && r < shape.rows; ++r) {
    apply_epilogue(sums + r * sums_pitch, r, result + r * to_pitch, to_stride, shape.count,
                   epilogue);
  }
  std::int64_t r = 0;
  if (to_pitch == 1 && to_stride != 1) {
    if constexpr (kSameType<T, Storage>) {
      transpose_sums<T>(result, to_stride, sums, sums_pitch, shape, 1, 0);
      return;
    }
    for (; r + 8 <= shape.rows; r += 8) {
      store_channels<T, Storage, 8>(result + r, to_stride, sums + r * sums_pitch, sums_pitch,
                                    shape.count);
    }
    for (; r + 4 <= shape.rows; r += 4) {
      store_channels<T, Storage, 4>(result + r, to_stride, sums + r * sums_pitch, sums_pitch,
                                    shape.count);
    }
  }
  for (; r < shape.rows; ++r) {
    store_elements(result + r * to_pitch, to_stride, sums + r * sums_pitch, shape.count);
  }
}

/// The lower (kHalf 0) or upper half of the elements of two vectors, in turn.
template <int kHalf, class T, int... kIndices>
[[gnu::always_inline]] inline Vec<T> interleave(Vec<T> a, Vec<T> b,
                                                std::integer_sequence<int, kIndices...>) {
  constexpr int kLanes = Vec<T>::kLanes;
  return {__builtin_shufflevector(a.value, b.value,
                                  (kHalf * kLanes / 2 + kIndices / 2 + kIndices % 2 * kLanes)...)};
}

/// The last vector of a row overlaps the one before.
template <class T>
void interleave_rows(T* to, std::int64_t to_pitch, const T* even, const T* odd,
                     std::int64_t from_pitch, BlockShape shape, std::int64_t odds) {
  using V = Vec<T>;
  constexpr std::int64_t kLanes = V::kLanes;
  constexpr auto kSequence = std::make_integer_sequence<int, V::kLanes>();
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    T* to_row = to + r * to_pitch;
    const T* evens_row = even + r * from_pitch;
    const T* odds_row = odd + r * from_pitch;
    for (std::int64_t i = 0; odds >= kLanes && i < odds; i += kLanes) {
      const std::int64_t at = i + kLanes <= odds ? i : odds - kLanes;
      const V a = V::load(evens_row + at);
      const V b = V::load(odds_row + at);
      interleave<0>(a, b, kSequence).store(to_row + 2 * at);
      interleave<1>(a, b, kSequence).store(to_row + 2 * at + kLanes);
    }
    for (std::int64_t i = 0; odds < kLanes && i < odds; ++i) {
      to_row[2 * i] = evens_row[i];
      to_row[2 * i + 1] = odds_row[i];
    }
    if (odds < shape.count) to_row[2 * odds] = evens_row[odds];
  }
}

/// Zero times a finite number is zero, times any other NaN; in partial sums, one after the other.
template <class T>
bool all_finite(const T* values, std::int64_t count) {
  if constexpr (kIsFloating<T>) {
    using V = Vec<T>;
    constexpr int kPartials = 4;
    V sums[kPartials];
    for (int p = 0; p < kPartials; ++p) sums[p] = V::zero();
    std::int64_t i = 0;
    for (; i + kPartials * V::kLanes <= count; i += kPartials * V::kLanes) {
#pragma GCC unroll 4
      for (int p = 0; p < kPartials; ++p) {
        sums[p] = V::fma(V::load(values + i + p * V::kLanes), V::zero(), sums[p]);
      }
    }
    for (; i + V::kLanes <= count; i += V::kLanes) {
      sums[0] = V::fma(V::load(values + i), V::zero(), sums[0]);
    }
    if (i < count) {
      sums[1] = V::fma(V::load_partial(values + i, count - i), V::zero(), sums[1]);
    }
    const V sum{(sums[0].value + sums[1].value) + (sums[2].value + sums[3].value)};
    return sum.reduce_add() == T(0);
  } else {
    return true;
  }
}
