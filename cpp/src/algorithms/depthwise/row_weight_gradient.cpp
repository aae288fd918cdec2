#include <algorithm>

#include "algorithms/depthwise/source_rows.hpp"
#include "algorithms/depthwise/weight_gradient.hpp"
#include "padding.hpp"

namespace fastconv::depthwise {
namespace {

constexpr std::int64_t kTileBytes = 48 * 1024;

}  // namespace

template <class T>
RowWeightGradient<T>::RowWeightGradient(const WeightGradientPass<T>& pass)
    : pass_(pass),
      cut_(pass.axes, pass.problem, pass.problem.g,
           kTileBytes / static_cast<std::int64_t>(sizeof(T)), 8 * pass.kernels.lanes) {
  const Problem& problem = pass.problem;
  const AxisTaps& rows = pass.axes[1];
  for (const TapGroup& group : rows.runs[0].groups) {
    for (std::int64_t t = 0; t < group.count; ++t) {
      const std::int64_t row = in_source(1, group.plane, group.shift + t * rows.runs[0].step);
      for (const TapColumn& column : pass.columns) {
        order_in_source_.push_back(row * problem.axes[2].kernel +
                                   in_source(2, column.plane, column.shift));
      }
    }
  }
  const auto& [d, h, w] = problem.axes;
  masks_padding_ =
      pass.kernels.depthwise.masks_loads && problem.padding_mode == PaddingMode::zeros &&
      (w.stride == 1 ||
       (w.stride == 2 && w.dilation == 1 && h.dilation == 1 && (h.stride == 2 || h.output == 1)));
}

template <class T>
WeightGradientSizes RowWeightGradient<T>::sizes() const {
  const direct::Tile& tile = cut_.tile;
  return {std::max(tile.channel_size(), zero_row_size() + pass_.taps), tile.size[1] * tile.size[2],
          pass_.width(), most_source_rows() + tile.size[1]};
}

/// Elements from the first tap of an axis to one in a plane.
template <class T>
std::int64_t RowWeightGradient<T>::in_source(std::size_t axis, std::int64_t plane,
                                             std::int64_t shift) const {
  const direct::AxisPhases& phases = pass_.axes[axis].phases;
  return phases.residues[static_cast<std::size_t>(plane)] + phases.source_step * shift;
}

/// Stands for a row in the padding; sums of taps in the order of the source lie behind it.
template <class T>
std::int64_t RowWeightGradient<T>::zero_row_size() const {
  const direct::AxisPhases& columns = pass_.axes[2].phases;
  return columns.source_step * (cut_.tile.size[2] + columns.reach + 1);
}

template <class T>
std::int64_t RowWeightGradient<T>::most_source_rows() const {
  const Axis& rows = pass_.problem.axes[1];
  return std::max(cut_.tile.pitch[1], rows.stride * cut_.tile.size[1] + rows.kernel);
}

/// Taps of every second pixel are neighbours for the kernel, but sums are in the order of planes.
template <class T>
T* RowWeightGradient<T>::add_every_second(const RowGradient<T>& taps, T* sums) const {
  std::fill_n(taps.sums, taps.height * taps.width, T(0));
  pass_.kernels.depthwise.row_gradient(taps);
  for (const std::int64_t tap : order_in_source_) *sums++ += taps.sums[tap];
  return sums;
}

template <class T>
void RowWeightGradient<T>::add(const WeightGradientTile& place, std::int64_t group,
                               const WeightGradientMemory<T>& memory, T* sums) const {
  const RealView& input = place.input;
  const RealView& gradient = place.gradient;
  const direct::Extent& origin = place.origin;
  const std::int64_t n = place.n;
  const Problem& problem = pass_.problem;
  const auto& axes = pass_.axes;
  const TypedKernels<T>& kernels = pass_.kernels;
  const direct::Tile& tile = cut_.tile;
  const direct::Extent size = tile.size_at(origin);
  const direct::AxisPhases& rows = axes[1].phases;
  const direct::AxisPhases& columns = axes[2].phases;
  const direct::Extent sizes{problem.axes[0].input, problem.axes[1].input, problem.axes[2].input};
  const bool in_place = masks_padding_ && input.stride(4) == 1;
  const T* zeros = memory.packed;
  if (in_place) {
    std::fill_n(memory.packed, zero_row_size(), T(0));
  } else {
    direct::pack_source(tile, direct::input_padding(problem), origin, input, n, group, 1,
                        kernels.load_block[static_cast<int>(input.type())], memory.packed);
  }
  const std::int64_t first_column = columns.source_first + columns.source_step * origin[2];
  const RowLimits limits =
      in_place ? RowLimits{-first_column, problem.axes[2].input - first_column} : kUnlimitedRow;
  const std::int64_t width = pass_.width();
  const bool every_second = in_place && columns.source_step == 2;
  for (std::int64_t b = 0; b < width; ++b) {
    const TapColumn& column = pass_.columns[static_cast<std::size_t>(b)];
    memory.offsets[b] = every_second ? b
                        : in_place   ? column.shift
                                     : column.plane * tile.plane_size + column.shift;
  }
  const std::int64_t step = axes[1].runs[0].step;
  for (std::int64_t m = 0; m < pass_.multiplier; ++m, sums += pass_.taps) {
    for (std::int64_t jd = 0; jd < size[0]; ++jd) {
      const std::int64_t at = n * gradient.stride(0) +
                              (group * pass_.multiplier + m) * gradient.stride(1) +
                              (origin[0] + jd) * gradient.stride(2) +
                              origin[1] * gradient.stride(3) + origin[2] * gradient.stride(4);
      const T* from = reinterpret_cast<const T*>(gradient.at(at));
      std::int64_t pitch = gradient.stride(3);
      if (gradient.stride(4) != 1) {
        pitch = size[2];
        kernels.load_block[static_cast<int>(gradient.type())](
            memory.gradient, pitch, from, gradient.stride(3), gradient.stride(4),
            {size[1], size[2]});
        from = memory.gradient;
      }
      const T** gradient_rows = memory.rows + most_source_rows();
      for (std::int64_t y = 0; y < size[1]; ++y) gradient_rows[y] = from + y * pitch;
      T* to = sums;
      if (every_second) {
        for (const TapGroup& dg : axes[0].runs[0].groups) {
          for (std::int64_t td = 0; td < dg.count; ++td) {
            const std::int64_t depth = jd + dg.shift + td * axes[0].runs[0].step;
            find_rows(input, sizes,
                      {n, group, axes[0].source(dg.plane, origin[0] + depth),
                       rows.source_first + rows.source_step * origin[1], 1,
                       2 * (size[1] - 1) + problem.axes[1].kernel, first_column},
                      zeros, memory.rows);
            to = add_every_second(
                {memory.rows, gradient_rows, memory.offsets, 2, limits, 1, size[1], size[2],
                 problem.axes[1].kernel, width, memory.packed + zero_row_size(), width},
                to);
          }
        }
        continue;
      }
      pass_.for_each_row_set([&](const TapGroup& dg, std::int64_t td, const TapGroup& hg) {
        const std::int64_t depth = jd + dg.shift + td * axes[0].runs[0].step;
        const std::int64_t row_count = size[1] + (hg.count - 1) * step;
        if (in_place) {
          find_rows(input, sizes,
                    {n, group, axes[0].source(dg.plane, origin[0] + depth),
                     axes[1].source(hg.plane, origin[1] + hg.shift), rows.source_step, row_count,
                     first_column},
                    zeros, memory.rows);
        } else {
          const std::int64_t plane =
              (dg.plane * tile.phases[1]->plane_count() + hg.plane) * tile.phases[2]->plane_count();
          const T* row = memory.packed + plane * tile.plane_size +
                         (depth * tile.pitch[1] + hg.shift) * tile.pitch[2];
          for (std::int64_t p = 0; p < row_count; ++p) memory.rows[p] = row + p * tile.pitch[2];
        }
        for (std::int64_t first = 0; first < std::min(step, size[1]); ++first) {
          kernels.depthwise.row_gradient(
              {memory.rows + first, gradient_rows + first, memory.offsets, 1, limits, step,
               ceil_divide(size[1] - first, step), size[2], hg.count, width, to, width});
        }
        to += hg.count * width;
      });
    }
  }
}

template class RowWeightGradient<float>;
template class RowWeightGradient<double>;

}  // namespace fastconv::depthwise
