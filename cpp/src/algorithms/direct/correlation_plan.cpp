/// Forward and backward-input convolution. A destination channel is written, source channels are
/// read (forward: output and input; backward: the other way round). For every region (phases that
/// read one window along each axis, see geometry.hpp):
///
///     parallel for each image, block of groups, tile, share of the destination channels
///       pack the tile's source into padded planes, once for a thread's shares  [L2]
///       for each phase
///         along the pixels:
///           for each flat run of positions (a row, a slice or the whole tile)
///             for each group, block of 8 (6, 4, 3, 2, 1) channels              [weights in L1]
///               for 3 (6, 8) vectors of positions at a time
///                 for each source channel and tap: the microkernel             [registers]
///               store 16 channels: bias, sum with the destination, activation, conversion
///           (for each block, flat run, where sums are formed in the destination itself)
///         along the channels:
///           for each group, block of 2 vectors of destination channels
///             for each piece of the depth, flat run of positions         [weights in L1 or L2]
///               for 14 positions at a time
///                 for each source channel and tap: the microkernel             [registers]
///             store the block
///
/// Packed weights are [set of taps][group][block][source channel][tap][row of the block]. They are
/// packed beforehand, or as they are used where that happens once: then a piece of a block for all
/// sets of taps. Where few positions would share the work of packing and the microkernels can, they
/// read weights where they lie (weights_in_place.hpp), as they read a source that meets no padding.
/// Two phases whose rows alternate in memory are stored together. Where taps in the padding are
/// left out, every box of positions that the same taps meet is a phase; all of them share a piece
/// of the weights, in the order [tap][source channel], before the next is used. On an ordinary 3x3
/// layer more than nine tenths of the time are multiply-adds.
#include <algorithm>
#include <atomic>
#include <optional>

#include "algorithms/direct/bias.hpp"
#include "algorithms/direct/correlation_item.hpp"
#include "algorithms/direct/correlation_schedule.hpp"
#include "algorithms/direct/correlation_source.hpp"
#include "algorithms/direct/correlation_store.hpp"
#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/joined_products.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/direct/weight_packing.hpp"
#include "algorithms/reference/reference.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::direct {
namespace {

template <class T>
const TypedKernels<T>& kernels_for(const Problem& problem) {
  if constexpr (std::is_same_v<T, std::int32_t>) {
    return int32_kernels(problem);
  } else {
    return active_kernels().typed<T>();
  }
}

template <class T>
class CorrelationPlan final : public detail::AlgorithmPlan {
 public:
  CorrelationPlan(const Problem& problem, int threads)
      : problem_(problem),
        kernels_(kernels_for<T>(problem)),
        schedule_(problem, kernels_, threads) {
    if (schedule_.leaves_out_padding ||
        (problem.pass == Pass::backward_input && schedule_.reads_beyond(source_padding().sizes))) {
      for_non_finite_weights_ = reference::make_plan(problem, 1);
    }
  }

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  std::size_t packed_weight_bytes() const override {
    const std::int64_t starts = schedule_.source_shift != 0 ? schedule_.packed_rows() : 0;
    return kAlignment +
           static_cast<std::size_t>(schedule_.packed_weight_count() + starts) * sizeof(T);
  }

  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    const WeightPacker<T> packer(problem_, weight, kernels_);
    std::atomic<bool> finite{true};
    T* blocks = packed_blocks(packed);
    T* starts = blocks + schedule_.packed_weight_count();
    if (schedule_.source_shift != 0) std::fill_n(starts, schedule_.packed_rows(), T(0));
    const auto block_count = schedule_.block_count();
    parallel_for(problem_.g * block_count, schedule_.threads, [&](std::int64_t index, int) {
      const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(index % block_count)];
      const std::int64_t group = index / block_count;
      const std::int64_t rows_before = group * schedule_.padded_rows + block.packed_first;
      const bool all_at_once = packer.pack_elements(
          schedule_.tap_targets, group, block.first, block.channels, block.rows,
          schedule_.packed_rows(), rows_before, {0, schedule_.source_channels}, blocks);
      for (const TapSet& taps : schedule_.tap_sets) {
        T* to = blocks + taps.depth_before * schedule_.packed_rows() + rows_before * taps.depth;
        if (!all_at_once) {
          pack_pieces(packer, taps, group, block, to);
        }
        if (checks_weights() && !kernels_.all_finite(to, block.rows * taps.depth)) finite = false;
        if constexpr (std::is_same_v<T, std::int32_t>) {
          if (schedule_.source_shift == 0) continue;
          sum_shifted_weights(block, to, taps.depth, kernels_.lanes, schedule_.source_shift,
                              starts + rows_before);
        }
      }
    });
    *static_cast<bool*>(packed) = finite;
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    if (schedule_.regions.empty()) return;
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    const WeightPacker<T> packer(problem_, arguments.weight, kernels_);
    std::atomic<bool> finite{true};
    CallWeights<T> weights{nullptr, nullptr, nullptr, packer, finite, checks_weights()};
    std::optional<WeightsInPlace<T>> in_place;
    if (packed_weights == nullptr && schedule_.may_use_weights_in_place) {
      in_place.emplace(schedule_, problem_, kernels_, arguments.weight, checks_weights(),
                       memory.weight_offsets);
    }
    if (in_place && in_place->possible()) {
      weights.in_place = &*in_place;
    } else if (packed_weights != nullptr || !schedule_.uses_weights_once) {
      if (packed_weights == nullptr) {
        pack_weights(arguments.weight, memory.weights);
        packed_weights = memory.weights;
      }
      weights.packed = packed_blocks(const_cast<void*>(packed_weights));
      if (schedule_.source_shift != 0) {
        weights.starts = weights.packed + schedule_.packed_weight_count();
      }
      finite = *static_cast<const bool*>(packed_weights);
    }
    if (finite) compute(arguments, weights, memory);
    if (!finite) for_non_finite_weights_->execute(arguments, nullptr, nullptr);
  }

  std::string description() const override {
    if (schedule_.regions.empty()) return "nothing to compute";
    const Tile& tile = schedule_.regions.front().tile;
    return register_tile() + " in registers" + products() + ", tiles of " +
           std::to_string(tile.size[0]) + "x" + std::to_string(tile.size[1]) + "x" +
           std::to_string(tile.size[2]) + ", " + std::to_string(schedule_.regions.size()) +
           (schedule_.regions.size() == 1 ? " region" : " regions");
  }

 private:
  std::string register_tile() const {
    const Block<T>& block = schedule_.blocks.front();
    if (along_channels()) {
      const auto& kernel = *block.channel_kernels[kMostSplitPixels];
      return std::to_string(kernel.pixels) + " pixels x " + std::to_string(block.rows) +
             " channels";
    }
    const auto& kernel = *block.kernels[kMaxCorrelationVectors];
    return std::to_string(kernel.rows) + " channels x " +
           std::to_string(kernel.vectors * kernels_.lanes) + " pixels";
  }

  const char* products() const {
    return kernels_.channels_per_element == 4   ? ", products in quads"
           : kernels_.channels_per_element == 2 ? ", products in pairs"
                                                : "";
  }

  bool along_channels() const { return schedule_.lanes_along == LanesAlong::channels; }

  /// The weights of a block, all source channels at once or, where they are ordered by taps, piece
  /// by piece.
  void pack_pieces(const WeightPacker<T>& packer, const TapSet& taps, std::int64_t group,
                   const Block<T>& block, T* to) const {
    const std::int64_t channels = schedule_.source_channels;
    const std::int64_t piece = schedule_.leaves_out_padding ? schedule_.sources_together
                                                            : std::max<std::int64_t>(1, channels);
    for (std::int64_t first = 0; first < channels; first += piece) {
      packer.pack_block(taps.runs, group, block.first, block.channels, block.rows,
                        {first, std::min(piece, channels - first)}, schedule_.weight_order(),
                        to + first * tap_count(taps.runs) * block.rows);
    }
  }

  /// Packed weights begin with a word that says whether all are finite.
  static T* packed_blocks(void* packed) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(packed) + kAlignment);
  }

  struct Workspace {
    void* weights;
    T* bias;
    std::int64_t* offsets;         ///< into a source that is read in place
    std::int64_t* weight_offsets;  ///< likewise
    T* packed;
    T* sums;
    T* planes;
    T* blocks;
    std::int64_t* packed_sources;
    std::int64_t packed_stride;
    std::int64_t sums_stride;
    std::int64_t planes_stride;
    std::int64_t blocks_stride;

    ItemMemory<T> of_thread(int thread) const {
      return {packed + thread * packed_stride, sums + thread * sums_stride,
              planes + thread * planes_stride, blocks + thread * blocks_stride,
              packed_sources + thread};
    }
  };

  Workspace lay_out(Arena& arena) const {
    Workspace memory{};
    memory.weights = arena.take<std::byte>(schedule_.uses_weights_once ? 0 : packed_weight_bytes());
    memory.bias = arena.take<T>(
        problem_.has_bias ? static_cast<std::size_t>(problem_.g * schedule_.destination_channels)
                          : 0);
    memory.offsets = arena.take<std::int64_t>(static_cast<std::size_t>(schedule_.total_depth));
    memory.weight_offsets = arena.take<std::int64_t>(
        schedule_.may_use_weights_in_place ? static_cast<std::size_t>(schedule_.all_depth) : 0);
    // The last flat run of the last plane is read in whole vectors.
    const std::size_t slack = static_cast<std::size_t>(kernels_.lanes);
    const std::size_t packed =
        round_up((static_cast<std::size_t>(schedule_.packed_size) + slack) * sizeof(T), kAlignment);
    const std::size_t sums =
        round_up(static_cast<std::size_t>(schedule_.sums_size) * sizeof(T), kAlignment);
    const std::size_t planes =
        along_channels() ? static_cast<std::size_t>(schedule_.max_rows() * schedule_.most_positions)
                         : 0;
    const std::size_t block =
        schedule_.uses_weights_once
            ? round_up(
                  static_cast<std::size_t>(schedule_.max_rows() * weight_piece_depth()) * sizeof(T),
                  kAlignment)
            : 0;
    memory.packed_stride = static_cast<std::int64_t>(packed / sizeof(T));
    memory.blocks_stride = static_cast<std::int64_t>(block / sizeof(T));
    memory.sums_stride = static_cast<std::int64_t>(sums / sizeof(T));
    const auto threads = static_cast<std::size_t>(schedule_.threads);
    memory.packed = arena.take<T>(threads * packed / sizeof(T));
    memory.sums = arena.take<T>(threads * sums / sizeof(T));
    memory.planes_stride =
        static_cast<std::int64_t>(round_up(planes * sizeof(T), kAlignment) / sizeof(T));
    memory.planes = arena.take<T>(threads * static_cast<std::size_t>(memory.planes_stride));
    memory.blocks = arena.take<T>(threads * block / sizeof(T));
    memory.packed_sources = arena.take<std::int64_t>(threads);
    return memory;
  }

  /// Depth of the weights that are packed at once where they are packed as they are used.
  std::int64_t weight_piece_depth() const {
    if (schedule_.packs_whole_blocks) {
      const std::int64_t taps = schedule_.all_depth / schedule_.source_channels;
      return taps * std::min(schedule_.source_channels, schedule_.sources_per_piece());
    }
    if (!along_channels() || schedule_.source_channels == 0) return schedule_.max_depth;
    const std::int64_t most_taps = schedule_.max_depth / schedule_.source_channels;
    return std::min(schedule_.max_depth, std::max(kDepthChunk, most_taps));
  }

  /// Whether weights that are not finite have to be told apart.
  bool checks_weights() const { return for_non_finite_weights_ != nullptr; }

  void compute(const Arguments& arguments, const CallWeights<T>& weights,
               const Workspace& memory) const {
    const bool forward = problem_.pass == Pass::forward;
    const RealView source(forward ? arguments.input : arguments.output);
    const Destination<T> destination(
        forward ? arguments.output : arguments.input, kernels_,
        read_bias(problem_, arguments, schedule_.parts, kernels_, memory.bias),
        problem_.activation);
    for (const Region& region : schedule_.regions) {
      const SourceInPlace<T> in_place(schedule_, region, source_padding().sizes, source, problem_.n,
                                      problem_.g * schedule_.source_channels, kernels_.lanes,
                                      memory.offsets);
      const CorrelationCall<T> call{
          problem_,    schedule_,        kernels_,
          source,      source_padding(), in_place,
          destination, weights,          problem_.accumulate || region.adds};
      std::fill_n(memory.packed_sources, schedule_.threads, std::int64_t{-1});
      parallel_for(region.items, schedule_.threads, [&](std::int64_t item, int thread) {
        CorrelationItem<T>(call, region, item, memory.of_thread(thread)).compute();
      });
    }
  }

  SourcePadding source_padding() const {
    if (problem_.pass == Pass::forward) {
      SourcePadding padding = input_padding(problem_);
      if constexpr (std::is_same_v<T, std::int32_t>) {
        padding.integer = joined_value(padding.integer, kernels_, schedule_.source_shift);
      }
      return padding;
    }
    const auto& axes = problem_.axes;
    return {.sizes = {axes[0].output, axes[1].output, axes[2].output}, .mode = PaddingMode::zeros};
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  CorrelationSchedule<T> schedule_;
  /// Going backward, taps beyond the border meet zeros that the formula does not have, and an
  /// infinite weight would make NaN of them. Where padding is left out going forward, the NaN that
  /// the formula does have would be missing. The plain loops get both right.
  std::unique_ptr<const detail::AlgorithmPlan> for_non_finite_weights_;
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan(const Problem& problem,
                                                                   int threads) {
  return std::make_unique<CorrelationPlan<T>>(problem, threads);
}

template std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan<float>(const Problem&,
                                                                                   int);
template std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan<double>(const Problem&,
                                                                                    int);
template std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan<std::int32_t>(
    const Problem&, int);
template std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan<std::int64_t>(
    const Problem&, int);

}  // namespace fastconv::direct
