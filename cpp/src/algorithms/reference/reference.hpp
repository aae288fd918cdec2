#pragma once

#include "algorithms/algorithm.hpp"

/// The formula as it is written: plain loops, one thread, every type, every option. It is what the
/// other algorithms are tested against from C++, and the last row of the list.
namespace fastconv::reference {

std::optional<std::string> refuses(const Problem& problem);
double estimate_cost(const Problem& problem, int threads);
std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads);

}  // namespace fastconv::reference
