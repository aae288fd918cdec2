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
#include "algorithms/direct/weight_gradient_store.hpp"
#include "algorithms/fft/fft.hpp"
#include "algorithms/fft/schedule.hpp"
#include "algorithms/fft/source_spectra.hpp"
#include "algorithms/fft/spectrum_product.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::fft_convolution {
namespace {

using direct::RealView;

/// The outputs that the positions of a run stand for.
AxisPhases output_phases(const direct::AxisRun& run) {
  AxisPhases phases;
  phases.count = run.count;
  phases.source_first = run.destination_first;
  phases.source_step = run.destination_step;
  phases.runs.push_back(run);
  phases.runs.front().taps = {{0, 0}};
  return phases;
}

/// The outputs of one region, in tiles like those of the input.
struct OutputRegion {
  OutputRegion(const Runs& runs, const Tile& input)
      : phases{output_phases(*runs[0]), output_phases(*runs[1]), output_phases(*runs[2])},
        tile({&phases[0], &phases[1], &phases[2]}, input.size, input.pitch) {}
  OutputRegion(const OutputRegion&) = delete;
  OutputRegion& operator=(const OutputRegion&) = delete;

  std::array<AxisPhases, 3> phases;
  Tile tile;
};

template <class T>
class WeightGradientPlan final : public detail::AlgorithmPlan {
 public:
  WeightGradientPlan(const Problem& problem, int threads, std::size_t max_workspace)
      : problem_(problem),
        kernels_(active_kernels().typed<T>()),
        threads_(threads),
        schedule_(problem, kernels_, threads, max_workspace),
        product_(kernels_),
        for_non_finite_(direct::make_weight_gradient_plan<T>(problem, threads)) {
    for (std::size_t region = 0; region < schedule_.tiles.size(); ++region) {
      outputs_.push_back(std::make_unique<const OutputRegion>(schedule_.runs[region].front(),
                                                              schedule_.tiles[region]));
    }
    offsets_ = schedule_.tiles.front().tap_offsets(schedule_.runs.front().front());
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

  /// Output channels that are stored together.
  static constexpr std::int64_t kStoredOutputs = 16;

  /// Elements of X and G, with the tiles of a channel side by side.
  std::int64_t input_size() const { return schedule_.source_size(); }
  std::int64_t gradient_size() const { return schedule_.result_size(); }

  std::int64_t stored_sums() const {
    return kStoredOutputs * schedule_.channels.parts * static_cast<std::int64_t>(offsets_.size());
  }

  std::int64_t thread_size() const {
    const fft::TileTransform<T>& transform = *schedule_.transform;
    const std::int64_t planes = schedule_.regions.planes();
    const std::int64_t batch =
        std::min(kMostBatch, std::max(schedule_.channels.sources, schedule_.channels.destinations));
    const std::int64_t packing = SourceSpectra<T>::scratch_size(batch, planes, transform);
    const std::int64_t storing = stored_sums() + transform.plane_size() + transform.scratch_size();
    return static_cast<std::int64_t>(
        round_up(static_cast<std::size_t>(std::max(packing, storing)), kAlignment / sizeof(T)));
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
    const auto scratch = [&](int thread) {
      return call.memory.threads + (schedule_.units_in_parallel ? outer : thread) * thread_size();
    };
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
    if (call.finite) store(call, unit, threads, scratch);
  }

  template <class ScratchOf>
  void transform_block(const Call& call, const Unit& unit, const TileBlock& block, int threads,
                       const ScratchOf& scratch) const {
    const fft::TileTransform<T>& transform = *schedule_.transform;
    const auto& axes = problem_.axes;
    const direct::SourcePadding input_padding = direct::input_padding(problem_);
    const direct::SourcePadding no_padding{
        .sizes = {axes[0].output, axes[1].output, axes[2].output}, .mode = PaddingMode::zeros};
    const RealView input(call.arguments.input);
    const RealView gradient(call.arguments.output);
    const SourceSpectra<T> inputs(input, input_padding, transform, kernels_);
    const SourceSpectra<T> gradients(gradient, no_padding, transform, kernels_);
    const Tile& tile = schedule_.tiles[block.region];
    const Tile& output_tile = outputs_[block.region]->tile;
    const std::int64_t channels = schedule_.channels.sources;
    const std::int64_t outputs = schedule_.channels_of(unit.share);
    const std::int64_t input_batch = SourceSpectra<T>::batch(input, channels, transform);
    const std::int64_t output_batch = SourceSpectra<T>::batch(gradient, outputs, transform);
    const std::int64_t input_items = ceil_divide(channels, input_batch);
    const std::int64_t items = input_items + ceil_divide(outputs, output_batch);
    const std::int64_t number = transform.number_size();
    const std::int64_t row = schedule_.block_tiles * number;
    parallel_for(block.count * items, threads, [&](std::int64_t index, int thread) {
      const std::int64_t in_block = index / items;
      const std::int64_t at = block.first + in_block;
      const std::int64_t n = at / tile.tile_count();
      const Extent origin = tile.origin(at % tile.tile_count());
      bool finite = true;
      if (index % items < input_items) {
        const std::int64_t first = index % items * input_batch;
        finite = inputs.transform(tile, origin, n, unit.group * channels + first,
                                  std::min(input_batch, channels - first),
                                  unit.inputs + first * tile.planes * row + in_block * number, row,
                                  schedule_.source_layer_step, scratch(thread));
      } else {
        const std::int64_t first = (index % items - input_items) * output_batch;
        finite = gradients.transform(output_tile, origin, n,
                                     unit.group * schedule_.channels.destinations +
                                         schedule_.first_channel(unit.share) + first,
                                     std::min(output_batch, outputs - first),
                                     unit.gradients + first * row + in_block * number, row,
                                     schedule_.result_layer_step, scratch(thread));
      }
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

  template <class ScratchOf>
  void store(const Call& call, const Unit& unit, int threads, const ScratchOf& scratch) const {
    const fft::TileTransform<T>& transform = *schedule_.transform;
    const Runs& runs = schedule_.runs.front().front();
    const RealView weight(call.arguments.weight);
    const direct::WeightGradientStore<T> weights(problem_, kernels_, runs, weight,
                                                 problem_.k / problem_.g * weight.stride(0));
    const std::int64_t parts = schedule_.channels.parts;
    const std::int64_t planes = schedule_.regions.planes();
    const std::int64_t outputs = schedule_.channels_of(unit.share);
    const std::int64_t output_blocks = ceil_divide(outputs, kStoredOutputs);
    const std::int64_t number = transform.number_size();
    const auto taps = static_cast<std::int64_t>(offsets_.size());
    const std::int64_t columns =
        transform.size().sequence ? transform.size().columns : schedule_.regions.reach(2) + 1;
    parallel_for(
        schedule_.channels.sources / parts * output_blocks, threads,
        [&](std::int64_t index, int thread) {
          const std::int64_t channel = index / output_blocks * parts;
          const std::int64_t first = index % output_blocks * kStoredOutputs;
          const std::int64_t count = std::min(kStoredOutputs, outputs - first);
          T* sums = scratch(thread);
          T* plane = sums + stored_sums();
          T* work = plane + transform.plane_size();
          for (std::int64_t source = channel * planes; source < (channel + parts) * planes;
               ++source) {
            T* channel_sums = sums + (source / planes - channel) * taps * count;
            for (std::int64_t k = 0; k < count; ++k) {
              transform.inverse(unit.sums + ((first + k) * schedule_.sources + source) * number,
                                schedule_.kernel_layer_step, columns, plane, work);
              const std::int64_t plane_first = source % planes * transform.plane_size();
              for (std::int64_t tap = 0; tap < taps; ++tap) {
                const std::int64_t at = offsets_[static_cast<std::size_t>(tap)] - plane_first;
                if (at >= 0 && at < transform.plane_size())
                  channel_sums[tap * count + k] = plane[at];
              }
            }
          }
          weights.store(
              {unit.group, schedule_.first_channel(unit.share) + first, count, channel, parts},
              {sums, count, 1, 0});
        });
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  int threads_;
  Schedule<T> schedule_;
  SpectrumProduct<T> product_;
  std::vector<std::unique_ptr<const OutputRegion>> outputs_;
  std::vector<std::int64_t> offsets_;  ///< of the taps in the planes of a channel
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
