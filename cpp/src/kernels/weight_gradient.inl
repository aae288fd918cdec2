/// The microkernels of the weight gradient: both reduce over rows of pixels.
///
/// outer_product_tile: kRows (channel, tap) pairs x kVectors vectors of output channels. A pixel
/// loads kVectors vectors of the gradient and broadcasts kRows input values.
/// Sums begin at zero and are added at the end, so that rounding errors grow with the
/// length of a chunk and the number of chunks, not with their product.
/// Registers: kRows * kVectors + kVectors + 1.
///
/// dot_product_tile: kRows (channel, tap) pairs of one output channel, vectors along the pixels,
/// summed across lanes at the end. The last vector of a row is loaded partially, so that nothing
/// outside a window is ever multiplied (0 * Inf would be NaN). Registers: kRows + 2.

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

template <class T, int kRows>
void dot_product_tile(const PixelRows<T>& pixels, const std::int64_t* offsets, T* sums,
                      std::int64_t sums_pitch) {
  using V = Vec<T>;
  V partial[kRows];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) partial[m] = V::zero();
  const std::int64_t whole = pixels.pixels - pixels.pixels % V::kLanes;
  for (std::int64_t slice = 0; slice < pixels.slices; ++slice) {
    for (std::int64_t row = 0; row < pixels.rows; ++row) {
      const T* source =
          pixels.source + slice * pixels.source_slice_pitch + row * pixels.source_pitch;
      const T* gradient =
          pixels.gradient + slice * pixels.gradient_slice_pitch + row * pixels.gradient_pitch;
      for (std::int64_t p = 0; p < whole; p += V::kLanes) {
        const V loaded = V::load(gradient + p);
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
          partial[m] = V::fma(V::load(source + offsets[m] + p), loaded, partial[m]);
        }
      }
      if (whole < pixels.pixels) {
        const std::int64_t rest = pixels.pixels - whole;
        const V loaded = V::load_partial(gradient + whole, rest);
#pragma GCC unroll 8
        for (int m = 0; m < kRows; ++m) {
          partial[m] =
              V::fma(V::load_partial(source + offsets[m] + whole, rest), loaded, partial[m]);
        }
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
    sums[m * sums_pitch] = wrapping_add(sums[m * sums_pitch], partial[m].reduce_add());
  }
}
