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
/// The column's absolute values add up to at least 1/4 and less than 1/2, so that sums over it of
/// finite elements are finite. Products of the factors are normal numbers or zeros, and so has
/// every product with an infinity or NaN the kind and sign that it has with the tap itself.
template <class T>
bool factor_rank_one(const T* kernel, std::int64_t height, std::int64_t width, T* column, T* row);

/// An eighth of what the contract allows a direct sum over that many taps.
template <class T>
double rank_one_tolerance(std::int64_t taps);

}  // namespace fastconv::separable
