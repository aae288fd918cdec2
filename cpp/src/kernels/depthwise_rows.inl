/// Depthwise convolution with vectors along the pixels.
///
/// Tile: kRows output rows x kVectors vectors of pixels. A vector of a source row is loaded once
/// for each tap of a kernel row and multiplied into every output row that it meets; weights are
/// broadcast. No more rows than the kernel has, so that the first kRows - 1 source rows meet the
/// output rows from the first on, the last ones those up to the last, and all between meet every
/// one: kRows * kVectors multiply-adds for kRows + kVectors loads.
/// Registers: kRows * kVectors + kVectors + 1.

template <int kRows>
constexpr int depthwise_row_vectors() {
  constexpr int kWanted = kRows == 1 ? 8 : kRows == 2 ? 6 : 4;
  constexpr int kFitting = (kRegisters - 1) / (kRows + 1);
  return kFitting < kWanted ? kFitting : kWanted;
}

/// Widths of taps for which a tile has a variant of its own: every vector of the source is loaded
/// once, and the taps are shifted out of pairs of neighbours, since loads that cross cache lines
/// are the bottleneck of small kernels. It takes a vector more of each row than without.
template <class T>
constexpr bool slides(int width) {
  return kRegisters >= 32 && (width == 3 || width == 5 || width == 7) &&
         width <= Vec<T>::kLanes + 1;
}

inline constexpr int kSlidingVectors = 4;

/// In place of a width: any number of neighbours, shifted out of pairs of vectors in the same way.
/// Single rows alone: several share what they load, and need no more than one load for each tap.
inline constexpr int kManyNeighbours = -1;

/// How a tile finds its taps: of any number and at any offsets for a width of 0.
template <int kTaps, bool kBounded>
struct TapColumns {
  static constexpr int kWidth = kTaps;
  static constexpr bool kLimits = kBounded;
};

template <bool kLimits, class T>
[[gnu::always_inline]] inline Vec<T> load_inside(const T* row, std::int64_t at,
                                                 const RowLimits& limits) {
  if constexpr (kLimits) {
    return Vec<T>::load_lanes(row + at, Vec<T>::lanes_between(limits.first - at, limits.end - at));
  } else {
    return Vec<T>::load(row + at);
  }
}

/// Which lanes of a window of kCount vectors lie between the limits, known once for all rows.
template <class T, int kCount>
struct WindowLanes {
  decltype(Vec<T>::lanes_between(0, 0)) of_vector[kCount];

  WindowLanes(std::int64_t start, const RowLimits& limits) {
#pragma GCC unroll 16
    for (int v = 0; v < kCount; ++v) {
      const std::int64_t at = start + v * Vec<T>::kLanes;
      of_vector[v] = Vec<T>::lanes_between(limits.first - at, limits.end - at);
    }
  }
};
template <class T>
struct WindowLanes<T, 0> {
  WindowLanes(std::int64_t, const RowLimits&) {}
};

/// One vector for each of kVectors, multiplied into output rows kFirst to kLast.
template <int kFirst, int kLast, class T, int kRows, int kVectors>
[[gnu::always_inline]] inline void add_tap(Vec<T> (&sums)[kRows][kVectors],
                                           const Vec<T> (&loaded)[kVectors], const T* weight,
                                           std::int64_t width) {
  using V = Vec<T>;
#pragma GCC unroll 8
  for (int r = kFirst; r <= kLast; ++r) {
    const V factor = V::broadcast(weight[-r * width]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[r][v] = V::fma(factor, loaded[v], sums[r][v]);
  }
}

/// One source row into output rows kFirst to kLast; `weights` are those of the tap row in which the
/// source row meets output row 0.
template <int kFirst, int kLast, class Columns, class T, int kRows, int kVectors, class Window>
[[gnu::always_inline]] inline void add_source_row(Vec<T> (&sums)[kRows][kVectors], const T* source,
                                                  std::int64_t first, const T* weights,
                                                  const RowTaps<T>& taps, const RowLimits& limits,
                                                  const Window& window_lanes) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  if constexpr (Columns::kWidth == 0) {
    for (std::int64_t b = 0; b < taps.width; ++b) {
      V loaded[kVectors];
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        loaded[v] =
            load_inside<Columns::kLimits>(source, first + taps.offsets[b] + v * kLanes, limits);
      }
      add_tap<kFirst, kLast>(sums, loaded, weights + b, taps.width);
    }
  } else if constexpr (Columns::kWidth == kManyNeighbours) {
    for (std::int64_t b = 0; b < taps.width; b += kLanes) {
      const std::int64_t start = first + taps.offsets[0] + b;
      V window[kVectors + 1];
#pragma GCC unroll 16
      for (int v = 0; v <= kVectors; ++v) {
        window[v] = load_inside<Columns::kLimits>(source, start + v * kLanes, limits);
      }
      const auto add = [&]<int kTap>() __attribute__((always_inline)) {
        if (b + kTap >= taps.width) return;
        V loaded[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          loaded[v] = V::template slide<kTap>(window[v], window[v + 1]);
        }
        add_tap<kFirst, kLast>(sums, loaded, weights + b + kTap, taps.width);
      };
      [&]<int... kTap>(std::integer_sequence<int, kTap...>) __attribute__((always_inline)) {
        (add.template operator()<kTap>(), ...);
      }(std::make_integer_sequence<int, kLanes>());
    }
  } else {
    V window[kVectors + 1];
#pragma GCC unroll 8
    for (int v = 0; v <= kVectors; ++v) {
      const T* at = source + first + taps.offsets[0] + v * kLanes;
      if constexpr (Columns::kLimits) {
        window[v] = V::load_lanes(at, window_lanes.of_vector[v]);
      } else {
        window[v] = V::load(at);
      }
    }
    const auto add = [&]<int kTap>() __attribute__((always_inline)) {
      if constexpr (kTap < Columns::kWidth) {
        V loaded[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          loaded[v] = kTap == 0 ? window[v] : V::template slide<kTap>(window[v], window[v + 1]);
        }
        add_tap<kFirst, kLast>(sums, loaded, weights + kTap, std::int64_t{Columns::kWidth});
      }
    };
    add.template operator()<0>();
    add.template operator()<1>();
    add.template operator()<2>();
    add.template operator()<3>();
    add.template operator()<4>();
    add.template operator()<5>();
    add.template operator()<6>();
  }
}

/// What the tile below will read. Rows far apart are too many streams for a processor to foresee.
template <class T, int kRows, int kVectors>
[[gnu::always_inline]] inline void fetch_rows(const T* const* rows, std::int64_t step,
                                              std::int64_t first) {
  constexpr int kLine = 64 / int{sizeof(T)};
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r, rows += step) {
#pragma GCC unroll 16
    for (int i = 0; i < kVectors * Vec<T>::kLanes; i += kLine) {
      __builtin_prefetch(*rows + first + i);
    }
  }
}

/// From an address to the next cache line.
template <class T>
[[gnu::always_inline]] inline std::int64_t elements_before_line(const T* address) {
  constexpr std::uintptr_t kLine = 64;
  return static_cast<std::int64_t>((kLine - reinterpret_cast<std::uintptr_t>(address) % kLine) %
                                   kLine / sizeof(T));
}

template <class T, int kRows, int kVectors>
[[gnu::always_inline]] inline void store_row_tile(const Vec<T> (&sums)[kRows][kVectors],
                                                  const RowBlock<T>& block, std::int64_t y,
                                                  std::int64_t first) {
  using V = Vec<T>;
  T* out = block.out + y * block.pitch + first;
  const std::int64_t left = block.count - first;
  if (block.streams && left >= kVectors * V::kLanes) {
    bool aligned = true;
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      aligned = aligned && elements_before_line(out + r * block.pitch) == 0;
    }
    if (aligned) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[r][v].stream(out + r * block.pitch + v * V::kLanes);
      }
      return;
    }
  }
  const bool whole = left >= kVectors * V::kLanes;
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    T* row = out + r * block.pitch;
#pragma GCC unroll 8
    for (int v = 0; v + 1 < kVectors; ++v) sums[r][v].store(row + v * V::kLanes);
    T* last = row + (kVectors - 1) * V::kLanes;
    if (whole) {
      sums[r][kVectors - 1].store(last);
    } else {
      sums[r][kVectors - 1].store_partial(last, left - (kVectors - 1) * V::kLanes);
    }
  }
}

template <class T, int kRows, int kVectors, class Columns>
[[gnu::noinline]] void depthwise_row_tile(const RowBlock<T>& block, std::int64_t y,
                                          std::int64_t first) {
  using V = Vec<T>;
  V sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[r][v] = V::broadcast(block.initial);
  }
  const RowLimits limits = block.limits;
  constexpr bool kWindow = Columns::kWidth > 0 && Columns::kLimits;
  const WindowLanes<T, kWindow ? kVectors + 1 : 0> window(
      kWindow && block.set_count > 0 ? first + block.taps[0].offsets[0] : 0, limits);
  for (std::int64_t set = 0; set < block.set_count; ++set) {
    const RowTaps<T>& taps = block.taps[set];
    const T* const* rows = taps.rows + block.first_row + y * taps.row_step;
    const std::int64_t step = taps.row_step;
    const T* weights = taps.weights;
    const std::int64_t width = Columns::kWidth > 0 ? Columns::kWidth : taps.width;
    const auto add = [&]<int kFirst, int kLast>() __attribute__((always_inline)) {
      add_source_row<kFirst, kLast, Columns>(sums, *rows, first, weights, taps, limits, window);
      rows += step;
      weights += width;
    };
    for_each_source_row<kRows>(taps.height, add);
    if (limits.end != kUnlimitedRow.end) {
      fetch_rows<T, kRows, kVectors>(rows, step, first);
    }
  }
  store_row_tile(sums, block, y, first);
}

/// kRows output rows from end to end: the widest tile as often as it fits, then one that does.
template <class T, int kRows, int kTaps>
void depthwise_row_strip(const RowBlock<T>& block, std::int64_t y) {
  constexpr int kMost = kTaps > 0 ? kSlidingVectors : depthwise_row_vectors<kRows>();
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  const RowTaps<T>& taps = block.taps[0];
  std::int64_t least = 0;
  std::int64_t most = 0;
  if (kTaps == 0 && block.set_count > 0) {
    least = most = taps.offsets[0];
    for (std::int64_t b = 1; b < taps.width; ++b) {
      if (taps.offsets[b] < least) least = taps.offsets[b];
      if (taps.offsets[b] > most) most = taps.offsets[b];
    }
  }
  if (kTaps == kManyNeighbours) {
    least = taps.offsets[0];
    most = least + (taps.width + kLanes - 1) / kLanes * kLanes;
  }
  const auto run = [&]<int kVectors>(std::int64_t first) {
    if constexpr (kTaps > 0) {
      depthwise_row_tile<T, kRows, kVectors, TapColumns<kTaps, kMaskedLoads>>(block, y, first);
    } else if (first + least >= block.limits.first &&
               first + kVectors * kLanes + most <= block.limits.end) {
      depthwise_row_tile<T, kRows, kVectors, TapColumns<kTaps, false>>(block, y, first);
    } else {
      depthwise_row_tile<T, kRows, kVectors, TapColumns<kTaps, true>>(block, y, first);
    }
  };
  std::int64_t first = 0;
  if (block.streams) {
    // Up to a line, so that the tiles after it write whole ones.
    RowBlock<T> before_line = block;
    before_line.streams = false;
    before_line.count = elements_before_line(block.out + y * block.pitch);
    if (before_line.count > 0 && before_line.count < block.count) {
      depthwise_row_strip<T, kRows, kTaps>(before_line, y);
      first = before_line.count;
    }
  }
  for (; block.count - first > (kMost - 1) * kLanes; first += kMost * kLanes) {
    run.template operator()<kMost>(first);
  }
  const std::int64_t vectors = (block.count - first + kLanes - 1) / kLanes;
  const auto run_rest = [&]<int kVectors>() {
    if constexpr (kVectors < kMost) {
      if (vectors == kVectors) run.template operator()<kVectors>(first);
    }
  };
  run_rest.template operator()<1>();
  run_rest.template operator()<2>();
  run_rest.template operator()<3>();
  run_rest.template operator()<4>();
  run_rest.template operator()<5>();
  run_rest.template operator()<6>();
  run_rest.template operator()<7>();
}

/// Rows of a tile: no more than the kernel has.
template <class T>
std::int64_t rows_of_strip(const RowBlock<T>& block) {
  std::int64_t most = kMostDepthwiseRows;
  for (std::int64_t set = 0; set < block.set_count; ++set) {
    if (block.taps[set].height < most) most = block.taps[set].height;
  }
  return most;
}

template <class T, int kTaps>
void depthwise_row_strips(const RowBlock<T>& block) {
  const std::int64_t most = rows_of_strip(block);
  for (std::int64_t y = 0; y < block.rows;) {
    const std::int64_t left = block.rows - y;
    const std::int64_t rows = left < most ? left : most;
    if (rows == 1) depthwise_row_strip<T, 1, kTaps>(block, y);
    if constexpr (kTaps != kManyNeighbours) {
      if (rows == 2) depthwise_row_strip<T, 2, kTaps>(block, y);
      if (rows == 3) depthwise_row_strip<T, 3, kTaps>(block, y);
      if (rows == 4) depthwise_row_strip<T, 4, kTaps>(block, y);
    }
    y += rows;
  }
}
