/// Transposition in registers: squares of as many vectors as a vector has lanes. Step s of the
/// log2(lanes) steps exchanges elements between vectors whose numbers differ by s, so that all of
/// them together exchange number and lane.

template <int... kLane>
struct Lanes {};
template <int kCount, int... kLane>
struct MakeLanes : MakeLanes<kCount - 1, kCount - 1, kLane...> {};
template <int... kLane>
struct MakeLanes<0, kLane...> {
  using Type = Lanes<kLane...>;
};

/// Lanes with the bit kStep of `a` for those without of `b`.
template <int kStep, class Native, int... kLane>
inline void exchange_lanes(Native& a, Native& b, Lanes<kLane...>) {
  constexpr int kCount = sizeof...(kLane);
  const Native without =
      __builtin_shufflevector(a, b, ((kLane & kStep) != 0 ? kCount + kLane - kStep : kLane)...);
  const Native with =
      __builtin_shufflevector(a, b, ((kLane & kStep) != 0 ? kCount + kLane : kLane + kStep)...);
  a = without;
  b = with;
}

template <int kStep, class V>
inline __attribute__((always_inline)) void transpose_square(V (&square)[V::kLanes]) {
  if constexpr (kStep < V::kLanes) {
#pragma GCC unroll 16
    for (int i = 0; i < V::kLanes; ++i) {
      if ((i & kStep) == 0) {
        exchange_lanes<kStep>(square[i].value, square[i + kStep].value,
                              typename MakeLanes<V::kLanes>::Type());
      }
    }
    transpose_square<2 * kStep>(square);
  }
}

/// A square, or what there is of one at an edge.
template <class T, bool kWhole>
inline void transpose_sums_square(T* to, std::int64_t to_pitch, const T* from,
                                  std::int64_t from_pitch, BlockShape shape, std::int64_t pieces,
                                  std::int64_t piece_pitch) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  // Rows are far apart: too many streams for a processor to foresee.
  constexpr int kAhead = 8 * 64 / int{sizeof(T)};
  V square[kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) {
    square[r] = V::zero();
    if (kWhole) {
      square[r] = V::load(from + r * from_pitch);
      __builtin_prefetch(from + r * from_pitch + kAhead, 0, 2);
    } else if (r < shape.rows) {
      square[r] = V::load_partial(from + r * from_pitch, shape.count);
    }
  }
  for (std::int64_t piece = 1; piece < pieces; ++piece) {
    from += piece_pitch;
#pragma GCC unroll 16
    for (int r = 0; r < kLanes; ++r) {
      if (kWhole) {
        square[r] = V::fma(V::broadcast(T(1)), V::load(from + r * from_pitch), square[r]);
      } else if (r < shape.rows) {
        square[r] = V::fma(V::broadcast(T(1)), V::load_partial(from + r * from_pitch, shape.count),
                           square[r]);
      }
    }
  }
  transpose_square<1>(square);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (kWhole) {
      square[i].store(to + i * to_pitch);
    } else if (i < shape.count) {
      square[i].store_partial(to + i * to_pitch, shape.rows);
    }
  }
}

template <class T>
void transpose_sums(T* to, std::int64_t to_pitch, const T* from, std::int64_t from_pitch,
                    BlockShape shape, std::int64_t pieces, std::int64_t piece_pitch) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  const auto square = [&](std::int64_t r, std::int64_t i) __attribute__((always_inline)) {
    const std::int64_t count = shape.count - i < kLanes ? shape.count - i : kLanes;
    const std::int64_t rows = shape.rows - r < kLanes ? shape.rows - r : kLanes;
    T* square_to = to + i * to_pitch + r;
    const T* square_from = from + r * from_pitch + i;
    if (rows == kLanes && count == kLanes) {
      transpose_sums_square<T, true>(square_to, to_pitch, square_from, from_pitch, {rows, count},
                                     pieces, piece_pitch);
    } else {
      transpose_sums_square<T, false>(square_to, to_pitch, square_from, from_pitch, {rows, count},
                                      pieces, piece_pitch);
    }
  };
  // The side whose rows lie closer together is finished row by row: its cache lines are neighbours.
  if (from_pitch < to_pitch) {
    for (std::int64_t r = 0; r < shape.rows; r += kLanes) {
      for (std::int64_t i = 0; i < shape.count; i += kLanes) square(r, i);
    }
  } else {
    for (std::int64_t i = 0; i < shape.count; i += kLanes) {
      for (std::int64_t r = 0; r < shape.rows; r += kLanes) square(r, i);
    }
  }
}
