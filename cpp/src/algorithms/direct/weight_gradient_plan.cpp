/// The gradient of the weight: for every output channel k, input channel c and tap a, the sum over
/// images n and positions o of gradient[n, k, o] * padded_input[n, c, o * stride + a * dilation].
///
///     parallel for each item: groups, input channels, output channels, piece of the reduction
///       for each unit (a tile of an image, or several images) of the piece
///         pack input and gradient where they cannot be read in place            [L2]
///         for each group, block of output channels, panel of input channels
///           for each chunk of pixels                              [gradient in L1 or L2]
///             for each 6 (8) pairs (c, a): the microkernel over the chunk      [registers]
///           or, where many taps meet padding: for each tap, chunk of the pixels that meet input
///             for each 6 (8) channels c: the microkernel over the chunk        [registers]
///       a single piece: store the item's rows of taps
///     several pieces: add them up in their order and store
///
/// With enough output channels to fill a vector, vectors run along them (outer products);
/// otherwise, or where the pairs are too few to make up for arranging the gradient by pixels, along
/// the pixels (dot products). Sums are [piece][group][block][c][a][k of the block]. An item that
/// sees all pixels at once finishes one panel after the other in a small buffer.
///
/// weight_gradient_schedule.cpp decides the sizes of all these from the problem alone, so that the
/// order of every sum, and with it every bit of the result, is the same for any number of threads.
#include <algorithm>

#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/weight_gradient_operands.hpp"
#include "algorithms/direct/weight_gradient_reduction.hpp"
#include "algorithms/direct/weight_gradient_schedule.hpp"
#include "algorithms/direct/weight_gradient_store.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::direct {
namespace {

template <class T>
class WeightGradientPlan final : public detail::AlgorithmPlan {
 public:
  WeightGradientPlan(const Problem& problem, int threads)
      : kernels_(active_kernels().typed<T>()),
        exchanged_(exchanges_operands(problem, kernels_.lanes)),
        problem_(exchanged_ ? exchanged(problem) : problem),
        axes_(problem.axes),
        threads_(threads),
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
      const Unit unit = schedule_.unit(index);
      const UnitOperands<T> loaded =
          operands.load(item, unit, memory.input + thread * memory.input_stride,
                        memory.gradient + thread * memory.gradient_stride);
      for (std::int64_t group = 0; group < item.groups; ++group) {
        for (std::int64_t b = item.first_block; b < item.end_block; ++b) {
          reduce_block(item, unit, group, schedule_.blocks[static_cast<std::size_t>(b)], loaded,
                       index == first, offsets, store, memory, thread);
        }
      }
    }
    if (schedule_.pieces > 1 || schedule_.streams()) return;
    for (std::int64_t group = 0; group < item.groups; ++group) {
      for (std::int64_t b = item.first_block; b < item.end_block; ++b) {
        const Block& block = schedule_.blocks[static_cast<std::size_t>(b)];
        store.store(stored_weights(item, group, block, 0, item.channels),
                    {item_sums(item, group, block, memory, thread), block.width, 1, 0});
      }
    }
  }

  void reduce_block(const Item& item, const Unit& unit, std::int64_t group, const Block& block,
                    const UnitOperands<T>& operands, bool first_unit, const std::int64_t* offsets,
                    const WeightGradientStore<T>& store, const Workspace& memory,
                    int thread) const {
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
      const StoredWeights weights =
          stored_weights(item, group, block, c, std::min(step, item.channels - c));
      SumRows<T> sums = panels && schedule_.outer_products ? store.final_place(weights, block.width)
                                                           : SumRows<T>{};
      const bool in_final_place = sums.data != nullptr;
      if (!in_final_place) {
        sums = {panels ? memory.sums + thread * memory.sums_stride
                       : item_sums(item, group, block, memory, thread),
                block.width};
      }
      if (schedule_.leaves_out_padding) {
        const PixelBox all{{}, {rows.slices, rows.rows, rows.pixels}};
        for (std::int64_t tap = 0; tap < schedule_.taps; ++tap) {
          reduce_box(schedule_, block, rows,
                     operands.finite_gradient ? schedule_.met_pixels(unit, tap) : all,
                     offsets + tap * item.channels + c, weights.channels, first_unit,
                     {sums.data + tap * sums.pitch, schedule_.taps * sums.pitch});
        }
      } else {
        reduce(schedule_, block, kernels_, rows, offsets + c * schedule_.taps,
               weights.channels * schedule_.taps, first_unit, sums);
      }
      if (panels && !in_final_place) store.store(weights, {sums.data, sums.pitch, 1, 0});
    }
  }

  T* item_sums(const Item& item, std::int64_t group, const Block& block, const Workspace& memory,
               int thread) const {
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

  StoredWeights stored_weights(const Item& item, std::int64_t group, const Block& block,
                               std::int64_t channel, std::int64_t channels) const {
    return {item.first_group + group, block.first,
            std::min(block.width, schedule_.outputs - block.first), item.first_channel + channel,
            channels};
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
