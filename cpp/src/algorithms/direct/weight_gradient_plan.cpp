/// The gradient of the weight: for every output channel k, input channel c and tap a, the sum over
/// images n and positions o of gradient[n, k, o] * padded_input[n, c, o * stride + a * dilation].
///
///     parallel for each block of groups, block of input channels, piece of the reduction
///       for each (image, tile) of the piece
///         pack the input into padded planes and the gradient beside it         [L2]
///         for each chunk of pixels, block of output channels                   [gradient in L1]
///           for each 6 (8) pairs (c, a): the microkernel over the chunk        [registers]
///     add up the pieces in their order; store rows of taps
///
/// With enough output channels to fill a vector, vectors run along them and the gradient is packed
/// [block of k][pixel][k] (outer products); otherwise they run along the pixels and the gradient
/// is packed in planes (dot products). Sums are [piece][group][c][a][k].
///
/// Tiles and pieces depend on the problem alone, so that the order of every sum, and with it every
/// bit of the result, is the same for any number of threads.
#include <algorithm>
#include <vector>

#include "algorithms/direct/direct.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/direct/weight_packing.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::direct {
namespace {

/// Packed input and gradient of a tile together, within the second-level cache of any processor.
constexpr std::int64_t kTileBytes = 384 * 1024;
/// The gradient of a chunk of pixels, about a first-level cache: measured better than half of one.
constexpr std::int64_t kChunkBytes = 48 * 1024;
/// Items of work that a problem is cut into where it can be.
constexpr std::int64_t kWantedItems = 16;
/// Sums of all pieces of the reduction together, unless one piece alone is larger.
constexpr std::int64_t kSumBytes = 8 * 1024 * 1024;
/// Output channels whose sums are stored together, and the longest row of taps that is.
constexpr std::int64_t kStoredOutputs = 16;
constexpr std::int64_t kStoredTaps = 64;
/// (channel, tap) pairs that the packing of a gradient tile should serve.
constexpr std::int64_t kPairsPerItem = 1024;

template <class T>
class WeightGradientPlan final : public detail::AlgorithmPlan {
 public:
  WeightGradientPlan(const Problem& problem, int threads)
      : problem_(problem),
        kernels_(active_kernels().typed<T>()),
        threads_(worthwhile_threads(problem, threads)),
        parts_(problem.is_complex() ? 2 : 1),
        input_channels_(problem.c / problem.g * parts_),
        output_channels_(problem.k / problem.g * parts_),
        outer_products_(2 * output_channels_ >= kernels_.lanes),
        phases_{forward_phases(problem.axes[0], problem.flip),
                forward_phases(problem.axes[1], problem.flip),
                forward_phases(problem.axes[2], problem.flip)},
        runs_{&phases_[0].runs[0], &phases_[1].runs[0], &phases_[2].runs[0]},
        tile_({&phases_[0], &phases_[1], &phases_[2]}) {
    if (input_channels_ == 0 || output_channels_ == 0) return;
    taps_ = tap_count(runs_);
    choose_blocks();
    choose_items();
    tap_offsets_ = tile_.tap_offsets(runs_);
  }

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  void execute(const Arguments& arguments, void* workspace, const void*) const noexcept override {
    if (input_channels_ == 0 || output_channels_ == 0) return;
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    parallel_for(
        group_blocks() * channel_blocks() * pieces_, threads_, [&](std::int64_t item, int thread) {
          reduce_item(item, RealView(arguments.input), RealView(arguments.output), memory, thread);
        });
    store(RealView(arguments.weight), memory.sums);
  }

  std::string description() const override {
    return std::string(outer_products_ ? "outer products" : "dot products") + ", tiles of " +
           std::to_string(tile_.size[0]) + "x" + std::to_string(tile_.size[1]) + "x" +
           std::to_string(tile_.size[2]) + ", " + std::to_string(pieces_) +
           (pieces_ == 1 ? " piece" : " pieces");
  }

 private:
  /// Vectors of output channels that a microkernel computes together.
  struct Block {
    std::int64_t first;  ///< in elements
    std::int64_t width;
    const OuterProductKernel<T>* kernel;
    const OuterProductKernel<T>* single_row;
  };

  struct Workspace {
    T* sums;
    T* input;
    T* gradient;
    std::int64_t* offsets;
    std::int64_t input_stride;
    std::int64_t gradient_stride;
    std::int64_t offsets_stride;
  };

  void choose_blocks() {
    padded_outputs_ = output_channels_;
    if (!outer_products_) return;
    const std::int64_t lanes = kernels_.lanes;
    padded_outputs_ = ceil_divide(output_channels_, lanes) * lanes;
    for (std::int64_t first = 0; first < padded_outputs_;) {
      const OuterProductKernel<T>* best = nullptr;
      for (const OuterProductKernel<T>& kernel : kernels_.outer_product) {
        if (first + kernel.vectors * lanes > padded_outputs_ || kernel.rows == 1) continue;
        if (best == nullptr || kernel.vectors > best->vectors ||
            (kernel.vectors == best->vectors && kernel.rows > best->rows)) {
          best = &kernel;
        }
      }
      const auto* single = std::find_if(
          kernels_.outer_product.begin(), kernels_.outer_product.end(),
          [&](const auto& kernel) { return kernel.rows == 1 && kernel.vectors == best->vectors; });
      outer_blocks_.push_back({first, best->vectors * lanes, best, single});
      most_rows_ = std::max<std::int64_t>(most_rows_, best->rows);
      first += best->vectors * lanes;
    }
  }

  void choose_items() {
    constexpr std::int64_t kChannelsPerCacheLine = 16;
    const std::int64_t pairs = std::max<std::int64_t>(32 * parts_, kPairsPerItem / taps_);
    channels_per_item_ = std::min(input_channels_, pairs / parts_ * parts_);
    if (channels_per_item_ == input_channels_) {
      groups_per_item_ = std::clamp<std::int64_t>(
          kChannelsPerCacheLine / std::max(input_channels_, output_channels_), 1, problem_.g);
    }
    while (packed_bytes() > kTileBytes && tile_.halve(kernels_.lanes * 8)) {
    }
    const std::int64_t items = group_blocks() * channel_blocks();
    const std::int64_t sum_bytes = sum_count() * static_cast<std::int64_t>(sizeof(T));
    const std::int64_t wanted = std::min(ceil_divide(kWantedItems, items),
                                         std::max<std::int64_t>(1, kSumBytes / sum_bytes));
    while (problem_.n * tile_.tile_count() < wanted && product(tile_.size) > 64 &&
           tile_.halve(kernels_.lanes * 8)) {
    }
    pieces_ = std::clamp<std::int64_t>(problem_.n * tile_.tile_count(), 1, wanted);
  }

  std::int64_t group_blocks() const { return ceil_divide(problem_.g, groups_per_item_); }
  std::int64_t channel_blocks() const { return ceil_divide(input_channels_, channels_per_item_); }
  std::int64_t input_elements() const {
    return groups_per_item_ * channels_per_item_ * tile_.channel_size();
  }
  std::int64_t gradient_elements() const {
    return groups_per_item_ * padded_outputs_ * product(tile_.size);
  }
  std::int64_t packed_bytes() const {
    return (input_elements() + gradient_elements()) * static_cast<std::int64_t>(sizeof(T));
  }
  std::int64_t group_sum_count() const { return input_channels_ * taps_ * padded_outputs_; }
  /// Of one piece.
  std::int64_t sum_count() const { return problem_.g * group_sum_count(); }

  Workspace lay_out(Arena& arena) const {
    Workspace memory{};
    memory.sums = arena.take<T>(static_cast<std::size_t>(pieces_ * sum_count()));
    const auto threads = static_cast<std::size_t>(threads_);
    const auto slack = static_cast<std::size_t>(kernels_.lanes);
    const auto stride = [&](std::int64_t count) {
      return round_up((static_cast<std::size_t>(count) + slack) * sizeof(T), kAlignment) /
             sizeof(T);
    };
    memory.input_stride = static_cast<std::int64_t>(stride(input_elements()));
    memory.gradient_stride = static_cast<std::int64_t>(stride(gradient_elements()));
    memory.offsets_stride = channels_per_item_ * taps_ + most_rows_;
    memory.input = arena.take<T>(threads * static_cast<std::size_t>(memory.input_stride));
    memory.gradient = arena.take<T>(threads * static_cast<std::size_t>(memory.gradient_stride));
    memory.offsets =
        arena.take<std::int64_t>(threads * static_cast<std::size_t>(memory.offsets_stride));
    return memory;
  }

  void reduce_item(std::int64_t item, const RealView& input, const RealView& gradient,
                   const Workspace& memory, int thread) const {
    const std::int64_t piece = item % pieces_;
    item /= pieces_;
    const std::int64_t first_channel = item % channel_blocks() * channels_per_item_;
    const std::int64_t channels = std::min(channels_per_item_, input_channels_ - first_channel);
    const std::int64_t first_group = item / channel_blocks() * groups_per_item_;
    const std::int64_t groups = std::min(groups_per_item_, problem_.g - first_group);

    T* packed_input = memory.input + thread * memory.input_stride;
    T* packed_gradient = memory.gradient + thread * memory.gradient_stride;
    std::int64_t* offsets = memory.offsets + thread * memory.offsets_stride;
    const std::int64_t pairs = channels * taps_;
    for (std::int64_t pair = 0; pair < pairs + most_rows_; ++pair) {
      const std::int64_t real_pair = std::min(pair, pairs - 1);
      offsets[pair] = real_pair / taps_ * tile_.channel_size() +
                      tap_offsets_[static_cast<std::size_t>(real_pair % taps_)];
    }
    T* sums = memory.sums + piece * sum_count() + first_group * group_sum_count() +
              first_channel * taps_ * padded_outputs_;
    for (std::int64_t group = 0; group < groups; ++group) {
      std::fill_n(sums + group * group_sum_count(), pairs * padded_outputs_, T(0));
    }

    const std::int64_t units = problem_.n * tile_.tile_count();
    for (std::int64_t unit = piece * units / pieces_; unit < (piece + 1) * units / pieces_;
         ++unit) {
      const std::int64_t n = unit / tile_.tile_count();
      const Extent origin = tile_.origin(unit % tile_.tile_count());
      // Several groups are packed only when each is packed whole, so the channels are contiguous.
      pack_source(tile_, input_padding(problem_), origin, input, n,
                  first_group * input_channels_ + first_channel, groups * channels,
                  kernels_.load_block[static_cast<int>(input.type())], packed_input);
      pack_gradient(gradient, n, origin, first_group, groups, packed_gradient);
      for (std::int64_t group = 0; group < groups; ++group) {
        const T* group_input = packed_input + group * channels * tile_.channel_size();
        const T* group_gradient =
            packed_gradient + group * padded_outputs_ * product(tile_.size_at(origin));
        T* group_sums = sums + group * group_sum_count();
        if (outer_products_) {
          add_outer_products(origin, group_input, group_gradient, offsets, pairs, group_sums);
        } else {
          add_dot_products(origin, group_input, group_gradient, offsets, pairs, group_sums);
        }
      }
    }
  }

  /// Outer products: [group][block][pixel][k of the block]. Dot products: [group][k][pixel].
  void pack_gradient(const RealView& gradient, std::int64_t n, const Extent& origin,
                     std::int64_t first_group, std::int64_t groups, T* packed) const {
    const Extent size = tile_.size_at(origin);
    const std::int64_t pixels = product(size);
    if (!outer_products_) {
      pack_planes(gradient, n, origin, first_group * output_channels_, groups * output_channels_,
                  packed);
      return;
    }
    for (std::int64_t group = 0; group < groups; ++group, packed += padded_outputs_ * pixels) {
      const std::int64_t first = (first_group + group) * output_channels_;
      for (const Block& block : outer_blocks_) {
        T* to = packed + block.first * pixels;
        const std::int64_t width = std::min(block.width, output_channels_ - block.first);
        if (width < block.width) std::fill_n(to, block.width * pixels, T(0));
        for_each_row(size, [&](std::int64_t d, std::int64_t h, std::int64_t row) {
          pack_pixels(gradient, gradient_offset(gradient, n, first + block.first, origin, d, h),
                      size[2], width, block.width, to + row * size[2] * block.width);
        });
      }
    }
  }

  /// to[pixel * pitch + channel] for a row of pixels.
  void pack_pixels(const RealView& gradient, std::int64_t offset, std::int64_t pixels,
                   std::int64_t channels, std::int64_t pitch, T* to) const {
    const auto type = static_cast<int>(gradient.type());
    if (parts_ == 1) {
      kernels_.load_block[type](to, pitch, gradient.at(offset), gradient.stride(4),
                                gradient.stride(1), {pixels, channels});
      return;
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      kernels_.load_row[type](to + c, pitch, gradient.at(offset + gradient.channel_offset(c)),
                              gradient.stride(4), pixels);
    }
  }

  /// to[channel][pixel] for a tile: all channels of a row at once where memory has them side by
  /// side, else all rows of a channel.
  void pack_planes(const RealView& gradient, std::int64_t n, const Extent& origin,
                   std::int64_t first, std::int64_t channels, T* to) const {
    const Extent size = tile_.size_at(origin);
    const auto load = kernels_.load_block[static_cast<int>(gradient.type())];
    if (parts_ == 1 && gradient.stride(1) == 1) {
      for_each_row(size, [&](std::int64_t d, std::int64_t h, std::int64_t row) {
        load(to + row * size[2], product(size),
             gradient.at(gradient_offset(gradient, n, first, origin, d, h)), 1, gradient.stride(4),
             {channels, size[2]});
      });
      return;
    }
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t d = 0; d < size[0]; ++d) {
        load(to + (c * size[0] + d) * size[1] * size[2], size[2],
             gradient.at(gradient_offset(gradient, n, first + c, origin, d, 0)), gradient.stride(3),
             gradient.stride(4), {size[1], size[2]});
      }
    }
  }

  static std::int64_t gradient_offset(const RealView& gradient, std::int64_t n,
                                      std::int64_t channel, const Extent& origin, std::int64_t d,
                                      std::int64_t h) {
    return n * gradient.stride(0) + gradient.channel_offset(channel) +
           (origin[0] + d) * gradient.stride(2) + (origin[1] + h) * gradient.stride(3) +
           origin[2] * gradient.stride(4);
  }

  template <class Body>
  static void for_each_row(const Extent& size, Body&& body) {
    for (std::int64_t d = 0; d < size[0]; ++d) {
      for (std::int64_t h = 0; h < size[1]; ++h) body(d, h, d * size[1] + h);
    }
  }

  void add_outer_products(const Extent& origin, const T* input, const T* gradient,
                          const std::int64_t* offsets, std::int64_t pairs, T* sums) const {
    const Extent size = tile_.size_at(origin);
    const std::int64_t pixels = product(size);
    for (const Block& block : outer_blocks_) {
      const std::int64_t chunk = std::max<std::int64_t>(
          1, kChunkBytes / (block.width * static_cast<std::int64_t>(sizeof(T))));
      for_each_chunk(
          size, chunk,
          [&](std::int64_t d, std::int64_t h, std::int64_t w, std::int64_t rows,
              std::int64_t width) {
            const PixelRows<T> chunk_pixels{
                rows,
                width,
                input + (d * tile_.pitch[1] + h) * tile_.pitch[2] + w,
                tile_.pitch[2],
                gradient + block.first * pixels + ((d * size[1] + h) * size[2] + w) * block.width,
                size[2] * block.width};
            for (std::int64_t pair = 0; pair < pairs;) {
              const OuterProductKernel<T>& kernel =
                  pairs - pair == 1 ? *block.single_row : *block.kernel;
              // A partly filled tile would add into the pairs of the next block of channels.
              if (pairs - pair < kernel.rows) {
                add_last_pairs(block, chunk_pixels, offsets, pair, pairs, sums);
                break;
              }
              kernel.run(chunk_pixels, offsets + pair, sums + pair * padded_outputs_ + block.first,
                         padded_outputs_);
              pair += kernel.rows;
            }
          });
    }
  }

  void add_last_pairs(const Block& block, const PixelRows<T>& pixels, const std::int64_t* offsets,
                      std::int64_t pair, std::int64_t pairs, T* sums) const {
    alignas(kAlignment) T tile[kMaxTileElements] = {};
    block.kernel->run(pixels, offsets + pair, tile, block.width);
    for (std::int64_t row = pair; row < pairs; ++row) {
      T* to = sums + row * padded_outputs_ + block.first;
      const T* from = tile + (row - pair) * block.width;
      for (std::int64_t i = 0; i < block.width; ++i) to[i] = wrapping_sum(to[i], from[i]);
    }
  }

  /// Whole rows where a few fit a chunk, pieces of a row where not one does.
  template <class Body>
  static void for_each_chunk(const Extent& size, std::int64_t chunk, Body&& body) {
    const std::int64_t rows = std::max<std::int64_t>(1, chunk / size[2]);
    const std::int64_t width = std::min(chunk, size[2]);
    for (std::int64_t d = 0; d < size[0]; ++d) {
      for (std::int64_t h = 0; h < size[1]; h += rows) {
        for (std::int64_t w = 0; w < size[2]; w += width) {
          body(d, h, w, std::min(rows, size[1] - h), std::min(width, size[2] - w));
        }
      }
    }
  }

  void add_dot_products(const Extent& origin, const T* input, const T* gradient,
                        const std::int64_t* offsets, std::int64_t pairs, T* sums) const {
    const Extent size = tile_.size_at(origin);
    const std::int64_t pixels = product(size);
    for (std::int64_t k = 0; k < output_channels_; ++k) {
      for (std::int64_t d = 0; d < size[0]; ++d) {
        const PixelRows<T> slice{size[1],
                                 size[2],
                                 input + d * tile_.pitch[1] * tile_.pitch[2],
                                 tile_.pitch[2],
                                 gradient + k * pixels + d * size[1] * size[2],
                                 size[2]};
        for (std::int64_t pair = 0; pair < pairs;) {
          const DotProductKernel<T>* kernel = kernels_.dot_product.begin();
          while (kernel->rows > pairs - pair) ++kernel;  // largest first
          kernel->run(slice, offsets + pair, sums + pair * padded_outputs_ + k, padded_outputs_);
          pair += kernel->rows;
        }
      }
    }
  }

  /// Adds up the pieces, in their order, and transposes [c][a][k] into rows of taps, 16 output
  /// channels (a cache line of sums) at a time.
  void store(const RealView& weight, const T* sums) const {
    const std::int64_t k_per_group = output_channels_ / parts_;
    const std::int64_t blocks_per_group = ceil_divide(output_channels_, kStoredOutputs);
    parallel_for(problem_.g * blocks_per_group, threads_, [&](std::int64_t item, int) {
      const std::int64_t group = item / blocks_per_group;
      const std::int64_t first = item % blocks_per_group * kStoredOutputs;
      const std::int64_t outputs = std::min(kStoredOutputs, output_channels_ - first) / parts_;
      store_outputs(weight, sums + group * group_sum_count() + first,
                    group * k_per_group + first / parts_, outputs);
    });
  }

  void store_outputs(const RealView& weight, const T* sums, std::int64_t first_k,
                     std::int64_t outputs) const {
    const TapRows tap_rows(weight, runs_);
    const auto store_block = kernels_.store_block[static_cast<int>(weight.type())];
    const Epilogue<T> epilogue{nullptr, 0, Activation::none, problem_.accumulate};
    // Where taps of successive channels are contiguous too, a row goes on from one to the next.
    const std::int64_t channels = input_channels_ / parts_;
    const bool joined =
        tap_rows.rows() == 1 && parts_ == 1 && weight.stride(1) == taps_ * tap_rows.step();
    const std::int64_t rows = joined ? 1 : channels * tap_rows.rows();
    const std::int64_t row_length = joined ? channels * taps_ : tap_rows.taps_of_row();
    T block[kStoredOutputs * kStoredTaps];
    for (std::int64_t row = 0; row < rows; ++row) {
      const std::int64_t c = row / tap_rows.rows();
      const std::int64_t tap_row = row % tap_rows.rows();
      for (std::int64_t first = 0; first < row_length; first += kStoredTaps) {
        const std::int64_t count = std::min(kStoredTaps, row_length - first);
        const std::int64_t pair = c * parts_ * taps_ + tap_row * tap_rows.taps_of_row() + first;
        gather(sums + pair * padded_outputs_, outputs, count, block);
        const std::int64_t offset = first_k * weight.stride(0) + c * weight.stride(1) +
                                    tap_rows.offset(tap_row) + first * tap_rows.step();
        for (std::int64_t part = 0; part < parts_; ++part) {
          for (std::int64_t k = 0; k < outputs; ++k) {
            store_block(weight.at(offset + k * weight.stride(0) + part), 1, tap_rows.step(),
                        block + (k * parts_ + part) * kStoredTaps, kStoredTaps, {1, count},
                        epilogue);
          }
        }
      }
    }
  }

  /// block[output][i] = the sum over all pieces of pair i, real parts combined into complex ones:
  /// gradient * conj(input) or gradient * input.
  void gather(const T* sums, std::int64_t outputs, std::int64_t count, T* block) const {
    if (padded_outputs_ == 1) return add_pieces(sums, count, block);
    const T sign = problem_.conjugate ? T(1) : T(-1);
    for (std::int64_t i = 0; i < count; ++i) {
      T line[kStoredOutputs];
      add_pieces(sums + i * padded_outputs_, outputs * parts_, line);
      if (parts_ == 1) {
        for (std::int64_t k = 0; k < outputs; ++k) block[k * kStoredTaps + i] = line[k];
        continue;
      }
      T imaginary[kStoredOutputs];
      add_pieces(sums + (taps_ + i) * padded_outputs_, outputs * parts_, imaginary);
      for (std::int64_t k = 0; k < 2 * outputs; k += 2) {
        block[k * kStoredTaps + i] = line[k] + sign * imaginary[k + 1];
        block[(k + 1) * kStoredTaps + i] = line[k + 1] - sign * imaginary[k];
      }
    }
  }

  void add_pieces(const T* sums, std::int64_t count, T* line) const {
    std::copy_n(sums, count, line);
    for (std::int64_t piece = 1; piece < pieces_; ++piece) {
      const T* from = sums + piece * sum_count();
      for (std::int64_t k = 0; k < count; ++k) line[k] = wrapping_sum(line[k], from[k]);
    }
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  int threads_;
  std::int64_t parts_;
  std::int64_t input_channels_;   ///< of one group, in the real view
  std::int64_t output_channels_;  ///< likewise
  bool outer_products_;
  std::array<AxisPhases, 3> phases_;
  Runs runs_;
  Tile tile_;
  std::int64_t taps_ = 1;
  std::vector<Block> outer_blocks_;
  std::int64_t padded_outputs_ = 0;
  std::int64_t most_rows_ = 0;  ///< of a kernel; so many offsets past the last pair are read
  std::int64_t channels_per_item_ = 1;
  std::int64_t groups_per_item_ = 1;
  std::int64_t pieces_ = 1;
  std::vector<std::int64_t> tap_offsets_;
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan(const Problem& problem,
                                                                       int threads) {
  return std::make_unique<WeightGradientPlan<T>>(problem, threads);
}

template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<float>(
    const Problem&, int);
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<double>(
    const Problem&, int);
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<std::int32_t>(
    const Problem&, int);
template std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan<std::int64_t>(
    const Problem&, int);

}  // namespace fastconv::direct
