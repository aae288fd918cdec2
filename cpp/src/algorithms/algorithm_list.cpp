/// The ordered list of algorithms. Read this first: every convolution is computed by one of them,
/// and adding one is a folder and a row (docs/adding-an-algorithm.md).
#include "algorithms/algorithm.hpp"
#include "algorithms/depthwise/depthwise.hpp"
#include "algorithms/direct/direct.hpp"
#include "algorithms/fft/fft.hpp"
#include "algorithms/reference/reference.hpp"
#include "algorithms/separable/separable.hpp"
#include "algorithms/winograd/winograd.hpp"

namespace fastconv {
namespace {

/// For algorithms whose scratch memory is small however large the problem is.
template <std::unique_ptr<const detail::AlgorithmPlan> (*make_plan)(const Problem&, int)>
std::unique_ptr<const detail::AlgorithmPlan> make_small(const Problem& problem, int threads,
                                                        std::size_t) {
  return make_plan(problem, threads);
}

constexpr Algorithm kAlgorithms[] = {
    // name, reassociates, last_resort, refuses, estimate_cost, make_plan
    {"depthwise", false, false, depthwise::refuses, depthwise::estimate_cost,
     make_small<depthwise::make_plan>},
    {"direct", false, false, direct::refuses, direct::estimate_cost, make_small<direct::make_plan>},
    {"separable", true, false, separable::refuses, separable::estimate_cost, separable::make_plan},
    {"winograd", true, false, winograd::refuses, winograd::estimate_cost,
     make_small<winograd::make_plan>},
    {"fft", true, false, fft_convolution::refuses, fft_convolution::estimate_cost,
     fft_convolution::make_plan, fft_convolution::make_gradients_plan},
    {"reference", false, true, reference::refuses, reference::estimate_cost,
     make_small<reference::make_plan>},
};

}  // namespace

AlgorithmSpan algorithm_list() {
  return {kAlgorithms, static_cast<int>(sizeof kAlgorithms / sizeof *kAlgorithms)};
}

}  // namespace fastconv
