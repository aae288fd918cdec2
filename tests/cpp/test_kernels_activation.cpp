/// Activations against the C library in extended precision, over dense ranges and where they
/// overflow, underflow or meet what is not a number.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "forced_isa.hpp"
#include "stored_values.hpp"

namespace fastconv::testing {
namespace {

using Real = long double;

Real exact(Activation activation, Real x) {
  switch (activation) {
    case Activation::none:
      return x;
    case Activation::relu:
      return x < 0 ? 0 : x;
    case Activation::leaky_relu:
      return x < 0 ? x / 100 : x;
    case Activation::relu6:
      return x < 0 ? 0 : x > 6 ? 6 : x;
    case Activation::silu:
      return x / (1 + std::exp(-x));
    case Activation::gelu:
      return x / 2 * std::erfc(-x / std::sqrt(Real(2)));
    case Activation::sigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::tanh:
      return std::tanh(x);
  }
  return x;
}

template <class T>
std::vector<T> activate(const std::vector<T>& values, Activation activation) {
  return stored_values<T>(values, sizeof(T) == 4 ? DataType::float32 : DataType::float64,
                          activation);
}

/// Evenly spaced where activations bend, and every magnitude that does not overflow exp.
template <class T>
std::vector<T> dense_values() {
  std::vector<T> values;
  for (int i = -100000; i <= 100000; ++i) values.push_back(static_cast<T>(i) / T(5000));
  for (T magnitude = T(1e-30); magnitude < T(80); magnitude *= T(1.001)) {
    values.push_back(magnitude);
    values.push_back(-magnitude);
  }
  return values;
}

/// What an activation may differ by: `relative` times its value plus `absolute` times max(1, |x|).
struct Bound {
  Activation activation;
  Real relative;
  Real absolute;
};

template <class T>
void expect_within(const Bound& bound) {
  const std::vector<T> values = dense_values<T>();
  const std::vector<T> result = activate(values, bound.activation);
  Real worst = 0;
  T worst_at = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Real x = values[i];
    const Real expected = exact(bound.activation, x);
    const Real allowed = bound.relative * std::abs(expected) +
                         bound.absolute * std::max<Real>(1, std::abs(x)) +
                         std::numeric_limits<T>::min();
    const Real ratio = std::abs(result[i] - expected) / allowed;
    if (!(ratio <= worst)) {
      worst = ratio;
      worst_at = values[i];
    }
  }
  EXPECT_LE(worst, 1) << name_of(bound.activation) << "(" << worst_at << ")";
}

TEST(Activation, OfFloat32IsWithinItsBound) {
  constexpr Real kEpsilon = std::numeric_limits<float>::epsilon();
  for (const Bound& bound :
       {Bound{Activation::relu, 0, 0}, Bound{Activation::relu6, 0, 0},
        Bound{Activation::leaky_relu, kEpsilon, 0}, Bound{Activation::sigmoid, 4 * kEpsilon, 0},
        Bound{Activation::tanh, 4 * kEpsilon, 0}, Bound{Activation::silu, 4 * kEpsilon, 0},
        Bound{Activation::gelu, 4 * kEpsilon, 2 * kEpsilon}}) {
    expect_within<float>(bound);
  }
}

TEST(Activation, OfFloat64IsWithinAFewUnitsInTheLastPlace) {
  constexpr Real kEpsilon = std::numeric_limits<double>::epsilon();
  for (const Bound& bound :
       {Bound{Activation::relu, 0, 0}, Bound{Activation::relu6, 0, 0},
        Bound{Activation::leaky_relu, kEpsilon, 0}, Bound{Activation::sigmoid, 4 * kEpsilon, 0},
        Bound{Activation::tanh, 4 * kEpsilon, 0}, Bound{Activation::silu, 4 * kEpsilon, 0},
        // erfc magnifies the rounding of its argument by that argument's square.
        Bound{Activation::gelu, 4 * kEpsilon, kEpsilon}}) {
    expect_within<double>(bound);
  }
}

/// What an activation tends to on either side.
struct Limits {
  Activation activation;
  double left;
  double right;
};
constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr Limits kLimits[] = {{Activation::none, -kInfinity, kInfinity},
                              {Activation::relu, 0, kInfinity},
                              {Activation::leaky_relu, -kInfinity, kInfinity},
                              {Activation::relu6, 0, 6},
                              {Activation::silu, 0, kInfinity},
                              {Activation::gelu, 0, kInfinity},
                              {Activation::sigmoid, 0, 1},
                              {Activation::tanh, -1, 1}};

template <class T>
void expect_limits() {
  constexpr T kLargest = std::numeric_limits<T>::max();
  constexpr T kInfinite = std::numeric_limits<T>::infinity();
  for (const auto& [activation, left, right] : kLimits) {
    SCOPED_TRACE(name_of(activation));
    const std::vector<T> infinite = activate<T>({-kInfinite, kInfinite}, activation);
    // exp is bounded, so that a limit of zero may be missed by a number this small.
    constexpr double kSmall = 1e-34;
    EXPECT_TRUE(infinite[0] == left || std::abs(infinite[0] - left) < kSmall) << infinite[0];
    EXPECT_EQ(infinite[1], right);
    for (const T magnitude : {T(100), T(700), T(750), T(801), T(1e4), T(1e30), kLargest}) {
      const std::vector<T> far = activate<T>({-magnitude, magnitude}, activation);
      const Real expected_left = exact(activation, -static_cast<Real>(magnitude));
      const Real expected_right = exact(activation, magnitude);
      const Real allowed = 4 * std::numeric_limits<T>::epsilon();
      EXPECT_NEAR(far[0], expected_left, allowed * std::abs(expected_left) + kSmall) << magnitude;
      EXPECT_NEAR(far[1], expected_right, allowed * std::abs(expected_right)) << magnitude;
    }
  }
}

TEST(Activation, ReachesItsLimits) {
  expect_limits<float>();
  expect_limits<double>();
}

template <class T>
void expect_nan_stays() {
  for (const auto& limits : kLimits) {
    // More than a vector, so that both the vectorised loop and its remainder meet it.
    for (const T result :
         activate(std::vector<T>(37, std::numeric_limits<T>::quiet_NaN()), limits.activation)) {
      EXPECT_TRUE(std::isnan(result)) << name_of(limits.activation);
    }
  }
}

TEST(Activation, OfNanIsNan) {
  expect_nan_stays<float>();
  expect_nan_stays<double>();
}

TEST(Activation, OfZeroIsExact) {
  for (const Activation activation :
       {Activation::relu, Activation::leaky_relu, Activation::relu6, Activation::silu,
        Activation::gelu, Activation::sigmoid, Activation::tanh}) {
    const float expected = activation == Activation::sigmoid ? 0.5f : 0.0f;
    EXPECT_EQ(activate<float>({0.0f}, activation)[0], expected) << name_of(activation);
    EXPECT_EQ(activate<double>({0.0}, activation)[0], expected) << name_of(activation);
  }
}

}  // namespace
}  // namespace fastconv::testing
