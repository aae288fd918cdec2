#include "algorithms/fft/fft.hpp"

#include "algorithms/direct/direct.hpp"
#include "algorithms/fft/tile_choice.hpp"
#include "padding.hpp"

namespace fastconv::fft_convolution {
namespace {

bool is_empty(const Problem& problem) { return problem.n == 0 || problem.c == 0 || problem.k == 0; }

}  // namespace

std::optional<std::string> refuses(const Problem& problem) {
  const ComputeType type = problem.compute_type();
  if (type != ComputeType::float32 && type != ComputeType::float64) {
    return "integers are exact, and transforms round";
  }
  const bool complex = problem.is_complex();
  if (is_complex(problem.input_type) != complex || is_complex(problem.weight_type) != complex ||
      is_complex(problem.output_type) != complex) {
    return "some of its tensors are complex and others are not";
  }
  if (problem.pass == Pass::backward_weight) return "it does not compute gradients of weights";
  if (problem.pass == Pass::backward_input && repeats_input(problem.padding_mode)) {
    return "its padding repeats the input";
  }
  if (is_empty(problem)) return "there is nothing to transform";
  if (const auto reason = direct::refuses(problem)) return reason;
  if (choose_tile(problem, Regions(problem)).seconds < 0.0) {
    return "its kernel is longer than the longest transform";
  }
  return std::nullopt;
}

double estimate_cost(const Problem& problem, int threads) {
  constexpr double kCallSeconds = 12e-6;
  return kCallSeconds + choose_tile(problem, Regions(problem)).seconds / threads;
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads) {
  return problem.compute_type() == ComputeType::float32
             ? make_correlation_plan<float>(problem, threads)
             : make_correlation_plan<double>(problem, threads);
}

}  // namespace fastconv::fft_convolution
