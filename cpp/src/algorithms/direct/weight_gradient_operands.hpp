#pragma once

#include <cstdint>

#include "algorithms/direct/weight_gradient_schedule.hpp"
#include "fastconv/tensor_view.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

/// Input and gradient of one unit of an item, packed or where they are.
template <class T>
struct UnitOperands {
  PixelRows<T> rows;  ///< all pixels of the unit, at the first channel of the item
  std::int64_t source_group_pitch;
  std::int64_t gradient_group_pitch;
  std::int64_t gradient_block_pitch;  ///< per output channel from the item's first
  bool packed_gradient;               ///< pixels are as far apart as their block is wide
  /// Whether padding may be left out: what is not finite makes NaN of the zeros there.
  bool finite_gradient;
};

/// Brings input and gradient into the shape that the microkernels read.
///
/// Input that needs no padding and no conversion is read where it is, because its values are
/// broadcast one by one, unless its pixels lie far apart; the rest is packed into padded planes
/// [image][group][channel][plane]. Gradients for outer products are read where they are if output
/// channels lie side by side and fill vectors, else packed into
/// [group][block][image][pixel][channel of the block]; for dot products into
/// [group][channel][pixel].
template <class T>
class WeightGradientOperands {
 public:
  using Schedule = WeightGradientSchedule<T>;

  WeightGradientOperands(const Problem& problem, const Schedule& schedule,
                         const TypedKernels<T>& kernels, const TensorView& input,
                         const TensorView& gradient);

  /// Offsets of all (channel, tap) pairs of an item from its first channel, and `most_rows` more:
  /// all taps of a channel, or all channels of a tap where padding is left out.
  void fill_offsets(std::int64_t channels, std::int64_t* offsets) const;

  UnitOperands<T> load(const typename Schedule::Item& item, const typename Schedule::Unit& unit,
                       T* packed_input, T* packed_gradient) const;

 private:
  using Item = typename Schedule::Item;
  using Unit = typename Schedule::Unit;

  void point_at_input(const Item& item, const Unit& unit, UnitOperands<T>& operands) const;
  void pack_input(const Item& item, const Unit& unit, T* packed, UnitOperands<T>& operands) const;
  void point_at_gradient(const Item& item, const Unit& unit, UnitOperands<T>& operands) const;
  void pack_gradient(const Item& item, const Unit& unit, T* packed,
                     UnitOperands<T>& operands) const;
  bool is_finite(const Item& item, const Unit& unit, const UnitOperands<T>& operands) const;
  void pack_block(std::int64_t offset, const Unit& unit, std::int64_t channel,
                  std::int64_t channels, std::int64_t width, T* to) const;
  void pack_pixels(std::int64_t offset, std::int64_t channel, std::int64_t pixels,
                   std::int64_t channels, std::int64_t pitch, T* to) const;
  void pack_planes(std::int64_t first, std::int64_t channels, const Unit& unit, T* to) const;
  /// Without a channel.
  std::int64_t gradient_offset(std::int64_t n, const Extent& origin) const;

  const Problem& problem_;
  const Schedule& schedule_;
  const TypedKernels<T>& kernels_;
  RealView input_;
  RealView gradient_;
  bool input_in_place_;
  bool gradient_in_place_;
  LoadBlockFunction<T> load_gradient_;
};

}  // namespace fastconv::direct
