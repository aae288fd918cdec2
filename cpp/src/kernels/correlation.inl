/// The microkernel of forward and backward-input convolution.
///
/// Tile: kRows output channels x kVectors vectors of pixels, all accumulators in registers.
/// One step of the reduction (one channel, one tap) loads kVectors vectors of pixels at an
/// arbitrary offset and broadcasts kRows weights: kRows * kVectors multiply-adds for
/// kRows + kVectors loads. Two FMA ports with a latency of four want at least eight independent
/// accumulators; 8 x 3 has 24. Registers: kRows * kVectors + kVectors + 1.
///
/// Preconditions: weights are packed [depth][kRows]; whole vectors may be read from `source` and
/// written to `out`.

template <class T, int kRows, int kVectors>
void correlation_tile(const T* weights, const T* source, const std::int64_t* offsets,
                      std::int64_t depth, T* out, std::int64_t out_pitch) {
  using V = Vec<T>;
  V sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[m][v] = V::zero();
  }
  for (std::int64_t r = 0; r < depth; ++r) {
    const T* pixels = source + offsets[r];
    V loaded[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) loaded[v] = V::load(pixels + v * V::kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const V weight = V::broadcast(weights[m]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[m][v] = V::fma(weight, loaded[v], sums[m][v]);
    }
    weights += kRows;
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[m][v].store(out + m * out_pitch + v * V::kLanes);
  }
}
