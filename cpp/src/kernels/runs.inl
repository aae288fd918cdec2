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

/// Calls body(first) for pieces [first, first + kWidth) that cover [0, count), of which there is
/// one at least: a body that is large, and compiled once. The last piece overlaps the one before
/// it.
template <int kWidth, class Body>
inline void in_whole_pieces(std::int64_t count, const Body& body) {
  for (std::int64_t first = 0; first < count; first += kWidth) {
    body(first + kWidth <= count ? first : count - kWidth);
  }
}

/// to[r * to_pitch + i] = lane 0 of load(width, r, i), in squares of r and i that are transposed in
/// registers: load(Width<n>(), r, i) holds the elements r, r + 1, ... r + n - 1 of number i. The
/// last squares overlap those before them. False, and nothing done, for blocks smaller than 4 x 4.
template <class T, int kSide = Vec<T>::kLanes, class Load>
inline bool transpose_squares(T* to, std::int64_t to_pitch, BlockShape shape, const Load& load) {
  if (shape.rows >= kSide && shape.count >= kSide) {
    in_whole_pieces<kSide>(shape.count, [&](std::int64_t i) {
      in_whole_pieces<kSide>(shape.rows, [&](std::int64_t r) {
        ExtensionVec<T, kSide* int{sizeof(T)}> square[kSide];
#pragma GCC unroll 16
        for (int m = 0; m < kSide; ++m) square[m] = load(Width<kSide>(), r, i + m);
        transpose_square<1>(square);
#pragma GCC unroll 16
        for (int m = 0; m < kSide; ++m) square[m].store(to + (r + m) * to_pitch + i);
      });
    });
    return true;
  }
  if constexpr (kSide > 4) return transpose_squares<T, kSide / 2>(to, to_pitch, shape, load);
  return false;
}
