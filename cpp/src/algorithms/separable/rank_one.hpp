#pragma once

#include <cstdint>

namespace fastconv::separable {

/// Finds column and row with kernel[a * width + b] = column[a] * row[b] * (1 + d) for all taps,
/// |d| <= rank_one_tolerance; false if there are none, or if the kernel is zero or not finite.
///
/// The bound is relative for each tap, zeros included, and not just beside the largest one: an
/// image may be zero where the kernel is large, and the error must be small beside the products
/// that are left (docs/numerics.md).
///
/// The column's absolute values add up to at least 1 and less than 2, so that the sums of a first
/// pass along columns do not overflow where those of the formula do not. Kernels so small that the
/// products with the row lose digits are left to the formula.
template <class T>
bool factor_rank_one(const T* kernel, std::int64_t height, std::int64_t width, T* column, T* row);

/// An eighth of what the contract allows a direct sum over that many taps.
template <class T>
double rank_one_tolerance(std::int64_t taps);

}  // namespace fastconv::separable
