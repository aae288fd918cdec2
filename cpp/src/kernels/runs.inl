/// Loops over runs of elements whose ends are done in vectors as well: rows are often shorter than
/// the vectors of their narrow elements, and never a multiple of them.

template <int kCount>
struct Width {
  static constexpr int kElements = kCount;
};

/// Calls body(Width<n>(), first) for pieces [first, first + n) that cover [0, count), whole vectors
/// where they fit. The last piece overlaps the one before it.
template <int kWidth, class Body>
inline void in_pieces(std::int64_t count, const Body& body) {
  if (count >= kWidth) {
    std::int64_t first = 0;
    for (; first + kWidth <= count; first += kWidth) body(Width<kWidth>(), first);
    if (first < count) body(Width<kWidth>(), count - kWidth);
  } else if constexpr (kWidth > 1) {
    in_pieces<kWidth / 2>(count, body);
  }
}

/// to[r * to_pitch + i] = lane r of load(r, i) for whole squares of r and i, which are transposed
/// in registers: load(r, i) is a vector of the elements r, r + 1, ... of number i. The last squares
/// overlap those before them. False, and nothing done, if the block is smaller than a square.
template <class T, class Load>
inline bool transpose_squares(T* to, std::int64_t to_pitch, BlockShape shape, const Load& load) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  if (shape.rows < kLanes || shape.count < kLanes) return false;
  in_pieces<kLanes>(shape.count, [&](auto, std::int64_t i) __attribute__((always_inline)) {
    in_pieces<kLanes>(shape.rows, [&](auto, std::int64_t r) __attribute__((always_inline)) {
      V square[kLanes];
#pragma GCC unroll 16
      for (int m = 0; m < kLanes; ++m) square[m] = load(r, i + m);
      transpose_square<1>(square);
#pragma GCC unroll 16
      for (int m = 0; m < kLanes; ++m) square[m].store(to + (r + m) * to_pitch + i);
    });
  });
  return true;
}
