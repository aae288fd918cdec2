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
#include <optional>

#include "algorithms/direct/correlation_runs.hpp"
#include "algorithms/direct/correlation_schedule.hpp"
#include "algorithms/direct/correlation_source.hpp"
#include "algorithms/direct/correlation_store.hpp"
#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/pair_packing.hpp"
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
    if (multiplies_pairs(problem)) return active_kernels().int32_from_pairs;
  }
  return active_kernels().typed<T>();
}

template <class T>
class CorrelationPlan final : public detail::AlgorithmPlan {
 public:
  CorrelationPlan(const Problem& problem, int threads)
      : problem_(problem),
        kernels_(kernels_for<T>(problem)),
        schedule_(problem, kernels_, threads) {
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
    parallel_for(problem_.g * block_count, schedule_.threads, [&](std::int64_t index, int) {
      const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(index % block_count)];
      const std::int64_t group = index / block_count;
      const std::int64_t rows_before = group * schedule_.padded_rows + block.packed_first;
      const bool all_at_once =
          packer.pack_elements(schedule_.tap_targets, group, block.first, block.channels,
                               block.rows, rows_before, schedule_.source_channels, blocks);
      for (const TapSet& taps : schedule_.tap_sets) {
        T* to = blocks + taps.weights + rows_before * taps.depth;
        if (!all_at_once) {
          packer.pack_block(taps.runs, group, block.first, block.channels, block.rows,
                            {0, schedule_.source_channels}, to);
        }
        check_finite(to, block.rows * taps.depth, finite);
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
    std::int64_t* offsets;  ///< into a source that is read in place
    T* packed;
    T* sums;
    T* planes;
    T* blocks;
    std::int64_t packed_stride;
    std::int64_t sums_stride;
    std::int64_t planes_stride;
    std::int64_t blocks_stride;

    ThreadMemory of_thread(int thread) const {
      return {packed + thread * packed_stride, sums + thread * sums_stride,
              planes + thread * planes_stride, blocks + thread * blocks_stride};
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
    memory.offsets = arena.take<std::int64_t>(
        schedule_.regions.size() == 1 ? static_cast<std::size_t>(schedule_.total_depth) : 0);
    // The last flat run of the last plane is read in whole vectors.
    const std::size_t slack = static_cast<std::size_t>(kernels_.lanes);
    const std::size_t packed =
        round_up((static_cast<std::size_t>(schedule_.packed_size) + slack) * sizeof(T), kAlignment);
    const std::size_t sums =
        round_up(static_cast<std::size_t>(schedule_.sums_size) * sizeof(T), kAlignment);
    const std::size_t planes =
        along_channels() ? static_cast<std::size_t>(schedule_.max_rows() * schedule_.sums_pitch)
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
      // One region alone: the offsets are kept for all of its items.
      std::optional<SourceInPlace<T>> in_place;
      if (schedule_.regions.size() == 1) {
        in_place.emplace(region, source_padding().sizes, source, problem_.n,
                         problem_.g * schedule_.source_channels, schedule_.lanes_along,
                         memory.offsets);
      }
      const Operands operands{source, in_place ? &*in_place : nullptr, destination, weights};
      parallel_for(region.items, schedule_.threads, [&](std::int64_t item, int thread) {
        compute_item(region, item, operands, memory.of_thread(thread));
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
    if (taps > 0) {
      weights.packer.pack_block(phase.runs, group, block.first, block.channels, block.rows, sources,
                                memory.weights);
      check_finite(memory.weights, sources.count * taps * block.rows, weights.finite);
    }
    return memory.weights;
  }

  void check_finite(const T* weights, std::int64_t count, std::atomic<bool>& finite) const {
    if (for_non_finite_weights_ != nullptr && !kernels_.all_finite(weights, count)) finite = false;
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

  struct Operands {
    const RealView& source;
    const SourceInPlace<T>* in_place;  ///< null where it is always packed
    const Destination<T>& destination;
    const Weights& weights;
  };

  /// What an item of work covers.
  struct Work {
    const Region& region;
    std::int64_t n;
    std::int64_t images;
    Extent origin;
    std::int64_t first_group;
    std::int64_t groups;
    std::int64_t first_block;
    std::int64_t end_block;
    bool in_place;
  };

  void compute_item(const Region& region, std::int64_t item, const Operands& operands,
                    const ThreadMemory& memory) const {
    const Tile& tile = region.tile;
    const auto block_count = schedule_.block_count();
    const std::int64_t share = item % region.channel_shares;
    item /= region.channel_shares;
    const Extent origin = tile.origin(item % tile.tile_count());
    item /= tile.tile_count();
    const std::int64_t first_group = item % schedule_.group_blocks() * schedule_.groups_per_item;
    const std::int64_t groups = std::min(schedule_.groups_per_item, problem_.g - first_group);
    const std::int64_t n = item / schedule_.group_blocks() * region.images_per_item;
    const std::int64_t images = std::min(region.images_per_item, problem_.n - n);
    const bool in_place =
        operands.in_place != nullptr &&
        operands.in_place->possible(origin, n, images, first_group * schedule_.source_channels,
                                    groups * schedule_.source_channels, kernels_.lanes);
    const Work work{region,
                    n,
                    images,
                    origin,
                    first_group,
                    groups,
                    share * block_count / region.channel_shares,
                    (share + 1) * block_count / region.channel_shares,
                    in_place};
    const std::int64_t part =
        in_place || !region.reads ? schedule_.source_channels : region.sources_per_item;
    for (std::int64_t first = 0; first == 0 || first < schedule_.source_channels; first += part) {
      const ChannelRange sources{first, std::min(part, schedule_.source_channels - first)};
      if (region.reads && !in_place) pack(work, sources, operands.source, memory.packed);
      for (const Phase& phase : region.phases) {
        if (product(tile.size_at(origin, phase.runs)) == 0) continue;
        if (along_channels()) {
          compute_channels(work, phase, sources, operands, memory);
        } else {
          compute_pixels(work, phase, operands, memory);
        }
      }
      if (part == 0) break;
    }
  }

  void pack(const Work& work, const ChannelRange& sources, const RealView& source,
            T* packed) const {
    const Tile& tile = work.region.tile;
    const auto load_block = kernels_.load_block[static_cast<int>(source.type())];
    // Several groups are packed only when each is packed whole, so the channels are contiguous.
    const std::int64_t first = work.first_group * schedule_.source_channels + sources.first;
    const std::int64_t channels = work.groups * sources.count;
    for (std::int64_t image = 0; image < work.images; ++image) {
      T* to = packed + image * channels * tile.channel_size();
      if constexpr (std::is_same_v<T, std::int32_t>) {
        if (kernels_.channels_per_element == 2) {
          const std::int64_t of_group =
              (problem_.pass == Pass::forward ? problem_.c : problem_.k) / problem_.g;
          pack_source_pairs(tile, source_padding(), work.origin, source, work.n + image,
                            {work.first_group, work.groups, of_group}, sources,
                            kernels_.load_pairs[static_cast<int>(source.type())], to);
          continue;
        }
      }
      pack_source(tile, source_padding(), work.origin, source, work.n + image, first, channels,
                  load_block, to);
    }
  }

  /// The source of a phase, at the channels that `sources` begins with.
  SourceTile<T> source_of(const Work& work, const Phase& phase, std::int64_t group,
                          const ChannelRange& sources, const Operands& operands,
                          const ThreadMemory& memory) const {
    if (work.in_place) {
      return operands.in_place->tile(work.origin, work.n, group * schedule_.source_channels, phase);
    }
    const Tile& tile = work.region.tile;
    // Offsets count from the first channel of all.
    const std::int64_t first = (group - work.first_group) * sources.count - sources.first;
    return {{memory.packed + first * tile.channel_size(), phase.offsets.data(), 1},
            tile.pitch[2],
            tile.pitch[1] * tile.pitch[2],
            work.groups * sources.count * tile.channel_size(),
            work.region.flattening};
  }

  void compute_pixels(const Work& work, const Phase& phase, const Operands& operands,
                      const ThreadMemory& memory) const {
    const Tile& tile = work.region.tile;
    const Extent size = tile.size_at(work.origin, phase.runs);
    const ChannelRange all_sources{0, schedule_.source_channels};
    const SourceTile<T> first_source =
        source_of(work, phase, work.first_group, all_sources, operands, memory);
    const Extent pitch = work.in_place ? size : tile.pitch;
    const auto [run_count, length] = flat_runs(size, pitch, first_source.flattening);
    // The blocks of neighbouring groups are stored together only if all of a group's are computed.
    const bool whole_groups = work.end_block - work.first_block == schedule_.block_count();
    const std::int64_t end_group = work.first_group + work.groups;
    for (std::int64_t run = 0; run < run_count; ++run) {
      const FlatRun flat = flat_run(first_source.flattening, size, run);
      const PositionBox box{
          work.n,
          phase.runs,
          {work.origin[0] + flat.first_d, work.origin[1] + flat.first_h, work.origin[2]},
          {flat.end_d - flat.first_d, flat.end_h - flat.first_h, size[2]}};
      const BoxSums<T> waiting{memory.sums, pitch[2], pitch[1] * pitch[2], schedule_.sums_pitch};
      StoreBatch batch{};
      for (std::int64_t group = work.first_group; group < end_group; ++group) {
        SourceTile<T> source = source_of(work, phase, group, all_sources, operands, memory);
        source.pixels.data += flat.first_d * source.slice_pitch + flat.first_h * source.row_pitch;
        for (std::int64_t b = work.first_block; b < work.end_block; ++b) {
          const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(b)];
          const std::int64_t channel = group * schedule_.destination_channels + block.first;
          const DepthRange<T> depth{
              0, phase.depth(),
              weights_of(operands.weights, phase, group, block, all_sources, memory)};
          if (batch.channels == 0 && block.channels == block.rows) {
            const auto target =
                operands.destination.planes_in_place(box, channel, accumulates(work.region));
            if (target && fits_runs(*target, box.size, first_source.flattening, pitch)) {
              compute_along_pixels(block, source.pixels, depth, length, kernels_.lanes, true,
                                   target->data, target->line_pitch);
              operands.destination.store_planes(box, channel, block.channels, *target, false);
              continue;
            }
          }
          if (batch.channels == 0) batch.first = channel;
          compute_along_pixels(block, source.pixels, depth, length, kernels_.lanes, false,
                               memory.sums + batch.channels * schedule_.sums_pitch,
                               schedule_.sums_pitch);
          batch.channels += block.channels;
          const bool last = b + 1 == work.end_block && (group + 1 == end_group || !whole_groups);
          if (last || batch.channels >= kStoredChannels) {
            operands.destination.store_planes(box, batch.first, batch.channels, waiting,
                                              accumulates(work.region));
            batch.channels = 0;
          }
        }
      }
    }
  }

  /// Whether flat runs of positions are runs in the target too, without garbage between rows.
  static bool fits_runs(const BoxSums<T>& target, const Extent& size, Flattening flattening,
                        const Extent& pitch) {
    if (flattening == Flattening::rows || (size[0] == 1 && size[1] == 1)) return true;
    return pitch[2] == size[2] && target.row_pitch == size[2] &&
           (flattening == Flattening::slices || size[0] == 1 ||
            (pitch[1] == size[1] && target.slice_pitch == size[1] * size[2]));
  }

  void compute_channels(const Work& work, const Phase& phase, const ChannelRange& sources,
                        const Operands& operands, const ThreadMemory& memory) const {
    const Extent size = work.region.tile.size_at(work.origin, phase.runs);
    const bool accumulate = accumulates(work.region);
    const bool last_part = sources.first + sources.count >= schedule_.source_channels;
    const std::int64_t piece = schedule_.sources_per_piece(phase.depth());
    T* waiting = memory.sums;
    for (std::int64_t group = work.first_group; group < work.first_group + work.groups; ++group) {
      const SourceTile<T> source = source_of(work, phase, group, sources, operands, memory);
      const Extent pitch = work.in_place ? size : work.region.tile.pitch;
      for (std::int64_t b = work.first_block; b < work.end_block; ++b) {
        const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(b)];
        const std::int64_t channel = group * schedule_.destination_channels + block.first;
        const auto sums_of_image = [&](std::int64_t image) {
          const PositionBox box{work.n + image, phase.runs, work.origin, size};
          if (block.channels == block.rows) {
            const auto target = operands.destination.positions_in_place(box, channel, accumulate);
            if (target && fits_runs(*target, size, source.flattening, pitch)) return *target;
          }
          const std::int64_t row_pitch = source.flattening == Flattening::rows ? size[2] : pitch[2];
          const std::int64_t slice_pitch = source.flattening == Flattening::tile
                                               ? pitch[1] * pitch[2]
                                               : (size[1] - 1) * row_pitch + size[2];
          return BoxSums<T>{waiting + image * schedule_.sums_pitch * block.rows, row_pitch,
                            slice_pitch, block.rows};
        };
        std::int64_t first = sources.first;
        do {
          const ChannelRange range{first, std::min(piece, sources.first + sources.count - first)};
          add_piece(work, phase, group, block, range, source, pitch, sums_of_image, operands,
                    memory);
          first += piece;
        } while (first < sources.first + sources.count);
        for (std::int64_t image = 0; last_part && image < work.images; ++image) {
          operands.destination.store_positions({work.n + image, phase.runs, work.origin, size},
                                               channel, block.channels, sums_of_image(image),
                                               accumulate, memory.planes);
        }
        if (work.region.sources_per_item < schedule_.source_channels && !work.in_place) {
          waiting += work.region.images_per_item * schedule_.sums_pitch * block.rows;
        }
      }
    }
  }

  template <class SumsOfImage>
  void add_piece(const Work& work, const Phase& phase, std::int64_t group, const Block<T>& block,
                 const ChannelRange& range, const SourceTile<T>& source, const Extent& pitch,
                 SumsOfImage&& sums_of_image, const Operands& operands,
                 const ThreadMemory& memory) const {
    const Extent size = work.region.tile.size_at(work.origin, phase.runs);
    const std::int64_t taps = phase.depth() / std::max<std::int64_t>(1, schedule_.source_channels);
    const DepthRange<T> depth{range.first * taps, (range.first + range.count) * taps,
                              weights_of(operands.weights, phase, group, block, range, memory)};
    const auto [run_count, length] = flat_runs(size, pitch, source.flattening);
    for (std::int64_t image = 0; image < work.images; ++image) {
      const BoxSums<T> sums = sums_of_image(image);
      for (std::int64_t run = 0; run < run_count; ++run) {
        const FlatRun flat = flat_run(source.flattening, size, run);
        CorrelationSource<T> pixels = source.pixels;
        pixels.data += image * source.image_pitch + flat.first_d * source.slice_pitch +
                       flat.first_h * source.row_pitch;
        compute_along_channels(
            block, pixels, depth, length,
            sums.data +
                (flat.first_d * sums.slice_pitch + flat.first_h * sums.row_pitch) * sums.line_pitch,
            sums.line_pitch);
      }
    }
  }

  bool accumulates(const Region& region) const {
    return (problem_.accumulate && !staged()) || region.adds;
  }

  SourcePadding source_padding() const {
    if (problem_.pass == Pass::forward) {
      SourcePadding padding = input_padding(problem_);
      // Both halves of a pair.
      if (kernels_.channels_per_element == 2)
        padding.integer = (padding.integer & 0xffff) * 0x10001;
      return padding;
    }
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

  static FlatRun flat_run(Flattening flattening, const Extent& size, std::int64_t run) {
    switch (flattening) {
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
