/// Fourier transforms of small lengths, one to a lane, so that no number ever changes its lane.
///
/// Stockham's algorithm, decimating in time: a stage of radix r reads r numbers `length / r` apart,
/// multiplies them by twiddle factors and combines them. Data goes from the input through scratch
/// memory to the output in natural order, once for each stage. See Van Loan, Computational
/// Frameworks for the Fast Fourier Transform (1992), section 1.7.
///
/// With n the product of the radices so far, before the stage, and N = n r after it, number b n + k
/// of a new transform is
///
///     sum_a exp(-2 pi i a b / r) * (exp(-2 pi i a k / N) * number k of old transform a)
///
/// and number k of transform q, of `after` ones, lies at k * after + q. Frequencies k + 1/4 instead
/// of k change the twiddle factors alone: those of the first stage are no longer one.
///
/// A stage of radix 8 keeps 8 complex numbers, 16 vectors, and 32 registers hold all that it needs.
/// With 16 registers the compiler keeps some of them on the stack, which still costs less than the
/// passes over memory that stages of radix 4 alone would add (5 to 15% of the time with AVX2).

template <class V>
struct ComplexVec {
  V re;
  V im;
};

template <class V>
inline __attribute__((always_inline)) ComplexVec<V> operator+(ComplexVec<V> a, ComplexVec<V> b) {
  return {V{a.re.value + b.re.value}, V{a.im.value + b.im.value}};
}
template <class V>
inline __attribute__((always_inline)) ComplexVec<V> operator-(ComplexVec<V> a, ComplexVec<V> b) {
  return {V{a.re.value - b.re.value}, V{a.im.value - b.im.value}};
}
/// -i * a
template <class V>
inline __attribute__((always_inline)) ComplexVec<V> turned(ComplexVec<V> a) {
  return {a.im, V{-a.re.value}};
}
template <class V>
inline __attribute__((always_inline)) V negative_fma(V a, V b, V c) {
  return V::fma(V{-a.value}, b, c);
}
template <class V>
inline __attribute__((always_inline)) ComplexVec<V> operator*(ComplexVec<V> a, ComplexVec<V> b) {
  return {negative_fma(a.im, b.im, V{a.re.value * b.re.value}),
          V::fma(a.re, b.im, V{a.im.value * b.re.value})};
}

template <class T>
inline __attribute__((always_inline)) ComplexVec<Vec<T>> broadcast_complex(const T* number) {
  return {Vec<T>::broadcast(number[0]), Vec<T>::broadcast(number[1])};
}

/// cos and sin of 2 pi m / radix for m = 1 ... (radix - 1) / 2.
template <int kRadix>
struct Roots;
template <>
struct Roots<3> {
  static constexpr double kCos[] = {-0.5};
  static constexpr double kSin[] = {0.8660254037844386467637};
};
template <>
struct Roots<5> {
  static constexpr double kCos[] = {0.3090169943749474241023, -0.8090169943749474241023};
  static constexpr double kSin[] = {0.9510565162951535721164, 0.5877852522924731291687};
};
template <>
struct Roots<7> {
  static constexpr double kCos[] = {0.6234898018587335305250, -0.2225209339563144042889,
                                    -0.9009688679024191262361};
  static constexpr double kSin[] = {0.7818314824680298087084, 0.9749279121818236070181,
                                    0.4338837391175581204758};
};
template <>
struct Roots<11> {
  static constexpr double kCos[] = {0.8412535328311811688618, 0.4154150130018864255293,
                                    -0.1423148382732851404438, -0.6548607339452850640569,
                                    -0.9594929736144973898904};
  static constexpr double kSin[] = {0.5406408174555975821076, 0.9096319953545183714117,
                                    0.9898214418809327323761, 0.7557495743542582837740,
                                    0.2817325568414296977114};
};

/// An odd radix: sums and differences of numbers that mirror each other are multiplied by real
/// numbers.
template <int kRadix, class V>
inline __attribute__((always_inline)) void butterfly(ComplexVec<V> (&x)[kRadix]) {
  static_assert(kRadix % 2 == 1);
  using T = decltype(V().reduce_add());
  constexpr int kHalf = (kRadix - 1) / 2;
  ComplexVec<V> sum[kHalf];
  ComplexVec<V> difference[kHalf];
  const ComplexVec<V> first = x[0];
#pragma GCC unroll 8
  for (int j = 0; j < kHalf; ++j) {
    sum[j] = x[j + 1] + x[kRadix - 1 - j];
    difference[j] = x[j + 1] - x[kRadix - 1 - j];
    x[0] = x[0] + sum[j];
  }
#pragma GCC unroll 8
  for (int k = 1; k <= kHalf; ++k) {
    ComplexVec<V> even = first;
    ComplexVec<V> odd{V::zero(), V::zero()};
#pragma GCC unroll 8
    for (int j = 1; j <= kHalf; ++j) {
      const int m = j * k % kRadix;
      const int index = (m <= kHalf ? m : kRadix - m) - 1;
      const V cosine = V::broadcast(static_cast<T>(Roots<kRadix>::kCos[index]));
      const double signed_sine =
          m <= kHalf ? Roots<kRadix>::kSin[index] : -Roots<kRadix>::kSin[index];
      const V sine = V::broadcast(static_cast<T>(signed_sine));
      even = {V::fma(cosine, sum[j - 1].re, even.re), V::fma(cosine, sum[j - 1].im, even.im)};
      odd = {V::fma(sine, difference[j - 1].re, odd.re),
             V::fma(sine, difference[j - 1].im, odd.im)};
    }
    const ComplexVec<V> turned_odd = turned(odd);
    x[k] = even + turned_odd;
    x[kRadix - k] = even - turned_odd;
  }
}

/// A transform of one number only multiplies it by its twist.
template <class V>
inline __attribute__((always_inline)) void butterfly(ComplexVec<V> (&)[1]) {}

template <class V>
inline __attribute__((always_inline)) void butterfly(ComplexVec<V> (&x)[2]) {
  const ComplexVec<V> sum = x[0] + x[1];
  x[1] = x[0] - x[1];
  x[0] = sum;
}

template <class V>
inline __attribute__((always_inline)) void butterfly(ComplexVec<V> (&x)[4]) {
  const ComplexVec<V> sum = x[0] + x[2];
  const ComplexVec<V> difference = x[0] - x[2];
  const ComplexVec<V> odd_sum = x[1] + x[3];
  const ComplexVec<V> odd_difference = turned(x[1] - x[3]);
  x[0] = sum + odd_sum;
  x[1] = difference + odd_difference;
  x[2] = sum - odd_sum;
  x[3] = difference - odd_difference;
}

template <class V>
inline __attribute__((always_inline)) void butterfly(ComplexVec<V> (&x)[8]) {
  using T = decltype(V().reduce_add());
  const V root = V::broadcast(static_cast<T>(0.7071067811865475244008));
  ComplexVec<V> even[4] = {x[0], x[2], x[4], x[6]};
  ComplexVec<V> odd[4] = {x[1], x[3], x[5], x[7]};
  butterfly(even);
  butterfly(odd);
  // The eighth roots of one: sqrt(1/2) * (1 - i), -i, sqrt(1/2) * (-1 - i).
  odd[1] = {V{(odd[1].re.value + odd[1].im.value) * root.value},
            V{(odd[1].im.value - odd[1].re.value) * root.value}};
  odd[2] = turned(odd[2]);
  odd[3] = {V{(odd[3].im.value - odd[3].re.value) * root.value},
            V{(-odd[3].re.value - odd[3].im.value) * root.value}};
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    x[k] = even[k] + odd[k];
    x[k + 4] = even[k] - odd[k];
  }
}

enum class Factors { none, twiddles, twist, lanes };

/// One number of those that multiply all lanes alike, or of those that each lane has of its own.
template <Factors kFactors, class T>
inline __attribute__((always_inline)) ComplexVec<Vec<T>> stage_factor(
    const ComplexVectors<const T>& factors, std::int64_t at) {
  if constexpr (kFactors == Factors::lanes) {
    return {Vec<T>::load(factors.re + at * factors.step),
            Vec<T>::load(factors.im + at * factors.step)};
  } else {
    return broadcast_complex(factors.re + 2 * at);
  }
}

/// One stage. What goes in is multiplied by nothing (the first stage), by the stage's twiddle
/// factors (the others) or by `factors` (the first stage as well); what comes out by nothing or by
/// `factors` (the last stage). A single stage has one kind of them alone.
template <class T, int kRadix, Factors kIn, Factors kOut>
void transform_stage(const TransformStage<T>& stage, ComplexVectors<const T> factors,
                     ComplexVectors<const T> in, ComplexVectors<T> out) {
  using V = Vec<T>;
  // Everything that the loops need is copied: stores of T might change what lies in memory.
  const std::int64_t before = stage.before;
  const std::int64_t after = stage.after;
  const std::int64_t in_step = in.step;
  const std::int64_t out_step = out.step;
  const std::int64_t in_stride = after * in_step;
  const std::int64_t out_stride = before * after * out_step;
  const T* twiddles = stage.twiddles;
  const T* in_re = in.re;
  const T* in_im = in.im;
  T* out_re = out.re;
  T* out_im = out.im;
  for (std::int64_t k = 0; k < before; ++k) {
    for (std::int64_t q = 0; q < after; ++q) {
      ComplexVec<V> x[kRadix];
#pragma GCC unroll 16
      for (int a = 0; a < kRadix; ++a) {
        x[a] = {V::load(in_re + a * in_stride), V::load(in_im + a * in_stride)};
        if constexpr (kIn == Factors::twiddles) {
          if (a > 0) x[a] = x[a] * broadcast_complex(twiddles + 2 * (a - 1));
        } else if constexpr (kIn != Factors::none) {
          x[a] = x[a] * stage_factor<kIn>(factors, a * after + q);
        }
      }
      butterfly(x);
#pragma GCC unroll 16
      for (int b = 0; b < kRadix; ++b) {
        if constexpr (kOut != Factors::none) {
          x[b] = x[b] * stage_factor<kOut>(factors, (k + b * before) * after + q);
        }
        x[b].re.store(out_re + b * out_stride);
        x[b].im.store(out_im + b * out_stride);
      }
      in_re += in_step;
      in_im += in_step;
      out_re += out_step;
      out_im += out_step;
    }
    in_re += (kRadix - 1) * in_stride;
    in_im += (kRadix - 1) * in_stride;
    twiddles += 2 * (kRadix - 1);
  }
}

template <class T>
using StageFunction = void (*)(const TransformStage<T>& stage, ComplexVectors<const T> factors,
                               ComplexVectors<const T> in, ComplexVectors<T> out);

template <class T, Factors kIn, Factors kOut>
inline StageFunction<T> stage_function(int radix) {
  switch (radix) {
    case 1:
      return transform_stage<T, 1, kIn, kOut>;
    case 2:
      return transform_stage<T, 2, kIn, kOut>;
    case 3:
      return transform_stage<T, 3, kIn, kOut>;
    case 4:
      return transform_stage<T, 4, kIn, kOut>;
    case 5:
      return transform_stage<T, 5, kIn, kOut>;
    case 7:
      return transform_stage<T, 7, kIn, kOut>;
    case 8:
      return transform_stage<T, 8, kIn, kOut>;
    default:
      return transform_stage<T, 11, kIn, kOut>;
  }
}

template <class T, Factors kIn>
inline StageFunction<T> stage_function(Factors out, int radix) {
  if (out == Factors::lanes) return stage_function<T, kIn, Factors::lanes>(radix);
  if (out == Factors::twist) return stage_function<T, kIn, Factors::twist>(radix);
  return stage_function<T, kIn, Factors::none>(radix);
}

template <class T>
inline StageFunction<T> stage_function(Factors in, Factors out, int radix) {
  if (in == Factors::twiddles) return stage_function<T, Factors::twiddles>(out, radix);
  if (in == Factors::lanes) return stage_function<T, Factors::lanes, Factors::none>(radix);
  if (in == Factors::twist) return stage_function<T, Factors::twist, Factors::none>(radix);
  return stage_function<T, Factors::none>(out, radix);
}

/// What multiplies the numbers on one side of a transform.
template <class T>
inline Factors side_factors(const ComplexVectors<const T>& factors, const T* twist) {
  return factors.re != nullptr ? Factors::lanes : twist != nullptr ? Factors::twist : Factors::none;
}

template <class T>
void transform(const LaneTransform<T>& plan, std::int64_t count, ComplexVectors<const T> in,
               std::int64_t in_step, ComplexVectors<T> out, std::int64_t out_step, T* scratch) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  const Factors before = side_factors(plan.factors_in, plan.twist_in);
  const Factors after = side_factors(plan.factors_out, plan.twist_out);
  StageFunction<T> run[kMostTransformStages];
  for (int s = 0; s < plan.stages; ++s) {
    const Factors first = plan.shifted ? Factors::twiddles : before;
    run[s] = stage_function<T>(s == 0 ? first : Factors::twiddles,
                               s + 1 == plan.stages ? after : Factors::none, plan.stage[s].radix);
  }
  ComplexVectors<T> between[2];
  for (int side = 0; side < 2; ++side) {
    T* half = scratch + side * 2 * kLanes * plan.length;
    between[side] = {half, half + kLanes, 2 * kLanes};
  }
  // Every other stage leaves its numbers where the last one will, if they lie close together there
  // and the first stage does not read them: less memory for the cache to hold.
  const bool compact = out.step == 2 * kLanes;
  const bool first_is_free = plan.stages % 2 == 0 || (in.re != out.re && in.im != out.re);
  for (std::int64_t i = 0; i < count; ++i) {
    const ComplexVectors<T> result{out.re + i * out_step, out.im + i * out_step, out.step};
    ComplexVectors<const T> from{in.re + i * in_step, in.im + i * in_step, in.step};
    for (int s = 0; s < plan.stages; ++s) {
      const int left = plan.stages - 1 - s;
      const bool into_result = left == 0 || (compact && left % 2 == 0 && (s > 0 || first_is_free));
      const int side = compact ? static_cast<int>(s == 0 && left % 2 == 0) : s % 2;
      const ComplexVectors<T> to = into_result ? result : between[side];
      const bool enters = s == 0 && before != Factors::none;
      ComplexVectors<const T> factors = enters ? plan.factors_in : plan.factors_out;
      if (factors.re == nullptr) {
        factors.re = enters ? plan.twist_in : plan.twist_out;
      } else {
        factors.re += i * plan.factor_step;
        factors.im += i * plan.factor_step;
      }
      run[s](plan.stage[s], factors, from, to);
      from = {to.re, to.im, to.step};
    }
  }
}

template <class T>
void multiply_complex(ComplexVectors<T> values, ComplexVectors<const T> factors,
                      std::int64_t count) {
  using V = Vec<T>;
  for (std::int64_t i = 0; i < count; ++i) {
    T* re = values.re + i * values.step;
    T* im = values.im + i * values.step;
    const ComplexVec<V> factor{V::load(factors.re + i * factors.step),
                               V::load(factors.im + i * factors.step)};
    const ComplexVec<V> product = ComplexVec<V>{V::load(re), V::load(im)} * factor;
    product.re.store(re);
    product.im.store(im);
  }
}

template <class T, int kRows, int kColumns>
void complex_product_tile(std::int64_t layers, std::int64_t depth,
                          const ComplexMatrix<const T>& left, const ComplexMatrix<const T>& right,
                          const ComplexMatrix<T>& out, bool adds) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  for (std::int64_t layer = 0; layer < layers; ++layer) {
    const T* left_column = left.data + layer * left.layer_step;
    const T* right_column = right.data + layer * right.layer_step;
    ComplexVec<V> sums[kRows][kColumns];
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) sums[i][j] = {V::zero(), V::zero()};
    }
    for (std::int64_t r = 0; r < depth; ++r) {
      ComplexVec<V> loaded[kColumns];
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) {
        const T* number = right_column + j * right.row_step;
        loaded[j] = {V::load(number), V::load(number + kLanes)};
      }
#pragma GCC unroll 4
      for (int i = 0; i < kRows; ++i) {
        const T* number = left_column + i * left.row_step;
        const ComplexVec<V> element{V::load(number), V::load(number + kLanes)};
#pragma GCC unroll 4
        for (int j = 0; j < kColumns; ++j) {
          sums[i][j].re = V::fma(element.re, loaded[j].re, sums[i][j].re);
          sums[i][j].im = V::fma(element.im, loaded[j].re, sums[i][j].im);
          sums[i][j].re = V::fma(element.im, loaded[j].im, sums[i][j].re);
          sums[i][j].im = negative_fma(element.re, loaded[j].im, sums[i][j].im);
        }
      }
      left_column += left.column_step;
      right_column += right.column_step;
    }
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
      for (int j = 0; j < kColumns; ++j) {
        T* to = out.data + layer * out.layer_step + i * out.row_step + j * out.column_step;
        if (adds) sums[i][j] = sums[i][j] + ComplexVec<V>{V::load(to), V::load(to + kLanes)};
        sums[i][j].re.store(to);
        sums[i][j].im.store(to + kLanes);
      }
    }
  }
}
