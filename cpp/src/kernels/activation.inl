/// Activations of float32 rows from arithmetic that the compiler vectorises; float64 calls the
/// C library, one element at a time.

/// exp(x) for x in [-87, 88], relative error below 2e-7: x = n ln 2 + r, |r| <= ln(2) / 2, with the
/// Taylor polynomial of degree 7 in r (Cody and Waite, Software Manual for the Elementary
/// Functions, 1980, for the reduction with ln 2 in two parts).
inline float exp_bounded(float x) {
  constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  x = x < -87.0f ? -87.0f : x;
  x = x > 88.0f ? 88.0f : x;
  const float shifted = x * 1.44269504088896341f + kRounder;
  const float n = shifted - kRounder;
  const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
  float p = 1.0f / 5040.0f;
  p = p * r + 1.0f / 720.0f;
  p = p * r + 1.0f / 120.0f;
  p = p * r + 1.0f / 24.0f;
  p = p * r + 1.0f / 6.0f;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const std::int32_t exponent = (__builtin_bit_cast(std::int32_t, shifted) -
                                 __builtin_bit_cast(std::int32_t, kRounder) + 127)
                                << 23;
  return p * __builtin_bit_cast(float, exponent);
}

/// Propagates the NaN that the bounds of exp_bounded would swallow.
inline float or_nan(float result, float x) { return x == x ? result : x; }

inline float sigmoid(float x) {
  const float e = exp_bounded(x < 0.0f ? x : -x);
  return or_nan((x < 0.0f ? e : 1.0f) / (1.0f + e), x);
}

/// Near zero the odd Taylor polynomial, elsewhere (1 - e) / (1 + e) with e = exp(-2 |x|).
inline float hyperbolic_tangent(float x) {
  const float magnitude = x < 0.0f ? -x : x;
  const float e = exp_bounded(-2.0f * magnitude);
  const float far = (1.0f - e) / (1.0f + e);
  const float s = x * x;
  float p = -1382.0f / 155925.0f;
  p = p * s + 62.0f / 2835.0f;
  p = p * s - 17.0f / 315.0f;
  p = p * s + 2.0f / 15.0f;
  p = p * s - 1.0f / 3.0f;
  const float near = magnitude + magnitude * s * p;
  const float result = magnitude < 0.35f ? near : far;
  return or_nan(x < 0.0f ? -result : result, x);
}

/// x * Phi(x), Phi from the complementary error function by Abramowitz and Stegun 7.1.26
/// (absolute error of Phi below 1e-7).
inline float gaussian_linear_unit(float x) {
  const float z = (x < 0.0f ? -x : x) * 0.70710678118654752f;
  const float t = 1.0f / (1.0f + 0.3275911f * z);
  float p = 1.061405429f;
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const float tail = 0.5f * p * t * exp_bounded(-z * z);
  // Infinity times a tail of zero is zero, not NaN.
  const float weight = x < 0.0f ? tail : 1.0f - tail;
  const float bounded = x < -14.0f ? -14.0f : x;
  return or_nan(bounded * (x < -14.0f ? 0.0f : weight), x);
}

inline double sigmoid(double x) {
  const double e = __builtin_exp(x < 0.0 ? x : -x);
  return (x < 0.0 ? e : 1.0) / (1.0 + e);
}
inline double hyperbolic_tangent(double x) { return __builtin_tanh(x); }
inline double gaussian_linear_unit(double x) {
  if (x < -40.0) return -0.0;
  return 0.5 * x * __builtin_erfc(-x * 0.70710678118654752440);
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
        // x * sigmoid(x) would be -Inf * 0 at the far left.
        return apply([](T x) { return x < T(-800) ? T(0) : x * sigmoid(x); });
      case Activation::gelu:
        return apply([](T x) { return gaussian_linear_unit(x); });
      case Activation::sigmoid:
        return apply([](T x) { return sigmoid(x); });
      default:
        return apply([](T x) { return hyperbolic_tangent(x); });
    }
  }
}
