#pragma once

#include "algorithms/direct/correlation_schedule.hpp"

/// 8-bit products, of which an instruction forms and adds several where there is one: pairs of
/// int16 or quads of bytes, in elements of int32 that hold as many source channels.
namespace fastconv::direct {

/// The kernels that compute a problem in int32: of quads or pairs, forward and backward_input,
/// where its types and the instruction set allow it.
const TypedKernels<std::int32_t>& int32_kernels(const Problem& problem);

/// What a source element is more than what is packed for it: 128 or -128 where the kernels multiply
/// quads and the source, of the weights' type, takes the other sign; else 0.
std::int32_t source_shift(const Problem& problem, const TypedKernels<std::int32_t>& kernels);

/// The packed element all of whose channels are `value`.
std::int64_t joined_value(std::int64_t value, const TypedKernels<std::int32_t>& kernels,
                          std::int32_t shift);

/// What the sums of a block have to begin with so that the shift of the source does not show:
/// to[row] = shift * (sum of all weights of the row).
void sum_shifted_weights(const Block<std::int32_t>& block, const std::int32_t* weights,
                         std::int64_t depth, std::int64_t lanes, std::int32_t shift,
                         std::int32_t* to);

}  // namespace fastconv::direct
