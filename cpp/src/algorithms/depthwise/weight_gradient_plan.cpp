#include "algorithms/depthwise/depthwise.hpp"
#include "algorithms/direct/direct.hpp"
namespace fastconv::depthwise {
template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan(const Problem& problem,
                                                                       int threads) {
  return direct::make_weight_gradient_plan<T>(problem, threads);
}
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<float>(const Problem&, int);
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<double>(const Problem&, int);
}
