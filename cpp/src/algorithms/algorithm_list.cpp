/// The ordered list of algorithms. Read this first: every convolution is computed by one of them,
/// and adding one is a folder and a row (docs/adding-an-algorithm.md).
#include "algorithms/algorithm.hpp"
#include "algorithms/depthwise/depthwise.hpp"
#include "algorithms/direct/direct.hpp"
#include "algorithms/reference/reference.hpp"
#include "algorithms/separable/separable.hpp"
#include "algorithms/winograd/winograd.hpp"

namespace fastconv {
namespace {

constexpr Algorithm kAlgorithms[] = {
    // name, reassociates, last_resort, refuses, estimate_cost, make_plan
    {"depthwise", false, false, depthwise::refuses, depthwise::estimate_cost, depthwise::make_plan},
    {"direct", false, false, direct::refuses, direct::estimate_cost, direct::make_plan},
    {"separable", true, false, separable::refuses, separable::estimate_cost, separable::make_plan},
    {"winograd", true, false, winograd::refuses, winograd::estimate_cost, winograd::make_plan},
    {"reference", false, true, reference::refuses, reference::estimate_cost, reference::make_plan},
};

}  // namespace

AlgorithmSpan algorithm_list() {
  return {kAlgorithms, static_cast<int>(sizeof kAlgorithms / sizeof *kAlgorithms)};
}

}  // namespace fastconv
