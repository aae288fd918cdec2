#pragma once

#include <cstdint>

#include "algorithms/direct/weight_gradient_schedule.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

/// Sums of some (channel, tap) pairs, `pitch` apart, for the output channels of a block.
template <class T>
struct SumRows {
  T* data = nullptr;
  std::int64_t pitch = 0;
};

/// Adds to the sums of a block, or overwrites them, the products of all pixels of `rows` with the
/// input at each pair's offset: chunks of pixels, and the microkernels over each.
template <class T>
void reduce(const WeightGradientSchedule<T>& schedule,
            const typename WeightGradientSchedule<T>::Block& block, const TypedKernels<T>& kernels,
            const PixelRows<T>& rows, const std::int64_t* offsets, std::int64_t pairs,
            bool overwrite, const SumRows<T>& sums);

/// The same for one tap and some channels: products of the pixels of a box alone, sums `pitch`
/// apart from channel to channel.
template <class T>
void reduce_box(const WeightGradientSchedule<T>& schedule,
                const typename WeightGradientSchedule<T>::Block& block, PixelRows<T> rows,
                const PixelBox& box, const std::int64_t* offsets, std::int64_t channels,
                bool overwrite, const SumRows<T>& sums);

}  // namespace fastconv::direct
