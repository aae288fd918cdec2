#pragma once

#include "algorithms/algorithm.hpp"

/// Winograd's convolution F(4x4, 3x3): 36 multiplications for 16 outputs of a 3x3 kernel instead
/// of 144; and its relatives for a stride of 2 along both axes, 81 instead of 144 for 3x3 and 100
/// instead of 256 for 4x4 kernels, and for kernels and strides along one axis alone
/// (kernels/winograd_points.hpp). Forward and backward-input, all types but integers. A kernel of
/// more taps and stride 1 has parts, which count as further source channels, as the slices of a
/// kernel of any depth do; every phase of a dilation is an image of its own.
///
///     winograd_plan.cpp      the loops
///     few_tiles_plan.cpp     the loops where a block holds all tiles and weights are large
///     geometry.cpp           either pass as one: source, destination, offset, mirrored or not
///     winograd_schedule.cpp  blocks of tiles, shares of channels
///     panels.cpp             channels of one product
///     source_packer.cpp      padding, and any memory into pixels with their channels side by side
///     weight_transform.cpp   the transformed weights
///     result_writer.cpp      any memory out of them; repairs what is not finite
namespace fastconv::winograd {

std::optional<std::string> refuses(const Problem& problem);
double estimate_cost(const Problem& problem, int threads);
std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads);

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_blocks_plan(const Problem& problem, int threads);
template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_few_tiles_plan(const Problem& problem,
                                                                 int threads);

}  // namespace fastconv::winograd
