/// The loop nest of the reference, for every element of the written tensor:
///
///     forward           out[n,k,o]  = sum over c, a of weight[k,c,a] * padded_input[n,c,o*s+a*d]
///     backward_input    in[n,c,i]   = sum over k, o, a with source(o*s+a*d) = i of conj(w) * g
///     backward_weight   w[k,c,a]    = sum over n, o of conj(padded_input[n,c,o*s+a*d]) * g[n,k,o]
///
/// Layouts are whatever the strides say. Sums are formed in double precision (integers modulo
/// 2^64), so that this is also the more exact result. All time goes into address arithmetic.
#include "algorithms/reference/reference.hpp"

#include <algorithm>
#include <complex>
#include <type_traits>

#include "algorithms/reference/elements.hpp"
#include "padding.hpp"

namespace fastconv::reference {
namespace {

using Position = std::array<std::int64_t, 3>;

template <class Body>
void for_each_position(const Position& sizes, Body&& body) {
  Position p;
  for (p[0] = 0; p[0] < sizes[0]; ++p[0]) {
    for (p[1] = 0; p[1] < sizes[1]; ++p[1]) {
      for (p[2] = 0; p[2] < sizes[2]; ++p[2]) body(p);
    }
  }
}

std::int64_t offset(const TensorView& view, std::int64_t first, std::int64_t second,
                    const Position& p) {
  return first * view.strides[0] + second * view.strides[1] + p[0] * view.strides[2] +
         p[1] * view.strides[3] + p[2] * view.strides[4];
}

template <class Value>
Value conjugated(Value value, bool conjugate) {
  if constexpr (std::is_same_v<Value, std::complex<double>>) {
    return conjugate ? std::conj(value) : value;
  } else {
    return value;
  }
}

template <class Value>
class ReferencePlan final : public detail::AlgorithmPlan {
 public:
  explicit ReferencePlan(const Problem& problem) : problem_(problem) {}

  void execute(const Arguments& arguments, void*, const void*) const noexcept override {
    switch (problem_.pass) {
      case Pass::forward:
        return forward(arguments);
      case Pass::backward_input:
        return backward_input(arguments);
      case Pass::backward_weight:
        return backward_weight(arguments);
    }
  }

  std::string description() const override { return "plain loops, one thread"; }

 private:
  Position sizes(std::int64_t Axis::* field) const {
    return {problem_.axes[0].*field, problem_.axes[1].*field, problem_.axes[2].*field};
  }

  /// Where in the input the tap stands for the output position; false where padding stands.
  bool locate(const Position& output, const Position& tap, Position& input) const {
    for (int a = 0; a < 3; ++a) {
      const Axis& axis = problem_.axes[a];
      const std::int64_t step = problem_.flip ? axis.kernel - 1 - tap[a] : tap[a];
      input[a] = padded_source(output[a] * axis.stride + step * axis.dilation - axis.pad_before,
                               axis.input, problem_.padding_mode);
      if (input[a] < 0) return false;
    }
    return true;
  }

  Value padding_value() const {
    if (problem_.padding_mode != PaddingMode::constant) return Value(0);
    if constexpr (std::is_same_v<Value, std::complex<double>>) {
      return problem_.padding_value;
    } else if constexpr (std::is_same_v<Value, double>) {
      return problem_.padding_value.real();
    } else {
      return static_cast<Value>(problem_.padding_integer);
    }
  }

  void finish(const Arguments& arguments, const TensorView& written, std::int64_t channel,
              std::int64_t at, Value value) const {
    if (problem_.has_bias) {
      value += load<Value>(arguments.bias, written.type, channel * arguments.bias_stride);
    }
    if (problem_.accumulate) value += load<Value>(written.data, written.type, at);
    store(written.data, written.type, at, activated(value, problem_.activation));
  }

  void forward(const Arguments& arguments) const {
    const TensorView& out = arguments.output;
    const std::int64_t c_per_group = problem_.c / problem_.g;
    for (std::int64_t n = 0; n < problem_.n; ++n) {
      for (std::int64_t k = 0; k < problem_.k; ++k) {
        const std::int64_t first_c = k / (problem_.k / problem_.g) * c_per_group;
        for_each_position(sizes(&Axis::output), [&](const Position& o) {
          Value sum(0);
          for (std::int64_t c = 0; c < c_per_group; ++c) {
            for_each_position(sizes(&Axis::kernel), [&](const Position& tap) {
              sum += weight_at(arguments, k, c, tap) * input_at(arguments, n, first_c + c, o, tap);
            });
          }
          finish(arguments, out, k, offset(out, n, k, o), sum);
        });
      }
    }
  }

  Value weight_at(const Arguments& arguments, std::int64_t k, std::int64_t c,
                  const Position& tap) const {
    const TensorView& weight = arguments.weight;
    return load<Value>(weight.data, weight.type, offset(weight, k, c, tap));
  }

  Value input_at(const Arguments& arguments, std::int64_t n, std::int64_t c, const Position& o,
                 const Position& tap) const {
    Position i;
    if (!locate(o, tap, i)) return padding_value();
    return load<Value>(arguments.input.data, arguments.input.type,
                       offset(arguments.input, n, c, i));
  }

  void backward_input(const Arguments& arguments) const {
    const TensorView& in = arguments.input;
    const TensorView& gradient = arguments.output;
    const std::int64_t k_per_group = problem_.k / problem_.g;
    const std::int64_t c_per_group = problem_.c / problem_.g;
    for (std::int64_t n = 0; n < problem_.n; ++n) {
      for (std::int64_t c = 0; c < problem_.c; ++c) {
        const std::int64_t first_k = c / c_per_group * k_per_group;
        for_each_position(sizes(&Axis::input), [&](const Position& i) {
          Value sum(0);
          for (std::int64_t k = first_k; k < first_k + k_per_group; ++k) {
            for_each_position(sizes(&Axis::kernel), [&](const Position& tap) {
              for_each_output_that_sees(i, tap, [&](const Position& o) {
                sum +=
                    conjugated(weight_at(arguments, k, c % c_per_group, tap), problem_.conjugate) *
                    load<Value>(gradient.data, gradient.type, offset(gradient, n, k, o));
              });
            });
          }
          finish(arguments, in, c, offset(in, n, c, i), sum);
        });
      }
    }
  }

  /// Outputs whose window has element i of the input under the tap. Axis by axis, because the
  /// index map is.
  template <class Body>
  void for_each_output_that_sees(const Position& i, const Position& tap, Body&& body) const {
    Position o{0, 0, 0};
    each_along(0, i, tap, o, body);
  }

  template <class Body>
  void each_along(int a, const Position& i, const Position& tap, Position& o, Body& body) const {
    const Axis& axis = problem_.axes[a];
    const std::int64_t step = problem_.flip ? axis.kernel - 1 - tap[a] : tap[a];
    const std::int64_t origin = step * axis.dilation - axis.pad_before;
    std::int64_t first = 0;
    std::int64_t last = axis.output - 1;
    if (!repeats_input(problem_.padding_mode)) {
      // Only o = (i - origin) / stride can be seen; the modes that repeat need the search.
      if ((i[a] - origin) % axis.stride != 0) return;
      first = std::max<std::int64_t>(first, (i[a] - origin) / axis.stride);
      last = std::min(last, (i[a] - origin) / axis.stride);
    }
    for (o[a] = first; o[a] <= last; ++o[a]) {
      const std::int64_t seen =
          padded_source(o[a] * axis.stride + origin, axis.input, problem_.padding_mode);
      if (seen != i[a]) continue;
      if (a == 2) {
        body(o);
      } else {
        each_along(a + 1, i, tap, o, body);
      }
    }
  }

  void backward_weight(const Arguments& arguments) const {
    const TensorView& weight = arguments.weight;
    const TensorView& gradient = arguments.output;
    const std::int64_t c_per_group = problem_.c / problem_.g;
    for (std::int64_t k = 0; k < problem_.k; ++k) {
      const std::int64_t first_c = k / (problem_.k / problem_.g) * c_per_group;
      for (std::int64_t c = 0; c < c_per_group; ++c) {
        for_each_position(sizes(&Axis::kernel), [&](const Position& tap) {
          Value sum(0);
          for (std::int64_t n = 0; n < problem_.n; ++n) {
            for_each_position(sizes(&Axis::output), [&](const Position& o) {
              sum += conjugated(input_at(arguments, n, first_c + c, o, tap), problem_.conjugate) *
                     load<Value>(gradient.data, gradient.type, offset(gradient, n, k, o));
            });
          }
          finish(arguments, weight, k, offset(weight, k, c, tap), sum);
        });
      }
    }
  }

  Problem problem_;
};

}  // namespace

std::optional<std::string> refuses(const Problem&) { return std::nullopt; }

double estimate_cost(const Problem& problem, int) {
  constexpr double kSecondsPerMultiplyAdd = 5e-9;
  constexpr double kSecondsPerResult = 30e-9;
  double results = 1.0;
  for (const std::int64_t size : problem.result_sizes()) results *= static_cast<double>(size);
  return 1e-6 + problem.multiply_adds() * kSecondsPerMultiplyAdd + results * kSecondsPerResult;
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int) {
  if (problem.is_complex()) return std::make_unique<ReferencePlan<std::complex<double>>>(problem);
  if (is_integer(problem.result_type()))
    return std::make_unique<ReferencePlan<std::uint64_t>>(problem);
  return std::make_unique<ReferencePlan<double>>(problem);
}

}  // namespace fastconv::reference
