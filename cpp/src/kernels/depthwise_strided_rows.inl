/// Depthwise convolution with a stride of two along rows and columns, vectors along the pixels.
///
/// Tile: kRows output rows x kVectors vectors of pixels. A source row is loaded once for all output
/// rows that it meets: kRows of them meet 2 * (kRows - 1) + height. Its pixels at even and at odd
/// distances are picked out of pairs of vectors, and those of further taps shifted out of what was
/// picked. Packed weights have the tap rows, and the taps of a row, at even distances before the
/// others. Registers: kRows * kVectors + 3 * kVectors + 3.

/// Where tap t of `count` lies among those at even distances first.
constexpr std::int64_t even_first(std::int64_t t, std::int64_t count) {
  return t % 2 * ((count + 1) / 2) + t / 2;
}

/// One source row into the output rows that it meets; `weights(r)` are those of the tap row in
/// which it meets output row r, or null.
template <class T, int kTaps, int kRows, int kVectors, class Lanes, class Weights>
[[gnu::always_inline]] inline void add_strided_row(Vec<T> (&sums)[kRows][kVectors], const T* from,
                                                   const Lanes& lanes, const Weights& weights) {
  using V = Vec<T>;
  constexpr auto kEach = std::make_integer_sequence<int, V::kLanes>();
  V window[2][kVectors + 1];
#pragma GCC unroll 8
  for (int v = 0; v <= kVectors; ++v) {
    const V low = V::load_lanes(from + 2 * v * V::kLanes, lanes.of_vector[2 * v]);
    const V high = V::load_lanes(from + (2 * v + 1) * V::kLanes, lanes.of_vector[2 * v + 1]);
    window[0][v] = every_second<0>(low, high, kEach);
    window[1][v] = every_second<1>(low, high, kEach);
  }
  const auto add = [&]<int kTap>() __attribute__((always_inline)) {
    const auto& part = window[kTap % 2];
    V loaded[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      loaded[v] = kTap < 2 ? part[v] : V::template slide<kTap / 2>(part[v], part[v + 1]);
    }
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      const T* row = weights(r);
      if (row == nullptr) continue;
      const V weight = V::broadcast(row[even_first(kTap, kTaps)]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(weight, loaded[v], sums[r][v]);
    }
  };
  [&]<int... kTap>(std::integer_sequence<int, kTap...>) __attribute__((always_inline)) {
    (add.template operator()<kTap>(), ...);
  }(std::make_integer_sequence<int, kTaps>());
}

/// With several rows the kernel is as high as it is wide: which rows meet is then known when this
/// is compiled.
template <class T, int kRows, int kVectors, int kTaps>
[[gnu::noinline]] void depthwise_strided_tile(const RowBlock<T>& block, std::int64_t y,
                                              std::int64_t first) {
  using V = Vec<T>;
  V sums[kRows][kVectors];
#pragma GCC unroll 8
  for (auto& row : sums) {
#pragma GCC unroll 8
    for (V& sum : row) sum = V::broadcast(block.initial);
  }
  const std::int64_t start = 2 * first + block.taps[0].offsets[0];
  const WindowLanes<T, 2 * (kVectors + 1)> lanes(start, block.limits);
  for (std::int64_t set = 0; set < block.set_count; ++set) {
    const RowTaps<T>& taps = block.taps[set];
    const T* const* rows = taps.rows + block.first_row + 2 * y;
    std::int64_t read = taps.height;
    if constexpr (kRows == 1) {
      for (std::int64_t a = 0; a < taps.height; ++a) {
        const T* weights = taps.weights + even_first(a, taps.height) * kTaps;
        add_strided_row<T, kTaps>(sums, rows[a] + start, lanes,
                                  [&](int) __attribute__((always_inline)) { return weights; });
      }
    } else {
      constexpr int kRead = 2 * (kRows - 1) + kTaps;
      read = kRead;
      [&]<int... kRow>(std::integer_sequence<int, kRow...>) __attribute__((always_inline)) {
        (add_strided_row<T, kTaps>(sums, rows[kRow] + start, lanes,
                                   [&](int r) __attribute__((always_inline)) -> const T* {
                                     const int a = kRow - 2 * r;
                                     return a < 0 || a >= kTaps
                                                ? nullptr
                                                : taps.weights + even_first(a, kTaps) * kTaps;
                                   }),
         ...);
      }(std::make_integer_sequence<int, kRead>());
    }
    fetch_rows<T, 2 * kRows, 2 * kVectors>(rows + read, 1, 2 * first);
  }
  store_row_tile(sums, block, y, first);
}

/// kRows output rows from end to end.
template <class T, int kRows, int kTaps>
void depthwise_strided_strip(const RowBlock<T>& block, std::int64_t y) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  std::int64_t first = 0;
  for (; block.count - first > (kSlidingVectors - 1) * kLanes; first += kSlidingVectors * kLanes) {
    depthwise_strided_tile<T, kRows, kSlidingVectors, kTaps>(block, y, first);
  }
  const std::int64_t vectors = (block.count - first + kLanes - 1) / kLanes;
  if (vectors == 1) depthwise_strided_tile<T, kRows, 1, kTaps>(block, y, first);
  if (vectors == 2) depthwise_strided_tile<T, kRows, 2, kTaps>(block, y, first);
  if (vectors == 3) depthwise_strided_tile<T, kRows, 3, kTaps>(block, y, first);
}

template <class T, int kTaps>
void depthwise_strided_rows(const RowBlock<T>& block) {
  constexpr int kTogether = 4;
  bool square = true;
  for (std::int64_t set = 0; set < block.set_count; ++set) {
    square = square && block.taps[set].height == kTaps;
  }
  std::int64_t y = 0;
  for (; square && y + kTogether <= block.rows; y += kTogether) {
    depthwise_strided_strip<T, kTogether, kTaps>(block, y);
  }
  for (; y < block.rows; ++y) depthwise_strided_strip<T, 1, kTaps>(block, y);
}

/// The kernel that suits how the taps lie.
template <class T>
void depthwise_rows(const RowBlock<T>& block) {
  bool done = false;
  const auto slide = [&]<int kTaps>() {
    if constexpr (slides<T>(kTaps)) {
      if (block.set_count == 0 || block.taps[0].width != kTaps) return;
      if constexpr (kMaskedLoads) {
        if (block.columns == RowColumns::every_second) {
          depthwise_strided_rows<T, kTaps>(block);
          done = true;
        }
      }
      // Without masks nothing but packed rows, of which whole vectors may be read.
      if (block.columns == RowColumns::neighbours &&
          (kMaskedLoads || block.limits.end == kUnlimitedRow.end)) {
        if (rolls<T, kTaps>(block)) {
          depthwise_rolling_rows<T, kTaps>(block);
        } else if (!depthwise_half_rows<T, kTaps>(block)) {
          depthwise_row_strips<T, kTaps>(block);
        }
        done = true;
      }
    }
  };
  slide.template operator()<3>();
  slide.template operator()<5>();
  slide.template operator()<7>();
  if constexpr (slides<T>(3)) {
    bool single = false;
    for (std::int64_t set = 0; set < block.set_count; ++set) {
      single = single || block.taps[set].height == 1;
    }
    if (!done && single && block.columns == RowColumns::neighbours && block.taps[0].width > 1) {
      depthwise_row_strips<T, kManyNeighbours>(block);
      done = true;
    }
  }
  if (!done) depthwise_row_strips<T, 0>(block);
  if (block.streams) finish_streams();
}
