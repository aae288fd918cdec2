/// Forward and backward-input convolution. A destination channel is written, source channels are
/// read (forward: output and input; backward: the other way round). For every region (phases that
/// read one window along each axis, see geometry.hpp):
///
///     parallel for each image, block of groups, tile, share of the destination channels
///       pack the tile's source into padded planes                              [L2]
///       for each phase
///         along the pixels:
///           for each flat run of positions (a row, a slice or the whole tile)
///             for each group, block of 8 (4, 2, 1) destination channels        [weights in L1]
///               for 3 (6, 8) vectors of positions at a time
///                 for each source channel and tap: the microkernel             [registers]
///               store 16 channels: bias, sum with the destination, activation, conversion
///         along the channels:
///           for each group, block of 2 vectors of destination channels
///             for each piece of the depth, flat run of positions               [weights in L2]
///               for 14 positions at a time
///                 for each source channel and tap: the microkernel             [registers]
///             store the block
///
/// Packed weights are [set of taps][group][block][source channel][tap][row of the block].
/// On an ordinary 3x3 layer more than nine tenths of the time are multiply-adds.
#include <algorithm>
#include <atomic>

#include "algorithms/direct/correlation_schedule.hpp"
#include "algorithms/direct/correlation_store.hpp"
#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/direct/weight_packing.hpp"
#include "algorithms/reference/reference.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::direct {
namespace {

template <class T>
class CorrelationPlan final : public detail::AlgorithmPlan {
 public:
  CorrelationPlan(const Problem& problem, int threads)
      : problem_(problem), kernels_(active_kernels().typed<T>()), schedule_(problem, threads) {
    if (problem.pass == Pass::backward_input) {
      for_non_finite_weights_ = reference::make_plan(problem, 1);
    }
  }

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  std::size_t packed_weight_bytes() const override {
    return kAlignment + static_cast<std::size_t>(schedule_.packed_weight_count) * sizeof(T);
  }

  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    const WeightPacker<T> packer(problem_, weight, kernels_);
    std::atomic<bool> finite{true};
    T* blocks = packed_blocks(packed);
    const auto block_count = schedule_.block_count();
    for (const TapSet& taps : schedule_.tap_sets) {
      parallel_for(problem_.g * block_count, schedule_.threads, [&](std::int64_t index, int) {
        const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(index % block_count)];
        const std::int64_t group = index / block_count;
        pack_block(packer, taps.runs, group, block, {0, schedule_.source_channels}, taps.depth,
                   blocks + taps.weights +
                       (group * schedule_.padded_rows + block.packed_first) * taps.depth,
                   finite);
      });
    }
    *static_cast<bool*>(packed) = finite;
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    if (schedule_.regions.empty()) return;
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    const WeightPacker<T> packer(problem_, arguments.weight, kernels_);
    std::atomic<bool> finite{true};
    Weights weights{nullptr, packer, finite};
    if (packed_weights != nullptr || !schedule_.uses_weights_once) {
      if (packed_weights == nullptr) {
        pack_weights(arguments.weight, memory.weights);
        packed_weights = memory.weights;
      }
      weights.packed = packed_blocks(const_cast<void*>(packed_weights));
      finite = *static_cast<const bool*>(packed_weights);
    }
    if (finite) compute(arguments, weights, memory);
    if (!finite) for_non_finite_weights_->execute(arguments, nullptr, nullptr);
  }

  std::string description() const override {
    if (schedule_.regions.empty()) return "nothing to compute";
    const Tile& tile = schedule_.regions.front().tile;
    return register_tile() + " in registers, tiles of " + std::to_string(tile.size[0]) + "x" +
           std::to_string(tile.size[1]) + "x" + std::to_string(tile.size[2]) + ", " +
           std::to_string(schedule_.regions.size()) +
           (schedule_.regions.size() == 1 ? " region" : " regions");
  }

 private:
  std::string register_tile() const {
    const Block<T>& block = schedule_.blocks.front();
    if (along_channels()) {
      const auto& kernel = *block.channel_kernels[kMaxCorrelationPixels];
      return std::to_string(kernel.pixels) + " pixels x " + std::to_string(block.rows) +
             " channels";
    }
    const auto& kernel = *block.kernels[kMaxCorrelationVectors];
    return std::to_string(kernel.rows) + " channels x " +
           std::to_string(kernel.vectors * kernels_.lanes) + " pixels";
  }

  bool along_channels() const { return schedule_.lanes_along == LanesAlong::channels; }

  /// Packed weights begin with a word that says whether all are finite.
  static T* packed_blocks(void* packed) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(packed) + kAlignment);
  }

  struct ThreadMemory {
    T* packed;
    T* sums;
    T* planes;   ///< sums of one block, transposed
    T* weights;  ///< of one block, or of a piece of one
  };

  struct Workspace {
    void* weights;
    T* bias;
    float* staging;
    T* packed;
    T* sums;
    T* planes;
    T* blocks;
    std::int64_t packed_stride;
    std::int64_t sums_stride;
    std::int64_t blocks_stride;

    ThreadMemory of_thread(int thread) const {
      return {packed + thread * packed_stride, sums + thread * sums_stride,
              planes + thread * sums_stride, blocks + thread * blocks_stride};
    }
  };

  /// Halves whose gradient is put together from several regions are added up in float32.
  bool staged() const {
    return is_half(problem_.result_type()) && !schedule_.regions.empty() &&
           schedule_.regions.back().adds;
  }

  Workspace lay_out(Arena& arena) const {
    Workspace memory{};
    memory.weights = arena.take<std::byte>(schedule_.uses_weights_once ? 0 : packed_weight_bytes());
    memory.bias = arena.take<T>(
        problem_.has_bias ? static_cast<std::size_t>(problem_.g * schedule_.destination_channels)
                          : 0);
    const std::int64_t staged_count = staged() ? problem_.n * problem_.c * problem_.axes[0].input *
                                                     problem_.axes[1].input * problem_.axes[2].input
                                               : 0;
    memory.staging = arena.take<float>(static_cast<std::size_t>(staged_count));
    // The last flat run of the last plane is read in whole vectors.
    const std::size_t slack = static_cast<std::size_t>(kernels_.lanes);
    const std::size_t packed =
        round_up((static_cast<std::size_t>(schedule_.packed_size) + slack) * sizeof(T), kAlignment);
    const std::size_t sums =
        round_up(static_cast<std::size_t>(schedule_.sums_rows() * schedule_.sums_pitch) * sizeof(T),
                 kAlignment);
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
    memory.planes = arena.take<T>(along_channels() ? threads * sums / sizeof(T) : 0);
    memory.blocks = arena.take<T>(threads * block / sizeof(T));
    return memory;
  }

  /// Depth of the weights that are packed at once where they are packed as they are used.
  std::int64_t weight_piece_depth() const {
    if (!along_channels() || schedule_.source_channels == 0) return schedule_.max_depth;
    const std::int64_t most_taps = schedule_.max_depth / schedule_.source_channels;
    return std::min(schedule_.max_depth, std::max(kDepthChunk, most_taps));
  }

  /// Weights of a call: packed before, or block by block as they are needed.
  struct Weights {
    const T* packed;
    const WeightPacker<T>& packer;
    std::atomic<bool>& finite;
  };

  void compute(const Arguments& arguments, const Weights& weights, const Workspace& memory) const {
    const bool forward = problem_.pass == Pass::forward;
    const RealView source(forward ? arguments.input : arguments.output);
    const TensorView& written = forward ? arguments.output : arguments.input;
    TensorView target = written;
    if (staged()) target = channels_first_view(memory.staging, DataType::float32, written.sizes);
    const Destination<T> destination(target, kernels_, read_bias(arguments, memory.bias),
                                     problem_.activation);
    for (const Region& region : schedule_.regions) {
      parallel_for(region.items, schedule_.threads, [&](std::int64_t item, int thread) {
        compute_item(region, item, source, destination, weights, memory.of_thread(thread));
      });
    }
    if (staged()) store_staged(RealView(target), RealView(written));
  }

  /// The weights of a block for some of the source channels, packed now unless they are already.
  const T* weights_of(const Weights& weights, const Phase& phase, std::int64_t group,
                      const Block<T>& block, const ChannelRange& sources,
                      const ThreadMemory& memory) const {
    const std::int64_t taps = phase.depth() / std::max<std::int64_t>(1, schedule_.source_channels);
    if (weights.packed != nullptr) {
      return weights.packed + phase.weights +
             (group * schedule_.padded_rows + block.packed_first) * phase.depth() +
             sources.first * taps * block.rows;
    }
    pack_block(weights.packer, phase.runs, group, block, sources, sources.count * taps,
               memory.weights, weights.finite);
    return memory.weights;
  }

  void pack_block(const WeightPacker<T>& packer, const Runs& runs, std::int64_t group,
                  const Block<T>& block, const ChannelRange& sources, std::int64_t depth, T* to,
                  std::atomic<bool>& finite) const {
    if (depth == 0) return;
    packer.pack_block(runs, group, block.first, block.channels, block.rows, sources, to);
    const bool checks = for_non_finite_weights_ != nullptr;
    if (checks && !kernels_.all_finite(to, block.rows * depth)) finite = false;
  }

  const T* read_bias(const Arguments& arguments, T* bias) const {
    if (!problem_.has_bias) return nullptr;
    TensorView view;
    view.data = const_cast<void*>(arguments.bias);
    view.type = problem_.result_type();
    view.strides[1] = arguments.bias_stride;
    const RealView real(view);
    const auto load = kernels_.load_row[static_cast<int>(real.type())];
    const std::int64_t channels = problem_.g * schedule_.destination_channels;
    for (std::int64_t c = 0; c < schedule_.parts; ++c) {
      load(bias + c, schedule_.parts, real.at(real.channel_offset(c)), real.stride(1),
           channels / schedule_.parts);
    }
    return bias;
  }

  void compute_item(const Region& region, std::int64_t item, const RealView& source,
                    const Destination<T>& destination, const Weights& weights,
                    const ThreadMemory& memory) const {
    const Tile& tile = region.tile;
    const auto block_count = schedule_.block_count();
    const std::int64_t share = item % region.channel_shares;
    item /= region.channel_shares;
    const Extent origin = tile.origin(item % tile.tile_count());
    item /= tile.tile_count();
    const std::int64_t first_group = item % schedule_.group_blocks() * schedule_.groups_per_item;
    const std::int64_t groups = std::min(schedule_.groups_per_item, problem_.g - first_group);
    const std::int64_t n = item / schedule_.group_blocks();
    if (region.reads) {
      pack_source(tile, source_padding(), origin, source, n,
                  first_group * schedule_.source_channels, groups * schedule_.source_channels,
                  kernels_.load_block[static_cast<int>(source.type())], memory.packed);
    }
    const std::int64_t first_block = share * block_count / region.channel_shares;
    const std::int64_t end_block = (share + 1) * block_count / region.channel_shares;
    const Work work{region, n, origin, first_group, groups, first_block, end_block};
    for (const Phase& phase : region.phases) {
      if (product(tile.size_at(origin, phase.runs)) == 0) continue;
      if (along_channels()) {
        compute_along_channels(work, phase, destination, weights, memory);
      } else {
        compute_along_pixels(work, phase, destination, weights, memory);
      }
    }
  }

  /// What an item of work covers.
  struct Work {
    const Region& region;
    std::int64_t n;
    Extent origin;
    std::int64_t first_group;
    std::int64_t groups;
    std::int64_t first_block;
    std::int64_t end_block;
  };

  void compute_along_pixels(const Work& work, const Phase& phase, const Destination<T>& destination,
                            const Weights& weights, const ThreadMemory& memory) const {
    const Tile& tile = work.region.tile;
    const Extent size = tile.size_at(work.origin, phase.runs);
    // The blocks of neighbouring groups are stored together only if all of a group's are computed.
    const bool whole_groups = work.end_block - work.first_block == schedule_.block_count();
    const std::int64_t end_group = work.first_group + work.groups;
    const ChannelRange all_sources{0, schedule_.source_channels};
    const auto [run_count, length] = flat_runs(size, tile.pitch, work.region.flattening);
    for (std::int64_t run = 0; run < run_count; ++run) {
      const FlatRun flat = flat_run(work.region, size, run);
      StoreBatch batch{};
      for (std::int64_t group = work.first_group; group < end_group; ++group) {
        const T* packed =
            memory.packed +
            (group - work.first_group) * schedule_.source_channels * tile.channel_size() +
            (flat.first_d * tile.pitch[1] + flat.first_h) * tile.pitch[2];
        for (std::int64_t b = work.first_block; b < work.end_block; ++b) {
          const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(b)];
          if (batch.channels == 0)
            batch.first = group * schedule_.destination_channels + block.first;
          compute_run(block, phase, packed, length,
                      weights_of(weights, phase, group, block, all_sources, memory),
                      memory.sums + batch.channels * schedule_.sums_pitch);
          batch.channels += block.channels;
          const bool last = b + 1 == work.end_block && (group + 1 == end_group || !whole_groups);
          if (last || batch.channels >= kStoredChannels) {
            const Extent first{work.origin[0] + flat.first_d, work.origin[1] + flat.first_h,
                               work.origin[2]};
            const Extent stored{flat.end_d - flat.first_d, flat.end_h - flat.first_h, size[2]};
            destination.store_planes(
                {work.n, phase.runs, first, stored}, batch.first, batch.channels,
                {memory.sums, tile.pitch[2], tile.pitch[1] * tile.pitch[2], schedule_.sums_pitch},
                accumulates(work.region));
            batch.channels = 0;
          }
        }
      }
    }
  }

  void compute_along_channels(const Work& work, const Phase& phase,
                              const Destination<T>& destination, const Weights& weights,
                              const ThreadMemory& memory) const {
    const Tile& tile = work.region.tile;
    const Extent size = tile.size_at(work.origin, phase.runs);
    const PositionBox box{work.n, phase.runs, work.origin, size};
    const auto [run_count, length] = flat_runs(size, tile.pitch, work.region.flattening);
    // Where rows are strung together, the garbage between them has sums too.
    const std::int64_t row_pitch =
        work.region.flattening == Flattening::rows ? size[2] : tile.pitch[2];
    const std::int64_t slice_pitch = work.region.flattening == Flattening::rows ? size[1] * size[2]
                                     : work.region.flattening == Flattening::slices
                                         ? length
                                         : tile.pitch[1] * tile.pitch[2];
    const std::int64_t sources = schedule_.source_channels;
    const std::int64_t piece = schedule_.sources_per_piece(phase.depth());
    for (std::int64_t group = work.first_group; group < work.first_group + work.groups; ++group) {
      for (std::int64_t b = work.first_block; b < work.end_block; ++b) {
        const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(b)];
        for (std::int64_t source = 0; source == 0 || source < sources; source += piece) {
          const ChannelRange range{source, std::min(piece, sources - source)};
          const T* packed_weights = weights_of(weights, phase, group, block, range, memory);
          for (std::int64_t run = 0; run < run_count; ++run) {
            const FlatRun flat = flat_run(work.region, size, run);
            compute_positions(
                block, phase, range,
                memory.packed + (flat.first_d * tile.pitch[1] + flat.first_h) * tile.pitch[2],
                length, packed_weights, memory.sums + run * length * block.rows);
          }
        }
        destination.store_positions(box, group * schedule_.destination_channels + block.first,
                                    block.channels,
                                    {memory.sums, row_pitch, slice_pitch, block.rows},
                                    accumulates(work.region), memory.planes);
      }
    }
  }

  bool accumulates(const Region& region) const {
    return (problem_.accumulate && !staged()) || region.adds;
  }

  SourcePadding source_padding() const {
    if (problem_.pass == Pass::forward) return input_padding(problem_);
    const auto& axes = problem_.axes;
    return {.sizes = {axes[0].output, axes[1].output, axes[2].output}, .mode = PaddingMode::zeros};
  }

  /// Rows of a tile that are computed as one: [first_d, end_d) x [first_h, end_h).
  struct FlatRun {
    std::int64_t first_d;
    std::int64_t end_d;
    std::int64_t first_h;
    std::int64_t end_h;
  };

  static FlatRun flat_run(const Region& region, const Extent& size, std::int64_t run) {
    switch (region.flattening) {
      case Flattening::rows:
        return {run / size[1], run / size[1] + 1, run % size[1], run % size[1] + 1};
      case Flattening::slices:
        return {run, run + 1, 0, size[1]};
      case Flattening::tile:
        return {0, size[0], 0, size[1]};
    }
    return {};
  }

  /// Consecutive destination channels whose sums wait to be stored.
  struct StoreBatch {
    std::int64_t first;
    std::int64_t channels;
  };

  void compute_run(const Block<T>& block, const Phase& phase, const T* packed, std::int64_t length,
                   const T* weights, T* sums) const {
    const std::int64_t lanes = kernels_.lanes;
    const int widest = block.kernels[kMaxCorrelationVectors]->vectors;
    std::int64_t left = ceil_divide(length, lanes);
    std::int64_t at = 0;
    while (left > 0) {
      // Two halves keep more accumulators busy than a full tile and a sliver.
      const std::int64_t wanted = left > widest && left < 2 * widest ? (left + 1) / 2 : left;
      const auto slot =
          static_cast<std::size_t>(std::min<std::int64_t>(wanted, kMaxCorrelationVectors));
      const CorrelationKernel<T>& kernel = *block.kernels[slot];
      std::int64_t depth = 0;
      do {
        const std::int64_t piece = std::min(kDepthChunk, phase.depth() - depth);
        kernel.run(weights + depth * kernel.rows, packed + at, phase.offsets.data() + depth, piece,
                   sums + at, schedule_.sums_pitch, depth > 0);
        depth += piece;
      } while (depth < phase.depth());
      at += kernel.vectors * lanes;
      left -= kernel.vectors;
    }
  }

  /// A flat run of positions over some of the source channels.
  void compute_positions(const Block<T>& block, const Phase& phase, const ChannelRange& sources,
                         const T* packed, std::int64_t length, const T* weights, T* sums) const {
    const std::int64_t taps = phase.depth() / std::max<std::int64_t>(1, schedule_.source_channels);
    const std::int64_t first = sources.first * taps;
    const std::int64_t end = first + sources.count * taps;
    std::int64_t at = 0;
    while (at < length) {
      const ChannelCorrelationKernel<T>& kernel = next_kernel(block, length - at);
      std::int64_t depth = first;
      do {
        const std::int64_t piece = std::min(kDepthChunk, end - depth);
        kernel.run(weights + (depth - first) * block.rows, packed + at,
                   phase.offsets.data() + depth, piece, sums + at * block.rows, block.rows,
                   depth > 0);
        depth += piece;
      } while (depth < end);
      at += kernel.pixels;
    }
  }

  /// Equal tiles keep more accumulators busy than full ones and a sliver.
  static const ChannelCorrelationKernel<T>& next_kernel(const Block<T>& block, std::int64_t left) {
    const std::int64_t most = block.channel_kernels[kMaxCorrelationPixels]->pixels;
    const std::int64_t tiles = ceil_divide(left, most);
    const std::int64_t wanted = ceil_divide(left, tiles);
    const auto* kernel = block.channel_kernels[static_cast<std::size_t>(wanted)];
    if (kernel->pixels == wanted) return *kernel;
    return *block.channel_kernels[static_cast<std::size_t>(ceil_divide(left, tiles + 1))];
  }

  void store_staged(const RealView& staging, const RealView& written) const {
    if constexpr (std::is_same_v<T, float>) {
      const Epilogue<float> epilogue{nullptr, 0, Activation::none, problem_.accumulate};
      const auto store = kernels_.store_block[static_cast<int>(written.type())];
      const std::int64_t height = problem_.axes[1].input;
      const std::int64_t rows = problem_.axes[0].input * height;
      parallel_for(problem_.n * problem_.c, schedule_.threads, [&](std::int64_t image, int) {
        for (std::int64_t row = 0; row < rows; ++row) {
          const auto offset = [&](const RealView& view) {
            return image / problem_.c * view.stride(0) + image % problem_.c * view.stride(1) +
                   row / height * view.stride(2) + row % height * view.stride(3);
          };
          store(written.at(offset(written)), 1, written.stride(4),
                reinterpret_cast<float*>(staging.at(offset(staging))), 1,
                {1, problem_.axes[2].input}, epilogue);
        }
      });
    }
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  CorrelationSchedule<T> schedule_;
  /// Going backward, taps beyond the border meet zeros that the formula does not have, and an
  /// infinite weight would make NaN of them. The plain loops know no such taps.
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
