/// Activations from arithmetic that the compiler vectorises, for both floating types.

/// What exp needs of a type: ln 2 in two parts, the first with trailing zeros; an argument within
/// which 2^n is finite and normal; the degree of the Taylor polynomial on |r| <= ln(2) / 2.
template <class T>
struct ExpConstants;
template <>
struct ExpConstants<float> {
  using Bits = std::int32_t;
  static constexpr float kRounder = 0x1.8p23f;  ///< adding it rounds to an integer
  static constexpr float kLogHigh = 0x1.63p-1f;
  static constexpr float kLogLow = -0x1.bd0106p-13f;
  static constexpr float kBound = 87.0f;
  static constexpr int kMantissaBits = 23;
  static constexpr Bits kExponentBias = 127;
  static constexpr int kDegree = 7;
  static constexpr int kChebyshevTerms = 11;
};
template <>
struct ExpConstants<double> {
  using Bits = std::int64_t;
  static constexpr double kRounder = 0x1.8p52;
  static constexpr double kLogHigh = 0x1.62e42fee00000p-1;
  static constexpr double kLogLow = 0x1.a39ef35793c76p-33;
  static constexpr double kBound = 708.0;
  static constexpr int kMantissaBits = 52;
  static constexpr Bits kExponentBias = 1023;
  static constexpr int kDegree = 13;
  static constexpr int kChebyshevTerms = 27;
};

/// exp(x) = scale + scale * fraction, which keeps exp(x) - 1 exact near zero as well.
template <class T>
struct ExpParts {
  T scale;     ///< 2^n
  T fraction;  ///< exp(r) - 1
};

/// x = n ln 2 + r (Cody and Waite, Software Manual for the Elementary Functions, 1980), x clamped
/// to the type's bound.
template <class T>
inline ExpParts<T> exp_parts(T x) {
  using Constants = ExpConstants<T>;
  using Bits = typename Constants::Bits;
  x = x < -Constants::kBound ? -Constants::kBound : x;
  x = x > Constants::kBound ? Constants::kBound : x;
  const T shifted = x * T(1.44269504088896340736) + Constants::kRounder;
  const T n = shifted - Constants::kRounder;
  const T r = (x - n * Constants::kLogHigh) - n * Constants::kLogLow;
  T p = T(1);
#pragma GCC unroll 16
  for (int k = Constants::kDegree; k > 1; --k) p = T(1) + p * r * (T(1) / T(k));
  const Bits exponent = (__builtin_bit_cast(Bits, shifted) -
                         __builtin_bit_cast(Bits, Constants::kRounder) + Constants::kExponentBias)
                        << Constants::kMantissaBits;
  return {__builtin_bit_cast(T, exponent), p * r};
}

/// Propagates the NaN that the bounds above would swallow.
template <class T>
inline T or_nan(T result, T x) {
  return x == x ? result : x;
}

template <class T>
inline T sigmoid(T x) {
  const auto [scale, fraction] = exp_parts(x < T(0) ? x : -x);
  const T e = scale + scale * fraction;
  return or_nan((x < T(0) ? e : T(1)) / (T(1) + e), x);
}

/// -m / (m + 2) with m = exp(-2 |x|) - 1.
template <class T>
inline T hyperbolic_tangent(T x) {
  const auto [scale, fraction] = exp_parts(x < T(0) ? x + x : -(x + x));
  const T m = scale * fraction + (scale - T(1));
  const T result = -m / (m + T(2));
  return or_nan(x < T(0) ? -result : result, x);
}

/// Chebyshev coefficients on [-1, 1] of erfc(z) exp(z^2) / t over 2 t - 1, with t = 2 / (2 + z),
/// the first one halved; computed in 40 digits by interpolation at 200 Chebyshev nodes.
inline constexpr double kScaledErfc[] = {
    0.57703373861646968862,     0.35543692127049848731,     0.06509515882878652455,
    0.0036711423958366391659,   -0.0011128447433526324969,  -0.00016075829915379078758,
    0.000032780315741731370605, 5.4424416455050160333e-6,   -1.5154665553171481622e-6,
    -1.4297608181169864917e-7,  8.234608827419493433e-8,    -1.2962846852306562536e-9,
    -4.1547216310151983042e-9,  6.3470582783628111814e-10,  1.4320822712256223707e-10,
    -6.1603901052045855418e-11, 2.0612138554721696306e-12,  3.571493148847704445e-12,
    -8.5864228432517964757e-13, -6.145600213790630554e-14,  7.4187257485966170573e-14,
    -1.2895042755032325615e-14, -2.3587263857106323568e-15, 1.5729349381685911397e-15,
    -2.2782966239546465174e-16, -6.3123304507564298101e-17, 3.5916763531814922992e-17};

/// x Phi(x), with Phi from erfc(|x| / sqrt 2) by a Chebyshev series (summed by Clenshaw's rule).
template <class T>
inline T gaussian_linear_unit(T x) {
  const T z = (x < T(0) ? -x : x) * T(0.70710678118654752440);
  const T t = T(2) / (T(2) + z);
  const T u = T(2) * t - T(1);
  T next = T(0);
  T current = T(0);
#pragma GCC unroll 32
  for (int k = ExpConstants<T>::kChebyshevTerms - 1; k > 0; --k) {
    const T previous = T(2) * u * current - next + T(kScaledErfc[k]);
    next = current;
    current = previous;
  }
  const T series = u * current - next + T(kScaledErfc[0]);
  const auto [scale, fraction] = exp_parts(-z * z);
  const T tail = T(0.5) * t * series * (scale + scale * fraction);
  // Far left the tail is zero, which times -Inf must not be NaN.
  const T bounded = x < T(-40) ? T(-40) : x;
  const T weight = x < T(0) ? (x < T(-40) ? T(0) : tail) : T(1) - tail;
  return or_nan(bounded * weight, x);
}

/// x * sigmoid(x), which is 0 rather than NaN at -Inf.
template <class T>
inline T sigmoid_linear_unit(T x) {
  const T bounded = x < T(-800) ? T(-800) : x;
  return bounded * (x < T(-800) ? T(0) : sigmoid(x));
}

template <class T>
void activate(T* values, std::int64_t count, Activation activation) {
  const auto apply = [&](auto function) {
    for (std::int64_t i = 0; i < count; ++i) values[i] = function(values[i]);
  };
  switch (activation) {
    case Activation::none:
      return;
    case Activation::relu:
      return apply([](T x) { return x < T(0) ? T(0) : x; });
    case Activation::relu6:
      return apply([](T x) { return x < T(0) ? T(0) : x > T(6) ? T(6) : x; });
    default:
      break;
  }
  if constexpr (kIsFloating<T>) {
    switch (activation) {
      case Activation::leaky_relu:
        return apply([](T x) { return x < T(0) ? T(0.01) * x : x; });
      case Activation::silu:
        return apply([](T x) { return sigmoid_linear_unit(x); });
      case Activation::gelu:
        return apply([](T x) { return gaussian_linear_unit(x); });
      case Activation::sigmoid:
        return apply([](T x) { return sigmoid(x); });
      default:
        return apply([](T x) { return hyperbolic_tangent(x); });
    }
  }
}
