/// Depthwise convolution of tall blocks with one small square kernel, vectors along the pixels.
///
/// Tile: kVectors vectors of pixels, all rows of the block. From row to row, kTaps output rows are
/// in the making: a source row is loaded once, added to all of them, and completes the topmost,
/// whose registers begin the next. So every multiply-add is there once and every source row is read
/// once, where tiles of rows read those between two tiles again. The rows take turns in the
/// registers, so that the loop is written out kTaps times. Its lambdas are left to the compiler,
/// which inlines them: made to, GCC 12 copies accumulators, and 3x3 and 5x5 take a tenth longer.
/// Registers: kTaps * kVectors + 2 * kVectors + 2, and the weights where they fit.

/// Rows from which on a block is tall: those below the last one are begun in vain.
template <int kTaps>
inline constexpr std::int64_t kLeastRollingRows = 4 * kTaps;

/// Pixels up to which rows roll. Tiles follow each other along longer rows, as memory reads them.
inline constexpr std::int64_t kMostRollingPixels = 512;

/// Whether the taps of `block` roll: one set of tap rows that are neighbours.
template <class T, int kTaps>
bool rolls(const RowBlock<T>& block) {
  if constexpr (kTaps * kSlidingVectors + 2 * kSlidingVectors + 2 > kRegisters) return false;
  return block.set_count == 1 && block.taps[0].height == kTaps && block.taps[0].row_step == 1 &&
         block.rows >= kLeastRollingRows<kTaps> && block.count <= kMostRollingPixels &&
         !block.streams;
}

template <class T, int kVectors, int kTaps>
[[gnu::noinline]] void depthwise_rolling_tile(const RowBlock<T>& block, std::int64_t first) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  const RowTaps<T>& taps = block.taps[0];
  const T* const* rows = taps.rows + block.first_row;
  const std::int64_t start = first + taps.offsets[0];
  const std::int64_t left = block.count - first - (kVectors - 1) * kLanes;
  const std::int64_t last = left < kLanes ? left : kLanes;
  const WindowLanes<T, kMaskedLoads ? kVectors + 1 : 0> lanes(start, block.limits);
  const bool fetches = block.limits.end != kUnlimitedRow.end;
  const V initial = V::broadcast(block.initial);
  V sums[kTaps][kVectors];
  // Source row i is number kTurn of its round and meets output rows i to i - kReached.
  const auto add = [&]<int kTurn, int kReached>(std::int64_t i) {
    if (fetches) fetch_rows<T, 1, kVectors>(rows + i + kDepthwiseRowsAhead, 1, start);
    V window[kVectors + 1];
#pragma GCC unroll 8
    for (int v = 0; v <= kVectors; ++v) {
      if constexpr (kMaskedLoads) {
        window[v] = V::load_lanes(rows[i] + start + v * kLanes, lanes.of_vector[v]);
      } else {
        window[v] = V::load(rows[i] + start + v * kLanes);
      }
    }
    const auto add_tap = [&]<int kTap>() {
      V loaded[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        loaded[v] = kTap == 0 ? window[v] : V::template slide<kTap>(window[v], window[v + 1]);
      }
#pragma GCC unroll 8
      for (int a = 0; a <= kReached; ++a) {
        const V weight = V::broadcast(taps.weights[a * kTaps + kTap]);
        auto& row = sums[(kTurn + kTaps - a) % kTaps];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          row[v] = V::fma(weight, loaded[v], a == 0 && kTap == 0 ? initial : row[v]);
        }
      }
    };
    [&]<int... kTap>(std::integer_sequence<int, kTap...>) {
      (add_tap.template operator()<kTap>(), ...);
    }(std::make_integer_sequence<int, kTaps>());
  };
  // The first rows complete nothing.
  [&]<int... kRow>(std::integer_sequence<int, kRow...>) {
    (add.template operator()<kRow, kRow>(kRow), ...);
  }(std::make_integer_sequence<int, kTaps - 1>());
  T* out = block.out + first;
  for (std::int64_t y = 0; y < block.rows;) {
    const auto complete = [&]<int kTurn>() {
      if (y == block.rows) return;
      add.template operator()<kTurn, kTaps - 1>(y + kTaps - 1);
      const auto& row = sums[(kTurn + 1) % kTaps];
#pragma GCC unroll 8
      for (int v = 0; v + 1 < kVectors; ++v) row[v].store(out + v * kLanes);
      row[kVectors - 1].store_partial(out + (kVectors - 1) * kLanes, last);
      out += block.pitch;
      ++y;
    };
    [&]<int... kTurn>(std::integer_sequence<int, kTurn...>) {
      (complete.template operator()<(kTurn + kTaps - 1) % kTaps>(), ...);
    }(std::make_integer_sequence<int, kTaps>());
  }
}

template <class T, int kTaps>
void depthwise_rolling_rows(const RowBlock<T>& block) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  std::int64_t first = 0;
  for (; block.count - first > (kSlidingVectors - 1) * kLanes; first += kSlidingVectors * kLanes) {
    depthwise_rolling_tile<T, kSlidingVectors, kTaps>(block, first);
  }
  const std::int64_t vectors = (block.count - first + kLanes - 1) / kLanes;
  if (vectors == 1) depthwise_rolling_tile<T, 1, kTaps>(block, first);
  if (vectors == 2) depthwise_rolling_tile<T, 2, kTaps>(block, first);
  if (vectors == 3) depthwise_rolling_tile<T, 3, kTaps>(block, first);
}
