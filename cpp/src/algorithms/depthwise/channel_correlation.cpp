/// Forward and backward-input passes with vectors along channels that lie side by side in memory,
/// which is read where it lies:
///
///     parallel for each image, block of rows, block of columns
///       for each phase, row, block of channels                                 [L1]
///         the kernel: 8 pixels x one vector of channels, all taps              [registers]
///
/// Taps that would read padding are left out. Weights are packed [kernel element][channel].
#include <algorithm>

#include "algorithms/depthwise/correlation.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::depthwise {

using direct::ceil_divide;

namespace {

/// Neighbouring taps that the kernel takes together.
constexpr std::int64_t kMostTaps = 4;
/// Source that the tap rows of a block of columns span, within the second-level cache.
constexpr std::int64_t kWindowBytes = 384 * 1024;
constexpr std::int64_t kLeastColumns = 32;
/// What a tile of 8 pixels reads of all channels that are computed together, within the first-level
/// cache.
constexpr std::int64_t kTileBytes = 28 * 1024;
constexpr std::int64_t kTilePixels = 8;
constexpr std::int64_t kWantedItems = 16;

}  // namespace

template <class T>
ChannelCorrelation<T>::ChannelCorrelation(const PassDescription<T>& pass)
    : pass_(pass),
      possible_(pass.sources == 1 && pass.destinations == 1 &&
                2 * pass.problem.c >= pass.kernels.lanes &&
                (pass.problem.padding_mode == PaddingMode::zeros ||
                 pass.problem.pass == Pass::backward_input)) {
  if (!possible_) return;
  const Problem& problem = pass_.problem;
  weight_pitch_ = static_cast<std::int64_t>(
      round_up(static_cast<std::size_t>(problem.c), static_cast<std::size_t>(pass_.kernels.lanes)));
  for (const TapRun& run : pass_.axes[2].runs) append_blocks(run);
  const std::int64_t tile_bytes = (kTilePixels + problem.axes[2].kernel - 1) *
                                  problem.axes[1].kernel * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t most_channels =
      std::max(4 * lanes, kTileBytes / tile_bytes / lanes * lanes);
  const std::int64_t channel_blocks = ceil_divide(problem.c, most_channels);
  channels_together_ = std::min(problem.c, ceil_divide(ceil_divide(problem.c, channel_blocks), lanes) * lanes);
  const std::int64_t pixel_bytes = problem.c * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t row_pixels = problem.axes[0].kernel * problem.axes[1].kernel;
  columns_per_item_ = std::max(kLeastColumns, kWindowBytes / (row_pixels * pixel_bytes));
  columns_per_item_ = std::min(columns_per_item_, pass_.axes[2].phases.count);
  column_items_ = ceil_divide(pass_.axes[2].phases.count, columns_per_item_);
  const std::int64_t rows = pass_.axes[1].phases.count;
  const std::int64_t wanted =
      ceil_divide(kWantedItems, column_items_ * std::max<std::int64_t>(1, problem.n) *
                                     pass_.axes[0].phases.count);
  rows_per_item_ = ceil_divide(rows, std::min(rows, wanted));
  row_items_ = ceil_divide(rows, rows_per_item_);
}

template <class T>
void ChannelCorrelation<T>::append_blocks(const TapRun& run) {
  const std::int64_t most = run.step == 1 ? kMostTaps : 1;
  RunBlocks result{static_cast<std::int64_t>(blocks_.size()), 0};
  for (const TapGroup& group : run.groups) {
    for (std::int64_t t = 0; t < group.count; t += most) {
      blocks_.push_back({pass_.axes[2].source(group.plane, group.shift + t * run.step),
                         group.kernel + t * group.kernel_step, group.kernel_step,
                         std::min(most, group.count - t)});
      ++result.count;
    }
  }
  run_blocks_.push_back(result);
}

template <class T>
bool ChannelCorrelation<T>::takes(const direct::RealView& source,
                                  const direct::RealView& destination) const {
  return possible_ && source.stride(1) == 1 && source.stride(4) > 0 && destination.stride(1) == 1;
}

template <class T>
std::int64_t ChannelCorrelation<T>::weight_count() const {
  return possible_ ? pass_.kernel_size() * weight_pitch_ : 0;
}

template <class T>
void ChannelCorrelation<T>::pack_weights(const TensorView& weight, T* packed) const {
  const auto& axes = pass_.problem.axes;
  const auto* from = static_cast<const T*>(weight.data);
  for (std::int64_t d = 0; d < axes[0].kernel; ++d) {
    for (std::int64_t h = 0; h < axes[1].kernel; ++h) {
      for (std::int64_t w = 0; w < axes[2].kernel; ++w, packed += weight_pitch_) {
        const T* tap = from + d * weight.strides[2] + h * weight.strides[3] + w * weight.strides[4];
        for (std::int64_t c = 0; c < pass_.problem.c; ++c) packed[c] = tap[c * weight.strides[0]];
        std::fill(packed + pass_.problem.c, packed + weight_pitch_, T(0));
      }
    }
  }
}

template <class T>
std::int64_t ChannelCorrelation<T>::most_rows() const {
  return pass_.problem.axes[0].kernel * pass_.problem.axes[1].kernel;
}

template <class T>
typename ChannelCorrelation<T>::Memory ChannelCorrelation<T>::lay_out(Arena& arena) const {
  return {arena.take<TapBlock>(2 * blocks_.size()),
          arena.take<ChannelRow<T>>(static_cast<std::size_t>(2 * most_rows())),
          arena.take<T>(static_cast<std::size_t>(columns_per_item_ * channels_together_))};
}

template <class T>
std::size_t ChannelCorrelation<T>::workspace_bytes() const {
  if (!possible_) return 0;
  Arena arena(nullptr);
  lay_out(arena);
  return arena.used() * static_cast<std::size_t>(pass_.threads);
}

template <class T>
void ChannelCorrelation<T>::run(const PassArrays<T>& arrays, void* workspace) const {
  const std::size_t bytes = workspace_bytes() / static_cast<std::size_t>(pass_.threads);
  Arena first(workspace);
  TapBlock* blocks = lay_out(first).blocks;
  for (std::size_t i = 0; i < blocks_.size(); ++i) {
    blocks[i] = blocks_[i];
    blocks[i].offset *= arrays.source.stride(4);
  }
  const std::int64_t items =
      pass_.problem.n * pass_.axes[0].phases.count * row_items_ * column_items_;
  parallel_for(items, pass_.threads, [&](std::int64_t item, int thread) {
    Arena arena(static_cast<std::byte*>(workspace) + static_cast<std::size_t>(thread) * bytes);
    run_item(arrays, item, blocks, lay_out(arena));
  });
}

template <class T>
void ChannelCorrelation<T>::run_item(const PassArrays<T>& arrays, std::int64_t item,
                                     const TapBlock* blocks, const Memory& memory) const {
  const auto& [d_axis, h_axis, w_axis] = pass_.axes;
  const std::int64_t first_column = item % column_items_ * columns_per_item_;
  item /= column_items_;
  const std::int64_t first_row = item % row_items_ * rows_per_item_;
  item /= row_items_;
  const std::int64_t jd = item % d_axis.phases.count;
  const std::int64_t n = item / d_axis.phases.count;
  const auto& problem_axes = pass_.problem.axes;
  const T* source = reinterpret_cast<const T*>(arrays.source.at(n * arrays.source.stride(0)));
  for (const TapRun& d : d_axis.runs) {
    if (jd >= d.run->count) continue;
    for (std::int64_t jh = first_row; jh < first_row + rows_per_item_; ++jh) {
      for (const TapRun& h : h_axis.runs) {
        if (jh >= h.run->count) continue;
        std::int64_t rows = 0;
        for (const TapGroup& dg : d.groups) {
          for (std::int64_t td = 0; td < dg.count; ++td) {
            const std::int64_t sd = d_axis.source(dg.plane, jd + dg.shift + td * d.step);
            if (sd < 0 || sd >= source_size(0)) continue;
            for (const TapGroup& hg : h.groups) {
              for (std::int64_t th = 0; th < hg.count; ++th) {
                const std::int64_t sh = h_axis.source(hg.plane, jh + hg.shift + th * h.step);
                if (sh < 0 || sh >= source_size(1)) continue;
                const std::int64_t kernel_row =
                    (dg.kernel + td * dg.kernel_step) * problem_axes[1].kernel + hg.kernel +
                    th * hg.kernel_step;
                memory.rows[rows++] = {
                    source + sd * arrays.source.stride(2) + sh * arrays.source.stride(3),
                    arrays.weights + kernel_row * problem_axes[2].kernel * weight_pitch_};
              }
            }
          }
        }
        const std::int64_t to = n * arrays.destination.stride(0) +
                                d.run->destination(jd) * arrays.destination.stride(2) +
                                h.run->destination(jh) * arrays.destination.stride(3);
        for (std::size_t i = 0; i < w_axis.runs.size(); ++i) {
          const TapRun& w = w_axis.runs[i];
          const std::int64_t columns =
              std::min(columns_per_item_, w.run->count - first_column);
          if (columns <= 0) continue;
          run_row(arrays, w, run_blocks_[i], first_column, columns, rows, to, blocks, memory);
        }
      }
    }
  }
}

template <class T>
void ChannelCorrelation<T>::run_row(const PassArrays<T>& arrays, const TapRun& run,
                                    const RunBlocks& run_blocks, std::int64_t first,
                                    std::int64_t pixels, std::int64_t row_count,
                                    std::int64_t destination, const TapBlock* blocks,
                                    const Memory& memory) const {
  const Problem& problem = pass_.problem;
  const bool plain = problem.activation == Activation::none && !problem.accumulate;
  const Epilogue<T> epilogue{nullptr, 0, problem.activation, problem.accumulate};
  const std::int64_t pixel_stride = arrays.source.stride(4);
  const std::int64_t source_step = pass_.axes[2].phases.source_step * pixel_stride;
  const std::int64_t to_step = run.run->destination_step * arrays.destination.stride(4);
  const auto type = static_cast<int>(arrays.destination.type());
  // Offsets of pixels outside are told by their sign or size, so they count from element 0 of the
  // row and the first column goes into the blocks.
  TapBlock* moved_blocks = memory.blocks + blocks_.size();
  for (std::int64_t i = 0; i < run_blocks.count; ++i) {
    moved_blocks[i] = blocks[run_blocks.first + i];
    moved_blocks[i].offset += first * source_step;
  }
  for (std::int64_t channel = 0; channel < problem.c; channel += channels_together_) {
    const std::int64_t channels = std::min(channels_together_, problem.c - channel);
    ChannelRow<T>* rows = memory.rows + most_rows();
    for (std::int64_t row = 0; row < row_count; ++row) {
      rows[row] = {memory.rows[row].source + channel, memory.rows[row].weights + channel};
    }
    auto* to = reinterpret_cast<T*>(arrays.destination.at(
        destination + run.run->destination(first) * arrays.destination.stride(4) + channel));
    const ChannelBlock<T> block{rows,
                                row_count,
                                moved_blocks,
                                run_blocks.count,
                                source_step,
                                source_size(2) * pixel_stride,
                                weight_pitch_,
                                pixels,
                                channels,
                                arrays.bias == nullptr ? nullptr : arrays.bias + channel,
                                plain ? to : memory.sums,
                                plain ? to_step : channels};
    pass_.kernels.depthwise.channels(block);
    if (!plain) {
      pass_.kernels.store_block[type](to, to_step, 1, memory.sums, channels, {pixels, channels},
                                      epilogue);
    }
  }
}

template class ChannelCorrelation<float>;
template class ChannelCorrelation<double>;

}  // namespace fastconv::depthwise
