/// Transposition in registers: a square of lanes x lanes elements in log2(lanes) rounds, each of
/// which exchanges the off-diagonal quarters of squares of twice its distance (Eklundh, "A fast
/// computer method for matrix transposing", IEEE Transactions on Computers C-21, 1972).

/// The vector of T as the compiler's own type, whatever Vec<T> holds.
template <class T>
using LaneArray = typename ExtensionVec<T, Vec<T>::kLanes* int{sizeof(T)}>::Native;
template <class T>
using UnalignedLaneArray = typename ExtensionVec<T, Vec<T>::kLanes* int{sizeof(T)}>::Unaligned;

template <int... kIndices>
struct Indices {};
template <int kCount, int... kIndices>
struct CountedIndices : CountedIndices<kCount - 1, kCount - 1, kIndices...> {};
template <int... kIndices>
struct CountedIndices<0, kIndices...> {
  using Type = Indices<kIndices...>;
};

template <int kDistance, class V, int... kLane>
inline void exchange_quarters(V& upper, V& lower, Indices<kLane...>) {
  constexpr int kLanes = int{sizeof...(kLane)};
  const V first = __builtin_shufflevector(
      upper, lower, ((kLane & kDistance) == 0 ? kLane : kLane - kDistance + kLanes)...);
  const V second = __builtin_shufflevector(
      upper, lower, ((kLane & kDistance) == 0 ? kLane + kDistance : kLane + kLanes)...);
  upper = first;
  lower = second;
}

template <int kDistance, int kLanes, class V>
inline void transpose_rounds(V (&rows)[kLanes]) {
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) {
    if ((r & kDistance) == 0) {
      exchange_quarters<kDistance>(rows[r], rows[r + kDistance],
                                   typename CountedIndices<kLanes>::Type());
    }
  }
  if constexpr (kDistance > 1) transpose_rounds<kDistance / 2>(rows);
}

/// Elements [0, count) of a row, the other lanes being whatever follows where that lies before
/// `end`.
template <class T>
inline LaneArray<T> load_lanes(const T* from, std::int64_t count, const T* end) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  if (end - from >= kLanes) return *reinterpret_cast<const UnalignedLaneArray<T>*>(from);
  alignas(sizeof(LaneArray<T>)) T lanes[kLanes] = {};
  for (std::int64_t i = 0; i < count; ++i) lanes[i] = from[i];
  return *reinterpret_cast<const LaneArray<T>*>(lanes);
}

/// to[i * to_pitch + r] = from[r * from_pitch + i] for r in [0, lanes) and i in [0, count). Nothing
/// is read from `end` on, except that a whole square may be.
template <class T, bool kWhole>
inline void transpose_square(T* to, std::int64_t to_pitch, const T* from, std::int64_t from_pitch,
                             std::int64_t count, const T* end) {
  constexpr int kLanes = Vec<T>::kLanes;
  LaneArray<T> rows[kLanes];
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) {
    rows[r] = kWhole ? *reinterpret_cast<const UnalignedLaneArray<T>*>(from + r * from_pitch)
                     : load_lanes(from + r * from_pitch, count, end);
  }
  transpose_rounds<kLanes / 2>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    if (!kWhole && i >= count) break;
    *reinterpret_cast<UnalignedLaneArray<T>*>(to + i * to_pitch) = rows[i];
  }
}

/// to[i * to_pitch + r] = from[r * from_pitch + i] for a block of rows r and elements i. Writes
/// nothing else, and reads nothing beyond the block's last element.
template <class T>
void transpose_block(T* to, std::int64_t to_pitch, const T* from, std::int64_t from_pitch,
                     BlockShape shape) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  const std::int64_t whole_rows = shape.rows - shape.rows % kLanes;
  const std::int64_t whole = shape.count - shape.count % kLanes;
  for (std::int64_t i = 0; i < whole; i += kLanes) {
    for (std::int64_t r = 0; r < whole_rows; r += kLanes) {
      transpose_square<T, true>(to + i * to_pitch + r, to_pitch, from + r * from_pitch + i,
                                from_pitch, kLanes, nullptr);
    }
  }
  if (whole < shape.count) {
    // Rows that go backwards in memory are never read beyond their own ends.
    const T* end = from_pitch < 0 ? from : from + (shape.rows - 1) * from_pitch + shape.count;
    for (std::int64_t r = 0; r < whole_rows; r += kLanes) {
      transpose_square<T, false>(to + whole * to_pitch + r, to_pitch, from + r * from_pitch + whole,
                                 from_pitch, shape.count - whole, end);
    }
  }
  for (std::int64_t r = whole_rows; r < shape.rows; ++r) {
    for (std::int64_t i = 0; i < shape.count; ++i) to[i * to_pitch + r] = from[r * from_pitch + i];
  }
}
