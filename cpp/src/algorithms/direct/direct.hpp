#pragma once

#include "algorithms/algorithm.hpp"

/// Direct convolution: no transform, the multiply-adds of the formula in its order. Refuses only
/// what would need tiles beyond all measure; `reference` exists to check it.
///
/// Both halves work on *tiles*: boxes of positions whose inputs, copied into padded planes, fit
/// the second-level cache. What the copy takes care of, the loops need not know: padding of every
/// mode, strides, layouts, complex numbers, integers and halves.
///
///     forward, backward_input   correlation_schedule.cpp (decides), correlation_plan.cpp (runs),
///                               kernels/correlation.inl
///     backward_weight           weight_gradient_schedule.cpp (decides), weight_gradient_plan.cpp
///                               (runs), kernels/weight_gradient.inl
///
/// geometry.hpp turns padding, stride and dilation of either direction into runs and taps;
/// tile.hpp chooses tiles and packs them; real_view.hpp sees complex arrays as real ones.
namespace fastconv::direct {

std::optional<std::string> refuses(const Problem& problem);
double estimate_cost(const Problem& problem, int threads);
std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads);

/// The two halves, for one compute type T.
template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan(const Problem& problem,
                                                                   int threads);
template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan(const Problem& problem,
                                                                       int threads);

}  // namespace fastconv::direct
