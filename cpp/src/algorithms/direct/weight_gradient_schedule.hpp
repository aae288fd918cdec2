#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "algorithms/direct/geometry.hpp"
#include "algorithms/direct/tile.hpp"
#include "fastconv/problem.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

/// Whether elements of a type are what T computes with, so that they can be used where they are.
template <class T>
bool is_stored_as(DataType type) {
  if constexpr (T(0.5) != T(0)) {
    return type == (sizeof(T) == 4 ? DataType::float32 : DataType::float64);
  } else {
    return type == (sizeof(T) == 4 ? DataType::int32 : DataType::int64);
  }
}

/// A product of gradient and input without padding under a 1x1 kernel is the transpose of the
/// product of input and gradient. Vectors run along the channels that take less rearranging, and
/// along input channels the sums have the weight's own order.
bool exchanges_operands(const Problem& problem, std::int64_t lanes);
/// The problem in which input and gradient have changed places.
Problem exchanged(const Problem& problem);

/// Slices, rows and pixels of a unit.
struct PixelBox {
  Extent first;
  Extent size;
};

/// How the gradient of a weight is cut up. It depends on the problem and on whether its channels
/// lie side by side, never on threads, so that these do not change a bit of the result.
///
/// An *item* is a block of groups, of input channels and of output channels and a *piece* of the
/// reduction. A piece is some *units*: a tile of one image, or several whole images.
template <class T>
struct WeightGradientSchedule {
  /// Vectors of output channels that a microkernel computes together; for dot products all of
  /// the group's channels.
  struct Block {
    std::int64_t first;  ///< output channel of the group
    std::int64_t width;
    std::vector<const OuterProductKernel<T>*> kernels;  ///< fewest rows first
    const OuterProductKernel<T>& most_rows() const { return *kernels.back(); }
    const OuterProductKernel<T>& at_least(std::int64_t rows) const;
  };

  struct Item {
    std::int64_t piece;
    std::int64_t first_group;
    std::int64_t groups;
    std::int64_t first_channel;
    std::int64_t channels;
    std::int64_t first_output;
    std::int64_t outputs;  ///< with those that fill up the last vector
    std::int64_t first_block;
    std::int64_t end_block;
  };

  struct Unit {
    std::int64_t n;
    std::int64_t images;
    Extent origin;
    Extent size;
    std::int64_t pixels() const { return images * product(size); }
  };

  WeightGradientSchedule(const Problem& problem, const TypedKernels<T>& kernels);

  bool empty() const { return channels == 0 || outputs == 0; }
  std::int64_t item_count() const {
    return group_blocks() * channel_blocks() * output_blocks() * pieces;
  }
  Item item(std::int64_t index) const;
  std::int64_t unit_count() const { return ceil_divide(n, images_per_unit) * tile.tile_count(); }
  std::int64_t first_unit(std::int64_t piece) const { return piece * unit_count() / pieces; }
  Unit unit(std::int64_t index) const;
  /// Whether an item sees all pixels at once, so that it can finish a few sums at a time.
  bool streams() const { return unit_count() == 1; }

  std::int64_t pairs() const { return channels * taps; }
  /// Sums of one piece.
  std::int64_t sum_count() const { return groups * pairs() * padded_outputs; }
  std::int64_t item_sum_count() const {
    return groups_per_item * channels_per_item * taps * outputs_per_item;
  }
  std::int64_t input_elements() const {
    return images_per_unit * groups_per_item * channels_per_item * tile.channel_size();
  }
  std::int64_t gradient_elements() const {
    return images_per_unit * groups_per_item * outputs_per_item * product(tile.size);
  }
  /// The pixels of a unit that meet input with a tap: slices, rows and pixels of its operands.
  PixelBox met_pixels(const Unit& unit, std::int64_t tap) const;
  /// Channels whose sums a streaming item finishes together.
  std::int64_t panel_channels() const;
  /// Pixels whose gradient stays in the nearer caches while all pairs pass over it.
  std::int64_t chunk_pixels(const Block& block) const;

  std::int64_t n;
  std::int64_t groups;
  std::int64_t parts;
  std::int64_t channels;  ///< input channels of one group, in the real view
  std::int64_t outputs;   ///< output channels, likewise
  std::int64_t padded_outputs;
  bool outer_products = true;
  bool may_stay = false;  ///< the input needs neither padding nor conversion
  /// Whether each tap is multiplied with those pixels alone that meet input: near the borders of
  /// small images, and everywhere under dilated kernels, many meet nothing but zeros. The (channel,
  /// tap) pairs of a microkernel then have one tap.
  bool leaves_out_padding = false;
  std::array<AxisPhases, 3> phases;
  Runs runs;
  Tile tile;
  std::int64_t taps = 1;
  std::vector<Block> blocks;
  std::int64_t most_rows = 0;  ///< of a kernel; so many offsets past the last pair are read
  std::int64_t groups_per_item = 1;
  std::int64_t channels_per_item = 1;
  std::int64_t outputs_per_item = 1;
  std::int64_t images_per_unit = 1;
  std::int64_t pieces = 1;

  WeightGradientSchedule(const WeightGradientSchedule&) = delete;
  WeightGradientSchedule& operator=(const WeightGradientSchedule&) = delete;

 private:
  std::int64_t group_blocks() const { return ceil_divide(groups, groups_per_item); }
  std::int64_t channel_blocks() const { return ceil_divide(channels, channels_per_item); }
  std::int64_t output_blocks() const { return ceil_divide(padded_outputs, outputs_per_item); }
  bool reads_nothing_but_input(const Problem& problem) const;
  bool wants_outer_products(const Problem& problem, std::int64_t lanes) const;
  void find_met_positions(const Problem& problem);
  void choose_blocks(const TypedKernels<T>& kernels);
  void choose_items(std::int64_t lanes);
  double cost(std::int64_t lanes) const;
  void choose_units(std::int64_t lanes);

  struct Positions {
    std::int64_t first;
    std::int64_t end;
  };
  /// Of each axis and tap: those that meet input.
  std::array<std::vector<Positions>, 3> met_;
  double met_share_ = 1.0;  ///< of all pixels, for the average tap
};

}  // namespace fastconv::direct
