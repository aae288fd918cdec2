/// The transforms of F(4x4, 3x3), with vectors along the channels. Matrices and points are those
/// of winograd_points.hpp. Each is two passes of a transform in one dimension, first along the
/// columns, whose results wait in a small array, then along the rows.

template <class V>
inline V plus(V a, V b) {
  return V{a.value + b.value};
}
template <class V>
inline V minus(V a, V b) {
  return V{a.value - b.value};
}

/// The constants of one type.
template <class T>
struct WinogradPoints {
  static constexpr double kP = winograd::kInnerPoint * winograd::kInnerPoint;
  static constexpr double kQ = winograd::kOuterPoint * winograd::kOuterPoint;
  static constexpr T kInner = T(winograd::kInnerPoint);
  static constexpr T kOuter = T(winograd::kOuterPoint);
  static constexpr T kInnerSquare = T(kP);
  static constexpr T kOuterSquare = T(kQ);
  static constexpr T kInnerCube = T(kP * winograd::kInnerPoint);
  static constexpr T kOuterCube = T(kQ * winograd::kOuterPoint);
  static constexpr T kSum = T(kP + kQ);
  static constexpr T kProduct = T(kP * kQ);
  static constexpr T kOriginScale = T(1.0 / (kP * kQ));
  static constexpr double kInnerNorm = 2.0 * kP * (kP - kQ);
  static constexpr double kOuterNorm = 2.0 * kQ * (kQ - kP);
};

/// B^T times six elements.
template <class T>
inline void transform_inputs(const Vec<T> (&d)[6], Vec<T> (&result)[6]) {
  using V = Vec<T>;
  using Points = WinogradPoints<T>;
  const V product = V::broadcast(Points::kProduct);
  const V negative_sum = V::broadcast(-Points::kSum);
  const V inner_even = V::fma(V::broadcast(-Points::kOuterSquare), d[2], d[4]);
  const V inner_odd = V::fma(V::broadcast(-Points::kOuterSquare), d[1], d[3]);
  const V outer_even = V::fma(V::broadcast(-Points::kInnerSquare), d[2], d[4]);
  const V outer_odd = V::fma(V::broadcast(-Points::kInnerSquare), d[1], d[3]);
  result[0] = V::fma(product, d[0], V::fma(negative_sum, d[2], d[4]));
  result[1] = V::fma(V::broadcast(Points::kInner), inner_odd, inner_even);
  result[2] = V::fma(V::broadcast(-Points::kInner), inner_odd, inner_even);
  result[3] = V::fma(V::broadcast(Points::kOuter), outer_odd, outer_even);
  result[4] = V::fma(V::broadcast(-Points::kOuter), outer_odd, outer_even);
  result[5] = V::fma(product, d[1], V::fma(negative_sum, d[3], d[5]));
}

/// G times three taps.
template <class T>
inline void transform_taps(Vec<T> g0, Vec<T> g1, Vec<T> g2, Vec<T> (&result)[6]) {
  using V = Vec<T>;
  using Points = WinogradPoints<T>;
  const V zero = V::zero();
  const auto times = [&](double factor, V g) { return V::fma(V::broadcast(T(factor)), g, zero); };
  const auto add = [](double factor, V g, V sum) {
    return V::fma(V::broadcast(T(factor)), g, sum);
  };
  constexpr double kInnerOdd = winograd::kInnerPoint / Points::kInnerNorm;
  constexpr double kOuterOdd = winograd::kOuterPoint / Points::kOuterNorm;
  const V inner_even =
      add(Points::kP / Points::kInnerNorm, g2, times(1.0 / Points::kInnerNorm, g0));
  const V outer_even =
      add(Points::kQ / Points::kOuterNorm, g2, times(1.0 / Points::kOuterNorm, g0));
  result[0] = times(1.0 / (Points::kP * Points::kQ), g0);
  result[1] = add(kInnerOdd, g1, inner_even);
  result[2] = add(-kInnerOdd, g1, inner_even);
  result[3] = add(kOuterOdd, g1, outer_even);
  result[4] = add(-kOuterOdd, g1, outer_even);
  result[5] = g2;
}

/// A^T times six sums.
template <class T>
inline void transform_products(const Vec<T> (&m)[6], Vec<T> (&result)[4]) {
  using V = Vec<T>;
  using Points = WinogradPoints<T>;
  const V inner_even = plus(m[1], m[2]);
  const V inner_odd = minus(m[1], m[2]);
  const V outer_even = plus(m[3], m[4]);
  const V outer_odd = minus(m[3], m[4]);
  const auto combine = [](T inner_factor, V inner, T outer_factor, V outer, V sum) {
    return V::fma(V::broadcast(inner_factor), inner,
                  V::fma(V::broadcast(outer_factor), outer, sum));
  };
  result[0] = plus(m[0], plus(inner_even, outer_even));
  result[1] = combine(Points::kInner, inner_odd, Points::kOuter, outer_odd, V::zero());
  result[2] =
      combine(Points::kInnerSquare, inner_even, Points::kOuterSquare, outer_even, V::zero());
  result[3] = combine(Points::kInnerCube, inner_odd, Points::kOuterCube, outer_odd, m[5]);
}

/// Neighbouring tiles share two columns, which are transformed once.
template <class T>
void winograd_source(const T* source, std::int64_t row_pitch, std::int64_t pixel_pitch,
                     std::int64_t tiles, T* to, std::int64_t tile_pitch,
                     std::int64_t frequency_pitch) {
  using V = Vec<T>;
  V columns[6][6];
  const auto transform_column = [&](int column, const T* from) {
    V d[6];
#pragma GCC unroll 6
    for (int h = 0; h < 6; ++h) d[h] = V::load(from + h * row_pitch);
    transform_inputs<T>(d, columns[column]);
  };
  transform_column(4, source);
  transform_column(5, source + pixel_pitch);
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) {
      columns[0][i] = columns[4][i];
      columns[1][i] = columns[5][i];
    }
    const T* window = source + tile * 4 * pixel_pitch;
#pragma GCC unroll 4
    for (int w = 2; w < 6; ++w) transform_column(w, window + w * pixel_pitch);
    T* to_tile = to + tile * tile_pitch;
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) {
      const V row[6] = {columns[0][i], columns[1][i], columns[2][i],
                        columns[3][i], columns[4][i], columns[5][i]};
      V result[6];
      transform_inputs<T>(row, result);
#pragma GCC unroll 6
      for (int j = 0; j < 6; ++j) result[j].store(to_tile + (6 * i + j) * frequency_pitch);
    }
  }
}

template <class T>
void winograd_weights(const T* weights, std::int64_t tap_pitch, std::int64_t source_pitch,
                      std::int64_t sources, T* to, std::int64_t to_pitch,
                      std::int64_t frequency_pitch) {
  using V = Vec<T>;
  for (std::int64_t s = 0; s < sources; ++s) {
    const T* taps = weights + s * source_pitch;
    V columns[3][6];
#pragma GCC unroll 3
    for (int w = 0; w < 3; ++w) {
      transform_taps<T>(V::load(taps + w * tap_pitch), V::load(taps + (3 + w) * tap_pitch),
                        V::load(taps + (6 + w) * tap_pitch), columns[w]);
    }
    T* to_source = to + s * to_pitch;
#pragma GCC unroll 6
    for (int i = 0; i < 6; ++i) {
      V result[6];
      transform_taps<T>(columns[0][i], columns[1][i], columns[2][i], result);
#pragma GCC unroll 6
      for (int j = 0; j < 6; ++j) result[j].store(to_source + (6 * i + j) * frequency_pitch);
    }
  }
}

template <class T>
bool winograd_sums(const T* sums, std::int64_t tile_pitch, std::int64_t frequency_pitch,
                   std::int64_t tiles, const T* bias, T* to, std::int64_t row_pitch,
                   std::int64_t pixel_pitch) {
  using V = Vec<T>;
  const V zero = V::zero();
  const V added = bias != nullptr ? V::load(bias) : zero;
  V check = zero;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const T* from = sums + tile * tile_pitch;
    V columns[6][4];
#pragma GCC unroll 6
    for (int w = 0; w < 6; ++w) {
      V m[6];
#pragma GCC unroll 6
      for (int h = 0; h < 6; ++h) m[h] = V::load(from + (6 * h + w) * frequency_pitch);
      transform_products<T>(m, columns[w]);
    }
    T* to_tile = to + tile * 4 * pixel_pitch;
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
      const V row[6] = {columns[0][i], columns[1][i], columns[2][i],
                        columns[3][i], columns[4][i], columns[5][i]};
      V result[4];
      transform_products<T>(row, result);
#pragma GCC unroll 4
      for (int j = 0; j < 4; ++j) {
        check = V::fma(result[j], zero, check);
        plus(result[j], added).store(to_tile + i * row_pitch + j * pixel_pitch);
      }
    }
  }
  return check.reduce_add() == T(0);
}
