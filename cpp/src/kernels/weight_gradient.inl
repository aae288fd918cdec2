/// The microkernels of the weight gradient: both reduce over rows of pixels.
///
/// outer_product_tile: kRows (channel, tap) pairs x kVectors vectors of output channels. A pixel
/// loads kVectors vectors of the gradient and broadcasts kRows input values.
/// Sums begin at zero and are added at the end, so that rounding errors grow with the
/// length of a chunk and the number of chunks, not with their product.
/// Registers: kRows * kVectors + kVectors + 1.
///
/// dot_product_tile: kRows (channel, tap) pairs x kOutputs output channels, vectors along the
/// pixels, summed across lanes at the end. The last vector of a row is loaded partially, so that
/// nothing outside a window is ever multiplied (0 * Inf would be NaN). Registers: kRows * kOutputs
/// + kOutputs + 1.

template <class T, int kRows, int kVectors>
void outer_product_tile(const PixelRows<T>& pixels, const std::int64_t* offsets, T* sums,
                        std::int64_t sums_pitch, bool add) {
  using V = Vec<T>;
  // Pixels that lie apart, with their channels side by side, are not foreseen by the processor.
  constexpr std::int64_t kAhead = 24;
  V partial[kRows][kVectors];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      partial[m][v] = V::zero();
      // The sums may have left the second-level cache; they are wanted when all pixels are done.
      __builtin_prefetch(sums + m * sums_pitch + v * V::kLanes, 1);
    }
  }
  const std::int64_t source_step = pixels.source_step;
  const std::int64_t gradient_step = pixels.gradient_step;
  for (std::int64_t slice = 0; slice < pixels.slices; ++slice) {
    const T* slice_source = pixels.source + slice * pixels.source_slice_pitch;
    const T* slice_gradient = pixels.gradient + slice * pixels.gradient_slice_pitch;
    for (std::int64_t row = 0; row < pixels.rows; ++row) {
      const T* source[kRows];
#pragma GCC unroll 8
      for (int m = 0; m < kRows; ++m)
        source[m] = slice_source + row * pixels.source_pitch + offsets[m];
      const T* gradient = slice_gradient + row * pixels.gradient_pitch;
      for (std::int64_t p = 0; p < pixels.pixels; ++p) {
        V loaded[kVectors];
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) loaded[v] = V::load(gradient + v * V::kLanes);
        if (source_step != 1) {
          __builtin_prefetch(source[0] + (p + kAhead) * source_step);
          __builtin_prefetch(source[kRows - 1] + (p + kAhead) * source_step);
        }
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
          const V value = V::broadcast(source[m][p * source_step]);
#pragma GCC unroll 8
          for (int v = 0; v < kVectors; ++v) {
            partial[m][v] = V::fma(value, loaded[v], partial[m][v]);
          }
        }
        gradient += gradient_step;
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      T* to = sums + m * sums_pitch + v * V::kLanes;
      if (add) {
        V::fma(V::broadcast(T(1)), V::load(to), partial[m][v]).store(to);
      } else {
        partial[m][v].store(to);
      }
    }
  }
}

/// to[k] += the sum of the lanes of sums[k]: the vectors are added up side by side, so that each
/// lane of one vector holds part of the sum of channel `lane % kOutputs`.
template <class T, int kOutputs, int kStep = 1>
inline void add_lanes(Vec<T> (&sums)[kOutputs], T* to) {
  using V = Vec<T>;
  if constexpr (kStep < kOutputs && kStep < V::kLanes) {
#pragma GCC unroll 4
    for (int k = 0; k < kOutputs; k += 2 * kStep) {
      exchange_lanes<kStep>(sums[k].value, sums[k + kStep].value,
                            typename MakeLanes<V::kLanes>::Type());
      sums[k].value = sums[k].value + sums[k + kStep].value;
    }
    add_lanes<T, kOutputs, 2 * kStep>(sums, to);
  } else {
    T lanes[V::kLanes];
#pragma GCC unroll 4
    for (int first = 0; first < kOutputs; first += kStep) {
      sums[first].store(lanes);
      for (int lane = kStep; lane < V::kLanes; ++lane) {
        lanes[lane % kStep] = wrapping_add(lanes[lane % kStep], lanes[lane]);
      }
      for (int k = 0; k < kStep; ++k) to[first + k] = wrapping_add(to[first + k], lanes[k]);
    }
  }
}

template <class T, int kRows, int kOutputs>
void dot_product_tile(const PixelRows<T>& pixels, const std::int64_t* offsets, T* sums,
                      std::int64_t sums_pitch) {
  using V = Vec<T>;
  V partial[kRows][kOutputs];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 4
    for (int k = 0; k < kOutputs; ++k) partial[m][k] = V::zero();
  }
  const std::int64_t whole = pixels.pixels - pixels.pixels % V::kLanes;
  const std::int64_t rest = pixels.pixels - whole;
  for (std::int64_t slice = 0; slice < pixels.slices; ++slice) {
    for (std::int64_t row = 0; row < pixels.rows; ++row) {
      const T* source =
          pixels.source + slice * pixels.source_slice_pitch + row * pixels.source_pitch;
      const T* gradient =
          pixels.gradient + slice * pixels.gradient_slice_pitch + row * pixels.gradient_pitch;
      const auto add = [&](std::int64_t p, auto load) __attribute__((always_inline)) {
        V loaded[kOutputs];
#pragma GCC unroll 4
        for (int k = 0; k < kOutputs; ++k) {
          loaded[k] = load(gradient + k * pixels.gradient_output_pitch + p);
        }
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
          const V values = load(source + offsets[m] + p);
#pragma GCC unroll 4
          for (int k = 0; k < kOutputs; ++k)
            partial[m][k] = V::fma(values, loaded[k], partial[m][k]);
        }
      };
      for (std::int64_t p = 0; p < whole; p += V::kLanes) {
        add(p, [](const T* from) { return V::load(from); });
      }
      if (rest > 0) add(whole, [rest](const T* from) { return V::load_partial(from, rest); });
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) add_lanes<T, kOutputs>(partial[m], sums + m * sums_pitch);
}
