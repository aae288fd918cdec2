/// Winograd's convolution, forward and backward-input. D, U and M are the transformed source,
/// weights and sums; they have 36 frequencies f for F(4x4, 3x3), up to 100 for others.
///
///     parallel for each unit: a group, or a share of a large group's destination channels;
///     each block of 48 to 128 tiles
///       for each panel of 4 vectors of channels, if this thread's last unit was another
///         U = transformed weights                                                         [L3]
///       for each vector of source channels, box of tiles of one image
///         pack the padded source as pixels, transform it to D                             [L2]
///       for each f, panel, 6 tiles
///         M_f = D_f U_f, where D_(f-1) was: the microkernel                        [registers]
///       for each vector of destination channels, row of tiles
///         transform M, repair what is not finite, store: bias, activation, layout
///
/// Each thread transforms the weights for itself: cache lines that one core writes and another
/// reads, call after call, cost ten times as much as the transform. U is [f][panel][source
/// channel][destination channel of the panel], D and M are [f][tile][channel]: vectors lie along
/// channels throughout, so a block may hold tiles of many small images, and channels-last memory is
/// never transposed. On 64 channels of 56x56 pixels the products take two thirds of the time.
#include <algorithm>

#include "algorithms/winograd/result_writer.hpp"
#include "algorithms/winograd/source_packer.hpp"
#include "algorithms/winograd/weight_transform.hpp"
#include "algorithms/winograd/winograd.hpp"
#include "algorithms/winograd/winograd_schedule.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::winograd {
namespace {

template <class T>
class WinogradPlan final : public detail::AlgorithmPlan {
 public:
  WinogradPlan(const Problem& problem, int threads)
      : problem_(problem),
        geometry_(problem),
        kernels_(active_kernels().typed<T>()),
        threads_(threads),
        schedule_(geometry_, kernels_, threads) {}

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  std::size_t packed_weight_bytes() const override {
    return static_cast<std::size_t>(schedule_.units * schedule_.unit_size()) * sizeof(T);
  }

  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    const WeightTransform<T> transform(geometry_, weight, kernels_);
    const std::int64_t panels = schedule_.panel_count();
    parallel_for(geometry_.groups * panels, threads_, [&](std::int64_t index, int) {
      const std::int64_t unit =
          index / panels * schedule_.shares + schedule_.share_of_panel(index % panels);
      transform_panel(transform, unit, index % panels,
                      static_cast<T*>(packed) + unit * schedule_.unit_size());
    });
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    if (geometry_.images == 0) return;
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    const T* bias = read_bias(problem_, geometry_, arguments, kernels_,
                              schedule_.padded_destination_channels, memory.bias);
    const WeightTransform<T> transform(geometry_, arguments.weight, kernels_);
    for (std::int64_t thread = 0; thread < most_threads(); ++thread) *memory.of(thread).unit = -1;
    parallel_for(schedule_.units * schedule_.blocks(), threads_,
                 [&](std::int64_t item, int thread) {
                   const std::int64_t unit = item / schedule_.blocks();
                   const ThreadMemory own = memory.of(thread);
                   const T* weights = own.weights;
                   if (packed_weights != nullptr) {
                     weights = static_cast<const T*>(packed_weights) + unit * schedule_.unit_size();
                   } else if (*own.unit != unit) {
                     transform_unit(transform, unit, own.weights);
                     *own.unit = unit;
                   }
                   compute_item({arguments, weights, bias}, unit, item % schedule_.blocks(), own);
                 });
  }

  std::string description() const override {
    const auto& kernel = *schedule_.panels.front().kernels.back();
    return tile_name(geometry_) + ", blocks of " + std::to_string(schedule_.block_tiles()) +
           " tiles, " + std::to_string(kernel.rows) + " tiles x " +
           std::to_string(kernel.vectors * kernels_.lanes) + " channels in registers";
  }

 private:
  /// What one thread needs: the weights of a unit, the frequencies of a block, and either the
  /// packed source and a row on its way there, or the outputs on their way out.
  struct ThreadMemory {
    std::int64_t* unit;  ///< whose weights they are, or -1
    T* weights;
    T* slots;
    T* pixels;
    T* scratch;
  };

  struct Workspace {
    const WinogradPlan& plan;
    T* bias;
    std::byte* threads;
    std::size_t thread_bytes;

    ThreadMemory of(std::int64_t thread) const {
      Arena arena(threads + static_cast<std::size_t>(thread) * thread_bytes);
      return plan.take_thread_memory(arena);
    }
  };

  struct Call {
    const Arguments& arguments;
    const T* weights;  ///< of the unit
    const T* bias;
  };

  /// A block of tiles for one unit.
  struct Block : TileBlock {
    std::int64_t group;
    std::int64_t share;
  };

  std::int64_t most_threads() const {
    return std::min<std::int64_t>(threads_, schedule_.units * schedule_.blocks());
  }

  void transform_unit(const WeightTransform<T>& transform, std::int64_t unit, T* to) const {
    const std::int64_t share = unit % schedule_.shares;
    for (std::int64_t p = schedule_.first_panel(share); p < schedule_.first_panel(share + 1); ++p) {
      transform_panel(transform, unit, p, to);
    }
  }

  /// `to` is where the unit's weights begin.
  void transform_panel(const WeightTransform<T>& transform, std::int64_t unit, std::int64_t index,
                       T* to) const {
    const std::int64_t lanes = schedule_.lanes;
    const Panel<T>& panel = schedule_.panels[static_cast<std::size_t>(index)];
    const std::int64_t before =
        panel.first * lanes - schedule_.first_channel(unit % schedule_.shares);
    transform.transform(unit / schedule_.shares, panel.first * lanes, panel.vectors,
                        to + before * schedule_.depth, panel.vectors * lanes,
                        schedule_.frequency_size);
  }

  std::int64_t pixel_count() const {
    return geometry_.axes[0].inputs_of(schedule_.box_rows) *
           geometry_.axes[1].inputs_of(schedule_.columns_per_block);
  }

  ThreadMemory take_thread_memory(Arena& arena) const {
    const std::int64_t lanes = schedule_.lanes;
    const auto take = [&](std::int64_t count) {
      return arena.take<T>(static_cast<std::size_t>(count));
    };
    ThreadMemory memory{};
    memory.unit = arena.take<std::int64_t>(1);
    memory.weights = take(schedule_.unit_size());
    memory.slots = take((geometry_.frequencies() + 1) * schedule_.slot_size);
    memory.pixels = take(pixel_count() * lanes);
    const std::int64_t columns = schedule_.columns_per_block;
    memory.scratch = take(std::max(SourcePacker<T>::scratch_size(geometry_, columns, lanes),
                                   ResultWriter<T>::scratch_size(geometry_, columns, lanes)));
    return memory;
  }

  Workspace lay_out(Arena& arena) const {
    const std::int64_t biases =
        problem_.has_bias ? geometry_.groups * schedule_.padded_destination_channels : 0;
    T* bias = arena.take<T>(static_cast<std::size_t>(biases));
    Arena one(nullptr);
    take_thread_memory(one);
    std::byte* threads =
        arena.take<std::byte>(static_cast<std::size_t>(most_threads()) * one.used());
    return {*this, bias, threads, one.used()};
  }

  void compute_item(const Call& call, std::int64_t unit, std::int64_t index,
                    const ThreadMemory& memory) const {
    Block block{};
    block.group = unit / schedule_.shares;
    block.share = unit % schedule_.shares;
    block.column = index % schedule_.column_blocks * schedule_.columns_per_block;
    block.columns = std::min(schedule_.columns_per_block, geometry_.axes[1].tiles - block.column);
    const std::int64_t row_block = index / schedule_.column_blocks;
    block.first_row = schedule_.first_row(row_block);
    block.end_row = schedule_.first_row(row_block + 1);
    transform_source(call, block, memory);
    multiply(call, block, memory);
    write(call, block, memory);
  }

  /// The transformed source goes to the slots from the second on.
  void transform_source(const Call& call, const Block& block, const ThreadMemory& memory) const {
    const SourcePacker<T> packer(
        geometry_, geometry_.source(call.arguments.input, call.arguments.output), kernels_);
    const std::int64_t lanes = schedule_.lanes;
    const std::int64_t channels = geometry_.source_channels;
    for (std::int64_t tap = 0; tap < geometry_.depth_taps; ++tap) {
      for (std::int64_t c = 0; c < channels; c += lanes) {
        T* vectors = memory.slots + schedule_.slot_size +
                     tap * geometry_.slice_parts() * schedule_.padded_source_channels + c;
        for_each_box(
            geometry_, block, schedule_.box_rows, [&](const TileBox& box, std::int64_t tile) {
              packer.transform(
                  box, tap, block.group * channels + c, std::min(lanes, channels - c),
                  memory.scratch, memory.pixels,
                  {vectors + tile * schedule_.source_pitch, schedule_.padded_source_channels,
                   schedule_.source_pitch, schedule_.slot_size});
            });
      }
    }
  }

  /// M_f takes the place of D_(f - 1).
  void multiply(const Call& call, const Block& block, const ThreadMemory& memory) const {
    const std::int64_t first_channel = schedule_.first_channel(block.share);
    const std::int64_t channels = schedule_.first_channel(block.share + 1) - first_channel;
    for (std::int64_t f = 0; f < geometry_.frequencies(); ++f) {
      const T* weights = call.weights + f * schedule_.frequency_size;
      const T* source = memory.slots + (f + 1) * schedule_.slot_size;
      T* sums = memory.slots + f * schedule_.slot_size;
      for (std::int64_t p = schedule_.first_panel(block.share);
           p < schedule_.first_panel(block.share + 1); ++p) {
        const Panel<T>& panel = schedule_.panels[static_cast<std::size_t>(p)];
        const std::int64_t channel = panel.first * schedule_.lanes - first_channel;
        multiply_panel(panel, source, weights + channel * schedule_.depth, block.tiles(),
                       sums + channel, channels);
      }
    }
  }

  /// In pieces: the channels of a part of the kernel, and of those so many.
  void multiply_panel(const Panel<T>& panel, const T* source, const T* weights, std::int64_t tiles,
                      T* sums, std::int64_t sums_pitch) const {
    const std::int64_t width = panel.vectors * schedule_.lanes;
    // Channels that fill their vectors go on from one part to the next.
    const bool joined = geometry_.source_channels == schedule_.padded_source_channels;
    const std::int64_t parts = joined ? 1 : geometry_.parts();
    const std::int64_t channels = schedule_.depth / parts;
    const std::int64_t pieces = ceil_divide(channels, kDepthPiece);
    for (std::int64_t piece = 0; piece < parts * pieces; ++piece) {
      const std::int64_t part = piece / pieces;
      const std::int64_t c = piece % pieces * kDepthPiece;
      const std::int64_t depth = std::min(kDepthPiece, channels - c);
      const T* piece_source = source + part * schedule_.padded_source_channels + c;
      const T* piece_weights = weights + (part * channels + c) * width;
      panel.multiply(piece_source, schedule_.source_pitch, piece_weights, depth, tiles, sums,
                     sums_pitch, piece > 0);
    }
  }

  void write(const Call& call, const Block& block, const ThreadMemory& memory) const {
    const ResultWriter<T> writer(problem_, geometry_, call.arguments, kernels_, call.bias);
    const std::int64_t first_channel = schedule_.first_channel(block.share);
    const std::int64_t channels = schedule_.first_channel(block.share + 1) - first_channel;
    for_each_box(geometry_, block, 1, [&](const TileBox& row, std::int64_t tile) {
      for (std::int64_t c = 0; c < channels; c += schedule_.lanes) {
        writer.write(row, block.group, first_channel + c,
                     {memory.slots + tile * channels + c, channels, schedule_.slot_size},
                     memory.scratch);
      }
    });
  }

  Problem problem_;
  Geometry geometry_;
  const TypedKernels<T>& kernels_;
  int threads_;
  Schedule<T> schedule_;
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_blocks_plan(const Problem& problem, int threads) {
  return std::make_unique<WinogradPlan<T>>(problem, threads);
}

template std::unique_ptr<const detail::AlgorithmPlan> make_blocks_plan<float>(const Problem&, int);
template std::unique_ptr<const detail::AlgorithmPlan> make_blocks_plan<double>(const Problem&, int);

}  // namespace fastconv::winograd
