/// The microkernels of forward and backward-input convolution.
///
/// One step of the reduction (one channel, one tap) multiplies a row of kScalars numbers, each
/// broadcast, with kVectors vectors: kScalars * kVectors multiply-adds for kScalars + kVectors
/// loads, all accumulators in registers. Two FMA ports with a latency of four want at least eight
/// independent accumulators. Registers: kScalars * kVectors + kVectors + 1.
///
/// Vectors lie along the pixels, and the scalars are the weights of kScalars output channels; or
/// they lie along the output channels, and the scalars are kScalars neighbouring pixels.
///
/// A PairVec for V multiplies pairs of int16, a QuadVec quads of bytes: a step is then two channels
/// at one tap, or four.
///
/// Preconditions: with vectors along the output channels, the weights of a step lie side by side;
/// with vectors along the pixels, pixels do, and whole vectors of `source` may be read.

enum class LanesAlong { pixels, channels };

/// Whether sums of V may begin with what the source says.
template <class V>
constexpr bool kStarts = requires { V::kStarts; };

/// One step of the reduction. Of the scalars every fourth has a pointer, from which the next three
/// are addressed: whatever is computed besides takes a multiplier's place on some processors.
template <class T, class V, int kScalars, int kVectors>
[[gnu::always_inline]] inline void correlation_step(const T* vectors, const T* scalars,
                                                    std::int64_t scalar_step,
                                                    std::int64_t three_steps,
                                                    V (&sums)[kScalars][kVectors]) {
  V loaded[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v) loaded[v] = V::load(vectors + v * V::kLanes);
  const T* fourth = scalars;
#pragma GCC unroll 16
  for (int m = 0; m < kScalars; ++m) {
    if (m > 0 && m % 4 == 0) fourth = next_row(fourth, 4 * scalar_step);
    const V scalar = V::broadcast(fourth[m % 4 == 3 ? three_steps : m % 4 * scalar_step]);
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[m][v] = V::fma(scalar, loaded[v], sums[m][v]);
  }
}

/// How many steps before they are multiplied the pixels of a step are fetched: as long as the
/// second-level cache takes.
constexpr std::int64_t kStepsAhead = 8;

/// Along the pixels the first line is the last one of the tile before.
template <class T, class V, LanesAlong kLanesAlong, int kScalars, int kVectors>
[[gnu::always_inline]] inline void fetch_pixels(const T* pixels, std::int64_t scalar_step) {
  if constexpr (kLanesAlong == LanesAlong::pixels) {
#pragma GCC unroll 8
    for (int v = 1; v <= kVectors; ++v) __builtin_prefetch(pixels + v * V::kLanes - 1);
  } else {
    __builtin_prefetch(pixels);
    __builtin_prefetch(pixels + (kScalars - 1) * scalar_step);
  }
}

template <class T, LanesAlong kLanesAlong, int kScalars, int kVectors, class V = Vec<T>>
void correlation_tile(const CorrelationWeights<T>& weights, const CorrelationSource<T>& source,
                      std::int64_t depth, const CorrelationSums<T>& out) {
  constexpr bool kAlongPixels = kLanesAlong == LanesAlong::pixels;
  constexpr std::int64_t kWidth = kVectors * V::kLanes;
  // Copies, since the compiler must think that a store may change what is behind a reference.
  const std::int64_t scalar_step = kAlongPixels ? weights.row_step : source.pixel_step;
  // Out of the compiler's sight, which would compute three times a step with each of them.
  std::int64_t three_steps = 3 * scalar_step;
  __asm__("" : "+r"(three_steps));
  const std::int64_t weight_step = weights.step;
  const std::int64_t* const weight_offsets = weights.offsets;
  const std::int64_t* const offsets = source.offsets;
  const std::int64_t pitch = out.pitch;
  const bool adds = out.adds;
  const bool fetches = out.fetches;
  const std::int64_t source_step = kAlongPixels ? kWidth : kScalars * source.pixel_step;
  const std::int64_t out_step = kAlongPixels ? kWidth : kScalars * pitch;
  const T* first_pixel = source.data;
  T* to = out.data;
  for (std::int64_t left = out.tiles; left > 0;
       --left, first_pixel += source_step, to += out_step) {
    V sums[kScalars][kVectors];
#pragma GCC unroll 16
    for (int m = 0; m < kScalars; ++m) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        sums[m][v] = V::zero();
        if constexpr (kStarts<V>) {
          if (source.start == nullptr) continue;
          sums[m][v] =
              kAlongPixels ? V::broadcast(source.start[m]) : V::load(source.start + v * V::kLanes);
        }
      }
    }
    if (fetches) {
      const T* row = to + out_step;
#pragma GCC unroll 1
      for (int m = 0; m < kScalars; ++m, row += pitch) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) __builtin_prefetch(row + v * V::kLanes, 1);
      }
    }
    const auto step = [&](std::int64_t r, const T* step_weights) __attribute__((always_inline)) {
      const T* pixels = first_pixel + offsets[r];
      correlation_step<T, V>(kAlongPixels ? pixels : step_weights,
                             kAlongPixels ? step_weights : pixels, scalar_step, three_steps, sums);
    };
    if (weight_offsets != nullptr) {
      for (std::int64_t r = 0; r < depth; ++r) step(r, weights.data + weight_offsets[r]);
    } else {
      const T* step_weights = weights.data;
      std::int64_t r = 0;
      for (; source.fetches && r + kStepsAhead < depth; ++r, step_weights += weight_step) {
        fetch_pixels<T, V, kLanesAlong, kScalars, kVectors>(first_pixel + offsets[r + kStepsAhead],
                                                            scalar_step);
        step(r, step_weights);
      }
      for (; r < depth; ++r, step_weights += weight_step) step(r, step_weights);
    }
    T* row = to;
    if (adds) {
      const Vec<T> one = Vec<T>::broadcast(T(1));
#pragma GCC unroll 16
      for (int m = 0; m < kScalars; ++m, row = next_row(row, pitch)) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) {
          T* at = row + v * V::kLanes;
          Vec<T>::fma(one, Vec<T>(sums[m][v]), Vec<T>::load(at)).store(at);
        }
      }
    } else {
#pragma GCC unroll 16
      for (int m = 0; m < kScalars; ++m, row = next_row(row, pitch)) {
#pragma GCC unroll 8
        for (int v = 0; v < kVectors; ++v) sums[m][v].store(row + v * V::kLanes);
      }
    }
  }
}
