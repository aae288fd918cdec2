/// Bytes between what is read and what is fetched: rows follow each other in memory, but a
/// processor does not look beyond the page that it reads.
inline constexpr std::int64_t kGradientAhead = 2048;

template <class T, int kStep>
[[gnu::always_inline]] inline void fetch_pixels(const T* from) {
  constexpr int kLine = 64 / int{sizeof(T)};
#pragma GCC unroll 4
  for (int i = 0; i < kStep * Vec<T>::kLanes; i += kLine) {
    __builtin_prefetch(from + kGradientAhead / int{sizeof(T)} + i);
  }
}

/// The vectors of source pixels that neighbouring taps of a tile read: every kStep-th element from
/// the tap's offset on. Where that is every second one, two taps take turns in what is loaded.
template <class T, int kStep, int kWidth, class Load>
[[gnu::always_inline]] inline void load_taps(Vec<T> (&loaded)[kWidth], const T* row,
                                             const std::int64_t* offsets, const Load& load) {
#pragma GCC unroll 8
  for (int b = 0; b < kWidth; b += kStep) {
    if constexpr (kStep == 1) {
      loaded[b] = load(row + offsets[b], b, 0);
    } else {
      constexpr auto kSequence = std::make_integer_sequence<int, Vec<T>::kLanes>();
      const Vec<T> low = load(row + offsets[b], b, 0);
      const Vec<T> high = load(row + offsets[b] + Vec<T>::kLanes, b, 1);
      loaded[b] = every_second<0>(low, high, kSequence);
      if (b + 1 < kWidth) loaded[b + 1] = every_second<1>(low, high, kSequence);
    }
  }
}

/// Which elements of those vectors lie between the limits, and belong to one of `count` pixels.
template <class T, int kWidth, int kStep>
struct TapLanes {
  using V = Vec<T>;
  decltype(V::lanes_between(0, 0)) of_tap[kWidth][kStep];

  /// For pixels from `first` elements of the row on.
  TapLanes(const RowGradient<T>& g, std::int64_t first, std::int64_t count) {
#pragma GCC unroll 8
    for (int b = 0; b < kWidth; b += kStep) {
      // With its neighbour, of which every pixel has an element more.
      const std::int64_t taps = b + kStep <= kWidth ? kStep : 1;
#pragma GCC unroll 2
      for (int part = 0; part < kStep; ++part) {
        const std::int64_t skipped = part * V::kLanes;
        const std::int64_t at = first + g.offsets[b] + skipped;
        const std::int64_t inside = g.limits.end - at;
        const std::int64_t wanted = (count - 1) * kStep + taps - skipped;
        of_tap[b][part] = V::lanes_between(g.limits.first - at, inside < wanted ? inside : wanted);
      }
    }
  }
};

/// Gradient of the weight with vectors along the pixels. Tile: kHeight x kWidth taps, whose sums
/// stay in registers over all rows and pixels. kRows rows of the gradient meet kStep * (kRows - 1)
/// + kHeight source rows; a vector of the source is loaded once for all taps of a column that meet
/// it. Registers: kHeight * kWidth + kRows + kWidth.
template <class T, int kStep, int kRows, int kHeight, int kWidth, class LoadGradient, class Load>
[[gnu::always_inline]] inline void add_gradient_rows(Vec<T> (&sums)[kHeight][kWidth],
                                                     const RowGradient<T>& g, std::int64_t y,
                                                     std::int64_t pixel,
                                                     const LoadGradient& load_gradient,
                                                     const Load& load) {
  using V = Vec<T>;
  V gradient[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    const T* from = g.gradient[(y + r) * g.row_step] + pixel;
    gradient[r] = load_gradient(from);
    fetch_pixels<T, 1>(from);
  }
#pragma GCC unroll 16
  for (int i = 0; i < kStep * (kRows - 1) + kHeight; ++i) {
    const T* source = g.source[(kStep * y + i) * g.row_step] + kStep * pixel;
    if (i < kStep * kRows) fetch_pixels<T, kStep>(source);
    V loaded[kWidth];
    load_taps<T, kStep>(loaded, source, g.offsets, load);
#pragma GCC unroll 8
    for (int b = 0; b < kWidth; ++b) {
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const int a = i - kStep * r;
        if (a >= 0 && a < kHeight) sums[a][b] = V::fma(loaded[b], gradient[r], sums[a][b]);
      }
    }
  }
}

template <class T, int kStep, int kHeight, int kWidth>
[[gnu::noinline]] void depthwise_row_gradient_tile(const RowGradient<T>& g, T* to) {
  using V = Vec<T>;
  V sums[kHeight][kWidth];
#pragma GCC unroll 8
  for (int a = 0; a < kHeight; ++a) {
#pragma GCC unroll 8
    for (int b = 0; b < kWidth; ++b) sums[a][b] = V::zero();
  }
  std::int64_t least = g.offsets[0];
  std::int64_t most = g.offsets[0];
  for (int b = 1; b < kWidth; ++b) {
    least = least < g.offsets[b] ? least : g.offsets[b];
    most = most > g.offsets[b] ? most : g.offsets[b];
  }
  const auto load_whole = [](const T* from, auto...)
                              __attribute__((always_inline)) { return V::load(from); };
  const auto add_rows = [&]<int kRows>(std::int64_t y) __attribute__((always_inline)) {
    for (std::int64_t pixel = 0; pixel < g.count; pixel += V::kLanes) {
      const std::int64_t first = pixel * kStep;
      const std::int64_t left = g.count - pixel;
      if (left >= V::kLanes && first + least >= g.limits.first &&
          first + most + kStep * V::kLanes <= g.limits.end) {
        add_gradient_rows<T, kStep, kRows>(sums, g, y, pixel, load_whole, load_whole);
        continue;
      }
      const std::int64_t count = left < V::kLanes ? left : V::kLanes;
      const auto load_some = [count](const T* from, auto...) __attribute__((always_inline)) {
        return V::load_partial(from, count);
      };
      if constexpr (kMaskedLoads) {
        const TapLanes<T, kWidth, kStep> lanes(g, first, count);
        const auto load_inside = [&lanes](const T* from, int tap, int part)
                                     __attribute__((always_inline)) {
                                       return V::load_lanes(from, lanes.of_tap[tap][part]);
                                     };
        add_gradient_rows<T, kStep, kRows>(sums, g, y, pixel, load_some, load_inside);
      } else {
        add_gradient_rows<T, kStep, kRows>(sums, g, y, pixel, load_some, load_some);
      }
    }
  };
  std::int64_t y = 0;
  for (; y + 4 <= g.rows; y += 4) add_rows.template operator()<4>(y);
  for (; y < g.rows; ++y) add_rows.template operator()<1>(y);
#pragma GCC unroll 8
  for (int a = 0; a < kHeight; ++a) {
#pragma GCC unroll 8
    for (int b = 0; b < kWidth; ++b) to[a * g.sums_pitch + b] += sums[a][b].reduce_add();
  }
}

/// Sides of the largest tile of taps. One row of taps alone may be twice as wide.
inline constexpr int kMostGradientTaps = kRegisters >= 32 ? 4 : 3;

/// Cuts taps into as few tiles as possible, of about the same size.
inline std::int64_t gradient_tile(std::int64_t left, std::int64_t most) {
  return (left + (left + most - 1) / most - 1) / ((left + most - 1) / most);
}

/// Calls `run<height, width>` with the sizes as constants.
template <int kMostHeight, int kMostWidth, class Run>
inline void with_gradient_tile(std::int64_t height, std::int64_t width, const Run& run) {
  const auto with_width = [&]<int kHeight>() {
    if constexpr (kMostWidth >= 1) {
      if (width == 1) run.template operator()<kHeight, 1>();
    }
    if constexpr (kMostWidth >= 2) {
      if (width == 2) run.template operator()<kHeight, 2>();
    }
    if constexpr (kMostWidth >= 3) {
      if (width == 3) run.template operator()<kHeight, 3>();
    }
    if constexpr (kMostWidth >= 4) {
      if (width == 4) run.template operator()<kHeight, 4>();
    }
    if constexpr (kMostWidth >= 5) {
      if (width == 5) run.template operator()<kHeight, 5>();
    }
    if constexpr (kMostWidth >= 6) {
      if (width == 6) run.template operator()<kHeight, 6>();
    }
    if constexpr (kMostWidth >= 7) {
      if (width == 7) run.template operator()<kHeight, 7>();
    }
    if constexpr (kMostWidth >= 8) {
      if (width == 8) run.template operator()<kHeight, 8>();
    }
  };
  if constexpr (kMostHeight >= 1) {
    if (height == 1) with_width.template operator()<1>();
  }
  if constexpr (kMostHeight >= 2) {
    if (height == 2) with_width.template operator()<2>();
  }
  if constexpr (kMostHeight >= 3) {
    if (height == 3) with_width.template operator()<3>();
  }
  if constexpr (kMostHeight >= 4) {
    if (height == 4) with_width.template operator()<4>();
  }
}

template <class T, int kStep>
void depthwise_row_gradient_tiles(const RowGradient<T>& gradient) {
  const std::int64_t most_width = gradient.height == 1 ? 2 * kMostGradientTaps : kMostGradientTaps;
  for (std::int64_t a = 0; a < gradient.height;) {
    const std::int64_t height = gradient_tile(gradient.height - a, kMostGradientTaps);
    for (std::int64_t b = 0; b < gradient.width;) {
      const std::int64_t width = gradient_tile(gradient.width - b, most_width);
      RowGradient<T> tile = gradient;
      tile.source += a * gradient.row_step;
      tile.offsets += b;
      T* to = gradient.sums + a * gradient.sums_pitch + b;
      const auto run = [&]<int kHeight, int kWidth>() {
        depthwise_row_gradient_tile<T, kStep, kHeight, kWidth>(tile, to);
      };
      if (gradient.height == 1) {
        with_gradient_tile<1, 2 * kMostGradientTaps>(1, width, run);
      } else {
        with_gradient_tile<kMostGradientTaps, kMostGradientTaps>(height, width, run);
      }
      b += width;
    }
    a += height;
  }
}

template <class T>
void depthwise_row_gradient(const RowGradient<T>& gradient) {
  if constexpr (kMaskedLoads) {
    if (gradient.source_step == 2) return depthwise_row_gradient_tiles<T, 2>(gradient);
  }
  depthwise_row_gradient_tiles<T, 1>(gradient);
}
