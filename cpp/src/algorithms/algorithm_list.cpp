/// The ordered list of algorithms. Read this first: every convolution is computed by one of them,
/// and adding one is a folder and a row (docs/adding-an-algorithm.md).
#include "algorithms/algorithm.hpp"
#include "algorithms/depthwise/depthwise.hpp"
#include "algorithms/direct/direct.hpp"
#include "algorithms/fft/fft.hpp"
#include "algorithms/reference/reference.hpp"
#include "algorithms/winograd/winograd.hpp"

namespace fastconv {
namespace {

constexpr Algorithm kAlgorithms[] = {
    // name, reassociates, last_resort, refuses, estimate_cost, make_plan
    {"depthwise", false, false, depthwise::refuses, depthwise::estimate_cost, depthwise::make_plan},
    {"direct", false, false, direct::refuses, direct::estimate_cost, direct::make_plan},
    {"winograd", true, false, winograd::refuses, winograd::estimate_cost, winograd::make_plan},
    {"fft", true, false, fft_convolution::refuses, fft_convolution::estimate_cost,
     fft_convolution::make_plan},
    {"reference", false, true, reference::refuses, reference::estimate_cost, reference::make_plan},
};

}  // namespace

AlgorithmSpan algorithm_list() {
  return {kAlgorithms, static_cast<int>(sizeof kAlgorithms / sizeof *kAlgorithms)};
}

}  // namespace fastconv
