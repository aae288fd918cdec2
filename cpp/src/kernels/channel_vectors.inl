/// Pixels with a vector of channels each, from planes of channels, or from channels side by side.

/// The lower (upper) halves of two vectors, element by element in turn.
template <bool kUpper, class V>
inline V interleave(V a, V b) {
  if constexpr (V::kLanes == 2) {
    return kUpper ? V{__builtin_shufflevector(a.value, b.value, 1, 3)}
                  : V{__builtin_shufflevector(a.value, b.value, 0, 2)};
  } else if constexpr (V::kLanes == 4) {
    return kUpper ? V{__builtin_shufflevector(a.value, b.value, 2, 6, 3, 7)}
                  : V{__builtin_shufflevector(a.value, b.value, 0, 4, 1, 5)};
  } else if constexpr (V::kLanes == 8) {
    return kUpper ? V{__builtin_shufflevector(a.value, b.value, 4, 12, 5, 13, 6, 14, 7, 15)}
                  : V{__builtin_shufflevector(a.value, b.value, 0, 8, 1, 9, 2, 10, 3, 11)};
  } else {
    static_assert(V::kLanes == 16);
    return kUpper ? V{__builtin_shufflevector(a.value, b.value, 8, 24, 9, 25, 10, 26, 11, 27, 12,
                                              28, 13, 29, 14, 30, 15, 31)}
                  : V{__builtin_shufflevector(a.value, b.value, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20,
                                              5, 21, 6, 22, 7, 23)};
  }
}

/// Each stage rotates the bits of an element's index (row, column) by one, as a perfect shuffle
/// does, so that after log2(lanes) of them rows and columns have changed places.
template <class V>
inline void transpose_vectors(V (&rows)[V::kLanes]) {
  constexpr int kHalf = V::kLanes / 2;
#pragma GCC unroll 4
  for (int stage = 1; stage < V::kLanes; stage *= 2) {
    V shuffled[V::kLanes];
#pragma GCC unroll 8
    for (int i = 0; i < kHalf; ++i) {
      shuffled[2 * i] = interleave<false>(rows[i], rows[i + kHalf]);
      shuffled[2 * i + 1] = interleave<true>(rows[i], rows[i + kHalf]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < V::kLanes; ++i) rows[i] = shuffled[i];
  }
}

/// Squares of lanes x lanes; channels that are missing are zeros. Planes are as many streams as
/// there are lanes, too many for the processor to foresee: they are fetched some cache lines ahead,
/// which may lie beyond their end.
template <class T>
void vectors_from_planes(const T* from, std::int64_t from_pitch, BlockShape shape, T* to,
                         std::int64_t to_pitch) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  constexpr std::int64_t kAhead = 256 / std::int64_t{sizeof(T)};
  for (std::int64_t first = 0; first < shape.count; first += kLanes) {
    const std::int64_t left = shape.count - first;
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      __builtin_prefetch(from + r * from_pitch + first + kAhead);
    }
    V rows[kLanes];
    if (shape.rows >= kLanes && left >= kLanes) {
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r) rows[r] = V::load(from + r * from_pitch + first);
    } else {
      const std::int64_t width = left < kLanes ? left : kLanes;
#pragma GCC unroll 16
      for (int r = 0; r < kLanes; ++r) {
        rows[r] =
            r < shape.rows ? V::load_partial(from + r * from_pitch + first, width) : V::zero();
      }
    }
    transpose_vectors(rows);
    if (left >= kLanes) {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) rows[i].store(to + (first + i) * to_pitch);
    } else {
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        if (i < left) rows[i].store(to + (first + i) * to_pitch);
      }
    }
  }
}

/// Whole vectors, one for each row, fetched some rows ahead.
template <class T>
void vectors_from_pixels(const T* from, std::int64_t from_pitch, BlockShape shape, T* to,
                         std::int64_t to_pitch) {
  using V = Vec<T>;
  constexpr std::int64_t kAhead = 8;
  if (shape.count >= V::kLanes) {
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      __builtin_prefetch(from + (r + kAhead) * from_pitch);
      V::load(from + r * from_pitch).store(to + r * to_pitch);
    }
    return;
  }
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    V::load_partial(from + r * from_pitch, shape.count).store(to + r * to_pitch);
  }
}
