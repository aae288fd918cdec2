/// The gradient of the weight: for every output channel k and tap a, the sum over images n and
/// positions o of gradient[n, k, o] * padded_input[n, c, o * stride + a * dilation].
///
///     parallel for each block of channels, piece of the reduction
///       for each (image, tile) of the piece
///         pack the input into padded planes, unless the kernel reads rows
///         where they lie                                                       [L1, L2]
///         for each tile of taps: the kernel over all pixels                    [sums in registers]
///     add up the pieces in their order
///
/// Where channels lie side by side vectors run along those, and the input is packed
/// [block of channels][plane][row][column][channel]; else along rows of pixels, with planes as
/// direct/tile.hpp packs them. Sums are [piece][block][tap][channel of the block].
///
/// Tiles and pieces depend on the problem and on the layout alone, and with them every bit.
#include <algorithm>

#include "algorithms/depthwise/depthwise.hpp"
#include "algorithms/depthwise/source_rows.hpp"
#include "algorithms/depthwise/tap_groups.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/real_view.hpp"
#include "kernels/kernel_table.hpp"
#include "padding.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::depthwise {
namespace {

using direct::Extent;
using direct::product;
using direct::Tile;

constexpr std::int64_t kRowTileBytes = 48 * 1024;
constexpr std::int64_t kChannelTileBytes = 256 * 1024;
constexpr std::int64_t kWantedItems = 16;
/// Taps of a kernel of one row from which on transposing pays.
constexpr std::int64_t kLeastTapsOfLoneRows = 8;

/// How one of the two ways cuts the work.
struct Cut {
  Tile tile;
  std::int64_t blocks;  ///< of channels
  std::int64_t pieces;  ///< of images and tiles

  Cut(const std::array<AxisTaps, 3>& axes, const Problem& problem, std::int64_t channel_blocks,
      std::int64_t most_elements, std::int64_t least_width)
      : tile({&axes[0].phases, &axes[1].phases, &axes[2].phases}), blocks(channel_blocks) {
    while (tile.channel_size() > most_elements && tile.halve(least_width)) {
    }
    const std::int64_t wanted = ceil_divide(kWantedItems, blocks);
    while (problem.n * tile.tile_count() < wanted && product(tile.size) > 512 &&
           tile.halve(least_width)) {
    }
    pieces = std::clamp<std::int64_t>(problem.n * tile.tile_count(), 1, wanted);
  }
};

template <class T>
class WeightGradientPlan final : public detail::AlgorithmPlan {
 public:
  WeightGradientPlan(const Problem& problem, int threads)
      : problem_(problem),
        kernels_(active_kernels().typed<T>()),
        threads_(threads),
        multiplier_(problem.k / problem.g),
        taps_(problem.axes[0].kernel * problem.axes[1].kernel * problem.axes[2].kernel),
        axes_(pass_taps(problem)),
        along_rows_(axes_, problem, problem.g, kRowTileBytes / static_cast<std::int64_t>(sizeof(T)),
                    8 * kernels_.lanes),
        along_channels_(axes_, problem, ceil_divide(problem.c, kernels_.lanes),
                        kChannelTileBytes / kernels_.lanes / static_cast<std::int64_t>(sizeof(T)),
                        8) {
    for (const TapGroup& group : axes_[2].runs[0].groups) {
      for (std::int64_t t = 0; t < group.count; ++t) {
        columns_.push_back({group.plane, group.shift + t * axes_[2].runs[0].step,
                            group.kernel + t * group.kernel_step});
      }
    }
    for (const TapGroup& group : axes_[1].runs[0].groups) {
      for (std::int64_t t = 0; t < group.count; ++t) {
        const std::int64_t row = in_source(1, group.plane, group.shift + t * axes_[1].runs[0].step);
        for (const Column& column : columns_) {
          order_in_source_.push_back(row * problem.axes[2].kernel +
                                     in_source(2, column.plane, column.shift));
        }
      }
    }
    const auto& [d, h, w] = problem.axes;
    masks_padding_ = kernels_.depthwise.masks_loads && problem.padding_mode == PaddingMode::zeros &&
                     (w.stride == 1 || (w.stride == 2 && w.dilation == 1 && h.dilation == 1 &&
                                        (h.stride == 2 || h.output == 1)));
  }

  std::size_t workspace_bytes() const override {
    Arena rows(nullptr);
    lay_out_rows(rows);
    Arena channels(nullptr);
    lay_out_channels(channels);
    return std::max(rows.used(), channels.used());
  }

  void execute(const Arguments& arguments, void* workspace, const void*) const noexcept override {
    const RealView input(arguments.input);
    const RealView gradient(arguments.output);
    Arena arena(workspace);
    const bool by_channel = runs_along_channels(input, gradient);
    const Memory memory = by_channel ? lay_out_channels(arena) : lay_out_rows(arena);
    const Cut& cut = by_channel ? along_channels_ : along_rows_;
    parallel_for(cut.blocks * cut.pieces, threads_, [&](std::int64_t item, int thread) {
      const std::int64_t block = item / cut.pieces;
      const std::int64_t piece = item % cut.pieces;
      T* sums = memory.sums + (piece * cut.blocks + block) * memory.block_sums;
      std::fill_n(sums, memory.block_sums, T(0));
      const std::int64_t units = problem_.n * cut.tile.tile_count();
      for (std::int64_t unit = piece * units / cut.pieces; unit < (piece + 1) * units / cut.pieces;
           ++unit) {
        const std::int64_t n = unit / cut.tile.tile_count();
        const Extent origin = cut.tile.origin(unit % cut.tile.tile_count());
        const ThreadMemory own = memory.of_thread(thread);
        if (by_channel) {
          add_channels(input, gradient, n, origin, block, own, sums);
        } else {
          add_rows(input, gradient, n, origin, block, own, sums);
        }
      }
    });
    store(arguments.weight, cut, memory, by_channel);
  }

  std::string description() const override {
    return "vectors along rows or channels, " + std::to_string(along_rows_.pieces) + " or " +
           std::to_string(along_channels_.pieces) + " pieces";
  }

 private:
  struct Column {
    std::int64_t plane;
    std::int64_t shift;
    std::int64_t kernel;
  };
  struct ThreadMemory {
    T* packed;
    T* gradient;
    std::int64_t* offsets;
    const T** rows;
  };
  struct Memory {
    T* sums;
    std::int64_t block_sums;
    ThreadMemory first;

    ThreadMemory of_thread(int thread) const {
      return {first.packed + thread * packed_stride, first.gradient + thread * gradient_stride,
              first.offsets + thread * offsets_stride, first.rows + thread * rows_stride};
    }
    std::int64_t packed_stride;
    std::int64_t gradient_stride;
    std::int64_t offsets_stride;
    std::int64_t rows_stride;
  };

  /// Elements from the first tap of an axis to one in a plane.
  std::int64_t in_source(std::size_t axis, std::int64_t plane, std::int64_t shift) const {
    const direct::AxisPhases& phases = axes_[axis].phases;
    return phases.residues[static_cast<std::size_t>(plane)] + phases.source_step * shift;
  }

  /// Calls body(depth group, depth tap, row group) for every set of tap rows.
  template <class Body>
  void for_each_row_set(const Body& body) const {
    for (const TapGroup& dg : axes_[0].runs[0].groups) {
      for (std::int64_t td = 0; td < dg.count; ++td) {
        for (const TapGroup& hg : axes_[1].runs[0].groups) body(dg, td, hg);
      }
    }
  }

  Memory lay_out(Arena& arena, const Cut& cut, std::int64_t block_sums, std::int64_t packed,
                 std::int64_t gradient, std::int64_t offsets, std::int64_t rows) const {
    const auto padded = [](std::int64_t count, std::size_t size) {
      return static_cast<std::int64_t>(
          round_up(static_cast<std::size_t>(count) * size, kAlignment) / size);
    };
    Memory memory{};
    memory.block_sums = block_sums;
    memory.packed_stride = padded(packed, sizeof(T));
    memory.gradient_stride = padded(gradient, sizeof(T));
    memory.offsets_stride = padded(offsets, sizeof(std::int64_t));
    memory.rows_stride = padded(rows, sizeof(const T*));
    memory.sums = arena.take<T>(static_cast<std::size_t>(cut.pieces * cut.blocks * block_sums));
    const auto all = [&](std::int64_t count) { return static_cast<std::size_t>(threads_ * count); };
    memory.first.packed = arena.take<T>(all(memory.packed_stride));
    memory.first.gradient = arena.take<T>(all(memory.gradient_stride));
    memory.first.offsets = arena.take<std::int64_t>(all(memory.offsets_stride));
    memory.first.rows = arena.take<const T*>(all(memory.rows_stride));
    return memory;
  }

  Memory lay_out_rows(Arena& arena) const {
    const Tile& tile = along_rows_.tile;
    return lay_out(arena, along_rows_, multiplier_ * taps_,
                   std::max(tile.channel_size(), zero_row_size() + taps_),
                   tile.size[1] * tile.size[2], static_cast<std::int64_t>(columns_.size()),
                   most_source_rows() + tile.size[1]);
  }

  Memory lay_out_channels(Arena& arena) const {
    return lay_out(arena, along_channels_, taps_ * kernels_.lanes,
                   along_channels_.tile.channel_size() * kernels_.lanes,
                   along_channels_.tile.size[1] * along_channels_.tile.size[2] * kernels_.lanes,
                   static_cast<std::int64_t>(columns_.size()) +
                       problem_.axes[0].kernel * problem_.axes[1].kernel,
                   0);
  }

  /// Where memory has channels apart, it is transposed for short rows, or rows by themselves.
  bool runs_along_channels(const RealView& input, const RealView& gradient) const {
    if (2 * problem_.c < kernels_.lanes || multiplier_ != 1) return false;
    if (input.stride(1) == 1 && gradient.stride(1) == 1) return true;
    const bool lone_rows = taps_ == problem_.axes[2].kernel && taps_ >= kLeastTapsOfLoneRows;
    return input.stride(4) == 1 && gradient.stride(4) == 1 && problem_.axes[2].stride == 1 &&
           (problem_.axes[2].output <= 3 * kernels_.lanes / 2 || lone_rows);
  }

  /// Stands for a row in the padding; sums of taps in the order of the source lie behind it.
  std::int64_t zero_row_size() const {
    return axes_[2].phases.source_step * (along_rows_.tile.size[2] + axes_[2].phases.reach + 1);
  }

  std::int64_t most_source_rows() const {
    return std::max(along_rows_.tile.pitch[1],
                    problem_.axes[1].stride * along_rows_.tile.size[1] + problem_.axes[1].kernel);
  }

  /// Taps of every second pixel are neighbours for the kernel, but sums are in the order of planes.
  T* add_every_second(const RowGradient<T>& taps, T* sums) const {
    std::fill_n(taps.sums, taps.height * taps.width, T(0));
    kernels_.depthwise.row_gradient(taps);
    for (const std::int64_t tap : order_in_source_) *sums++ += taps.sums[tap];
    return sums;
  }

  void add_rows(const RealView& input, const RealView& gradient, std::int64_t n,
                const Extent& origin, std::int64_t group, const ThreadMemory& memory,
                T* sums) const {
    const Tile& tile = along_rows_.tile;
    const Extent size = tile.size_at(origin);
    const direct::AxisPhases& rows = axes_[1].phases;
    const direct::AxisPhases& columns = axes_[2].phases;
    const Extent sizes{problem_.axes[0].input, problem_.axes[1].input, problem_.axes[2].input};
    const bool in_place = masks_padding_ && input.stride(4) == 1;
    const T* zeros = memory.packed;
    if (in_place) {
      std::fill_n(memory.packed, zero_row_size(), T(0));
    } else {
      direct::pack_source(tile, direct::input_padding(problem_), origin, input, n, group, 1,
                          kernels_.load_block[static_cast<int>(input.type())], memory.packed);
    }
    const std::int64_t first_column = columns.source_first + columns.source_step * origin[2];
    const RowLimits limits =
        in_place ? RowLimits{-first_column, problem_.axes[2].input - first_column} : kUnlimitedRow;
    const std::int64_t width = static_cast<std::int64_t>(columns_.size());
    const bool every_second = in_place && columns.source_step == 2;
    for (std::int64_t b = 0; b < width; ++b) {
      const Column& column = columns_[static_cast<std::size_t>(b)];
      memory.offsets[b] = every_second ? b
                          : in_place   ? column.shift
                                       : column.plane * tile.plane_size + column.shift;
    }
    const std::int64_t step = axes_[1].runs[0].step;
    for (std::int64_t m = 0; m < multiplier_; ++m, sums += taps_) {
      for (std::int64_t jd = 0; jd < size[0]; ++jd) {
        const std::int64_t at = n * gradient.stride(0) +
                                (group * multiplier_ + m) * gradient.stride(1) +
                                (origin[0] + jd) * gradient.stride(2) +
                                origin[1] * gradient.stride(3) + origin[2] * gradient.stride(4);
        const T* from = reinterpret_cast<const T*>(gradient.at(at));
        std::int64_t pitch = gradient.stride(3);
        if (gradient.stride(4) != 1) {
          pitch = size[2];
          kernels_.load_block[static_cast<int>(gradient.type())](
              memory.gradient, pitch, from, gradient.stride(3), gradient.stride(4),
              {size[1], size[2]});
          from = memory.gradient;
        }
        const T** gradient_rows = memory.rows + most_source_rows();
        for (std::int64_t y = 0; y < size[1]; ++y) gradient_rows[y] = from + y * pitch;
        T* to = sums;
        if (every_second) {
          for (const TapGroup& dg : axes_[0].runs[0].groups) {
            for (std::int64_t td = 0; td < dg.count; ++td) {
              const std::int64_t depth = jd + dg.shift + td * axes_[0].runs[0].step;
              find_rows(input, sizes,
                        {n, group, axes_[0].source(dg.plane, origin[0] + depth),
                         rows.source_first + rows.source_step * origin[1], 1,
                         2 * (size[1] - 1) + problem_.axes[1].kernel, first_column},
                        zeros, memory.rows);
              to = add_every_second(
                  {memory.rows, gradient_rows, memory.offsets, 2, limits, 1, size[1], size[2],
                   problem_.axes[1].kernel, width, memory.packed + zero_row_size(), width},
                  to);
            }
          }
          continue;
        }
        for_each_row_set([&](const TapGroup& dg, std::int64_t td, const TapGroup& hg) {
          const std::int64_t depth = jd + dg.shift + td * axes_[0].runs[0].step;
          const std::int64_t row_count = size[1] + (hg.count - 1) * step;
          if (in_place) {
            find_rows(input, sizes,
                      {n, group, axes_[0].source(dg.plane, origin[0] + depth),
                       axes_[1].source(hg.plane, origin[1] + hg.shift), rows.source_step, row_count,
                       first_column},
                      zeros, memory.rows);
          } else {
            const std::int64_t plane = (dg.plane * tile.phases[1]->plane_count() + hg.plane) *
                                       tile.phases[2]->plane_count();
            const T* row = memory.packed + plane * tile.plane_size +
                           (depth * tile.pitch[1] + hg.shift) * tile.pitch[2];
            for (std::int64_t p = 0; p < row_count; ++p) memory.rows[p] = row + p * tile.pitch[2];
          }
          for (std::int64_t first = 0; first < std::min(step, size[1]); ++first) {
            kernels_.depthwise.row_gradient(
                {memory.rows + first, gradient_rows + first, memory.offsets, 1, limits, step,
                 ceil_divide(size[1] - first, step), size[2], hg.count, width, to, width});
          }
          to += hg.count * width;
        });
      }
    }
  }

  void add_channels(const RealView& input, const RealView& gradient, std::int64_t n,
                    const Extent& origin, std::int64_t block, const ThreadMemory& memory,
                    T* sums) const {
    const Tile& tile = along_channels_.tile;
    const Extent size = tile.size_at(origin);
    const std::int64_t lanes = kernels_.lanes;
    const std::int64_t channel = block * lanes;
    const std::int64_t channels = std::min(lanes, problem_.c - channel);
    pack_channels(input, n, origin, size, channel, channels, memory.packed);
    const std::int64_t width = static_cast<std::int64_t>(columns_.size());
    std::int64_t* columns = memory.offsets;
    for (std::int64_t b = 0; b < width; ++b) {
      const Column& column = columns_[static_cast<std::size_t>(b)];
      columns[b] = (column.plane * tile.plane_size + column.shift) * lanes;
    }
    std::int64_t* rows = columns + width;
    std::int64_t height = 0;
    for_each_row_set([&](const TapGroup& dg, std::int64_t td, const TapGroup& hg) {
      const std::int64_t plane =
          (dg.plane * tile.phases[1]->plane_count() + hg.plane) * tile.phases[2]->plane_count();
      for (std::int64_t th = 0; th < hg.count; ++th) {
        rows[height++] =
            (plane * tile.plane_size + ((dg.shift + td * axes_[0].runs[0].step) * tile.pitch[1] +
                                        hg.shift + th * axes_[1].runs[0].step) *
                                           tile.pitch[2]) *
            lanes;
      }
    });
    const std::int64_t channel_stride = gradient.stride(1);
    for (std::int64_t jd = 0; jd < size[0]; ++jd) {
      const std::int64_t at = n * gradient.stride(0) + channel * channel_stride +
                              (origin[0] + jd) * gradient.stride(2) +
                              origin[1] * gradient.stride(3) + origin[2] * gradient.stride(4);
      const T* from = reinterpret_cast<const T*>(gradient.at(at));
      std::int64_t pitch = gradient.stride(3);
      std::int64_t pixel = gradient.stride(4);
      if (channel_stride != 1) {
        pixel = lanes;
        for (std::int64_t y = 0; y < size[1]; ++y) {
          kernels_.transpose_sums(memory.gradient + y * size[2] * lanes, lanes, from + y * pitch,
                                  channel_stride, {channels, size[2]}, 1, 0);
        }
        from = memory.gradient;
        pitch = size[2] * lanes;
      }
      kernels_.depthwise.channel_gradient(
          {memory.packed + jd * tile.pitch[1] * tile.pitch[2] * lanes, tile.pitch[2] * lanes, lanes,
           rows, columns, from, pitch, pixel, size[1], size[2], channels, height, width, sums});
    }
  }

  /// Every row of every plane, pixel by pixel, whole vectors of channels each.
  void pack_channels(const RealView& input, std::int64_t n, const Extent& origin,
                     const Extent& size, std::int64_t channel, std::int64_t channels,
                     T* packed) const {
    const Tile& tile = along_channels_.tile;
    const T padding = problem_.padding_mode == PaddingMode::constant
                          ? static_cast<T>(problem_.padding_value.real())
                          : T(0);
    const std::int64_t lanes = kernels_.lanes;
    const auto source = [&](std::size_t axis, std::size_t plane, std::int64_t p) {
      return padded_source(axes_[axis].source(static_cast<std::int64_t>(plane), origin[axis] + p),
                           problem_.axes[axis].input, problem_.padding_mode);
    };
    for (std::size_t rd = 0; rd < axes_[0].phases.residues.size(); ++rd) {
      for (std::size_t rh = 0; rh < axes_[1].phases.residues.size(); ++rh) {
        for (std::size_t rw = 0; rw < axes_[2].phases.residues.size();
             ++rw, packed += tile.plane_size * lanes) {
          const InsideRange inside =
              inside_range(axes_[2], static_cast<std::int64_t>(rw), origin[2],
                           size[2] + axes_[2].phases.reach, problem_.axes[2].input);
          for (std::int64_t d = 0; d < size[0] + axes_[0].phases.reach; ++d) {
            const std::int64_t sd = source(0, rd, d);
            for (std::int64_t h = 0; h < size[1] + axes_[1].phases.reach; ++h) {
              const std::int64_t sh = source(1, rh, h);
              T* row = packed + (d * tile.pitch[1] + h) * tile.pitch[2] * lanes;
              const std::int64_t columns = size[2] + axes_[2].phases.reach;
              if (sd < 0 || sh < 0) {
                std::fill_n(row, columns * lanes, padding);
                continue;
              }
              const T* from = reinterpret_cast<const T*>(
                  input.at(n * input.stride(0) + channel * input.stride(1) + sd * input.stride(2) +
                           sh * input.stride(3)));
              const auto border = [&](std::int64_t first, std::int64_t end) {
                for (std::int64_t w = first; w < end; ++w) {
                  const std::int64_t sw = source(2, rw, w);
                  if (sw < 0) {
                    std::fill_n(row + w * lanes, lanes, padding);
                  } else {
                    for (std::int64_t c = 0; c < channels; ++c) {
                      row[w * lanes + c] = from[sw * input.stride(4) + c * input.stride(1)];
                    }
                  }
                }
              };
              border(0, inside.first);
              const T* first =
                  from + axes_[2].source(static_cast<std::int64_t>(rw), origin[2] + inside.first) *
                             input.stride(4);
              if (input.stride(1) == 1) {
                kernels_.depthwise.pack_channels(row + inside.first * lanes, first,
                                                 axes_[2].phases.source_step * input.stride(4),
                                                 inside.end - inside.first, channels);
              } else {
                kernels_.transpose_sums(row + inside.first * lanes, lanes, first, input.stride(1),
                                        {channels, inside.end - inside.first}, 1, 0);
              }
              border(inside.end, columns);
            }
          }
        }
      }
    }
  }

  void store(const TensorView& weight, const Cut& cut, const Memory& memory,
             bool by_channel) const {
    for (std::int64_t k = 0; k < problem_.k; ++k) {
      T* to = static_cast<T*>(weight.data) + k * weight.strides[0];
      const std::int64_t lanes = kernels_.lanes;
      const T* sums = by_channel ? memory.sums + k / lanes * memory.block_sums + k % lanes
                                 : memory.sums + k * taps_;
      const std::int64_t tap_step = by_channel ? lanes : 1;
      for_each_row_set([&](const TapGroup& dg, std::int64_t td, const TapGroup& hg) {
        for (std::int64_t th = 0; th < hg.count; ++th) {
          T* row = to + (dg.kernel + td * dg.kernel_step) * weight.strides[2] +
                   (hg.kernel + th * hg.kernel_step) * weight.strides[3];
          for (const Column& column : columns_) {
            T sum = *sums;
            for (std::int64_t piece = 1; piece < cut.pieces; ++piece) {
              sum += sums[piece * cut.blocks * memory.block_sums];
            }
            T& element = row[column.kernel * weight.strides[4]];
            element = problem_.accumulate ? element + sum : sum;
            sums += tap_step;
          }
        }
      });
    }
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  int threads_;
  std::int64_t multiplier_;
  std::int64_t taps_;
  std::array<AxisTaps, 3> axes_;
  Cut along_rows_;
  Cut along_channels_;
  std::vector<Column> columns_;
  std::vector<std::int64_t> order_in_source_;  ///< of the taps of a slice, without dilation
  bool masks_padding_ = false;                 ///< of rows that are read where they lie
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan(const Problem& problem,
                                                                       int threads) {
  return std::make_unique<WeightGradientPlan<T>>(problem, threads);
}

template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<float>(
    const Problem&, int);
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<double>(
    const Problem&, int);

}  // namespace fastconv::depthwise
