/// Depthwise convolution of rows whose last pixels fill no more than half a vector, as 56 do, or 7:
/// there, the pixels of two rows share a vector, those of an upper strip of kRows rows in its lower
/// half and those of the strip below in the other.
///
/// Tile: 2 * kRows output rows, no more in a strip than the kernel has; the lower strip may begin
/// with the last row of the upper one. A source row of each strip
/// is loaded once; every tap is shuffled out of both: kRows multiply-adds for a shuffle and kRows
/// broadcasts. Registers: kRows + 4.

/// Pixels at the end of the block's rows that are left to such tiles; none if it has too few rows.
template <class T>
std::int64_t half_vector_pixels(const RowBlock<T>& block, std::int64_t strip) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  const bool possible = block.rows >= 2 * strip - 1 && strip > 1 &&
                        block.limits.end != kUnlimitedRow.end && !block.streams;
  const std::int64_t rest = block.count % kLanes;
  return possible && rest <= kLanes / 2 ? rest : 0;
}

/// Half a vector from each of two, from tap kTap on.
template <int kTap, class T, int... kIndices>
[[gnu::always_inline]] inline Vec<T> join_halves(Vec<T> lower, Vec<T> upper,
                                                 std::integer_sequence<int, kIndices...>) {
  constexpr int kLanes = Vec<T>::kLanes;
  lower.value = __builtin_shufflevector(
      lower.value, upper.value, (kTap + kIndices + (kIndices < kLanes / 2 ? 0 : kLanes / 2))...);
  return lower;
}

/// Output rows y to y + kRows - 1 and, `apart` rows below, as many again.
template <class T, int kRows, int kTaps>
[[gnu::noinline]] void depthwise_half_tile(const RowBlock<T>& block, std::int64_t y,
                                           std::int64_t apart, std::int64_t first) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  V sums[kRows][1];
#pragma GCC unroll 8
  for (auto& row : sums) row[0] = V::broadcast(block.initial);
  const std::int64_t start = first + block.taps[0].offsets[0];
  const WindowLanes<T, 1> lanes(start, block.limits);
  for (std::int64_t set = 0; set < block.set_count; ++set) {
    const RowTaps<T>& taps = block.taps[set];
    const std::int64_t step = taps.row_step;
    const T* const* rows = taps.rows + block.first_row + y * step;
    const T* weights = taps.weights;
    const auto add = [&]<int kFirst, int kLast>() __attribute__((always_inline)) {
      const V lower = V::load_lanes(rows[0] + start, lanes.of_vector[0]);
      const V upper = V::load_lanes(rows[apart * step] + start, lanes.of_vector[0]);
      const auto add_column = [&]<int kTap>() __attribute__((always_inline)) {
        const V loaded[1] = {
            join_halves<kTap, T>(lower, upper, std::make_integer_sequence<int, kLanes>())};
        add_tap<kFirst, kLast>(sums, loaded, weights + kTap, kTaps);
      };
      [&]<int... kTap>(std::integer_sequence<int, kTap...>) __attribute__((always_inline)) {
        (add_column.template operator()<kTap>(), ...);
      }(std::make_integer_sequence<int, kTaps>());
      rows += step;
      weights += kTaps;
    };
    for_each_source_row<kRows>(taps.height, add);
    fetch_rows<T, kRows, 1>(rows + apart * step, step, start);
  }
  const std::int64_t left = block.count - first;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    T* const out = block.out + (y + r) * block.pitch + first;
    sums[r][0].store_partial(out, left);
    V::template slide<kLanes / 2>(sums[r][0], sums[r][0])
        .store_partial(out + apart * block.pitch, left);
  }
}

/// All of a block: whole vectors in strips, two of which then share the half vectors at their end.
/// False, and nothing done, where no such tile fits.
template <class T, int kTaps>
bool depthwise_half_rows(const RowBlock<T>& block) {
  if constexpr (kTaps - 1 > Vec<T>::kLanes / 2) {
    return false;
  } else {
    const std::int64_t strip = rows_of_strip(block);
    const std::int64_t pixels = half_vector_pixels(block, strip);
    if (pixels == 0) return false;
    const auto rows_of = [&](std::int64_t y, std::int64_t rows, std::int64_t count) {
      RowBlock<T> part = block;
      part.first_row += y * block.taps[0].row_step;
      part.rows = rows;
      part.count = count;
      part.out += y * block.pitch;
      return part;
    };
    const std::int64_t whole = block.count - pixels;
    std::int64_t y = 0;
    for (; y + 2 * strip - 1 <= block.rows; y += 2 * strip) {
      const std::int64_t rows = block.rows - y < 2 * strip ? block.rows - y : 2 * strip;
      if (whole > 0) depthwise_row_strips<T, kTaps>(rows_of(y, rows, whole));
      const std::int64_t apart = rows - strip;
      if (strip == 2) depthwise_half_tile<T, 2, kTaps>(block, y, apart, whole);
      if (strip == 3) depthwise_half_tile<T, 3, kTaps>(block, y, apart, whole);
      if (strip == 4) depthwise_half_tile<T, 4, kTaps>(block, y, apart, whole);
    }
    if (y < block.rows) depthwise_row_strips<T, kTaps>(rows_of(y, block.rows - y, block.count));
    return true;
  }
}
