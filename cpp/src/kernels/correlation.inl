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

template <class T, LanesAlong kLanesAlong, int kScalars, int kVectors, class V = Vec<T>>
void correlation_tile(const CorrelationWeights<T>& all_weights, const CorrelationSource<T>& source,
                      std::int64_t depth, T* out, std::int64_t out_pitch, bool adds) {
  constexpr bool kAlongPixels = kLanesAlong == LanesAlong::pixels;
  const std::int64_t scalar_step = kAlongPixels ? all_weights.row_step : source.pixel_step;
  const std::int64_t* weight_offsets = all_weights.offsets;
  const T* next_weights = all_weights.data;
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
  for (std::int64_t r = 0; r < depth; ++r) {
    const T* pixels = source.data + source.offsets[r];
    const T* weights = weight_offsets == nullptr ? next_weights : next_weights + weight_offsets[r];
    const T* vectors = kAlongPixels ? pixels : weights;
    const T* scalars = kAlongPixels ? weights : pixels;
    V loaded[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) loaded[v] = V::load(vectors + v * V::kLanes);
#pragma GCC unroll 16
    for (int m = 0; m < kScalars; ++m) {
      const V scalar = V::broadcast(scalars[m * scalar_step]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[m][v] = V::fma(scalar, loaded[v], sums[m][v]);
    }
    if (weight_offsets == nullptr) next_weights += all_weights.step;
  }
  if (adds) {
    const Vec<T> one = Vec<T>::broadcast(T(1));
#pragma GCC unroll 16
    for (int m = 0; m < kScalars; ++m) {
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        T* to = out + m * out_pitch + v * V::kLanes;
        Vec<T>::fma(one, Vec<T>(sums[m][v]), Vec<T>::load(to)).store(to);
      }
    }
    return;
  }
#pragma GCC unroll 16
  for (int m = 0; m < kScalars; ++m) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[m][v].store(out + m * out_pitch + v * V::kLanes);
  }
}
