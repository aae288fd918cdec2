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
#include <vector>

#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/direct/weight_packing.hpp"
#include "fastconv/cpu.hpp"
#include "padding.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::direct {
namespace {

/// The best kernel for a number of vectors still to do, for one number of rows.
template <class T>
using KernelsByVectors = std::array<const CorrelationKernel<T>*, kMaxCorrelationVectors + 1>;

template <class T>
KernelsByVectors<T> kernels_of_rows(const TypedKernels<T>& kernels, int rows) {
  KernelsByVectors<T> result{};
  for (const CorrelationKernel<T>& kernel : kernels.correlation) {
    if (kernel.rows != rows) continue;
    for (int v = kernel.vectors; v <= kMaxCorrelationVectors; ++v) {
      auto& best = result[static_cast<std::size_t>(v)];
      if (best == nullptr || best->vectors < kernel.vectors) best = &kernel;
    }
  }
  return result;
}

/// How a tile's positions are strung into flat rows: garbage between rows costs multiply-adds,
/// short rows cost partly filled vectors.
enum class Flattening { rows, slices, tile };

/// Channels that are stored together where memory has them side by side: a cache line of float32.
constexpr std::int64_t kStoredChannels = 16;

/// Items of work for each thread, so that none waits long for the last.
constexpr std::int64_t kItemsPerThread = 4;

template <class T>
class CorrelationPlan final : public detail::AlgorithmPlan {
 public:
  CorrelationPlan(const Problem& problem, int threads)
      : problem_(problem),
        kernels_(active_kernels().typed<T>()),
        threads_(worthwhile_threads(problem, threads)),
        parts_(problem.is_complex() ? 2 : 1) {
    const bool forward = problem.pass == Pass::forward;
    source_channels_ = (forward ? problem.c : problem.k) / problem.g * parts_;
    destination_channels_ = (forward ? problem.k : problem.c) / problem.g * parts_;
    if (problem.n == 0 || destination_channels_ == 0) return;
    choose_blocks();
    make_phases();
    make_regions();
  }

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  std::size_t packed_weight_bytes() const override {
    return static_cast<std::size_t>(packed_weight_count_) * sizeof(T);
  }

  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    const WeightPacker<T> packer(problem_, weight, kernels_);
    const auto block_count = static_cast<std::int64_t>(blocks_.size());
    for (const TapSet& taps : tap_sets_) {
      parallel_for(problem_.g * block_count, threads_, [&](std::int64_t index, int) {
        const Block& block = blocks_[static_cast<std::size_t>(index % block_count)];
        const std::int64_t group = index / block_count;
        packer.pack_block(taps.runs, group, block.first, block.channels, block.rows,
                          static_cast<T*>(packed) + taps.weights +
                              (group * padded_rows_ + block.packed_first) * taps.depth);
      });
    }
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    if (regions_.empty()) return;
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    if (packed_weights == nullptr) {
      pack_weights(arguments.weight, memory.weights);
      packed_weights = memory.weights;
    }
    const bool forward = problem_.pass == Pass::forward;
    const RealView source(forward ? arguments.input : arguments.output);
    const TensorView& written = forward ? arguments.output : arguments.input;
    TensorView target = written;
    if (staged()) target = channels_first_view(memory.staging, DataType::float32, written.sizes);
    const Destination destination{RealView(target), read_bias(arguments, memory.bias)};
    for (const Region& region : regions_) {
      parallel_for(region.items, threads_, [&](std::int64_t item, int thread) {
        compute_item(region, item, source, destination, static_cast<const T*>(packed_weights),
                     memory.of_thread(thread));
      });
    }
    if (staged()) store_staged(RealView(target), RealView(written));
  }

  std::string description() const override {
    if (regions_.empty()) return "nothing to compute";
    const Tile& tile = regions_.front().tile;
    const auto& kernel = *blocks_.front().kernels[kMaxCorrelationVectors];
    return std::to_string(kernel.rows) + " channels x " +
           std::to_string(kernel.vectors * kernels_.lanes) + " pixels in registers, tiles of " +
           std::to_string(tile.size[0]) + "x" + std::to_string(tile.size[1]) + "x" +
           std::to_string(tile.size[2]) + ", " + std::to_string(regions_.size()) +
           (regions_.size() == 1 ? " region" : " regions");
  }

 private:
  /// Destination channels of a group that a microkernel computes together.
  struct Block {
    std::int64_t first;
    std::int64_t channels;  ///< real ones; the rest of the rows have zero weights
    int rows;
    std::int64_t packed_first;  ///< rows of the blocks before, padding included
    KernelsByVectors<T> kernels;
  };

  /// Taps whose weights are packed together; phases of several regions may share them.
  struct TapSet {
    Runs runs;
    std::int64_t depth;    ///< source channels times taps
    std::int64_t weights;  ///< where they begin in the packed weights
  };

  /// One run along each axis.
  struct Phase {
    Runs runs;
    std::vector<std::int64_t> offsets;  ///< of every (source channel, tap)
    std::int64_t weights = 0;
    std::int64_t depth() const { return static_cast<std::int64_t>(offsets.size()); }
  };

  /// Phases that read the same tiles.
  struct Region {
    Tile tile;
    std::vector<Phase> phases;
    Flattening flattening = Flattening::rows;
    bool adds = false;
    bool reads = false;  ///< some phase has taps
    std::int64_t channel_shares = 1;
    std::int64_t items = 0;
  };

  struct ThreadMemory {
    T* packed;
    T* sums;
  };

  struct Workspace {
    T* weights;
    T* bias;
    float* staging;
    T* packed;
    T* sums;
    std::int64_t packed_stride;
    std::int64_t sums_stride;

    ThreadMemory of_thread(int thread) const {
      return {packed + thread * packed_stride, sums + thread * sums_stride};
    }
  };

  struct Destination {
    RealView view;
    const T* bias;
  };

  std::int64_t max_rows() const {
    int rows = 1;
    for (const auto& kernel : kernels_.correlation) rows = std::max(rows, kernel.rows);
    return rows;
  }

  /// Full blocks first; what is left in powers of two, except that one padded row is cheaper than
  /// two smaller blocks.
  void choose_blocks() {
    std::int64_t first = 0;
    std::int64_t rows = max_rows();
    while (first < destination_channels_) {
      const std::int64_t left = destination_channels_ - first;
      while (rows > 1 && left < rows - (rows > 2 ? 1 : 0)) rows /= 2;
      const std::int64_t channels = std::min(rows, left);
      blocks_.push_back({first, channels, static_cast<int>(rows), padded_rows_,
                         kernels_of_rows(kernels_, static_cast<int>(rows))});
      padded_rows_ += rows;
      first += channels;
    }
  }

  void make_phases() {
    for (std::size_t a = 0; a < 3; ++a) {
      const Axis& axis = problem_.axes[a];
      if (problem_.pass == Pass::forward) {
        phases_[a].push_back(forward_phases(axis, problem_.flip));
      } else {
        phases_[a] =
            backward_phases(axis, problem_.padding_mode, problem_.flip, !problem_.accumulate);
      }
    }
  }

  void make_regions() {
    regions_.reserve(phases_[0].size() * phases_[1].size() * phases_[2].size());
    // Regions that add come after all that write.
    for (const bool adds : {false, true}) {
      for (const AxisPhases& d : phases_[0]) {
        for (const AxisPhases& h : phases_[1]) {
          for (const AxisPhases& w : phases_[2]) {
            if ((d.adds || h.adds || w.adds) == adds) add_region({&d, &h, &w}, adds);
          }
        }
      }
    }
  }

  void add_region(const std::array<const AxisPhases*, 3>& phases, bool adds) {
    Region region{.tile = Tile(phases), .phases = {}, .adds = adds};
    choose_tile(region);
    for (const AxisRun& d : phases[0]->runs) {
      for (const AxisRun& h : phases[1]->runs) {
        for (const AxisRun& w : phases[2]->runs) add_phase(region, {&d, &h, &w});
      }
    }
    packed_size_ = std::max(packed_size_, packed_elements(region.tile));
    sums_pitch_ = std::max(sums_pitch_, round_up_to_vector(flat_length(region)));
    regions_.push_back(std::move(region));
  }

  void add_phase(Region& region, const Runs& runs) {
    Phase phase{.runs = runs, .offsets = {}};
    const std::vector<std::int64_t> taps = region.tile.tap_offsets(runs);
    phase.offsets.reserve(static_cast<std::size_t>(source_channels_) * taps.size());
    for (std::int64_t c = 0; c < source_channels_; ++c) {
      for (const std::int64_t tap : taps) {
        phase.offsets.push_back(c * region.tile.channel_size() + tap);
      }
    }
    if (phase.depth() > 0) {
      phase.weights = weights_of(runs, phase.depth());
      region.reads = true;
    }
    region.phases.push_back(std::move(phase));
  }

  /// Where the weights of the taps are packed; places them if no phase before had the same taps.
  std::int64_t weights_of(const Runs& runs, std::int64_t depth) {
    for (const TapSet& set : tap_sets_) {
      bool same = true;
      for (std::size_t a = 0; a < 3; ++a) {
        same = same && set.runs[a]->kernel_first == runs[a]->kernel_first &&
               set.runs[a]->tap_count() == runs[a]->tap_count();
      }
      if (same) return set.weights;
    }
    tap_sets_.push_back({runs, depth, packed_weight_count_});
    packed_weight_count_ += problem_.g * padded_rows_ * depth;
    return tap_sets_.back().weights;
  }

  /// Groups whose tiles are packed together: channels-last rows hold all groups side by side.
  std::int64_t groups_per_item() const {
    constexpr std::int64_t kChannelsPerCacheLine = 16;
    const std::int64_t channels = std::max(source_channels_, destination_channels_);
    const std::int64_t groups = std::clamp<std::int64_t>(kChannelsPerCacheLine / std::max<std::int64_t>(1, channels), 1, problem_.g);
    const std::int64_t enough = problem_.n * problem_.g / (kItemsPerThread * threads_);
    return threads_ == 1 ? groups : std::clamp<std::int64_t>(groups, 1, std::max<std::int64_t>(1, enough));
  }

  std::int64_t group_blocks() const { return ceil_divide(problem_.g, groups_per_item()); }

  std::int64_t packed_elements(const Tile& tile) const {
    return groups_per_item() * source_channels_ * tile.channel_size();
  }

  /// The packed tile takes half of the second-level cache; then tiles are halved and channels
  /// shared out until every thread has several items.
  void choose_tile(Region& region) const {
    Tile& tile = region.tile;
    const auto budget = static_cast<std::int64_t>(second_level_cache_bytes() / 2 / sizeof(T));
    const std::int64_t least_width = std::int64_t{kMaxCorrelationVectors} * kernels_.lanes;
    while (packed_elements(tile) > budget && tile.halve(least_width)) {
    }
    const std::int64_t wanted = threads_ == 1 ? 1 : kItemsPerThread * threads_;
    const std::int64_t images = problem_.n * group_blocks();
    while (images * tile.tile_count() < wanted && product(tile.size) > 4 * least_width &&
           tile.halve(least_width)) {
    }
    const std::int64_t shared = images * tile.tile_count();
    region.channel_shares = std::clamp<std::int64_t>(
        ceil_divide(wanted, std::max<std::int64_t>(1, shared)), 1,
        static_cast<std::int64_t>(blocks_.size()));
    region.items = shared * region.channel_shares;
    choose_flattening(region);
  }

  void choose_flattening(Region& region) const {
    double least = 0.0;
    for (const Flattening flattening : {Flattening::rows, Flattening::slices, Flattening::tile}) {
      const auto [count, length] = flat_runs(region.tile.size, region.tile.pitch, flattening);
      // Half a vector stands for the cost of starting a flat run.
      const double cost = static_cast<double>(count) *
                          (0.5 + static_cast<double>(ceil_divide(length, kernels_.lanes)));
      if (flattening == Flattening::rows || cost < least) {
        least = cost;
        region.flattening = flattening;
      }
    }
  }

  struct FlatRuns {
    std::int64_t count;
    std::int64_t length;
  };

  static FlatRuns flat_runs(const Extent& size, const Extent& pitch, Flattening flattening) {
    switch (flattening) {
      case Flattening::rows:
        return {size[0] * size[1], size[2]};
      case Flattening::slices:
        return {size[0], (size[1] - 1) * pitch[2] + size[2]};
      case Flattening::tile:
        return {1, ((size[0] - 1) * pitch[1] + size[1] - 1) * pitch[2] + size[2]};
    }
    return {};
  }

  std::int64_t flat_length(const Region& region) const {
    return flat_runs(region.tile.size, region.tile.pitch, region.flattening).length;
  }

  std::int64_t round_up_to_vector(std::int64_t count) const {
    return ceil_divide(count, kernels_.lanes) * kernels_.lanes;
  }

  /// Halves whose gradient is put together from several regions are added up in float32.
  bool staged() const {
    return is_half(problem_.result_type()) && !regions_.empty() && regions_.back().adds;
  }

  Workspace lay_out(Arena& arena) const {
    Workspace memory{};
    memory.weights = arena.take<T>(static_cast<std::size_t>(packed_weight_count_));
    memory.bias = arena.take<T>(
        problem_.has_bias ? static_cast<std::size_t>(problem_.g * destination_channels_) : 0);
    const std::int64_t staged_count =
        staged() ? problem_.n * problem_.c * problem_.axes[0].input * problem_.axes[1].input *
                       problem_.axes[2].input
                 : 0;
    memory.staging = arena.take<float>(static_cast<std::size_t>(staged_count));
    // The last flat run of the last plane is read in whole vectors.
    const std::size_t slack = static_cast<std::size_t>(kernels_.lanes);
    const std::size_t packed =
        round_up((static_cast<std::size_t>(packed_size_) + slack) * sizeof(T), kAlignment);
    const std::size_t sums = round_up(
        static_cast<std::size_t>((kStoredChannels + max_rows()) * sums_pitch_) * sizeof(T),
        kAlignment);
    memory.packed_stride = static_cast<std::int64_t>(packed / sizeof(T));
    memory.sums_stride = static_cast<std::int64_t>(sums / sizeof(T));
    const auto threads = static_cast<std::size_t>(threads_);
    memory.packed = arena.take<T>(threads * packed / sizeof(T));
    memory.sums = arena.take<T>(threads * sums / sizeof(T));
    return memory;
  }

  const T* read_bias(const Arguments& arguments, T* bias) const {
    if (!problem_.has_bias) return nullptr;
    TensorView view;
    view.data = const_cast<void*>(arguments.bias);
    view.type = problem_.result_type();
    view.strides[1] = arguments.bias_stride;
    const RealView real(view);
    const auto load = kernels_.load_row[static_cast<int>(real.type())];
    const std::int64_t channels = problem_.g * destination_channels_;
    for (std::int64_t c = 0; c < parts_; ++c) {
      load(bias + c, parts_, real.at(real.channel_offset(c)), real.stride(1), channels / parts_);
    }
    return bias;
  }

  void compute_item(const Region& region, std::int64_t item, const RealView& source,
                    const Destination& destination, const T* weights,
                    const ThreadMemory& memory) const {
    const Tile& tile = region.tile;
    const auto block_count = static_cast<std::int64_t>(blocks_.size());
    const std::int64_t share = item % region.channel_shares;
    item /= region.channel_shares;
    const Extent origin = tile.origin(item % tile.tile_count());
    item /= tile.tile_count();
    const std::int64_t first_group = item % group_blocks() * groups_per_item();
    const std::int64_t groups = std::min(groups_per_item(), problem_.g - first_group);
    const std::int64_t n = item / group_blocks();
    if (region.reads) {
      pack_source(tile, source_padding(), origin, source, n, first_group * source_channels_,
                  groups * source_channels_,
                  kernels_.load_block[static_cast<int>(source.type())], memory.packed);
    }
    const std::int64_t first_block = share * block_count / region.channel_shares;
    const std::int64_t end_block = (share + 1) * block_count / region.channel_shares;
    const Work work{region, n, origin, first_group, groups, first_block, end_block};
    for (const Phase& phase : region.phases) compute_phase(work, phase, destination, weights, memory);
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
                     const T* weights, const ThreadMemory& memory) const {
    const Tile& tile = work.region.tile;
    const Extent size = tile.size_at(work.origin, phase.runs);
    if (product(size) == 0) return;
    // The blocks of neighbouring groups are stored together only if all of a group's are computed.
    const bool whole_groups = work.end_block - work.first_block ==
                              static_cast<std::int64_t>(blocks_.size());
    const std::int64_t end_group = work.first_group + work.groups;
    const auto [run_count, length] = flat_runs(size, tile.pitch, work.region.flattening);
    for (std::int64_t run = 0; run < run_count; ++run) {
      const FlatRun flat = flat_run(work.region, size, run);
      StoreBatch batch{};
      for (std::int64_t group = work.first_group; group < end_group; ++group) {
        const T* packed =
            memory.packed + (group - work.first_group) * source_channels_ * tile.channel_size() +
            (flat.first_d * tile.pitch[1] + flat.first_h) * tile.pitch[2];
        for (std::int64_t b = work.first_block; b < work.end_block; ++b) {
          const Block& block = blocks_[static_cast<std::size_t>(b)];
          if (batch.channels == 0) batch.first = group * destination_channels_ + block.first;
          compute_run(block, phase, packed, length,
                      weights + phase.weights +
                          (group * padded_rows_ + block.packed_first) * phase.depth(),
                      memory.sums + batch.channels * sums_pitch_);
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
    SourcePadding padding{};
    const bool forward = problem_.pass == Pass::forward;
    for (std::size_t a = 0; a < 3; ++a) {
      padding.sizes[a] = forward ? problem_.axes[a].input : problem_.axes[a].output;
    }
    padding.mode = forward ? problem_.padding_mode : PaddingMode::zeros;
    if (padding.mode == PaddingMode::constant) {
      padding.value = {problem_.padding_value.real(), problem_.padding_value.imag()};
      padding.integer = problem_.padding_integer;
    }
    return padding;
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

  void compute_run(const Block& block, const Phase& phase, const T* packed, std::int64_t length,
                   const T* weights, T* sums) const {
    const std::int64_t lanes = kernels_.lanes;
    const int widest = block.kernels[kMaxCorrelationVectors]->vectors;
    std::int64_t left = ceil_divide(length, lanes);
    std::int64_t at = 0;
    while (left > 0) {
      // Two halves keep more accumulators busy than a full tile and a sliver.
      const std::int64_t wanted = left > widest && left < 2 * widest ? (left + 1) / 2 : left;
      const auto slot = static_cast<std::size_t>(
          std::min<std::int64_t>(wanted, kMaxCorrelationVectors));
      const CorrelationKernel<T>& kernel = *block.kernels[slot];
      kernel.run(weights, packed + at, phase.offsets.data(), phase.depth(), sums + at,
                 sums_pitch_);
      at += kernel.vectors * lanes;
      left -= kernel.vectors;
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
    const bool channels_last = parts_ == 1 && view.stride(1) == 1 && step_w != 1;
    Epilogue<T> epilogue{nullptr, channels_last ? 1 : 0, problem_.activation,
                         problem_.accumulate || work.region.adds};
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
                      sums_pitch_, {batch.channels, width}, epilogue);
        }
        continue;
      }
      for (std::int64_t m = 0; m < batch.channels; ++m) {
        if (destination.bias != nullptr) epilogue.bias = destination.bias + batch.first + m;
        store_block(view, slice + view.channel_offset(batch.first + m), step_h, step_w,
                    slice_sums + m * sums_pitch_, pitch[2],
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
      parallel_for(problem_.n * problem_.c, threads_, [&](std::int64_t image, int) {
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
  int threads_;
  std::int64_t parts_;
  std::int64_t source_channels_ = 0;       ///< of one group, in the real view
  std::int64_t destination_channels_ = 0;  ///< likewise
  std::vector<Block> blocks_;
  std::int64_t padded_rows_ = 0;
  std::array<std::vector<AxisPhases>, 3> phases_;
  std::vector<Region> regions_;
  std::vector<TapSet> tap_sets_;
  std::int64_t packed_weight_count_ = 0;
  std::int64_t packed_size_ = 0;
  std::int64_t sums_pitch_ = 0;
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
