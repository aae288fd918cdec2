/// The microkernel of products of small matrices, one for each frequency of a transform.
///
/// Tile: kRows rows x kVectors vectors of columns, all accumulators in registers. One step of the
/// depth loads kVectors vectors of the right matrix and broadcasts kRows elements of the left one,
/// each from a row of its own. Registers: kRows * kVectors + kVectors + 1.
///
/// What `out` holds is added last, so that a long sum may be cut into pieces whose rounding errors
/// do not multiply.
///
/// Preconditions: the right matrix is packed [depth][kVectors vectors]; whole vectors may be
/// written to `out`, and read from it if `adds`.

template <class T, int kRows, int kVectors>
void matrix_product_tile(const T* left, std::int64_t left_pitch, const T* right, std::int64_t depth,
                         T* out, std::int64_t out_pitch, bool adds) {
  using V = Vec<T>;
  V sums[kRows][kVectors];
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sums[m][v] = V::zero();
  }
  for (std::int64_t r = 0; r < depth; ++r) {
    V loaded[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) loaded[v] = V::load(right + v * V::kLanes);
#pragma GCC unroll 8
    for (int m = 0; m < kRows; ++m) {
      const V element = V::broadcast(left[m * left_pitch + r]);
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) sums[m][v] = V::fma(element, loaded[v], sums[m][v]);
    }
    right += kVectors * V::kLanes;
  }
#pragma GCC unroll 8
  for (int m = 0; m < kRows; ++m) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      T* to = out + m * out_pitch + v * V::kLanes;
      if (adds) sums[m][v] = V{sums[m][v].value + V::load(to).value};
      sums[m][v].store(to);
    }
  }
}
