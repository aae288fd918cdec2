/// The transforms of Winograd's convolution, with vectors along the channels. Matrices and points
/// are those of winograd_points.hpp. Each is two passes of a transform in one dimension, first
/// along the columns, whose results wait in a small array, then along the rows.

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
  static constexpr double kA = winograd::kInnerPoint;
  static constexpr double kB = winograd::kOuterPoint;
  static constexpr double kP = kA * kA;
  static constexpr double kQ = kB * kB;
  static constexpr double kInnerScale = 1.0 / (2.0 * kP * (kP - kQ));
  static constexpr double kOuterScale = 1.0 / (2.0 * kQ * (kQ - kP));

  static Vec<T> broadcast(double value) { return Vec<T>::broadcast(T(value)); }
};

/// The five rows of B^T of the points that are finite, times the inputs d[0], d[kStep] ...
template <class T, int kStep = 1>
inline void transform_inputs(const Vec<T>* d, Vec<T>* result) {
  using V = Vec<T>;
  using Points = WinogradPoints<T>;
  const V d1 = d[kStep];
  const V d2 = d[2 * kStep];
  const V d3 = d[3 * kStep];
  const V d4 = d[4 * kStep];
  const V inner_even = V::fma(Points::broadcast(-Points::kQ), d2, d4);
  const V inner_odd = V::fma(Points::broadcast(-Points::kQ), d1, d3);
  const V outer_even = V::fma(Points::broadcast(-Points::kP), d2, d4);
  const V outer_odd = V::fma(Points::broadcast(-Points::kP), d1, d3);
  result[0] = V::fma(Points::broadcast(Points::kP * Points::kQ), d[0],
                     V::fma(Points::broadcast(-Points::kP - Points::kQ), d2, d4));
  result[1] = V::fma(Points::broadcast(Points::kA), inner_odd, inner_even);
  result[2] = V::fma(Points::broadcast(-Points::kA), inner_odd, inner_even);
  result[3] = V::fma(Points::broadcast(Points::kB), outer_odd, outer_even);
  result[4] = V::fma(Points::broadcast(-Points::kB), outer_odd, outer_even);
}

/// The five rows of G of the points that are finite, times taps whose even ones make these sums.
template <class T>
inline void transform_taps(Vec<T> first, Vec<T> inner_even, Vec<T> outer_even, Vec<T> odd,
                           Vec<T>* result) {
  using V = Vec<T>;
  using Points = WinogradPoints<T>;
  result[0] = first;
  result[1] = V::fma(Points::broadcast(Points::kA), odd, inner_even);
  result[2] = V::fma(Points::broadcast(-Points::kA), odd, inner_even);
  result[3] = V::fma(Points::broadcast(Points::kB), odd, outer_even);
  result[4] = V::fma(Points::broadcast(-Points::kB), odd, outer_even);
}

/// The same times two taps.
template <class T>
inline void transform_two_taps(Vec<T> g0, Vec<T> g1, Vec<T>* result) {
  transform_taps<T>(g0, g0, g0, g1, result);
}

/// A^T times the sums of the points that are finite, to result[0], result[kStep] ...; `last` is the
/// sum of infinity, or zero.
template <class T, int kStep = 1>
inline void transform_sums(const Vec<T>* m, Vec<T> last, Vec<T>* result) {
  using V = Vec<T>;
  using Points = WinogradPoints<T>;
  const V inner_even = plus(m[1], m[2]);
  const V inner_odd = minus(m[1], m[2]);
  const V outer_even = plus(m[3], m[4]);
  const V outer_odd = minus(m[3], m[4]);
  const auto combine = [](double inner_factor, V inner, double outer_factor, V outer, V sum) {
    return V::fma(Points::broadcast(Points::kInnerScale * inner_factor), inner,
                  V::fma(Points::broadcast(Points::kOuterScale * outer_factor), outer, sum));
  };
  const V first = V::fma(Points::broadcast(1.0 / (Points::kP * Points::kQ)), m[0], V::zero());
  result[0] = combine(1.0, inner_even, 1.0, outer_even, first);
  result[kStep] = combine(Points::kA, inner_odd, Points::kB, outer_odd, V::zero());
  result[2 * kStep] = combine(Points::kP, inner_even, Points::kQ, outer_even, V::zero());
  result[3 * kStep] =
      combine(Points::kA * Points::kP, inner_odd, Points::kB * Points::kQ, outer_odd, last);
}

// The axes of winograd_points.hpp. Each transforms `inputs` inputs and `taps` taps to `frequencies`
// factors, and as many sums of their products to `outputs` outputs.

template <class T>
struct PlainAxis {
  static constexpr winograd::TileAxis kAxis = winograd::kPlainAxis;
  static void inputs(const Vec<T>* d, Vec<T>* result) { result[0] = d[0]; }
  static void taps(const Vec<T>* g, Vec<T>* result) { result[0] = g[0]; }
  static void sums(const Vec<T>* m, Vec<T>* result) { result[0] = m[0]; }
};

template <class T>
struct TwoTapsAxis {
  static constexpr winograd::TileAxis kAxis = winograd::kTwoTapsAxis;
  static void inputs(const Vec<T>* d, Vec<T>* result) { transform_inputs<T>(d, result); }
  static void taps(const Vec<T>* g, Vec<T>* result) { transform_two_taps<T>(g[0], g[1], result); }
  static void sums(const Vec<T>* m, Vec<T>* result) {
    transform_sums<T>(m, Vec<T>::zero(), result);
  }
};

template <class T>
struct ThreeTapsAxis {
  using V = Vec<T>;
  static constexpr winograd::TileAxis kAxis = winograd::kThreeTapsAxis;
  static void inputs(const V* d, V* result) {
    using Points = WinogradPoints<T>;
    transform_inputs<T>(d, result);
    result[5] = V::fma(Points::broadcast(Points::kP * Points::kQ), d[1],
                       V::fma(Points::broadcast(-Points::kP - Points::kQ), d[3], d[5]));
  }
  static void taps(const V* g, V* result) {
    using Points = WinogradPoints<T>;
    transform_taps<T>(g[0], V::fma(Points::broadcast(Points::kP), g[2], g[0]),
                      V::fma(Points::broadcast(Points::kQ), g[2], g[0]), g[1], result);
    result[5] = g[2];
  }
  static void sums(const V* m, V* result) { transform_sums<T>(m, m[5], result); }
};

/// Taps 0 and 2 meet even inputs, tap 1 the odd ones.
template <class T>
struct StridedThreeAxis {
  using V = Vec<T>;
  static constexpr winograd::TileAxis kAxis = winograd::kStridedThreeAxis;
  static void inputs(const V* d, V* result) {
    transform_inputs<T, 2>(d, result);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) result[5 + i] = d[2 * i + 1];
  }
  static void taps(const V* g, V* result) {
    transform_two_taps<T>(g[0], g[2], result);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) result[5 + i] = g[1];
  }
  static void sums(const V* m, V* result) {
    transform_sums<T>(m, V::zero(), result);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) result[i] = plus(result[i], m[5 + i]);
  }
};

template <class T>
struct StridedFourAxis {
  using V = Vec<T>;
  static constexpr winograd::TileAxis kAxis = winograd::kStridedFourAxis;
  static void inputs(const V* d, V* result) {
    transform_inputs<T, 2>(d, result);
    transform_inputs<T, 2>(d + 1, result + 5);
  }
  static void taps(const V* g, V* result) {
    transform_two_taps<T>(g[0], g[2], result);
    transform_two_taps<T>(g[1], g[3], result + 5);
  }
  static void sums(const V* m, V* result) {
    V both[5];
#pragma GCC unroll 5
    for (int i = 0; i < 5; ++i) both[i] = plus(m[i], m[5 + i]);
    transform_sums<T>(both, V::zero(), result);
  }
};

/// Even outputs are made by tap 1, odd ones by taps 0 and 2.
template <class T>
struct SpreadThreeAxis {
  using V = Vec<T>;
  static constexpr winograd::TileAxis kAxis = winograd::kSpreadThreeAxis;
  static void inputs(const V* d, V* result) {
    transform_inputs<T>(d, result);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) result[5 + i] = d[i];
  }
  static void taps(const V* g, V* result) { StridedThreeAxis<T>::taps(g, result); }
  static void sums(const V* m, V* result) {
    transform_sums<T, 2>(m, V::zero(), result + 1);
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) result[2 * i] = m[5 + i];
  }
};

/// Even outputs are made by taps 0 and 2, odd ones by taps 1 and 3 of inputs one further on.
template <class T>
struct SpreadFourAxis {
  using V = Vec<T>;
  static constexpr winograd::TileAxis kAxis = winograd::kSpreadFourAxis;
  static void inputs(const V* d, V* result) {
    transform_inputs<T>(d, result);
    transform_inputs<T>(d + 1, result + 5);
  }
  static void taps(const V* g, V* result) { StridedFourAxis<T>::taps(g, result); }
  static void sums(const V* m, V* result) {
    transform_sums<T, 2>(m, V::zero(), result);
    transform_sums<T, 2>(m + 5, V::zero(), result + 1);
  }
};

/// Columns that neighbouring tiles share are transformed once.
template <class T, class Rows, class Columns>
void winograd_source(const T* source, std::int64_t row_pitch, std::int64_t pixel_pitch,
                     std::int64_t tiles, T* to, std::int64_t tile_pitch,
                     std::int64_t frequency_pitch) {
  using V = Vec<T>;
  constexpr int kHeight = Rows::kAxis.inputs;
  constexpr int kWidth = Columns::kAxis.inputs;
  constexpr int kStep = Columns::kAxis.step;
  constexpr int kShared = kWidth - kStep;
  V columns[kWidth][Rows::kAxis.frequencies];
  const auto transform_column = [&](int column, const T* from) {
    V d[kHeight];
#pragma GCC unroll 10
    for (int h = 0; h < kHeight; ++h) d[h] = V::load(from + h * row_pitch);
    Rows::inputs(d, columns[column]);
  };
#pragma GCC unroll 2
  for (int w = 0; w < kShared; ++w) transform_column(kStep + w, source + w * pixel_pitch);
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
#pragma GCC unroll 2
    for (int w = 0; w < kShared; ++w) {
#pragma GCC unroll 10
      for (int i = 0; i < Rows::kAxis.frequencies; ++i) columns[w][i] = columns[kStep + w][i];
    }
    const T* window = source + tile * kStep * pixel_pitch;
#pragma GCC unroll 10
    for (int w = kShared; w < kWidth; ++w) transform_column(w, window + w * pixel_pitch);
    T* frequency = to + tile * tile_pitch;
#pragma GCC unroll 10
    for (int i = 0; i < Rows::kAxis.frequencies; ++i) {
      V row[kWidth];
#pragma GCC unroll 10
      for (int w = 0; w < kWidth; ++w) row[w] = columns[w][i];
      V result[Columns::kAxis.frequencies];
      Columns::inputs(row, result);
#pragma GCC unroll 10
      for (int j = 0; j < Columns::kAxis.frequencies; ++j) {
        result[j].store(frequency);
        frequency = next_row(frequency, frequency_pitch);
      }
    }
  }
}

template <class T, class Rows, class Columns>
void winograd_weights(const T* weights, std::int64_t tap_pitch, std::int64_t source_pitch,
                      std::int64_t sources, T* to, std::int64_t to_pitch,
                      std::int64_t frequency_pitch) {
  using V = Vec<T>;
  constexpr int kHeight = Rows::kAxis.taps;
  constexpr int kWidth = Columns::kAxis.taps;
  for (std::int64_t s = 0; s < sources; ++s) {
    const T* taps = weights + s * source_pitch;
    V columns[kWidth][Rows::kAxis.frequencies];
#pragma GCC unroll 4
    for (int w = 0; w < kWidth; ++w) {
      V g[kHeight];
#pragma GCC unroll 4
      for (int h = 0; h < kHeight; ++h) g[h] = V::load(taps + (kWidth * h + w) * tap_pitch);
      Rows::taps(g, columns[w]);
    }
    T* frequency = to + s * to_pitch;
#pragma GCC unroll 10
    for (int i = 0; i < Rows::kAxis.frequencies; ++i) {
      V row[kWidth];
#pragma GCC unroll 4
      for (int w = 0; w < kWidth; ++w) row[w] = columns[w][i];
      V result[Columns::kAxis.frequencies];
      Columns::taps(row, result);
#pragma GCC unroll 10
      for (int j = 0; j < Columns::kAxis.frequencies; ++j) {
        result[j].store(frequency);
        frequency = next_row(frequency, frequency_pitch);
      }
    }
  }
}

template <class T, class Rows, class Columns>
bool winograd_sums(const T* sums, std::int64_t tile_pitch, std::int64_t frequency_pitch,
                   std::int64_t tiles, const T* bias, T* to, std::int64_t row_pitch,
                   std::int64_t pixel_pitch) {
  using V = Vec<T>;
  constexpr int kHeight = Rows::kAxis.frequencies;
  constexpr int kWidth = Columns::kAxis.frequencies;
  const V zero = V::zero();
  const V added = bias != nullptr ? V::load(bias) : zero;
  V check = zero;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const T* from = sums + tile * tile_pitch;
    V columns[kWidth][Rows::kAxis.outputs];
#pragma GCC unroll 10
    for (int w = 0; w < kWidth; ++w) {
      V m[kHeight];
#pragma GCC unroll 10
      for (int h = 0; h < kHeight; ++h) m[h] = V::load(from + (kWidth * h + w) * frequency_pitch);
      Rows::sums(m, columns[w]);
    }
    T* to_tile = to + tile * Columns::kAxis.outputs * pixel_pitch;
#pragma GCC unroll 8
    for (int i = 0; i < Rows::kAxis.outputs; ++i) {
      V row[kWidth];
#pragma GCC unroll 10
      for (int w = 0; w < kWidth; ++w) row[w] = columns[w][i];
      V result[Columns::kAxis.outputs];
      Columns::sums(row, result);
#pragma GCC unroll 8
      for (int j = 0; j < Columns::kAxis.outputs; ++j) {
        check = V::fma(result[j], zero, check);
        plus(result[j], added).store(to_tile + i * row_pitch + j * pixel_pitch);
      }
    }
  }
  return check.reduce_add() == T(0);
}

template <class T, template <class> class Rows, template <class> class Columns>
constexpr WinogradKernels<T> make_winograd_kernels() {
  return {Rows<T>::kAxis, Columns<T>::kAxis, winograd_source<T, Rows<T>, Columns<T>>,
          winograd_weights<T, Rows<T>, Columns<T>>, winograd_sums<T, Rows<T>, Columns<T>>};
}

/// Both axes alike, or one of them plain.
template <class T>
constexpr WinogradKernels<T> kWinograd[] = {
    make_winograd_kernels<T, TwoTapsAxis, TwoTapsAxis>(),
    make_winograd_kernels<T, ThreeTapsAxis, ThreeTapsAxis>(),
    make_winograd_kernels<T, StridedThreeAxis, StridedThreeAxis>(),
    make_winograd_kernels<T, StridedFourAxis, StridedFourAxis>(),
    make_winograd_kernels<T, SpreadThreeAxis, SpreadThreeAxis>(),
    make_winograd_kernels<T, SpreadFourAxis, SpreadFourAxis>(),
    make_winograd_kernels<T, PlainAxis, TwoTapsAxis>(),
    make_winograd_kernels<T, PlainAxis, ThreeTapsAxis>(),
    make_winograd_kernels<T, PlainAxis, StridedThreeAxis>(),
    make_winograd_kernels<T, PlainAxis, StridedFourAxis>(),
    make_winograd_kernels<T, PlainAxis, SpreadThreeAxis>(),
    make_winograd_kernels<T, PlainAxis, SpreadFourAxis>(),
    make_winograd_kernels<T, ThreeTapsAxis, PlainAxis>(),
};
