/// Depthwise convolution with vectors along the channels.
///
/// Tile: kRows output rows x kPixels neighbouring pixels of one vector of channels. Each tap of a
/// source row loads the weights of every output row that it meets, and kPixels source vectors,
/// multiplied into all of these rows: kRows * kPixels multiply-adds for kRows + kPixels loads.
/// At the ends of a row (kEdge) source pixels outside are passed over.
/// Registers: kRows * kPixels + kRows + 1.
inline constexpr int kChannelRows = kRegisters >= 32 ? 3 : 2;

/// One source row into output rows kFirst to kLast; `weights` are those of the kernel row in which
/// it meets output row 0.
template <int kFirst, int kLast, bool kEdge, class T, int kRows, int kPixels, class Load>
[[gnu::always_inline]] inline void add_channel_row(Vec<T> (&sums)[kRows][kPixels], const T* source,
                                                   std::int64_t first, const T* weights,
                                                   std::int64_t weight_step,
                                                   const ChannelBlock<T>& block, const Load& load) {
  using V = Vec<T>;
  const auto limit = static_cast<std::uint64_t>(block.source_limit);
  for (std::int64_t b = 0; b < block.tap_count; ++b) {
    const ChannelTap tap = block.taps[b];
    V weight[kRows];
#pragma GCC unroll 8
    for (int r = kFirst; r <= kLast; ++r) {
      weight[r] = V::load(weights + tap.weight - r * weight_step);
    }
    std::int64_t offset = first + tap.offset;
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p, offset += block.source_step) {
      if (kEdge && static_cast<std::uint64_t>(offset) >= limit) continue;
      const V loaded = load(source + offset);
#pragma GCC unroll 8
      for (int r = kFirst; r <= kLast; ++r) sums[r][p] = V::fma(loaded, weight[r], sums[r][p]);
    }
  }
}

template <class T, int kRows, int kPixels, bool kEdge, class Load>
[[gnu::always_inline]] inline void sum_channels(Vec<T> (&sums)[kRows][kPixels],
                                                const ChannelBlock<T>& block, std::int64_t pixel,
                                                std::int64_t channel, const Load& load) {
  using V = Vec<T>;
  const V initial = block.bias == nullptr ? V::zero() : load(block.bias + channel);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) sums[r][p] = initial;
  }
  const std::int64_t first = pixel * block.source_step;
  for (std::int64_t set = 0; set < block.set_count && block.tap_count > 0; ++set) {
    const ChannelRows<T>& rows = block.sets[set];
    const T* const* sources = rows.sources;
    const T* weights = rows.weights + block.weight_first + channel / V::kLanes * block.weight_pitch;
    const auto add = [&]<int kFirst, int kLast>() __attribute__((always_inline)) {
      if (const T* source = *sources++; source != nullptr) {
        add_channel_row<kFirst, kLast, kEdge>(sums, source + block.source_first + channel, first,
                                              weights, rows.weight_step, block, load);
      }
      weights += rows.weight_step;
    };
    for_each_source_row<kRows>(rows.height, add);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      if (sources[r] == nullptr) continue;
      const T* next = sources[r] + block.source_first + channel + first + block.taps[0].offset;
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) __builtin_prefetch(next + p * block.source_step);
    }
  }
}

template <class T, int kRows, int kPixels, bool kEdge>
[[gnu::noinline]] void depthwise_channel_tile(const ChannelBlock<T>& block, std::int64_t pixel) {
  using V = Vec<T>;
  T* out = block.out + pixel * block.out_step;
  const std::int64_t whole = block.channels - block.channels % V::kLanes;
  V sums[kRows][kPixels];
  const auto load = [](const T* from) __attribute__((always_inline)) { return V::load(from); };
  for (std::int64_t channel = 0; channel < whole; channel += V::kLanes) {
    sum_channels<T, kRows, kPixels, kEdge>(sums, block, pixel, channel, load);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      T* row = out + r * block.out_pitch + channel;
#pragma GCC unroll 8
      for (int p = 0; p < kPixels; ++p) sums[r][p].store(row + p * block.out_step);
    }
  }
  const std::int64_t rest = block.channels - whole;
  if (rest == 0) return;
  const auto load_rest = [rest](const T* from)
                             __attribute__((always_inline)) { return V::load_partial(from, rest); };
  sum_channels<T, kRows, kPixels, kEdge>(sums, block, pixel, whole, load_rest);
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
    T* row = out + r * block.out_pitch + whole;
#pragma GCC unroll 8
    for (int p = 0; p < kPixels; ++p) sums[r][p].store_partial(row + p * block.out_step, rest);
  }
}

template <class T, int kRows>
void depthwise_channel_strip(const ChannelBlock<T>& block) {
  constexpr int kMost = kRegisters >= 32 || kRows == 1 ? 8 : 4;
  std::int64_t least = 0;
  std::int64_t most = 0;
  for (std::int64_t b = 0; b < block.tap_count; ++b) {
    const std::int64_t offset = block.taps[b].offset;
    if (b == 0 || offset < least) least = offset;
    if (b == 0 || offset > most) most = offset;
  }
  const std::int64_t step = block.source_step;
  std::int64_t pixel = 0;
  const auto run = [&]<int kPixels>() {
    if (least + pixel * step >= 0 && most + (pixel + kPixels - 1) * step < block.source_limit) {
      depthwise_channel_tile<T, kRows, kPixels, false>(block, pixel);
    } else {
      depthwise_channel_tile<T, kRows, kPixels, true>(block, pixel);
    }
    pixel += kPixels;
  };
  while (pixel < block.pixels) {
    const std::int64_t left = block.pixels - pixel;
    if constexpr (kMost == 8) {
      if (left >= 8 && left != 14) {
        run.template operator()<8>();
        continue;
      }
      if (left >= 7) {
        run.template operator()<7>();
        continue;
      }
    }
    if (left >= 4) {
      run.template operator()<4>();
    } else if (left >= 2) {
      run.template operator()<2>();
    } else {
      run.template operator()<1>();
    }
  }
}

template <class T>
void depthwise_channels(const ChannelBlock<T>& block) {
  if (block.rows == 1) depthwise_channel_strip<T, 1>(block);
  if (block.rows == 2) depthwise_channel_strip<T, 2>(block);
  if constexpr (kChannelRows > 2) {
    if (block.rows == 3) depthwise_channel_strip<T, 3>(block);
  }
}

/// Gradient of the weight with vectors along the channels: kHeight x kWidth taps, whose sums stay
/// in registers over all rows and pixels. A pixel of the gradient is loaded once for all of them.
template <class T, int kHeight, int kWidth, class Load>
[[gnu::always_inline]] inline void add_gradient_pixels(const ChannelGradient<T>& g, T* to,
                                                       const Load& load) {
  using V = Vec<T>;
  V sums[kHeight][kWidth];
#pragma GCC unroll 8
  for (int a = 0; a < kHeight; ++a) {
#pragma GCC unroll 8
    for (int b = 0; b < kWidth; ++b) sums[a][b] = V::zero();
  }
  for (std::int64_t y = 0; y < g.rows; ++y) {
    const T* gradient = g.gradient + y * g.gradient_pitch;
    const T* source = g.source + y * g.source_pitch;
    for (std::int64_t p = 0; p < g.pixels; ++p) {
      const V value = load(gradient);
#pragma GCC unroll 8
      for (int a = 0; a < kHeight; ++a) {
        const T* row = source + g.row_offsets[a];
#pragma GCC unroll 8
        for (int b = 0; b < kWidth; ++b) {
          sums[a][b] = V::fma(V::load(row + g.offsets[b]), value, sums[a][b]);
        }
      }
      gradient += g.gradient_step;
      source += g.source_step;
    }
  }
#pragma GCC unroll 8
  for (int a = 0; a < kHeight; ++a) {
#pragma GCC unroll 8
    for (int b = 0; b < kWidth; ++b) {
      T* sum = to + (a * g.width + b) * V::kLanes;
      V::fma(V::broadcast(T(1)), sums[a][b], V::load(sum)).store(sum);
    }
  }
}

template <class T, int kHeight, int kWidth>
[[gnu::noinline]] void depthwise_channel_gradient_tile(const ChannelGradient<T>& g, T* to) {
  using V = Vec<T>;
  if (g.channels == V::kLanes) {
    const auto load = [](const T* from) __attribute__((always_inline)) { return V::load(from); };
    add_gradient_pixels<T, kHeight, kWidth>(g, to, load);
  } else {
    const std::int64_t rest = g.channels;
    const auto load = [rest](const T* from)
                          __attribute__((always_inline)) { return V::load_partial(from, rest); };
    add_gradient_pixels<T, kHeight, kWidth>(g, to, load);
  }
}

template <class T>
void depthwise_channel_gradient(const ChannelGradient<T>& gradient) {
  const std::int64_t most_width = gradient.height == 1 ? 2 * kMostGradientTaps : kMostGradientTaps;
  for (std::int64_t a = 0; a < gradient.height;) {
    const std::int64_t height = gradient_tile(gradient.height - a, kMostGradientTaps);
    for (std::int64_t b = 0; b < gradient.width;) {
      const std::int64_t width = gradient_tile(gradient.width - b, most_width);
      ChannelGradient<T> tile = gradient;
      tile.row_offsets += a;
      tile.offsets += b;
      T* to = gradient.sums + (a * gradient.width + b) * Vec<T>::kLanes;
      const auto run = [&]<int kHeight, int kWidth>() {
        depthwise_channel_gradient_tile<T, kHeight, kWidth>(tile, to);
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
void pack_channels(T* to, const T* from, std::int64_t from_step, std::int64_t pixels,
                   std::int64_t channels) {
  using V = Vec<T>;
  if (channels == V::kLanes) {
    for (std::int64_t p = 0; p < pixels; ++p)
      V::load(from + p * from_step).store(to + p * V::kLanes);
    return;
  }
  for (std::int64_t p = 0; p < pixels; ++p) {
    V::load_partial(from + p * from_step, channels).store(to + p * V::kLanes);
  }
}
