/// Both gradients of a convolution by transforms. The gradient of the output is transformed once:
/// its spectra D times those of the kernels U are the input's gradient M, and correlated with the
/// input's own spectra G, tile by tile where M is stored, they add up to the kernels' gradient P.
///
///     for each unit (in parallel, where there are many): a group, or a share of its input channels
///       parallel for each input channel: U = transformed kernels
///       for each block of tiles
///         parallel for each tile and channel
///           pack the gradient of the output, transform it to D                      [L2]
///           pack the input that the tile's results stand for, transform it to G
///         parallel for some layers f
///           M_f = D_f * conjugate(U_f): sum over the output channels           [registers]
///           P_f += D_f * conjugate(G_f): sum over the block's tiles
///         parallel for each tile, run and input channel
///           transform M back, repair what is not finite, store: layout
///       parallel for each run, input channel and 16 output channels
///         transform P back, of which the taps' shifts are the gradient, store: layout
///
/// D is [f][output channel][tile], G is [f][input channel and run][tile], U, M and P are as in the
/// other plans. Blocks are added up in their order, so that results do not depend on the threads.
#include <algorithm>
#include <atomic>

#include "algorithms/direct/direct.hpp"
#include "algorithms/fft/fft.hpp"
#include "algorithms/fft/kernel_gradient.hpp"
#include "algorithms/fft/result_spectra.hpp"
#include "algorithms/fft/spectrum_product.hpp"
#include "algorithms/reference/reference.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::fft_convolution {
namespace {

template <class T>
class GradientsPlan final : public detail::AlgorithmGradientsPlan {
 public:
  GradientsPlan(const Problem& input_gradient, const Problem& weight_gradient, int threads,
                std::size_t max_workspace)
      : input_problem_(input_gradient),
        weight_problem_(weight_gradient),
        kernels_(active_kernels().typed<T>()),
        threads_(threads),
        // Spectra of kernels and of results have counterparts as large.
        schedule_(input_problem_, kernels_, threads, max_workspace / 2),
        kernel_spectra_(input_problem_, schedule_.regions, *schedule_.transform, kernels_),
        product_(kernels_),
        result_spectra_(input_problem_, schedule_, kernel_spectra_, kernels_),
        kernel_gradient_(weight_problem_, schedule_, kernels_),
        for_non_finite_weights_(reference::make_plan(input_problem_, 1)),
        for_non_finite_tensors_(direct::make_plan(weight_problem_, threads)) {
    for (std::size_t region = 0; region < schedule_.tiles.size(); ++region) {
      for (const Runs& runs : schedule_.runs[region]) {
        inputs_.push_back(std::make_unique<const DestinationTiles>(runs, schedule_.tiles[region]));
      }
    }
    const std::int64_t number = schedule_.transform->number_size();
    // Tiles lie side by side in D and G; an odd number keeps channels out of each other's way.
    row_ = (schedule_.block_tiles | 1) * number;
    gradient_layer_step_ = row_ * schedule_.sources + number;
    input_layer_step_ = row_ * schedule_.share_channels * schedule_.run_count + number;
  }

  /// Whether one pass is faster than two: not if the spectra of the kernels and of their gradient
  /// stay in a cache only one after the other.
  bool pays() const {
    return schedule_.kernels_stay_cached(2) || !schedule_.kernels_stay_cached(1);
  }

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return std::max(arena.used(), for_non_finite_tensors_->workspace_bytes());
  }

  void execute(const GradientArguments& tensors, void* workspace) const noexcept override {
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    const Arguments of_input = tensors.of_input();
    const Arguments of_weight = tensors.of_weight();
    const PassViews views(input_problem_, of_input);
    Call call{tensors, views, memory};
    parallel_for(schedule_.units, schedule_.units_in_parallel ? threads_ : 1,
                 [&](std::int64_t unit, int thread) { compute_unit(call, unit, thread); });
    if (!call.weights_finite) for_non_finite_weights_->execute(of_input, nullptr, nullptr);
    if (!call.tensors_finite) for_non_finite_tensors_->execute(of_weight, workspace, nullptr);
  }

 private:
  struct Workspace {
    T* kernels;
    T* sums;
    T* gradients;
    T* inputs;
    T* results;
    T* threads;
    std::uint8_t* tiles;  ///< whether a tile's gradient holds what is not finite
    std::int64_t tiles_stride;
  };

  struct Call {
    const GradientArguments& tensors;
    const PassViews& views;
    const Workspace& memory;
    std::atomic<bool> weights_finite{true};
    std::atomic<bool> tensors_finite{true};
  };

  /// What the threads of a unit share.
  struct Unit {
    std::int64_t group;
    std::int64_t share;
    T* kernels;
    T* sums;
    T* gradients;
    T* inputs;
    T* results;
    std::uint8_t* non_finite;
    int threads;
    ThreadMemory<T> scratch;
  };

  std::int64_t layers() const { return schedule_.transform->layers(); }

  std::int64_t thread_size() const {
    const std::int64_t batch =
        std::min(kMostBatch, std::max(schedule_.channels.sources, schedule_.share_channels));
    const std::int64_t size = std::max(
        {kernel_spectra_.scratch_size(), result_spectra_.scratch_size(),
         kernel_gradient_.scratch_size(),
         SourceSpectra<T>::scratch_size(batch, schedule_.regions.planes(), *schedule_.transform)});
    return static_cast<std::int64_t>(
        round_up(static_cast<std::size_t>(size), kAlignment / sizeof(T)));
  }

  Workspace lay_out(Arena& arena) const {
    const std::int64_t units = schedule_.units_in_parallel ? threads_ : 1;
    const auto take = [&](std::int64_t count) {
      return arena.take<T>(static_cast<std::size_t>(count));
    };
    Workspace memory{};
    memory.kernels = take(units * schedule_.kernel_size());
    memory.sums = take(units * schedule_.kernel_size());
    memory.gradients = take(units * layers() * gradient_layer_step_);
    memory.inputs = take(units * layers() * input_layer_step_);
    memory.results = take(units * schedule_.result_size());
    memory.threads = take(threads_ * thread_size());
    memory.tiles_stride = static_cast<std::int64_t>(
        round_up(static_cast<std::size_t>(schedule_.block_tiles), kAlignment));
    memory.tiles = arena.take<std::uint8_t>(static_cast<std::size_t>(units * memory.tiles_stride));
    return memory;
  }

  /// `outer` is the number of the thread; where units are computed one by one their parts are
  /// numbered anew.
  void compute_unit(Call& call, std::int64_t index, int outer) const {
    const Workspace& memory = call.memory;
    const bool alone = schedule_.units_in_parallel;
    const Unit unit{
        index / schedule_.shares,
        index % schedule_.shares,
        memory.kernels + outer * schedule_.kernel_size(),
        memory.sums + outer * schedule_.kernel_size(),
        memory.gradients + outer * layers() * gradient_layer_step_,
        memory.inputs + outer * layers() * input_layer_step_,
        memory.results + outer * schedule_.result_size(),
        memory.tiles + outer * memory.tiles_stride,
        alone ? 1 : threads_,
        {memory.threads + (alone ? outer * thread_size() : 0), alone ? 0 : thread_size()}};
    transform_kernels(call, unit);
    const std::int64_t step =
        product_.layers_per_step(std::max(schedule_.sources, schedule_.block_tiles));
    for (std::size_t b = 0; b < schedule_.blocks.size(); ++b) {
      const TileBlock& block = schedule_.blocks[b];
      transform_block(call, unit, block);
      parallel_for(ceil_divide(layers(), step), unit.threads, [&](std::int64_t part, int) {
        multiply(unit, block, part * step, std::min(step, layers() - part * step), b > 0);
      });
      if (call.weights_finite) {
        result_spectra_.store(call.views, nullptr,
                              {block, unit.group, unit.share, unit.results, unit.non_finite, false},
                              unit.threads, unit.scratch);
      }
    }
    if (!kernel_gradient_.store(call.tensors.grad_weight, unit.group, unit.share, unit.sums,
                                unit.threads, unit.scratch)) {
      call.tensors_finite = false;
    }
  }

  void transform_kernels(Call& call, const Unit& unit) const {
    const std::int64_t channel_size =
        schedule_.run_count * schedule_.sources * schedule_.transform->number_size();
    parallel_for(
        schedule_.channels_of(unit.share), unit.threads, [&](std::int64_t channel, int thread) {
          if (!kernel_spectra_.transform(call.tensors.weight, unit.group,
                                         schedule_.first_channel(unit.share) + channel,
                                         unit.kernels + channel * channel_size,
                                         schedule_.kernel_layer_step, unit.scratch.of(thread))) {
            call.weights_finite = false;
          }
        });
  }

  void transform_block(Call& call, const Unit& unit, const TileBlock& block) const {
    const fft::TileTransform<T>& transform = *schedule_.transform;
    const std::int64_t number = transform.number_size();
    const std::int64_t channels = schedule_.channels.sources;
    const std::int64_t runs = schedule_.run_count;
    const direct::SourcePadding input_padding = direct::input_padding(weight_problem_);
    const SourceSpectra<T> gradient(call.views.source, call.views.padding, transform, kernels_);
    const SourceSpectra<T> input(RealView(call.tensors.input), input_padding, transform, kernels_);
    const SourceBlock<T> gradients(gradient, schedule_.tiles[block.region], block,
                                   {unit.group * channels, channels},
                                   {unit.gradients, number, row_, gradient_layer_step_});
    const auto inputs_of = [&](std::int64_t run) {
      return SourceBlock<T>(
          input,
          inputs_[block.region * static_cast<std::size_t>(runs) + static_cast<std::size_t>(run)]
              ->tile(),
          block,
          {unit.group * schedule_.channels.destinations + schedule_.first_channel(unit.share),
           schedule_.channels_of(unit.share)},
          {unit.inputs + run * row_, number, runs * row_, input_layer_step_});
    };
    const std::int64_t pieces_of_run = inputs_of(0).pieces();
    const std::int64_t gradient_pieces = schedule_.has_sources(unit.share) ? 0 : gradients.pieces();
    if (gradient_pieces > 0) std::fill_n(unit.non_finite, block.count, std::uint8_t{0});
    parallel_for(gradient_pieces + runs * pieces_of_run, unit.threads,
                 [&](std::int64_t piece, int thread) {
                   T* scratch = unit.scratch.of(thread);
                   const std::int64_t of_inputs = piece - gradient_pieces;
                   if (of_inputs < 0) {
                     if (gradients.transform(piece, scratch)) return;
                     std::atomic_ref(unit.non_finite[gradients.tile_of(piece)])
                         .store(1, std::memory_order_relaxed);
                   } else if (inputs_of(of_inputs / pieces_of_run)
                                  .transform(of_inputs % pieces_of_run, scratch)) {
                     return;
                   }
                   call.tensors_finite = false;
                 });
  }

  void multiply(const Unit& unit, const TileBlock& block, std::int64_t first, std::int64_t count,
                bool adds) const {
    const std::int64_t number = schedule_.transform->number_size();
    const std::int64_t sources = schedule_.sources;
    const std::int64_t kernel_row = sources * number;
    const std::int64_t results = schedule_.channels_of(unit.share) * schedule_.run_count;
    const std::int64_t result_row = schedule_.share_channels * schedule_.run_count * number;
    // First what reads D as it lies in memory: then the other one finds it in a cache.
    product_.multiply(first, count, block.count,
                      {{unit.gradients, row_, number, gradient_layer_step_}, sources},
                      {{unit.inputs, row_, number, input_layer_step_}, results},
                      {unit.sums, number, kernel_row, schedule_.kernel_layer_step}, adds);
    product_.multiply(first, count, sources,
                      {{unit.gradients, number, row_, gradient_layer_step_}, block.count},
                      {{unit.kernels, kernel_row, number, schedule_.kernel_layer_step}, results},
                      {unit.results, result_row, number, schedule_.result_layer_step}, false);
  }

  Problem input_problem_;
  Problem weight_problem_;
  const TypedKernels<T>& kernels_;
  int threads_;
  Schedule<T> schedule_;
  KernelSpectra<T> kernel_spectra_;
  SpectrumProduct<T> product_;
  ResultSpectra<T> result_spectra_;
  KernelGradient<T> kernel_gradient_;
  std::vector<std::unique_ptr<const DestinationTiles>> inputs_;  ///< of each region and run
  std::int64_t row_;
  std::int64_t gradient_layer_step_;
  std::int64_t input_layer_step_;
  std::unique_ptr<const detail::AlgorithmPlan> for_non_finite_weights_;
  std::unique_ptr<const detail::AlgorithmPlan> for_non_finite_tensors_;
};

/// Whether every element of the kernel has a position of the input that it meets: only those have a
/// place among the transforms that the two gradients share.
bool all_taps_are_met(const Problem& problem) {
  for (const Axis& axis : problem.axes) {
    std::int64_t taps = 0;
    for (const AxisPhases& phases :
         direct::backward_phases(axis, problem.padding_mode, problem.flip, false)) {
      for (const direct::AxisRun& run : phases.runs) taps += run.tap_count();
    }
    if (taps != axis.kernel) return false;
  }
  return true;
}

}  // namespace

std::unique_ptr<const detail::AlgorithmGradientsPlan> make_gradients_plan(
    const Problem& input_gradient, const Problem& weight_gradient, int threads,
    std::size_t max_workspace) {
  // What lies in the padding belongs to the gradient of the weights, but is no part of the input.
  if (input_gradient.padding_mode != PaddingMode::zeros || !all_taps_are_met(input_gradient) ||
      input_gradient.compute_type() != weight_gradient.compute_type() ||
      choose_tile(input_gradient).seconds < 0.0) {
    return nullptr;
  }
  const auto make = [&]<class T>(T) -> std::unique_ptr<const detail::AlgorithmGradientsPlan> {
    auto plan = std::make_unique<const GradientsPlan<T>>(input_gradient, weight_gradient, threads,
                                                         max_workspace);
    return plan->pays() ? std::move(plan) : nullptr;
  };
  return input_gradient.compute_type() == ComputeType::float32 ? make(float()) : make(double());
}

}  // namespace fastconv::fft_convolution
