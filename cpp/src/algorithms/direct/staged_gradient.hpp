#pragma once

#include "algorithms/algorithm.hpp"

namespace fastconv::direct {

/// Whether a gradient of half type is added up in parts: going backward, padding that repeats the
/// input adds the gradients of its copies. Halves would be rounded after every part.
bool is_staged(const Problem& problem);

/// The same problem with a gradient in float32, to be computed from nothing.
Problem staged_problem(const Problem& problem);

/// The plan of a staged problem from `plan`, which is that of staged_problem(problem): the gradient
/// is stored, or added to what is there, when it is complete.
std::unique_ptr<const detail::AlgorithmPlan> make_staged_plan(
    const Problem& problem, int threads, std::unique_ptr<const detail::AlgorithmPlan> plan);

}  // namespace fastconv::direct
