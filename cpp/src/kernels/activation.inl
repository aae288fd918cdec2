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

/// Powers of u = 2 t - 1 for erfc(z) exp(z^2) / t, with t = 2 / (2 + z): the Chebyshev series of
/// that many terms, interpolated at 200 nodes in 40 digits and rearranged.
template <class T>
struct ScaledErfc;
template <>
struct ScaledErfc<float> {
  static constexpr float kPowers[] = {0.510791357f,    0.343580319f,    0.139735734f,
                                      0.0182216694f,   -0.0107516262f,  -0.00324345192f,
                                      0.00152915716f,  0.000430670488f, -0.000299382712f,
                                      -3.66018769e-5f, 4.21611972e-5f};
};
template <>
struct ScaledErfc<double> {
  static constexpr double kPowers[] = {
      0.5107913526210114891,       0.3435803422069051367,      0.13973604627802689131,
      0.018221115753459039907,     -0.010755330944716363879,   -0.0032395925345820674644,
      0.0015453060290576436895,    0.00041864804327911113001,  -0.00033153674761946044252,
      -0.000017185831874889751496, 0.000072235350614385433482, -0.000017073781133818914395,
      -0.000010848057268891095768, 8.0578758671473404027e-6,   -5.6281669351929246327e-7,
      -1.8150355080541665643e-6,   1.0009185862654101138e-6,   -1.3754508233185945131e-8,
      -2.8554818238341171664e-7,   1.7867229479168534543e-7,   -1.6982724012935666188e-9,
      -6.9658429434091383088e-8,   2.9041985444209085665e-8,   1.3216325517632648636e-8,
      -9.744756625932257797e-9,    -1.0590333143571798631e-9,  1.2051665995883636701e-9};
};

/// Even and odd powers apart: two chains of multiply-adds, each half as long.
template <class T>
inline T scaled_erfc(T u) {
  constexpr auto& kPowers = ScaledErfc<T>::kPowers;
  constexpr int kLast = sizeof kPowers / sizeof kPowers[0] - 1;  // even
  const T square = u * u;
  T even = kPowers[kLast];
  T odd = kPowers[kLast - 1];
#pragma GCC unroll 16
  for (int k = kLast - 2; k > 0; k -= 2) {
    even = even * square + kPowers[k];
    odd = odd * square + kPowers[k - 1];
  }
  return even * square + kPowers[0] + odd * u;
}

/// x Phi(x), with Phi from erfc(|x| / sqrt 2).
template <class T>
inline T gaussian_linear_unit(T x) {
  const T z = (x < T(0) ? -x : x) * T(0.70710678118654752440);
  const T t = T(2) / (T(2) + z);
  const auto [scale, fraction] = exp_parts(-z * z);
  const T tail = T(0.5) * t * scaled_erfc(T(2) * t - T(1)) * (scale + scale * fraction);
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
