/// Pixels with a vector of channels each, from planes of channels, or from channels side by side.

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
    transpose_square<1>(rows);
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
