#include <algorithm>

#include "algorithms/depthwise/weight_gradient.hpp"
#include "padding.hpp"

namespace fastconv::depthwise {
namespace {

constexpr std::int64_t kTileBytes = 256 * 1024;
/// Taps of a kernel of one row from which on transposing pays.
constexpr std::int64_t kLeastTapsOfLoneRows = 8;

}  // namespace

template <class T>
ChannelWeightGradient<T>::ChannelWeightGradient(const WeightGradientPass<T>& pass)
    : pass_(pass),
      cut_(pass.axes, pass.problem, ceil_divide(pass.problem.c, std::int64_t{pass.kernels.lanes}),
           kTileBytes / pass.kernels.lanes / static_cast<std::int64_t>(sizeof(T)), 8) {}

template <class T>
WeightGradientSizes ChannelWeightGradient<T>::sizes() const {
  const direct::Tile& tile = cut_.tile;
  const std::int64_t lanes = pass_.kernels.lanes;
  const auto& axes = pass_.problem.axes;
  return {tile.channel_size() * lanes, tile.size[1] * tile.size[2] * lanes,
          pass_.width() + axes[0].kernel * axes[1].kernel, 0};
}

/// Where memory has channels apart, it is transposed for short rows, or rows by themselves.
template <class T>
bool ChannelWeightGradient<T>::suits(const RealView& input, const RealView& gradient) const {
  const Axis& columns = pass_.problem.axes[2];
  const std::int64_t lanes = pass_.kernels.lanes;
  if (2 * pass_.problem.c < lanes || pass_.multiplier != 1) return false;
  if (input.stride(1) == 1 && gradient.stride(1) == 1) return true;
  const bool lone_rows = pass_.taps == columns.kernel && pass_.taps >= kLeastTapsOfLoneRows;
  return input.stride(4) == 1 && gradient.stride(4) == 1 && columns.stride == 1 &&
         (columns.output <= 3 * lanes / 2 || lone_rows);
}

template <class T>
void ChannelWeightGradient<T>::add(const WeightGradientTile& place, std::int64_t block,
                                   const WeightGradientMemory<T>& memory, T* sums) const {
  const RealView& gradient = place.gradient;
  const direct::Extent& origin = place.origin;
  const auto& axes = pass_.axes;
  const TypedKernels<T>& kernels = pass_.kernels;
  const direct::Tile& tile = cut_.tile;
  const direct::Extent size = tile.size_at(origin);
  const std::int64_t lanes = kernels.lanes;
  const std::int64_t channel = block * lanes;
  const std::int64_t channels = std::min(lanes, pass_.problem.c - channel);
  pack(place, size, channel, channels, memory.packed);
  const std::int64_t width = pass_.width();
  std::int64_t* columns = memory.offsets;
  for (std::int64_t b = 0; b < width; ++b) {
    const TapColumn& column = pass_.columns[static_cast<std::size_t>(b)];
    columns[b] = (column.plane * tile.plane_size + column.shift) * lanes;
  }
  std::int64_t* rows = columns + width;
  std::int64_t height = 0;
  pass_.for_each_row_set([&](const TapGroup& dg, std::int64_t td, const TapGroup& hg) {
    const std::int64_t plane =
        (dg.plane * tile.phases[1]->plane_count() + hg.plane) * tile.phases[2]->plane_count();
    for (std::int64_t th = 0; th < hg.count; ++th) {
      rows[height++] =
          (plane * tile.plane_size + ((dg.shift + td * axes[0].runs[0].step) * tile.pitch[1] +
                                      hg.shift + th * axes[1].runs[0].step) *
                                         tile.pitch[2]) *
          lanes;
    }
  });
  const std::int64_t channel_stride = gradient.stride(1);
  for (std::int64_t jd = 0; jd < size[0]; ++jd) {
    const std::int64_t at = place.n * gradient.stride(0) + channel * channel_stride +
                            (origin[0] + jd) * gradient.stride(2) + origin[1] * gradient.stride(3) +
                            origin[2] * gradient.stride(4);
    const T* from = reinterpret_cast<const T*>(gradient.at(at));
    std::int64_t pitch = gradient.stride(3);
    std::int64_t pixel = gradient.stride(4);
    if (channel_stride != 1) {
      pixel = lanes;
      for (std::int64_t y = 0; y < size[1]; ++y) {
        kernels.transpose_sums(memory.gradient + y * size[2] * lanes, lanes, from + y * pitch,
                               channel_stride, {channels, size[2]}, 1, 0);
      }
      from = memory.gradient;
      pitch = size[2] * lanes;
    }
    kernels.depthwise.channel_gradient({memory.packed + jd * tile.pitch[1] * tile.pitch[2] * lanes,
                                        tile.pitch[2] * lanes, lanes, rows, columns, from, pitch,
                                        pixel, size[1], size[2], channels, height, width, sums});
  }
}

template <class T>
T ChannelWeightGradient<T>::padding() const {
  const Problem& problem = pass_.problem;
  return problem.padding_mode == PaddingMode::constant
             ? static_cast<T>(problem.padding_value.real())
             : T(0);
}

/// Every row of every plane, pixel by pixel, whole vectors of channels each.
template <class T>
void ChannelWeightGradient<T>::pack(const WeightGradientTile& place, const direct::Extent& size,
                                    std::int64_t channel, std::int64_t channels, T* packed) const {
  const RealView& input = place.input;
  const auto& axes = pass_.axes;
  const Problem& problem = pass_.problem;
  const direct::Tile& tile = cut_.tile;
  const std::int64_t lanes = pass_.kernels.lanes;
  const auto source = [&](std::size_t axis, std::size_t plane, std::int64_t p) {
    return padded_source(
        axes[axis].source(static_cast<std::int64_t>(plane), place.origin[axis] + p),
        problem.axes[axis].input, problem.padding_mode);
  };
  const std::int64_t columns = size[2] + axes[2].phases.reach;
  for (std::size_t rd = 0; rd < axes[0].phases.residues.size(); ++rd) {
    for (std::size_t rh = 0; rh < axes[1].phases.residues.size(); ++rh) {
      for (std::size_t rw = 0; rw < axes[2].phases.residues.size();
           ++rw, packed += tile.plane_size * lanes) {
        const InsideRange inside = inside_range(axes[2], static_cast<std::int64_t>(rw),
                                                place.origin[2], columns, problem.axes[2].input);
        for (std::int64_t d = 0; d < size[0] + axes[0].phases.reach; ++d) {
          const std::int64_t sd = source(0, rd, d);
          for (std::int64_t h = 0; h < size[1] + axes[1].phases.reach; ++h) {
            const std::int64_t sh = source(1, rh, h);
            T* row = packed + (d * tile.pitch[1] + h) * tile.pitch[2] * lanes;
            if (sd < 0 || sh < 0) {
              std::fill_n(row, columns * lanes, padding());
              continue;
            }
            const auto* from = reinterpret_cast<const T*>(
                input.at(place.n * input.stride(0) + channel * input.stride(1) +
                         sd * input.stride(2) + sh * input.stride(3)));
            pack_row(place, from, rw, inside, columns, channels, row);
          }
        }
      }
    }
  }
}

/// `from` is the first pixel of a row of the input itself.
template <class T>
void ChannelWeightGradient<T>::pack_row(const WeightGradientTile& place, const T* from,
                                        std::size_t plane, const InsideRange& inside,
                                        std::int64_t columns, std::int64_t channels, T* row) const {
  const RealView& input = place.input;
  const AxisTaps& axis = pass_.axes[2];
  const std::int64_t lanes = pass_.kernels.lanes;
  const auto position = [&](std::int64_t w) {
    return axis.source(static_cast<std::int64_t>(plane), place.origin[2] + w);
  };
  const auto border = [&](std::int64_t first, std::int64_t end) {
    for (std::int64_t w = first; w < end; ++w) {
      const std::int64_t sw =
          padded_source(position(w), pass_.problem.axes[2].input, pass_.problem.padding_mode);
      if (sw < 0) {
        std::fill_n(row + w * lanes, lanes, padding());
        continue;
      }
      for (std::int64_t c = 0; c < channels; ++c) {
        row[w * lanes + c] = from[sw * input.stride(4) + c * input.stride(1)];
      }
    }
  };
  border(0, inside.first);
  const T* first = from + position(inside.first) * input.stride(4);
  if (input.stride(1) == 1) {
    pass_.kernels.depthwise.pack_channels(row + inside.first * lanes, first,
                                          axis.phases.source_step * input.stride(4),
                                          inside.end - inside.first, channels);
  } else {
    pass_.kernels.transpose_sums(row + inside.first * lanes, lanes, first, input.stride(1),
                                 {channels, inside.end - inside.first}, 1, 0);
  }
  border(inside.end, columns);
}

template class ChannelWeightGradient<float>;
template class ChannelWeightGradient<double>;

}  // namespace fastconv::depthwise
