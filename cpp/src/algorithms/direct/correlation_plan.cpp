/// Forward and backward-input convolution. A destination channel is written, source channels are
/// read (forward: output and input; backward: the other way round). For every region (phases that
/// read one window along each axis, see geometry.hpp):
///
///     parallel for each image, block of groups, tile, share of the destination channels
///       pack the tile's source into padded planes                              [L2]
///       for each phase, flat run of positions (rows, slices or the whole tile)
///         for each group, block of 8 (4, 2, 1) destination channels            [weights in L1]
///           for 3 (6, 8) vectors of positions at a time
///             for each source channel and tap: the microkernel                 [registers]
///           store 16 channels: bias, sum with the destination, activation, conversion
///
/// Packed weights are [set of taps][group][block][source channel][tap][row of the block].
/// On an ordinary 3x3 layer nine tenths of the time are multiply-adds.
#include <algorithm>
#include <atomic>

#include "algorithms/direct/correlation_schedule.hpp"
#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/direct/weight_packing.hpp"
#include "algorithms/reference/reference.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::direct {
namespace {

/// Channels times taps that are added up in one sequence.
constexpr std::int64_t kDepthChunk = 4096;

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
        pack_block(packer, taps.runs, group, block, taps.depth,
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
    const auto& kernel = *schedule_.blocks.front().kernels[kMaxCorrelationVectors];
    return std::to_string(kernel.rows) + " channels x " +
           std::to_string(kernel.vectors * kernels_.lanes) + " pixels in registers, tiles of " +
           std::to_string(tile.size[0]) + "x" + std::to_string(tile.size[1]) + "x" +
           std::to_string(tile.size[2]) + ", " + std::to_string(schedule_.regions.size()) +
           (schedule_.regions.size() == 1 ? " region" : " regions");
  }

 private:
  /// Packed weights begin with a word that says whether all are finite.
  static T* packed_blocks(void* packed) {
    return reinterpret_cast<T*>(static_cast<std::byte*>(packed) + kAlignment);
  }

  struct ThreadMemory {
    T* packed;
    T* sums;
    T* weights;  ///< of one block
  };

  struct Workspace {
    void* weights;
    T* bias;
    float* staging;
    T* packed;
    T* sums;
    T* blocks;
    std::int64_t packed_stride;
    std::int64_t sums_stride;
    std::int64_t blocks_stride;

    ThreadMemory of_thread(int thread) const {
      return {packed + thread * packed_stride, sums + thread * sums_stride,
              blocks + thread * blocks_stride};
    }
  };

  struct Destination {
    RealView view;
    const T* bias;
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
                  static_cast<std::size_t>(schedule_.max_rows() * schedule_.max_depth) * sizeof(T),
                  kAlignment)
            : 0;
    memory.packed_stride = static_cast<std::int64_t>(packed / sizeof(T));
    memory.blocks_stride = static_cast<std::int64_t>(block / sizeof(T));
    memory.sums_stride = static_cast<std::int64_t>(sums / sizeof(T));
    const auto threads = static_cast<std::size_t>(schedule_.threads);
    memory.packed = arena.take<T>(threads * packed / sizeof(T));
    memory.sums = arena.take<T>(threads * sums / sizeof(T));
    memory.blocks = arena.take<T>(threads * block / sizeof(T));
    return memory;
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
    const Destination destination{RealView(target), read_bias(arguments, memory.bias)};
    for (const Region& region : schedule_.regions) {
      parallel_for(region.items, schedule_.threads, [&](std::int64_t item, int thread) {
        compute_item(region, item, source, destination, weights, memory.of_thread(thread));
      });
    }
    if (staged()) store_staged(RealView(target), RealView(written));
  }

  const T* weights_of(const Weights& weights, const Phase& phase, std::int64_t group,
                      const Block<T>& block, const ThreadMemory& memory) const {
    if (weights.packed != nullptr) {
      return weights.packed + phase.weights +
             (group * schedule_.padded_rows + block.packed_first) * phase.depth();
    }
    pack_block(weights.packer, phase.runs, group, block, phase.depth(), memory.weights,
               weights.finite);
    return memory.weights;
  }

  void pack_block(const WeightPacker<T>& packer, const Runs& runs, std::int64_t group,
                  const Block<T>& block, std::int64_t depth, T* to,
                  std::atomic<bool>& finite) const {
    if (depth == 0) return;
    packer.pack_block(runs, group, block.first, block.channels, block.rows, to);
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
                    const Destination& destination, const Weights& weights,
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
    for (const Phase& phase : region.phases)
      compute_phase(work, phase, destination, weights, memory);
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

  void compute_phase(const Work& work, const Phase& phase, const Destination& destination,
                     const Weights& weights, const ThreadMemory& memory) const {
    const Tile& tile = work.region.tile;
    const Extent size = tile.size_at(work.origin, phase.runs);
    if (product(size) == 0) return;
    // The blocks of neighbouring groups are stored together only if all of a group's are computed.
    const bool whole_groups = work.end_block - work.first_block == schedule_.block_count();
    const std::int64_t end_group = work.first_group + work.groups;
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
                      weights_of(weights, phase, group, block, memory),
                      memory.sums + batch.channels * schedule_.sums_pitch);
          batch.channels += block.channels;
          const bool last = b + 1 == work.end_block && (group + 1 == end_group || !whole_groups);
          if (last || batch.channels >= kStoredChannels) {
            store_batch(work, phase.runs, flat, size[2], batch, memory.sums, destination);
            batch.channels = 0;
          }
        }
      }
    }
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
      if (phase.depth() <= kDepthChunk) {
        kernel.run(weights, packed + at, phase.offsets.data(), phase.depth(), sums + at,
                   schedule_.sums_pitch);
      } else {
        add_chunks(kernel, phase, packed + at, weights, sums + at);
      }
      at += kernel.vectors * lanes;
      left -= kernel.vectors;
    }
  }

  /// A long reduction in pieces: rounding errors grow with the length of a piece and the number of
  /// pieces, not with their product.
  void add_chunks(const CorrelationKernel<T>& kernel, const Phase& phase, const T* packed,
                  const T* weights, T* sums) const {
    alignas(kAlignment) T partial[kMaxTileElements];
    const std::int64_t width = kernel.vectors * kernels_.lanes;
    for (std::int64_t first = 0; first < phase.depth(); first += kDepthChunk) {
      const std::int64_t depth = std::min(kDepthChunk, phase.depth() - first);
      kernel.run(weights + first * kernel.rows, packed, phase.offsets.data() + first, depth,
                 partial, width);
      for (std::int64_t m = 0; m < kernel.rows; ++m) {
        T* row = sums + m * schedule_.sums_pitch;
        for (std::int64_t i = 0; i < width; ++i) {
          row[i] =
              first == 0 ? partial[m * width + i] : wrapping_sum(row[i], partial[m * width + i]);
        }
      }
    }
  }

  /// Channels-last memory takes a row of pixels of all channels of the batch as one block, other
  /// memory all rows of a slice of one channel.
  void store_batch(const Work& work, const Runs& runs, const FlatRun& flat, std::int64_t width,
                   const StoreBatch& batch, T* sums, const Destination& destination) const {
    const RealView& view = destination.view;
    const Extent& pitch = work.region.tile.pitch;
    const Extent& origin = work.origin;
    const std::int64_t step_h = runs[1]->destination_step * view.stride(3);
    const std::int64_t step_w = runs[2]->destination_step * view.stride(4);
    const bool channels_last = schedule_.parts == 1 && view.stride(1) == 1 && step_w != 1;
    Epilogue<T> epilogue{nullptr, channels_last ? 1 : 0, problem_.activation,
                         (problem_.accumulate && !staged()) || work.region.adds};
    for (std::int64_t d = flat.first_d; d < flat.end_d; ++d) {
      const std::int64_t slice = work.n * view.stride(0) +
                                 runs[0]->destination(origin[0] + d) * view.stride(2) +
                                 runs[1]->destination(origin[1] + flat.first_h) * view.stride(3) +
                                 runs[2]->destination(origin[2]) * view.stride(4);
      T* slice_sums = sums + (d - flat.first_d) * pitch[1] * pitch[2];
      if (channels_last) {
        if (destination.bias != nullptr) epilogue.bias = destination.bias + batch.first;
        for (std::int64_t h = 0; h < flat.end_h - flat.first_h; ++h) {
          store_block(view, slice + batch.first + h * step_h, 1, step_w, slice_sums + h * pitch[2],
                      schedule_.sums_pitch, {batch.channels, width}, epilogue);
        }
        continue;
      }
      for (std::int64_t m = 0; m < batch.channels; ++m) {
        if (destination.bias != nullptr) epilogue.bias = destination.bias + batch.first + m;
        store_block(view, slice + view.channel_offset(batch.first + m), step_h, step_w,
                    slice_sums + m * schedule_.sums_pitch, pitch[2],
                    {flat.end_h - flat.first_h, width}, epilogue);
      }
    }
  }

  /// Runs with a step of zero add many sums into one element, which must happen one by one.
  void store_block(const RealView& view, std::int64_t offset, std::int64_t to_pitch,
                   std::int64_t to_stride, T* sums, std::int64_t sums_pitch, BlockShape shape,
                   const Epilogue<T>& epilogue) const {
    const auto store = kernels_.store_block[static_cast<int>(view.type())];
    if ((to_stride != 0 || shape.count == 1) && (to_pitch != 0 || shape.rows == 1)) {
      store(view.at(offset), to_pitch, to_stride, sums, sums_pitch, shape, epilogue);
      return;
    }
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      for (std::int64_t i = 0; i < shape.count; ++i) {
        store(view.at(offset + r * to_pitch + i * to_stride), 1, 1, sums + r * sums_pitch + i, 1,
              {1, 1}, epilogue);
      }
    }
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
