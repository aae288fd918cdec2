#include "algorithms/direct/weight_gradient_operands.hpp"

#include <algorithm>
#include <cstdlib>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::direct {
namespace {

/// Pixels further apart than a block of channels meet in few sets of a cache: packing costs less
/// than reading them once for each 6 (8) of so many (channel, tap) pairs.
constexpr std::int64_t kPairsWorthPacking = 128;
/// Input that is read once for each of so many blocks of output channels is worth packing, if its
/// pixels are so many bytes apart.
constexpr std::int64_t kBlocksWorthPacking = 4;
constexpr std::int64_t kFarBytes = 512;

/// Dot products read whole vectors of pixels.
template <class T>
bool stays(const RealView& input, const WeightGradientSchedule<T>& schedule) {
  const std::int64_t step = std::abs(input.stride(4)) * schedule.phases[2].source_step;
  if (!schedule.outer_products) return input.stride(4) == 1 && step == 1;
  return step * static_cast<std::int64_t>(sizeof(T)) < kFarBytes ||
         schedule.outputs_per_item < kBlocksWorthPacking * schedule.blocks.front().width;
}

template <class T>
bool gradient_stays(const RealView& gradient, const WeightGradientSchedule<T>& schedule) {
  if (schedule.parts != 1 || !is_stored_as<T>(gradient.type())) return false;
  if (!schedule.outer_products) return gradient.stride(4) == 1;
  return gradient.stride(1) == 1 && schedule.outputs == schedule.padded_outputs &&
         (gradient.stride(4) <= schedule.blocks.front().width ||
          schedule.channels_per_item * schedule.taps < kPairsWorthPacking);
}

}  // namespace

template <class T>
WeightGradientOperands<T>::WeightGradientOperands(const Problem& problem, const Schedule& schedule,
                                                  const TypedKernels<T>& kernels,
                                                  const TensorView& input,
                                                  const TensorView& gradient)
    : problem_(problem),
      schedule_(schedule),
      kernels_(kernels),
      input_(input),
      gradient_(gradient),
      input_in_place_(schedule.may_stay && stays(input_, schedule)),
      gradient_in_place_(gradient_stays(gradient_, schedule)),
      load_gradient_(kernels.load_block[static_cast<int>(gradient_.type())]) {}

template <class T>
void WeightGradientOperands<T>::fill_offsets(std::int64_t channels, std::int64_t* offsets) const {
  const Tile& tile = schedule_.tile;
  const auto along = [&](std::size_t axis, const Tap& tap) {
    const AxisPhases& phases = schedule_.phases[axis];
    return (phases.residues[static_cast<std::size_t>(tap.plane)] + phases.source_step * tap.shift) *
           input_.stride(axis + 2);
  };
  // To the next channel, and to the next tap.
  const std::int64_t channel_step = schedule_.leaves_out_padding ? 1 : schedule_.taps;
  const std::int64_t tap_step = schedule_.leaves_out_padding ? channels : 1;
  std::int64_t* of_tap = offsets;
  for (const Tap& d : schedule_.runs[0]->taps) {
    for (const Tap& h : schedule_.runs[1]->taps) {
      for (const Tap& w : schedule_.runs[2]->taps) {
        *of_tap =
            input_in_place_ ? along(0, d) + along(1, h) + along(2, w) : tile.tap_offset(d, h, w);
        of_tap += tap_step;
      }
    }
  }
  const std::int64_t pitch = input_in_place_ ? input_.stride(1) : tile.channel_size();
  for (std::int64_t c = 1; c < channels; ++c) {
    for (std::int64_t tap = 0; tap < schedule_.taps; ++tap) {
      std::int64_t* offset = offsets + c * channel_step + tap * tap_step;
      *offset = offset[-channel_step] + pitch;
    }
  }
  const std::int64_t pairs = channels * schedule_.taps;
  std::fill_n(offsets + pairs, schedule_.most_rows, offsets[pairs - 1]);
}

template <class T>
UnitOperands<T> WeightGradientOperands<T>::load(const Item& item, const Unit& unit, T* packed_input,
                                                T* packed_gradient) const {
  UnitOperands<T> operands{};
  // A unit of several images has tiles of one slice.
  operands.rows.slices = unit.images * unit.size[0];
  operands.rows.rows = unit.size[1];
  operands.rows.pixels = unit.size[2];
  if (input_in_place_) {
    point_at_input(item, unit, operands);
  } else {
    pack_input(item, unit, packed_input, operands);
  }
  if (gradient_in_place_) {
    point_at_gradient(item, unit, operands);
  } else {
    pack_gradient(item, unit, packed_gradient, operands);
  }
  operands.finite_gradient = schedule_.leaves_out_padding && is_finite(item, unit, operands);
  return operands;
}

template <class T>
bool WeightGradientOperands<T>::is_finite(const Item& item, const Unit& unit,
                                          const UnitOperands<T>& operands) const {
  const PixelRows<T>& rows = operands.rows;
  if (operands.packed_gradient) {
    return kernels_.all_finite(rows.gradient, item.groups * item.outputs * unit.pixels());
  }
  // In place all channels of a pixel lie side by side.
  const std::int64_t channels = item.groups * item.outputs;
  const bool joined = rows.gradient_step == channels;
  for (std::int64_t slice = 0; slice < rows.slices; ++slice) {
    for (std::int64_t row = 0; row < rows.rows; ++row) {
      const T* pixels =
          rows.gradient + slice * rows.gradient_slice_pitch + row * rows.gradient_pitch;
      for (std::int64_t p = 0; p < (joined ? 1 : rows.pixels); ++p) {
        if (!kernels_.all_finite(pixels + p * rows.gradient_step,
                                 joined ? rows.pixels * channels : channels)) {
          return false;
        }
      }
    }
  }
  return true;
}

template <class T>
void WeightGradientOperands<T>::point_at_input(const Item& item, const Unit& unit,
                                               UnitOperands<T>& operands) const {
  std::int64_t offset =
      unit.n * input_.stride(0) +
      (item.first_group * schedule_.channels + item.first_channel) * input_.stride(1);
  Extent pitch;
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const AxisPhases& phases = schedule_.phases[axis];
    pitch[axis] = phases.source_step * input_.stride(axis + 2);
    offset += phases.source_first * input_.stride(axis + 2) + unit.origin[axis] * pitch[axis];
  }
  operands.rows.source = reinterpret_cast<const T*>(input_.at(offset));
  operands.rows.source_slice_pitch = unit.size[0] > 1 ? pitch[0] : input_.stride(0);
  operands.rows.source_pitch = pitch[1];
  operands.rows.source_step = pitch[2];
  operands.source_group_pitch = schedule_.channels * input_.stride(1);
}

template <class T>
void WeightGradientOperands<T>::pack_input(const Item& item, const Unit& unit, T* packed,
                                           UnitOperands<T>& operands) const {
  const Tile& tile = schedule_.tile;
  const std::int64_t channels = item.groups * item.channels;
  // Several groups are packed only when each is packed whole, so the channels are contiguous.
  const std::int64_t first = item.first_group * schedule_.channels + item.first_channel;
  const std::int64_t image_size = channels * tile.channel_size();
  const auto load = kernels_.load_block[static_cast<int>(input_.type())];
  for (std::int64_t image = 0; image < unit.images; ++image) {
    pack_source(tile, input_padding(problem_), unit.origin, input_, unit.n + image, first, channels,
                load, packed + image * image_size);
  }
  operands.rows.source = packed;
  operands.rows.source_slice_pitch = unit.size[0] > 1 ? tile.pitch[1] * tile.pitch[2] : image_size;
  operands.rows.source_pitch = tile.pitch[2];
  operands.rows.source_step = 1;
  operands.source_group_pitch = item.channels * tile.channel_size();
}

template <class T>
std::int64_t WeightGradientOperands<T>::gradient_offset(std::int64_t n,
                                                        const Extent& origin) const {
  return n * gradient_.stride(0) + origin[0] * gradient_.stride(2) +
         origin[1] * gradient_.stride(3) + origin[2] * gradient_.stride(4);
}

template <class T>
void WeightGradientOperands<T>::point_at_gradient(const Item& item, const Unit& unit,
                                                  UnitOperands<T>& operands) const {
  const std::int64_t first = item.first_group * schedule_.outputs + item.first_output;
  operands.rows.gradient = reinterpret_cast<const T*>(
      gradient_.at(gradient_offset(unit.n, unit.origin) + first * gradient_.stride(1)));
  operands.rows.gradient_slice_pitch = gradient_.stride(unit.size[0] > 1 ? 2 : 0);
  operands.rows.gradient_pitch = gradient_.stride(3);
  operands.rows.gradient_step = gradient_.stride(4);
  operands.rows.gradient_output_pitch = gradient_.stride(1);
  operands.gradient_group_pitch = schedule_.outputs * gradient_.stride(1);
  operands.gradient_block_pitch = gradient_.stride(1);
}

template <class T>
void WeightGradientOperands<T>::pack_gradient(const Item& item, const Unit& unit, T* packed,
                                              UnitOperands<T>& operands) const {
  const std::int64_t pixels = unit.pixels();
  operands.packed_gradient = true;
  operands.rows.gradient = packed;
  operands.gradient_group_pitch = item.outputs * pixels;
  operands.gradient_block_pitch = pixels;
  // For dot products; outer products multiply by the width of their block.
  operands.rows.gradient_step = 1;
  operands.rows.gradient_pitch = unit.size[2];
  operands.rows.gradient_slice_pitch = unit.size[1] * unit.size[2];
  operands.rows.gradient_output_pitch = pixels;
  if (!schedule_.outer_products) {
    pack_planes(item.first_group * schedule_.outputs, item.groups * schedule_.outputs, unit,
                packed);
    return;
  }
  for (std::int64_t group = 0; group < item.groups; ++group) {
    for (std::int64_t b = item.first_block; b < item.end_block; ++b) {
      const auto& block = schedule_.blocks[static_cast<std::size_t>(b)];
      const std::int64_t channels = std::min(block.width, schedule_.outputs - block.first);
      T* to = packed + group * operands.gradient_group_pitch +
              (block.first - item.first_output) * pixels;
      if (channels < block.width) std::fill_n(to, block.width * pixels, T(0));
      const std::int64_t channel = (item.first_group + group) * schedule_.outputs + block.first;
      for (std::int64_t image = 0; image < unit.images; ++image) {
        pack_block(gradient_offset(unit.n + image, unit.origin), unit, channel, channels,
                   block.width, to + image * product(unit.size) * block.width);
      }
    }
  }
}

/// All pixels of an image's tile: rows that follow one another in memory are one.
template <class T>
void WeightGradientOperands<T>::pack_block(std::int64_t offset, const Unit& unit,
                                           std::int64_t channel, std::int64_t channels,
                                           std::int64_t width, T* to) const {
  Extent size = unit.size;
  if (gradient_.stride(3) == size[2] * gradient_.stride(4)) {
    size[2] *= size[1];
    size[1] = 1;
  }
  for (std::int64_t d = 0; d < size[0]; ++d) {
    for (std::int64_t h = 0; h < size[1]; ++h) {
      pack_pixels(offset + d * gradient_.stride(2) + h * gradient_.stride(3), channel, size[2],
                  channels, width, to + (d * size[1] + h) * size[2] * width);
    }
  }
}

/// to[pixel * pitch + channel]. Where neither pixels nor channels are side by side, or they need
/// converting, a few channels are brought in as rows of pixels first.
template <class T>
void WeightGradientOperands<T>::pack_pixels(std::int64_t offset, std::int64_t channel,
                                            std::int64_t pixels, std::int64_t channels,
                                            std::int64_t pitch, T* to) const {
  constexpr std::int64_t kStagedPixels = 128;
  constexpr std::int64_t kStagedChannels = 16;
  const std::int64_t step = gradient_.stride(4);
  const bool channels_side_by_side = gradient_.stride(1) == gradient_.parts();
  if (channels_side_by_side ||
      (step == 1 && gradient_.parts() == 1 && is_stored_as<T>(gradient_.type()))) {
    load_gradient_(to, pitch, gradient_.at(offset + gradient_.channel_offset(channel)), step,
                   channels_side_by_side ? 1 : gradient_.stride(1), {pixels, channels});
    return;
  }
  alignas(kAlignment) T staged[kStagedChannels * kStagedPixels];
  for (std::int64_t p = 0; p < pixels; p += kStagedPixels) {
    const std::int64_t some_pixels = std::min(kStagedPixels, pixels - p);
    for (std::int64_t c = 0; c < channels; c += kStagedChannels) {
      const std::int64_t some_channels = std::min(kStagedChannels, channels - c);
      for (std::int64_t i = 0; i < some_channels; ++i) {
        load_gradient_(staged + i * kStagedPixels, kStagedPixels,
                       gradient_.at(offset + gradient_.channel_offset(channel + c + i) + p * step),
                       0, step, {1, some_pixels});
      }
      kernels_.transpose_sums(to + p * pitch + c, pitch, staged, kStagedPixels,
                              {some_channels, some_pixels}, 1, 0);
    }
  }
}

/// to[channel][pixel] for a tile: all channels of a row at once where memory has them side by
/// side, else all rows of a channel.
template <class T>
void WeightGradientOperands<T>::pack_planes(std::int64_t first, std::int64_t channels,
                                            const Unit& unit, T* to) const {
  const Extent& size = unit.size;
  const std::int64_t image = gradient_offset(unit.n, unit.origin);
  const std::int64_t step = gradient_.stride(4);
  for (std::int64_t d = 0; d < size[0]; ++d) {
    const std::int64_t slice = image + d * gradient_.stride(2);
    if (schedule_.parts == 1 && gradient_.stride(1) == 1) {
      for (std::int64_t h = 0; h < size[1]; ++h) {
        load_gradient_(to + (d * size[1] + h) * size[2], product(size),
                       gradient_.at(slice + first + h * gradient_.stride(3)), 1, step,
                       {channels, size[2]});
      }
      continue;
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      load_gradient_(to + (c * size[0] + d) * size[1] * size[2], size[2],
                     gradient_.at(slice + gradient_.channel_offset(first + c)), gradient_.stride(3),
                     step, {size[1], size[2]});
    }
  }
}

template class WeightGradientOperands<float>;
template class WeightGradientOperands<double>;
template class WeightGradientOperands<std::int32_t>;
template class WeightGradientOperands<std::int64_t>;

}  // namespace fastconv::direct
