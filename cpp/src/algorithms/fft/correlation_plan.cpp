/// Forward and backward-input convolution by transforms. D, U and M are the spectra of source,
/// kernels and results; they have layers f of one vector of frequencies each.
///
///     for each round of units: groups, or shares of a large group's destination channels
///       parallel for each destination channel: U = transformed kernels             [L3 or beyond]
///       for each unit and block of tiles (in parallel, where there are many)
///         parallel for each tile and source channel
///           pack the padded source into planes, transform it to D                  [L2]
///         parallel for some layers f
///           for 3 (2) results
///             for 3 (2) tiles
///               M_f = D_f * conjugate(U_f): sum over the sources                   [registers]
///         parallel for each tile, run and destination channel
///           transform M back, repair what is not finite, store: bias, activation, layout
///
/// U is [f][result][source], D is [f][tile][source], M is [f][tile][result], each a vector of real
/// parts and one of imaginary parts: vectors lie along frequencies, so that any number of channels
/// fills them. A source is a channel and plane of a stride, a result a channel and run.
#include <algorithm>
#include <atomic>

#include "algorithms/direct/bias.hpp"
#include "algorithms/fft/fft.hpp"
#include "algorithms/fft/result_spectra.hpp"
#include "algorithms/fft/spectrum_product.hpp"
#include "algorithms/reference/reference.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::fft_convolution {
namespace {

template <class T>
class CorrelationPlan final : public detail::AlgorithmPlan {
 public:
  CorrelationPlan(const Problem& problem, int threads, std::size_t max_workspace)
      : problem_(problem),
        kernels_(active_kernels().typed<T>()),
        threads_(threads),
        schedule_(problem, kernels_, threads, max_workspace),
        kernel_spectra_(problem_, schedule_.regions, *schedule_.transform, kernels_),
        product_(kernels_),
        result_spectra_(problem_, schedule_, kernel_spectra_, kernels_),
        for_non_finite_weights_(reference::make_plan(problem, 1)) {}

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  /// Packed weights begin with a word that says whether all are finite, and end with the memory
  /// that transforming them takes.
  std::size_t packed_weight_bytes() const override {
    return kAlignment + static_cast<std::size_t>(schedule_.units * schedule_.kernel_size() +
                                                 threads_ * thread_size()) *
                            sizeof(T);
  }

  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    T* spectra = packed_spectra(packed);
    *static_cast<bool*>(packed) = transform_kernels(
        weight, 0, schedule_.units, spectra, spectra + schedule_.units * schedule_.kernel_size());
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    const PassViews views(problem_, arguments);
    const bool packed = packed_weights != nullptr;
    const bool one_round = schedule_.units_per_round == schedule_.units;
    // What is added to must not be touched before all weights are known to be finite.
    bool finite = packed
                      ? *static_cast<const bool*>(packed_weights)
                      : one_round || !problem_.accumulate || all_finite(arguments.weight, memory);
    const T* bias =
        direct::read_bias(problem_, arguments, schedule_.channels.parts, kernels_, memory.bias);
    for (std::int64_t first = 0; finite && first < schedule_.units;
         first += schedule_.units_per_round) {
      const std::int64_t end = std::min(first + schedule_.units_per_round, schedule_.units);
      const T* kernels = memory.kernels;
      if (packed) {
        kernels =
            packed_spectra(const_cast<void*>(packed_weights)) + first * schedule_.kernel_size();
      } else {
        finite = transform_kernels(arguments.weight, first, end, memory.kernels, memory.threads);
      }
      if (finite) compute_round({views, kernels, bias, memory}, first, end);
    }
    if (!finite) for_non_finite_weights_->execute(arguments, nullptr, nullptr);
  }

  std::string description() const override {
    std::int64_t tiles = 0;
    for (const Tile& each : schedule_.tiles) tiles += each.tile_count();
    return "transforms of " + fft::to_string(schedule_.transform->size()) + " points, " +
           std::to_string(tiles) + (tiles == 1 ? " tile" : " tiles") + " an image, " +
           std::to_string(schedule_.sources) + " x " +
           std::to_string(schedule_.channels.destinations * schedule_.run_count) +
           " spectra of kernels in each group" + schedule_.regions.describe_periods() +
           (schedule_.shares > 1 ? " in " + std::to_string(schedule_.shares) + " shares" : "");
  }

 private:
  struct Workspace {
    T* kernels;
    T* bias;
    T* sources;
    T* results;
    T* threads;
    std::uint8_t* tiles;  ///< whether a tile's source holds what is not finite
    std::int64_t sources_stride;
    std::int64_t results_stride;
    std::int64_t tiles_stride;
  };

  struct Call {
    const PassViews& views;
    const T* kernels;  ///< of the round
    const T* bias;
    const Workspace& memory;
  };

  /// A block of tiles of one unit, and its spectra.
  struct Item {
    const TileBlock& block;
    std::int64_t group;
    std::int64_t share;
    const T* kernels;
    T* sources;
    T* results;
    std::uint8_t* non_finite;
    bool adds;
    bool in_order;  ///< several tiles may write one element
  };

  static T* packed_spectra(void* packed) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(packed) + kAlignment);
  }

  /// Elements that one thread needs beside spectra.
  std::int64_t thread_size() const {
    const fft::TileTransform<T>& transform = *schedule_.transform;
    const std::int64_t batch = std::min(kMostBatch, schedule_.channels.sources);
    const std::int64_t size =
        std::max({kernel_spectra_.scratch_size(), result_spectra_.scratch_size(),
                  SourceSpectra<T>::scratch_size(batch, schedule_.regions.planes(), transform)});
    return static_cast<std::int64_t>(
        round_up(static_cast<std::size_t>(size), kAlignment / sizeof(T)));
  }

  Workspace lay_out(Arena& arena) const {
    Workspace memory{};
    const auto elements = [](std::int64_t count) { return static_cast<std::size_t>(count); };
    const std::int64_t blocks = schedule_.blocks_in_parallel ? threads_ : 1;
    memory.sources_stride = schedule_.source_size();
    memory.results_stride = schedule_.result_size();
    memory.tiles_stride =
        static_cast<std::int64_t>(round_up(elements(schedule_.block_tiles), kAlignment));
    memory.kernels = arena.take<T>(elements(schedule_.units_per_round * schedule_.kernel_size()));
    memory.bias = arena.take<T>(
        problem_.has_bias ? elements(problem_.g * schedule_.channels.destinations) : 0);
    memory.sources = arena.take<T>(elements(blocks * memory.sources_stride));
    memory.results = arena.take<T>(elements(blocks * memory.results_stride));
    memory.threads = arena.take<T>(elements(threads_ * thread_size()));
    memory.tiles = arena.take<std::uint8_t>(elements(blocks * memory.tiles_stride));
    return memory;
  }

  bool all_finite(const TensorView& weight, const Workspace& memory) const {
    std::atomic<bool> finite{true};
    parallel_for(problem_.g, threads_, [&](std::int64_t group, int thread) {
      if (!kernel_spectra_.all_finite(weight, group, memory.threads + thread * thread_size())) {
        finite = false;
      }
    });
    return finite;
  }

  /// Those of units [first, end); says whether all weights are finite.
  bool transform_kernels(const TensorView& weight, std::int64_t first, std::int64_t end, T* to,
                         T* scratch) const {
    std::atomic<bool> finite{true};
    const std::int64_t number = schedule_.transform->number_size();
    const std::int64_t channel_size = schedule_.run_count * schedule_.sources * number;
    parallel_for(
        (end - first) * schedule_.share_channels, threads_, [&](std::int64_t index, int thread) {
          const std::int64_t unit = first + index / schedule_.share_channels;
          const std::int64_t share = unit % schedule_.shares;
          const std::int64_t channel = index % schedule_.share_channels;
          if (channel >= schedule_.channels_of(share)) return;
          T* spectra = to + (unit - first) * schedule_.kernel_size() + channel * channel_size;
          if (!kernel_spectra_.transform(
                  weight, unit / schedule_.shares, schedule_.first_channel(share) + channel,
                  spectra, schedule_.kernel_layer_step, scratch + thread * thread_size())) {
            finite = false;
          }
        });
    return finite;
  }

  void compute_round(const Call& call, std::int64_t first, std::int64_t end) const {
    for (const BlockStage& stage : schedule_.stages) {
      const bool in_parallel = schedule_.blocks_in_parallel && !stage.in_order;
      parallel_for((end - first) * stage.count, in_parallel ? threads_ : 1,
                   [&](std::int64_t index, int thread) {
                     const std::int64_t unit = first + index / stage.count;
                     const auto block = static_cast<std::size_t>(stage.first + index % stage.count);
                     const Workspace& memory = call.memory;
                     const Item item{schedule_.blocks[block],
                                     unit / schedule_.shares,
                                     unit % schedule_.shares,
                                     call.kernels + (unit - first) * schedule_.kernel_size(),
                                     memory.sources + thread * memory.sources_stride,
                                     memory.results + thread * memory.results_stride,
                                     memory.tiles + thread * memory.tiles_stride,
                                     stage.adds,
                                     stage.in_order};
                     compute_item(call, item, thread);
                   });
    }
  }

  /// `outer` is the number of the thread; where blocks are computed one by one their parts are
  /// numbered anew.
  void compute_item(const Call& call, const Item& item, int outer) const {
    const int threads = schedule_.blocks_in_parallel ? 1 : threads_;
    const ThreadMemory<T> scratch{
        call.memory.threads + (schedule_.blocks_in_parallel ? outer * thread_size() : 0),
        schedule_.blocks_in_parallel ? 0 : thread_size()};
    if (!schedule_.has_sources(item.share)) transform_sources(call, item, threads, scratch);
    const std::int64_t step = product_.layers_per_step(schedule_.sources);
    const std::int64_t layers = schedule_.transform->layers();
    parallel_for(ceil_divide(layers, step), threads, [&](std::int64_t index, int) {
      multiply(item, index * step, std::min(step, layers - index * step));
    });
    result_spectra_.store(
        call.views, call.bias,
        {item.block, item.group, item.share, item.results, item.non_finite, item.adds},
        item.in_order ? 1 : threads, scratch);
  }

  void transform_sources(const Call& call, const Item& item, int threads,
                         const ThreadMemory<T>& scratch) const {
    const std::int64_t number = schedule_.transform->number_size();
    const std::int64_t channels = schedule_.channels.sources;
    const SourceSpectra<T> spectra(call.views.source, call.views.padding, *schedule_.transform,
                                   kernels_);
    const SourceBlock<T> sources(
        spectra, schedule_.tiles[item.block.region], item.block, {item.group * channels, channels},
        {item.sources, schedule_.sources * number, number, schedule_.source_layer_step});
    std::fill_n(item.non_finite, item.block.count, std::uint8_t{0});
    parallel_for(sources.pieces(), threads, [&](std::int64_t piece, int thread) {
      if (!sources.transform(piece, scratch.of(thread))) {
        std::atomic_ref(item.non_finite[sources.tile_of(piece)])
            .store(1, std::memory_order_relaxed);
      }
    });
  }

  void multiply(const Item& item, std::int64_t first, std::int64_t layers) const {
    const std::int64_t number = schedule_.transform->number_size();
    const std::int64_t row = schedule_.sources * number;
    const std::int64_t results = schedule_.channels_of(item.share) * schedule_.run_count;
    const std::int64_t result_row = schedule_.share_channels * schedule_.run_count * number;
    product_.multiply(first, layers, schedule_.sources,
                      {{item.sources, row, number, schedule_.source_layer_step}, item.block.count},
                      {{item.kernels, row, number, schedule_.kernel_layer_step}, results},
                      {item.results, result_row, number, schedule_.result_layer_step}, false);
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  int threads_;
  Schedule<T> schedule_;
  KernelSpectra<T> kernel_spectra_;
  SpectrumProduct<T> product_;
  ResultSpectra<T> result_spectra_;
  /// An infinite weight reaches every sum of its transform. The plain loops take no time to
  /// prepare.
  std::unique_ptr<const detail::AlgorithmPlan> for_non_finite_weights_;
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan(const Problem& problem,
                                                                   int threads,
                                                                   std::size_t max_workspace) {
  return std::make_unique<CorrelationPlan<T>>(problem, threads, max_workspace);
}

template std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan<float>(const Problem&,
                                                                                   int,
                                                                                   std::size_t);
template std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan<double>(const Problem&,
                                                                                    int,
                                                                                    std::size_t);

}  // namespace fastconv::fft_convolution
