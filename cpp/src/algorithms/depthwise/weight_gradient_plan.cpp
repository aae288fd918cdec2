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
#include "algorithms/depthwise/weight_gradient.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::depthwise {

template <class T>
WeightGradientPass<T>::WeightGradientPass(const Problem& problem_of,
                                          const TypedKernels<T>& kernels_of)
    : problem(problem_of),
      kernels(kernels_of),
      multiplier(problem.k / problem.g),
      taps(problem.axes[0].kernel * problem.axes[1].kernel * problem.axes[2].kernel),
      axes(pass_taps(problem)) {
  for (const TapGroup& group : axes[2].runs[0].groups) {
    for (std::int64_t t = 0; t < group.count; ++t) {
      columns.push_back({group.plane, group.shift + t * axes[2].runs[0].step,
                         group.kernel + t * group.kernel_step});
    }
  }
}

WeightGradientCut::WeightGradientCut(const std::array<AxisTaps, 3>& axes, const Problem& problem,
                                     std::int64_t channel_blocks, std::int64_t most_elements,
                                     std::int64_t least_width)
    : tile({&axes[0].phases, &axes[1].phases, &axes[2].phases}), blocks(channel_blocks) {
  constexpr std::int64_t kWantedItems = 16;
  constexpr std::int64_t kLeastPositions = 512;
  while (tile.channel_size() > most_elements && tile.halve(least_width)) {
  }
  const std::int64_t wanted = ceil_divide(kWantedItems, blocks);
  while (problem.n * tile.tile_count() < wanted && direct::product(tile.size) > kLeastPositions &&
         tile.halve(least_width)) {
  }
  pieces = std::clamp<std::int64_t>(problem.n * tile.tile_count(), 1, wanted);
}

namespace {

template <class T>
class WeightGradientPlan final : public detail::AlgorithmPlan {
 public:
  WeightGradientPlan(const Problem& problem, int threads)
      : problem_(problem),
        threads_(threads),
        pass_(problem_, active_kernels().typed<T>()),
        along_rows_(pass_),
        along_channels_(pass_) {}

  std::size_t workspace_bytes() const override {
    Arena rows(nullptr);
    lay_out(rows, along_rows_);
    Arena channels(nullptr);
    lay_out(channels, along_channels_);
    return std::max(rows.used(), channels.used());
  }

  void execute(const Arguments& arguments, void* workspace, const void*) const noexcept override {
    const RealView input(arguments.input);
    const RealView gradient(arguments.output);
    if (along_channels_.suits(input, gradient)) {
      compute(along_channels_, input, gradient, arguments.weight, pass_.kernels.lanes, workspace);
    } else {
      compute(along_rows_, input, gradient, arguments.weight, 1, workspace);
    }
  }

  std::string description() const override {
    return "vectors along rows or channels, " + std::to_string(along_rows_.cut().pieces) + " or " +
           std::to_string(along_channels_.cut().pieces) + " pieces";
  }

 private:
  struct Memory {
    T* sums;
    WeightGradientMemory<T> first;
    WeightGradientSizes strides;

    WeightGradientMemory<T> of_thread(int thread) const {
      return {first.packed + thread * strides.packed, first.gradient + thread * strides.gradient,
              first.offsets + thread * strides.offsets, first.rows + thread * strides.rows};
    }
  };

  template <class Way>
  Memory lay_out(Arena& arena, const Way& way) const {
    const auto padded = [](std::int64_t count, std::size_t size) {
      return static_cast<std::int64_t>(
          round_up(static_cast<std::size_t>(count) * size, kAlignment) / size);
    };
    const WeightGradientCut& cut = way.cut();
    const WeightGradientSizes sizes = way.sizes();
    Memory memory{};
    memory.strides = {padded(sizes.packed, sizeof(T)), padded(sizes.gradient, sizeof(T)),
                      padded(sizes.offsets, sizeof(std::int64_t)),
                      padded(sizes.rows, sizeof(const T*))};
    memory.sums =
        arena.take<T>(static_cast<std::size_t>(cut.pieces * cut.blocks * way.block_sums()));
    const auto all = [&](std::int64_t count) { return static_cast<std::size_t>(threads_ * count); };
    memory.first.packed = arena.take<T>(all(memory.strides.packed));
    memory.first.gradient = arena.take<T>(all(memory.strides.gradient));
    memory.first.offsets = arena.take<std::int64_t>(all(memory.strides.offsets));
    memory.first.rows = arena.take<const T*>(all(memory.strides.rows));
    return memory;
  }

  /// `lanes` channels lie side by side in the sums.
  template <class Way>
  void compute(const Way& way, const RealView& input, const RealView& gradient,
               const TensorView& weight, std::int64_t lanes, void* workspace) const {
    Arena arena(workspace);
    const Memory memory = lay_out(arena, way);
    const WeightGradientCut& cut = way.cut();
    const std::int64_t tiles = cut.tile.tile_count();
    const std::int64_t units = problem_.n * tiles;
    parallel_for(cut.blocks * cut.pieces, threads_, [&](std::int64_t item, int thread) {
      const std::int64_t block = item / cut.pieces;
      const std::int64_t piece = item % cut.pieces;
      T* sums = memory.sums + (piece * cut.blocks + block) * way.block_sums();
      std::fill_n(sums, way.block_sums(), T(0));
      for (std::int64_t unit = piece * units / cut.pieces; unit < (piece + 1) * units / cut.pieces;
           ++unit) {
        way.add({input, gradient, unit / tiles, cut.tile.origin(unit % tiles)}, block,
                memory.of_thread(thread), sums);
      }
    });
    store(weight, memory.sums, lanes, cut.pieces, cut.blocks * way.block_sums());
  }

  /// The sums of a channel's taps lie `lanes` apart, those of the next piece `piece_size`.
  void store(const TensorView& weight, const T* all_sums, std::int64_t lanes, std::int64_t pieces,
             std::int64_t piece_size) const {
    for (std::int64_t k = 0; k < problem_.k; ++k) {
      T* to = static_cast<T*>(weight.data) + k * weight.strides[0];
      const T* sums = all_sums + k / lanes * lanes * pass_.taps + k % lanes;
      pass_.for_each_row_set([&](const TapGroup& dg, std::int64_t td, const TapGroup& hg) {
        for (std::int64_t th = 0; th < hg.count; ++th) {
          T* row = to + (dg.kernel + td * dg.kernel_step) * weight.strides[2] +
                   (hg.kernel + th * hg.kernel_step) * weight.strides[3];
          for (const TapColumn& column : pass_.columns) {
            T sum = *sums;
            for (std::int64_t piece = 1; piece < pieces; ++piece) sum += sums[piece * piece_size];
            T& element = row[column.kernel * weight.strides[4]];
            element = problem_.accumulate ? element + sum : sum;
            sums += lanes;
          }
        }
      });
    }
  }

  Problem problem_;
  int threads_;
  WeightGradientPass<T> pass_;
  RowWeightGradient<T> along_rows_;
  ChannelWeightGradient<T> along_channels_;
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
