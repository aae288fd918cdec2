#pragma once

#include "algorithms/algorithm.hpp"

/// Depthwise convolution: every group has one input channel. Nothing is added up over channels, so
/// that there is nothing to reuse but pixels and taps, and the point is to touch memory once.
///
///     forward, backward_input   correlation_plan.cpp, with vectors along rows of pixels
///                               (row_correlation.cpp) or along channels that lie side by side
///                               (channel_correlation.cpp)
///     backward_weight           weight_gradient_plan.cpp, likewise (row_weight_gradient.cpp,
///                               channel_weight_gradient.cpp)
///
/// tap_groups.hpp sorts the taps of direct/geometry.hpp so that neighbours share what they load.
namespace fastconv::depthwise {

std::optional<std::string> refuses(const Problem& problem);
double estimate_cost(const Problem& problem, int threads);
std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads);

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan(const Problem& problem,
                                                                   int threads);
template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan(const Problem& problem,
                                                                       int threads);

}  // namespace fastconv::depthwise
