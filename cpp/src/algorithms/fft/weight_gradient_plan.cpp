/// The gradient of the weights by transforms: the input correlated with the gradient of the output,
/// which takes the kernel's place. X, G and P are the spectra of input, gradient and sums.
///
///     for each unit (in parallel, where there are many): a group, or a share of its output
///     channels
///       for each block of tiles
///         parallel for each tile and channel
///           pack the padded input into planes, transform it to X                   [L2]
///           pack the gradient of the output, zeros behind it, transform it to G
///         parallel for some layers f
///           for 3 (2) output channels
///             for 3 (2) input channels
///               P_f += X_f * conjugate(G_f): sum over the block's tiles            [registers]
///       parallel for each input channel and 16 output channels
///         transform P back, of which the taps' shifts are the gradient, store: layout
///
/// X is [f][input channel][tile], G is [f][output channel][tile], P is [f][output][input channel].
/// Tiles are added up in blocks that follow from the problem alone, one after the other, so that
/// the result does not depend on the threads. An input or gradient that is not finite reaches every
/// sum of its transforms: then all is computed again directly.
#include <algorithm>
#include <atomic>

#include "algorithms/direct/direct.hpp"
#include "algorithms/fft/fft.hpp"
#include "algorithms/fft/kernel_gradient.hpp"
#include "algorithms/fft/spectrum_product.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::fft_convolution {
namespace {

template <class T>
class WeightGradientPlan final : public detail::AlgorithmPlan {
 public:
  WeightGradientPlan(const Problem& problem, int threads, std::size_t max_workspace)
      : problem_(problem),
        kernels_(active_kernels().typed<T>()),
        threads_(threads),
        schedule_(problem, kernels_, threads, max_workspace),
        product_(kernels_),
        kernel_gradient_(problem_, schedule_, kernels_),
        for_non_finite_(direct::make_weight_gradient_plan<T>(problem, threads)) {
    for (std::size_t region = 0; region < schedule_.tiles.size(); ++region) {
      outputs_.push_back(std::make_unique<const DestinationTiles>(schedule_.runs[region].front(),
                                                                  schedule_.tiles[region]));
    }
  }

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return std::max(arena.used(), for_non_finite_->workspace_bytes());
  }

  void execute(const Arguments& arguments, void* workspace, const void*) const noexcept override {
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    std::atomic<bool> finite{true};
    const Call call{arguments, finite, memory};
    parallel_for(schedule_.units, schedule_.units_in_parallel ? threads_ : 1,
                 [&](std::int64_t unit, int thread) { compute_unit(call, unit, thread); });
    if (!finite) for_non_finite_->execute(arguments, workspace, nullptr);
  }

  std::string description() const override {
    const fft::TileSize& size = schedule_.transform->size();
    std::int64_t tiles = 0;
    for (const Tile& tile : schedule_.tiles) tiles += tile.tile_count();
    return "transforms of " + fft::to_string(size) + " points, " + std::to_string(tiles) +
           (tiles == 1 ? " tile" : " tiles") + " an image, added up in blocks of " +
           std::to_string(schedule_.block_tiles);
  }

 private:
  struct Workspace {
    T* inputs;
    T* gradients;
    T* sums;
    T* threads;
  };

  struct Call {
    const Arguments& arguments;
    std::atomic<bool>& finite;
    const Workspace& memory;
  };

  /// What the threads of a unit share.
  struct Unit {
    std::int64_t group;
    std::int64_t share;
    T* inputs;
    T* gradients;
    T* sums;
  };

  /// Elements of X and G, with the tiles of a channel side by side.
  std::int64_t input_size() const { return schedule_.source_size(); }
  std::int64_t gradient_size() const { return schedule_.result_size(); }

  std::int64_t thread_size() const {
    const fft::TileTransform<T>& transform = *schedule_.transform;
    const std::int64_t planes = schedule_.regions.planes();
    const std::int64_t batch =
        std::min(kMostBatch, std::max(schedule_.channels.sources, schedule_.channels.destinations));
    const std::int64_t packing = SourceSpectra<T>::scratch_size(batch, planes, transform);
    const std::int64_t size = std::max(packing, kernel_gradient_.scratch_size());
    return static_cast<std::int64_t>(
        round_up(static_cast<std::size_t>(size), kAlignment / sizeof(T)));
  }

  Workspace lay_out(Arena& arena) const {
    const auto take = [&](std::int64_t count) {
      return arena.take<T>(static_cast<std::size_t>(count));
    };
    const std::int64_t units = schedule_.units_in_parallel ? threads_ : 1;
    Workspace memory{};
    memory.inputs = take(units * input_size());
    memory.gradients = take(units * gradient_size());
    memory.sums = take(units * schedule_.kernel_size());
    memory.threads = take(threads_ * thread_size());
    return memory;
  }

  /// `outer` is the number of the thread; where units are computed one by one their parts are
  /// numbered anew.
  void compute_unit(const Call& call, std::int64_t index, int outer) const {
    const int threads = schedule_.units_in_parallel ? 1 : threads_;
    const ThreadMemory<T> scratch{
        call.memory.threads + (schedule_.units_in_parallel ? outer * thread_size() : 0),
        schedule_.units_in_parallel ? 0 : thread_size()};
    const Unit unit{index / schedule_.shares, index % schedule_.shares,
                    call.memory.inputs + outer * input_size(),
                    call.memory.gradients + outer * gradient_size(),
                    call.memory.sums + outer * schedule_.kernel_size()};
    const std::int64_t layers = schedule_.transform->layers();
    const std::int64_t step = product_.layers_per_step(schedule_.block_tiles);
    for (std::size_t b = 0; b < schedule_.blocks.size() && call.finite; ++b) {
      const TileBlock& block = schedule_.blocks[b];
      transform_block(call, unit, block, threads, scratch);
      parallel_for(ceil_divide(layers, step), threads, [&](std::int64_t part, int) {
        multiply(unit, block, part * step, std::min(step, layers - part * step), b > 0);
      });
    }
    if (call.finite && !kernel_gradient_.store(call.arguments.weight, unit.group, unit.share,
                                               unit.sums, threads, scratch)) {
      call.finite = false;
    }
  }

  void transform_block(const Call& call, const Unit& unit, const TileBlock& block, int threads,
                       const ThreadMemory<T>& scratch) const {
    const fft::TileTransform<T>& transform = *schedule_.transform;
    const auto& axes = problem_.axes;
    const direct::SourcePadding input_padding = direct::input_padding(problem_);
    const direct::SourcePadding no_padding{
        .sizes = {axes[0].output, axes[1].output, axes[2].output}, .mode = PaddingMode::zeros};
    const SourceSpectra<T> input(RealView(call.arguments.input), input_padding, transform,
                                 kernels_);
    const SourceSpectra<T> gradient(RealView(call.arguments.output), no_padding, transform,
                                    kernels_);
    const std::int64_t channels = schedule_.channels.sources;
    const std::int64_t number = transform.number_size();
    const std::int64_t row = schedule_.block_tiles * number;
    const SourceBlock<T> inputs(input, schedule_.tiles[block.region], block,
                                {unit.group * channels, channels},
                                {unit.inputs, number, row, schedule_.source_layer_step});
    const SourceBlock<T> gradients(
        gradient, outputs_[block.region]->tile(), block,
        {unit.group * schedule_.channels.destinations + schedule_.first_channel(unit.share),
         schedule_.channels_of(unit.share)},
        {unit.gradients, number, row, schedule_.result_layer_step});
    const std::int64_t input_pieces = schedule_.has_sources(unit.share) ? 0 : inputs.pieces();
    parallel_for(input_pieces + gradients.pieces(), threads, [&](std::int64_t piece, int thread) {
      const bool of_input = piece < input_pieces;
      const bool finite = of_input ? inputs.transform(piece, scratch.of(thread))
                                   : gradients.transform(piece - input_pieces, scratch.of(thread));
      if (!finite) call.finite = false;
    });
  }

  void multiply(const Unit& unit, const TileBlock& block, std::int64_t first, std::int64_t layers,
                bool adds) const {
    const std::int64_t number = schedule_.transform->number_size();
    const std::int64_t row = schedule_.block_tiles * number;
    product_.multiply(first, layers, block.count,
                      {{unit.inputs, row, number, schedule_.source_layer_step}, schedule_.sources},
                      {{unit.gradients, row, number, schedule_.result_layer_step},
                       schedule_.channels_of(unit.share)},
                      {unit.sums, number, schedule_.sources * number, schedule_.kernel_layer_step},
                      adds);
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  int threads_;
  Schedule<T> schedule_;
  SpectrumProduct<T> product_;
  KernelGradient<T> kernel_gradient_;
  std::vector<std::unique_ptr<const DestinationTiles>> outputs_;  ///< of each region
  std::unique_ptr<const detail::AlgorithmPlan> for_non_finite_;
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan(const Problem& problem,
                                                                       int threads,
                                                                       std::size_t max_workspace) {
  return std::make_unique<WeightGradientPlan<T>>(problem, threads, max_workspace);
}

template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<float>(
    const Problem&, int, std::size_t);
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<double>(
    const Problem&, int, std::size_t);

}  // namespace fastconv::fft_convolution
