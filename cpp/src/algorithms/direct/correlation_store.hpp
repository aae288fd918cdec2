#pragma once

#include <array>
#include <optional>

#include "algorithms/direct/tile.hpp"

namespace fastconv::direct {

/// A box of positions of three runs, in positions along each axis.
struct PositionBox {
  std::int64_t n;
  const Runs& runs;
  Extent first;
  Extent size;
};

/// Sums of a box. Rows and slices of positions begin `row_pitch` and `slice_pitch` positions apart.
template <class T>
struct BoxSums {
  T* data;
  std::int64_t row_pitch;
  std::int64_t slice_pitch;
  /// Elements from plane to plane, or from position to position where the channels lie inside.
  std::int64_t line_pitch;
};

/// The tensor that sums go to, and what happens to them on the way.
template <class T>
class Destination {
 public:
  /// `bias` has one element for each channel of the real view, or is null.
  Destination(const TensorView& view, const TypedKernels<T>& kernels, const T* bias,
              Activation activation)
      : view_(view), kernels_(kernels), bias_(bias), activation_(activation) {}

  /// The memory of planes or positions themselves, if the sums of the box may be formed there: then
  /// storing them only completes them.
  std::optional<BoxSums<T>> planes_in_place(const PositionBox& box, std::int64_t first,
                                            bool accumulate) const;
  std::optional<BoxSums<T>> positions_in_place(const PositionBox& box, std::int64_t first,
                                               bool accumulate) const;

  /// Destination channels [first, first + channels), each a plane of positions.
  void store_planes(const PositionBox& box, std::int64_t first, std::int64_t channels,
                    const BoxSums<T>& sums, bool accumulate) const;

  /// Two boxes whose rows of positions alternate in memory; the first begins.
  void store_alternating_planes(const std::array<PositionBox, 2>& boxes, std::int64_t first,
                                std::int64_t channels, const std::array<BoxSums<T>, 2>& sums,
                                bool accumulate) const;

  /// Destination channels [first, first + channels), side by side at every position. `scratch`
  /// holds as many elements as the sums do.
  void store_positions(const PositionBox& box, std::int64_t first, std::int64_t channels,
                       const BoxSums<T>& sums, bool accumulate, T* scratch) const;

 private:
  bool completes(const T* sums, std::int64_t offset) const;
  void complete(T* sums, std::int64_t pitch, BlockShape shape, std::int64_t channel) const;
  std::int64_t slice_offset(const PositionBox& box, std::int64_t d) const;
  void store_block(std::int64_t offset, std::int64_t to_pitch, std::int64_t to_stride, T* sums,
                   std::int64_t sums_pitch, BlockShape shape, const Epilogue<T>& epilogue) const;

  RealView view_;
  const TypedKernels<T>& kernels_;
  const T* bias_;
  Activation activation_;
};

}  // namespace fastconv::direct
