/// Copies of rows for depthwise convolution: padded and thinned out.

/// Elements kFirst, kFirst + 2, ... of two vectors that follow each other.
template <int kFirst, class T, int... kIndices>
[[gnu::always_inline]] inline Vec<T> every_second(Vec<T> a, Vec<T> b,
                                                  std::integer_sequence<int, kIndices...>) {
  return {__builtin_shufflevector(a.value, b.value, (kFirst + 2 * kIndices)...)};
}

template <class T>
[[gnu::always_inline]] inline void fill_zeros(T* to, std::int64_t count) {
  using V = Vec<T>;
  for (std::int64_t i = 0; i < count; i += V::kLanes) V::zero().store(to + i);
}

/// Rows in order, because each may write into what follows it.
template <class T>
void pad_rows(const PaddedRows<T>& block) {
  using V = Vec<T>;
  constexpr std::int64_t kLanes = V::kLanes;
  constexpr auto kSequence = std::make_integer_sequence<int, V::kLanes>();
  const std::int64_t count = block.count;
  const std::int64_t whole = count - count % kLanes;
  for (std::int64_t r = 0; r < block.rows; ++r) {
    T* to = block.to + r * block.to_pitch;
    const T* from = block.from + r * block.from_pitch;
    fill_zeros(to, block.before);
    to += block.before;
    if (block.from_step == 1) {
      for (std::int64_t i = 0; i < whole; i += kLanes) V::load(from + i).store(to + i);
      if (whole < count) V::load_partial(from + whole, count - whole).store(to + whole);
    } else {
      for (std::int64_t i = 0; i < count; i += kLanes) {
        const std::int64_t left = 2 * (count - i) - 1;  // the last element has no neighbour
        const T* pairs = from + 2 * i;
        V low;
        V high;
        if (left >= 2 * kLanes) {
          low = V::load(pairs);
          high = V::load(pairs + kLanes);
        } else {
          low = left < kLanes ? V::load_partial(pairs, left) : V::load(pairs);
          high = left > kLanes ? V::load_partial(pairs + kLanes, left - kLanes) : V::zero();
        }
        every_second<0>(low, high, kSequence).store(to + i);
      }
    }
    fill_zeros(to + count, block.after);
  }
}
