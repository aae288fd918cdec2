#pragma once

#include "algorithms/algorithm.hpp"

/// Depthwise convolution in two passes. A kernel of rank 1 is the product of a column and a row of
/// taps, so that the sum over h x w taps is one over h taps followed by one over w:
///
///     out[y][x] = sum_b row[b] * (sum_a column[a] * in[y + a][x + b])
///
/// Whether a kernel is one shows in its weights, which a plan learns of when it packs them:
/// rank_one.hpp. If few kernels are, the plan hands everything to the algorithm that would have
/// been chosen without this one.
///
///     separable_plan.cpp   weights, and which way they go
///     row_passes.cpp       both passes with vectors along rows of pixels
///     channel_passes.cpp   both passes with vectors along channels that lie side by side
///
/// The passes are run by the kernels of depthwise/.
namespace fastconv::separable {

std::optional<std::string> refuses(const Problem& problem);
double estimate_cost(const Problem& problem, int threads);
std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads,
                                                       std::size_t max_workspace);

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_typed_plan(
    const Problem& problem, int threads, const char* otherwise_name,
    std::unique_ptr<const detail::AlgorithmPlan> otherwise);

}  // namespace fastconv::separable
