/// The gradient of the weight: for every output channel k, input channel c and tap a, the sum over
/// images n and positions o of gradient[n, k, o] * padded_input[n, c, o * stride + a * dilation].
///
///     parallel for each item: groups, input channels, output channels, piece of the reduction
///       for each unit (a tile of an image, or several images) of the piece
///         pack input and gradient where they cannot be read in place            [L2]
///         for each group, block of output channels, panel of input channels
///           for each chunk of pixels                              [gradient in L1 or L2]
///             for each 6 (8) pairs (c, a): the microkernel over the chunk      [registers]
///       a single piece: store the item's rows of taps
///     several pieces: add them up in their order and store
///
/// With enough output channels to fill a vector, vectors run along them (outer products); otherwise
/// along the pixels (dot products). Sums are [piece][group][block][c][a][k of the block]. An item
/// that sees all pixels at once finishes one panel after the other in a small buffer.
///
/// weight_gradient_schedule.cpp decides the sizes of all these from the problem alone, so that the
/// order of every sum, and with it every bit of the result, is the same for any number of threads.
#include <algorithm>

#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/weight_gradient_operands.hpp"
#include "algorithms/direct/weight_gradient_schedule.hpp"
#include "algorithms/direct/weight_gradient_store.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::direct {
namespace {

/// Slices, rows and pixels of a unit.
struct PixelBox {
  Extent first;
  Extent size;
};

/// As few parts of at most `most`, about equally long, as there can be.
std::int64_t balanced(std::int64_t total, std::int64_t most) {
  return ceil_divide(total, ceil_divide(total, std::max<std::int64_t>(1, most)));
}

/// Whole slices where at least one about fits a chunk, else whole rows, else pieces of a row.
template <class Body>
void for_each_chunk(const Extent& size, std::int64_t chunk, Body&& body) {
  const std::int64_t slice = size[1] * size[2];
  const bool whole_slices = slice <= chunk + chunk / 4;
  const bool whole_rows = size[2] <= chunk;
  const Extent step{whole_slices ? balanced(size[0], chunk / slice) : 1,
                    whole_slices ? size[1]
                    : whole_rows ? balanced(size[1], chunk / size[2])
                                 : 1,
                    whole_rows || whole_slices ? size[2] : balanced(size[2], chunk)};
  PixelBox box{};
  for (box.first[0] = 0; box.first[0] < size[0]; box.first[0] += step[0]) {
    for (box.first[1] = 0; box.first[1] < size[1]; box.first[1] += step[1]) {
      for (box.first[2] = 0; box.first[2] < size[2]; box.first[2] += step[2]) {
        for (std::size_t a = 0; a < 3; ++a) {
          box.size[a] = std::min(step[a], size[a] - box.first[a]);
        }
        body(box);
      }
    }
  }
}

/// Rows that follow one another at the pixels' own step are one longer row.
template <class T>
void join_rows(PixelRows<T>& rows) {
  if (rows.source_pitch == rows.pixels * rows.source_step &&
      rows.gradient_pitch == rows.pixels * rows.gradient_step) {
    rows.pixels *= rows.rows;
    rows.rows = 1;
  }
  if (rows.rows == 1) {
    rows.rows = rows.slices;
    rows.source_pitch = rows.source_slice_pitch;
    rows.gradient_pitch = rows.gradient_slice_pitch;
    rows.slices = 1;
  }
}

template <class T>
class WeightGradientPlan final : public detail::AlgorithmPlan {
 public:
  WeightGradientPlan(const Problem& problem, int threads)
      : kernels_(active_kernels().typed<T>()),
        exchanged_(exchanges_operands(problem, kernels_.lanes)),
        problem_(exchanged_ ? exchanged(problem) : problem),
        axes_(problem.axes),
        threads_(worthwhile_threads(problem, threads)),
        schedule_(problem_, kernels_) {}

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  void execute(const Arguments& arguments, void* workspace, const void*) const noexcept override {
    if (schedule_.empty()) return;
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    const Views views = this->views(arguments);
    const WeightGradientOperands<T> operands(problem_, schedule_, kernels_, views.input,
                                             views.gradient);
    const WeightGradientStore<T> store(problem_, kernels_, schedule_.runs, RealView(views.weight),
                                       views.group_stride * schedule_.parts);
    parallel_for(schedule_.item_count(), threads_, [&](std::int64_t index, int thread) {
      reduce_item(schedule_.item(index), operands, store, memory, thread);
    });
    if (schedule_.pieces > 1) store_pieces(store, memory);
  }

  std::string description() const override {
    const Tile& tile = schedule_.tile;
    return std::string(schedule_.outer_products ? "outer products" : "dot products") +
           (exchanged_ ? " along input channels" : "") + ", tiles of " +
           std::to_string(tile.size[0]) + "x" + std::to_string(tile.size[1]) + "x" +
           std::to_string(tile.size[2]) + ", " + std::to_string(schedule_.pieces) +
           (schedule_.pieces == 1 ? " piece" : " pieces");
  }

 private:
  using Schedule = WeightGradientSchedule<T>;
  using Item = typename Schedule::Item;
  using Unit = typename Schedule::Unit;
  using Block = typename Schedule::Block;

  struct Workspace {
    T* sums;
    T* input;
    T* gradient;
    std::int64_t* offsets;
    std::int64_t sums_stride;  ///< from thread to thread, or from piece to piece
    std::int64_t input_stride;
    std::int64_t gradient_stride;
    std::int64_t offsets_stride;
  };

  /// As the schedule's problem names them.
  struct Views {
    TensorView input;
    TensorView gradient;
    TensorView weight;
    std::int64_t group_stride;
  };

  Views views(const Arguments& arguments) const {
    Views result{arguments.input, arguments.output, arguments.weight, 0};
    if (!exchanged_) {
      result.group_stride = problem_.k / problem_.g * result.weight.strides[0];
      return result;
    }
    result.group_stride = problem_.c / problem_.g * result.weight.strides[0];
    std::swap(result.input, result.gradient);
    std::swap(result.weight.strides[0], result.weight.strides[1]);
    // Of the input those pixels that meet the 1x1 kernel.
    auto* data = static_cast<std::byte*>(result.gradient.data);
    for (std::size_t a = 0; a < 3; ++a) {
      std::int64_t& stride = result.gradient.strides[a + 2];
      data -=
          axes_[a].pad_before * stride * static_cast<std::int64_t>(size_of(arguments.input.type));
      stride *= axes_[a].stride;
    }
    result.gradient.data = data;
    return result;
  }

  Workspace lay_out(Arena& arena) const {
    Workspace memory{};
    if (schedule_.empty()) return memory;
    const auto threads = static_cast<std::size_t>(threads_);
    const auto stride = [&](std::int64_t count) {
      const auto slack = static_cast<std::size_t>(kernels_.lanes);
      const std::size_t bytes = (static_cast<std::size_t>(count) + slack) * sizeof(T);
      return static_cast<std::int64_t>(round_up(bytes, kAlignment) / sizeof(T));
    };
    if (schedule_.pieces > 1) {
      memory.sums_stride = schedule_.sum_count();
      memory.sums = arena.take<T>(static_cast<std::size_t>(schedule_.pieces * memory.sums_stride));
    } else {
      memory.sums_stride =
          stride(schedule_.streams() ? panel_sum_count() : schedule_.item_sum_count());
      memory.sums = arena.take<T>(threads * static_cast<std::size_t>(memory.sums_stride));
    }
    memory.input_stride = stride(schedule_.input_elements());
    memory.gradient_stride = stride(schedule_.gradient_elements());
    memory.offsets_stride = schedule_.channels_per_item * schedule_.taps + schedule_.most_rows;
    memory.input = arena.take<T>(threads * static_cast<std::size_t>(memory.input_stride));
    memory.gradient = arena.take<T>(threads * static_cast<std::size_t>(memory.gradient_stride));
    memory.offsets =
        arena.take<std::int64_t>(threads * static_cast<std::size_t>(memory.offsets_stride));
    return memory;
  }

  std::int64_t panel_sum_count() const {
    return std::min(schedule_.panel_channels(), schedule_.channels_per_item) * schedule_.taps *
           schedule_.blocks.front().width;
  }

  void reduce_item(const Item& item, const WeightGradientOperands<T>& operands,
                   const WeightGradientStore<T>& store, const Workspace& memory, int thread) const {
    std::int64_t* offsets = memory.offsets + thread * memory.offsets_stride;
    operands.fill_offsets(item.channels, offsets);
    const std::int64_t first = schedule_.first_unit(item.piece);
    const std::int64_t end = schedule_.first_unit(item.piece + 1);
    if (first == end) {  // an empty batch
      std::fill_n(memory.sums + thread * memory.sums_stride, schedule_.item_sum_count(), T(0));
    }
    for (std::int64_t index = first; index < end; ++index) {
      const UnitOperands<T> loaded =
          operands.load(item, schedule_.unit(index), memory.input + thread * memory.input_stride,
                        memory.gradient + thread * memory.gradient_stride);
      for (std::int64_t group = 0; group < item.groups; ++group) {
        for (std::int64_t b = item.first_block; b < item.end_block; ++b) {
          reduce_block(item, group, b, loaded, index == first, offsets, store, memory, thread);
        }
      }
    }
    if (schedule_.pieces > 1 || schedule_.streams()) return;
    for (std::int64_t group = 0; group < item.groups; ++group) {
      for (std::int64_t b = item.first_block; b < item.end_block; ++b) {
        store_panel(item, group, b, 0, item.channels, item_sums(item, group, b, memory, thread),
                    store);
      }
    }
  }

  void reduce_block(const Item& item, std::int64_t group, std::int64_t b,
                    const UnitOperands<T>& operands, bool first_unit, const std::int64_t* offsets,
                    const WeightGradientStore<T>& store, const Workspace& memory,
                    int thread) const {
    const Block& block = schedule_.blocks[static_cast<std::size_t>(b)];
    PixelRows<T> rows = operands.rows;
    rows.source += group * operands.source_group_pitch;
    rows.gradient += group * operands.gradient_group_pitch +
                     (block.first - item.first_output) * operands.gradient_block_pitch;
    if (schedule_.outer_products && operands.packed_gradient) {
      rows.gradient_step *= block.width;
      rows.gradient_pitch *= block.width;
      rows.gradient_slice_pitch *= block.width;
    }
    const bool panels = schedule_.pieces == 1 && schedule_.streams();
    const std::int64_t step = panels ? schedule_.panel_channels() : item.channels;
    for (std::int64_t c = 0; c < item.channels; c += step) {
      const std::int64_t channels = std::min(step, item.channels - c);
      T* sums = panels ? memory.sums + thread * memory.sums_stride
                       : item_sums(item, group, b, memory, thread);
      const std::int64_t pairs = channels * schedule_.taps;
      const std::int64_t* panel_offsets = offsets + c * schedule_.taps;
      if (schedule_.outer_products) {
        add_outer_products(block, rows, panel_offsets, pairs, first_unit, sums);
      } else {
        if (first_unit) std::fill_n(sums, pairs * block.width, T(0));
        add_dot_products(rows, panel_offsets, pairs, sums);
      }
      if (panels) store_panel(item, group, b, c, channels, sums, store);
    }
  }

  T* item_sums(const Item& item, std::int64_t group, std::int64_t b, const Workspace& memory,
               int thread) const {
    const Block& block = schedule_.blocks[static_cast<std::size_t>(b)];
    if (schedule_.pieces > 1) {
      return memory.sums + item.piece * memory.sums_stride +
             ((item.first_group + group) * schedule_.padded_outputs + block.first) *
                 schedule_.pairs() +
             item.first_channel * schedule_.taps * block.width;
    }
    return memory.sums + thread * memory.sums_stride +
           (group * item.outputs + block.first - item.first_output) * item.channels *
               schedule_.taps;
  }

  void add_outer_products(const Block& block, const PixelRows<T>& rows, const std::int64_t* offsets,
                          std::int64_t pairs, bool overwrite, T* sums) const {
    for_each_chunk(
        {rows.slices, rows.rows, rows.pixels}, schedule_.chunk_pixels(block),
        [&](const PixelBox& box) {
          PixelRows<T> chunk = rows;
          chunk.slices = box.size[0];
          chunk.rows = box.size[1];
          chunk.pixels = box.size[2];
          chunk.source += box.first[0] * rows.source_slice_pitch +
                          box.first[1] * rows.source_pitch + box.first[2] * rows.source_step;
          chunk.gradient += box.first[0] * rows.gradient_slice_pitch +
                            box.first[1] * rows.gradient_pitch + box.first[2] * rows.gradient_step;
          join_rows(chunk);
          const bool add = !overwrite || box.first != Extent{0, 0, 0};
          const OuterProductKernel<T>& most = block.most_rows();
          std::int64_t pair = 0;
          for (; pairs - pair >= most.rows; pair += most.rows) {
            most.run(chunk, offsets + pair, sums + pair * block.width, block.width, add);
          }
          if (pair < pairs) {
            add_last_pairs(block, chunk, offsets + pair, pairs - pair, add,
                           sums + pair * block.width);
          }
        });
  }

  /// A partly filled tile would add into the sums that follow.
  void add_last_pairs(const Block& block, const PixelRows<T>& pixels, const std::int64_t* offsets,
                      std::int64_t pairs, bool add, T* sums) const {
    const OuterProductKernel<T>& kernel = block.at_least(pairs);
    if (kernel.rows == pairs) {
      kernel.run(pixels, offsets, sums, block.width, add);
      return;
    }
    alignas(kAlignment) T tile[kMaxTileElements];
    kernel.run(pixels, offsets, tile, block.width, false);
    for (std::int64_t i = 0; i < pairs * block.width; ++i) {
      sums[i] = add ? wrapping_sum(sums[i], tile[i]) : tile[i];
    }
  }

  void add_dot_products(const PixelRows<T>& rows, const std::int64_t* offsets, std::int64_t pairs,
                        T* sums) const {
    PixelRows<T> plane = rows;
    for (std::int64_t k = 0; k < schedule_.outputs; ++k) {
      plane.gradient = rows.gradient + k * rows.slices * rows.gradient_slice_pitch;
      for (std::int64_t pair = 0; pair < pairs;) {
        const DotProductKernel<T>* kernel = kernels_.dot_product.begin();
        while (kernel->rows > pairs - pair) ++kernel;  // largest first
        kernel->run(plane, offsets + pair, sums + pair * schedule_.outputs + k, schedule_.outputs);
        pair += kernel->rows;
      }
    }
  }

  void store_panel(const Item& item, std::int64_t group, std::int64_t b, std::int64_t channel,
                   std::int64_t channels, T* sums, const WeightGradientStore<T>& store) const {
    const Block& block = schedule_.blocks[static_cast<std::size_t>(b)];
    store.store({item.first_group + group, block.first,
                 std::min(block.width, schedule_.outputs - block.first),
                 item.first_channel + channel, channels},
                {sums, block.width, 1, 0});
  }

  void store_pieces(const WeightGradientStore<T>& store, const Workspace& memory) const {
    constexpr std::int64_t kPairsTogether = 256;
    const std::int64_t step =
        std::max<std::int64_t>(1, kPairsTogether / (schedule_.taps * schedule_.parts)) *
        schedule_.parts;
    const std::int64_t panels = ceil_divide(schedule_.channels, step);
    const auto blocks = static_cast<std::int64_t>(schedule_.blocks.size());
    parallel_for(schedule_.groups * blocks * panels, threads_, [&](std::int64_t index, int) {
      const std::int64_t channel = index % panels * step;
      const Block& block = schedule_.blocks[static_cast<std::size_t>(index / panels % blocks)];
      const std::int64_t group = index / panels / blocks;
      T* sums = memory.sums + (group * schedule_.padded_outputs + block.first) * schedule_.pairs() +
                channel * schedule_.taps * block.width;
      store.store({group, block.first, std::min(block.width, schedule_.outputs - block.first),
                   channel, std::min(step, schedule_.channels - channel)},
                  {sums, block.width, schedule_.pieces, memory.sums_stride});
    });
  }

  const TypedKernels<T>& kernels_;
  bool exchanged_;
  Problem problem_;           ///< that is computed: with operands exchanged, not the caller's
  std::array<Axis, 3> axes_;  ///< the caller's
  int threads_;
  Schedule schedule_;
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
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<std::int32_t>(
    const Problem&, int);
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<std::int64_t>(
    const Problem&, int);

}  // namespace fastconv::direct
