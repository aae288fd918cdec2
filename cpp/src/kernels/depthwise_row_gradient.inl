/// Gradient of the weight with vectors along the pixels. Tile: kHeight x kWidth taps, whose sums
/// stay in registers over all rows and pixels. kRows rows of the gradient meet kRows + kHeight - 1
/// source rows; a vector of the source is loaded once for kHeight taps, one below the other.
/// Registers: kHeight * kWidth + kRows + 1.
template <class T, int kRows, int kHeight, int kWidth, class Load>
[[gnu::always_inline]] inline void add_gradient_rows(Vec<T> (&sums)[kHeight][kWidth],
                                                     const RowGradient<T>& g, std::int64_t y,
                                                     std::int64_t pixel, const Load& load) {
  using V = Vec<T>;
  V gradient[kRows];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) gradient[r] = load(g.gradient[(y + r) * g.row_step] + pixel);
#pragma GCC unroll 8
  for (int i = 0; i < kRows + kHeight - 1; ++i) {
    const T* source = g.source[(y + i) * g.row_step] + pixel;
#pragma GCC unroll 8
    for (int b = 0; b < kWidth; ++b) {
      const V loaded = load(source + g.offsets[b]);
#pragma GCC unroll 8
      for (int a = 0; a < kHeight; ++a) {
        if (i - a >= 0 && i - a < kRows) {
          sums[a][b] = V::fma(loaded, gradient[i - a], sums[a][b]);
        }
      }
    }
  }
}

template <class T, int kHeight, int kWidth>
[[gnu::noinline]] void depthwise_row_gradient_tile(const RowGradient<T>& g, T* to) {
  using V = Vec<T>;
  V sums[kHeight][kWidth];
#pragma GCC unroll 8
  for (int a = 0; a < kHeight; ++a) {
#pragma GCC unroll 8
    for (int b = 0; b < kWidth; ++b) sums[a][b] = V::zero();
  }
  const std::int64_t whole = g.count - g.count % V::kLanes;
  const std::int64_t rest = g.count - whole;
  const auto load = [](const T* from) [[gnu::always_inline]] { return V::load(from); };
  const auto load_rest = [rest](const T* from)
                             [[gnu::always_inline]] { return V::load_partial(from, rest); };
  const auto add_rows = [&]<int kRows>(std::int64_t y) [[gnu::always_inline]] {
    for (std::int64_t pixel = 0; pixel < whole; pixel += V::kLanes) {
      add_gradient_rows<T, kRows>(sums, g, y, pixel, load);
    }
    if (rest > 0) add_gradient_rows<T, kRows>(sums, g, y, whole, load_rest);
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

template <class T>
void depthwise_row_gradient(const RowGradient<T>& gradient) {
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
        depthwise_row_gradient_tile<T, kHeight, kWidth>(tile, to);
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
