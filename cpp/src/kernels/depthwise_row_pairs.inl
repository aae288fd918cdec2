/// Depthwise convolution with vectors along the pixels, two phases of a row at once.
///
/// Tile: kRows output rows x kVectors vectors of pixels of each phase, no more rows than the kernel
/// has, as in depthwise_rows.inl. A vector of a source row is loaded once for all rows of both
/// phases that it meets. Their vectors are interleaved just before they are stored, so that whole
/// lines are written. Registers: 2 * kRows * kVectors + kVectors + 1.

/// The pair of vectors that holds a[0], b[0], a[1], b[1], ...
template <class T, int... kIndices>
[[gnu::always_inline]] inline void interleave(Vec<T>& a, Vec<T>& b,
                                              std::integer_sequence<int, kIndices...>) {
  constexpr int kLanes = Vec<T>::kLanes;
  const auto low = __builtin_shufflevector(
      a.value, b.value, (kIndices % 2 == 0 ? kIndices / 2 : kLanes + kIndices / 2)...);
  const auto high = __builtin_shufflevector(
      a.value, b.value,
      (kIndices % 2 == 0 ? kLanes / 2 + kIndices / 2 : kLanes + kLanes / 2 + kIndices / 2)...);
  a.value = low;
  b.value = high;
}

/// One source row into output rows kFirst to kLast of both phases; the weights are those of the tap
/// row in which it meets output row 0.
template <int kFirst, int kLast, class T, int kRows, int kVectors>
[[gnu::always_inline]] inline void add_row_to_pair(Vec<T> (&sums)[2][kRows][kVectors],
                                                   const T* source, const RowTaps<T>& even,
                                                   const T* even_weights, const RowTaps<T>& odd,
                                                   const T* odd_weights) {
  using V = Vec<T>;
  const std::int64_t even_first = even.offsets[0];
  const std::int64_t odd_first = odd.offsets[0];
  const std::int64_t even_end = even_first + even.width;
  const std::int64_t odd_end = odd_first + odd.width;
  const std::int64_t end = even_end > odd_end ? even_end : odd_end;
  for (std::int64_t at = even_first < odd_first ? even_first : odd_first; at < end; ++at) {
    V loaded[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) loaded[v] = V::load(source + at + v * V::kLanes);
    if (at >= even_first && at < even_end) {
      add_tap<kFirst, kLast>(sums[0], loaded, even_weights + at - even_first, even.width);
    }
    if (at >= odd_first && at < odd_end) {
      add_tap<kFirst, kLast>(sums[1], loaded, odd_weights + at - odd_first, odd.width);
    }
  }
}

template <class T, int kRows, int kVectors>
[[gnu::noinline]] void depthwise_pair_tile(const RowPairs<T>& pairs, std::int64_t y,
                                           std::int64_t first) {
  const RowBlock<T>& block = pairs.even;
  using V = Vec<T>;
  constexpr std::int64_t kLanes = V::kLanes;
  V sums[2][kRows][kVectors];
#pragma GCC unroll 2
  for (auto& phase : sums) {
#pragma GCC unroll 8
    for (auto& row : phase) {
#pragma GCC unroll 8
      for (V& sum : row) sum = V::broadcast(block.initial);
    }
  }
  for (std::int64_t set = 0; set < block.set_count; ++set) {
    const RowTaps<T>& even = block.taps[set];
    const RowTaps<T>& odd = pairs.odd[set];
    const T* const* rows = even.rows + block.first_row + y * even.row_step;
    const T* even_weights = even.weights;
    const T* odd_weights = odd.weights;
    const auto add = [&]<int kFirst, int kLast>() __attribute__((always_inline)) {
      add_row_to_pair<kFirst, kLast>(sums, *rows + first, even, even_weights, odd, odd_weights);
      rows += even.row_step;
      even_weights += even.width;
      odd_weights += odd.width;
    };
    for_each_source_row<kRows>(even.height, add);
  }
  const std::int64_t left = block.count - 2 * first;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    T* out = block.out + (y + r) * block.pitch + 2 * first;
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      interleave<T>(sums[0][r][v], sums[1][r][v], std::make_integer_sequence<int, V::kLanes>());
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        const std::int64_t at = (2 * v + half) * kLanes;
        if (left >= at + kLanes) {
          sums[half][r][v].store(out + at);
        } else if (left > at) {
          sums[half][r][v].store_partial(out + at, left - at);
        }
      }
    }
  }
}

inline constexpr int kMostPairRows = 3;

/// kRows rows from end to end.
template <class T, int kRows>
void depthwise_pair_strip(const RowPairs<T>& pairs, std::int64_t y) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  constexpr int kFitting = (kRegisters - 1) / (2 * kRows + 1);
  constexpr int kMost = kFitting < 4 ? kFitting : 4;
  const std::int64_t pixels = (pairs.even.count + 1) / 2;
  std::int64_t first = 0;
  for (; pixels - first > (kMost - 1) * kLanes; first += kMost * kLanes) {
    depthwise_pair_tile<T, kRows, kMost>(pairs, y, first);
  }
  const std::int64_t vectors = (pixels - first + kLanes - 1) / kLanes;
  const auto run_rest = [&]<int kVectors>() {
    if constexpr (kVectors < kMost) {
      if (vectors == kVectors) depthwise_pair_tile<T, kRows, kVectors>(pairs, y, first);
    }
  };
  run_rest.template operator()<1>();
  run_rest.template operator()<2>();
  run_rest.template operator()<3>();
}

template <class T>
void depthwise_row_pairs(const RowPairs<T>& pairs) {
  const RowBlock<T>& block = pairs.even;
  std::int64_t most = kMostPairRows;
  for (std::int64_t set = 0; set < block.set_count; ++set) {
    if (block.taps[set].height < most) most = block.taps[set].height;
  }
  for (std::int64_t y = 0; y < block.rows;) {
    const std::int64_t left = block.rows - y;
    const std::int64_t rows = left < most ? left : most;
    if (rows == 1) depthwise_pair_strip<T, 1>(pairs, y);
    if (rows == 2) depthwise_pair_strip<T, 2>(pairs, y);
    if (rows == 3) depthwise_pair_strip<T, 3>(pairs, y);
    y += rows;
  }
}
