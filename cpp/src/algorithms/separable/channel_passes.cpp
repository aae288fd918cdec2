/// Both passes with vectors along channels that lie side by side, zeros as padding:
///
///     parallel for each image, block of channels, block of rows, block of columns
///       arrange the taps of each vector of channels
///       for each few rows
///         first pass: columns of taps, for every source column that they read        [L1, L2]
///         second pass: rows of taps, from those sums into the destination            [L1, L2]
///
/// Sums between the passes are [row][source column][channel]. Taps in the padding are left out.
/// Blocks with a kernel of another rank are computed from all taps at once.
#include <algorithm>

#include "algorithms/separable/passes.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::separable {

namespace {

/// Sums between the passes.
constexpr std::int64_t kBetweenBytes = 128 * 1024;
constexpr std::int64_t kVectorsTogether = 4;
constexpr std::int64_t kItemRows = 64;
/// Taps of a row for each column that is computed twice.
constexpr std::int64_t kLeastColumns = 4;

}  // namespace

template <class T>
ChannelPasses<T>::ChannelPasses(const PassDescription<T>& pass)
    : pass_(pass),
      possible_(pass.destinations == 1 && 2 * pass.problem.c >= pass.kernels.lanes &&
                pass.pads_zeros()) {
  if (!possible_) return;
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(T));
  const std::int64_t lanes = pass_.kernels.lanes;
  const auto& [d, h, w] = pass_.axes;
  rows_together_ = std::min<std::int64_t>(pass_.kernels.depthwise.channel_rows, pass_.height());
  channels_ = std::min(kVectorsTogether, ceil_divide(pass_.problem.c, lanes)) * lanes;
  channel_items_ = ceil_divide(pass_.problem.c, channels_);
  const std::int64_t fitting =
      kBetweenBytes / (rows_together_ * channels_ * kBytes) - (pass_.width() - 1);
  const std::int64_t most = std::max(kLeastColumns * pass_.width(), fitting);
  column_items_ = ceil_divide(w.phases.count, most);
  columns_ = ceil_divide(w.phases.count, column_items_);
  row_items_ = ceil_divide(h.phases.count, kItemRows);
  rows_ = ceil_divide(h.phases.count, row_items_);
}

template <class T>
bool ChannelPasses<T>::suits(const RealView& source, const RealView& destination) const {
  return possible_ && source.stride(1) == 1 && destination.stride(1) == 1 && source.stride(4) > 0;
}

template <class T>
typename ChannelPasses<T>::Memory ChannelPasses<T>::lay_out(Arena& arena) const {
  const auto count = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };
  const std::int64_t between = rows_together_ * (columns_ + pass_.width() - 1) * channels_;
  const std::int64_t most_rows = pass_.height() + 2 * pass_.kernels.depthwise.channel_rows;
  return {arena.take<T>(count(between)),
          arena.take<T>(count(rows_together_ * columns_ * channels_)),
          arena.take<T>(count(pass_.height() * channels_)),
          arena.take<T>(count(pass_.width() * channels_)),
          arena.take<T>(count(pass_.taps() * channels_)),
          arena.take<const T*>(count(most_rows)),
          arena.take<ChannelTap>(count(pass_.width()))};
}

template <class T>
std::size_t ChannelPasses<T>::workspace_bytes() const {
  if (!possible_) return 0;
  Arena arena(nullptr);
  lay_out(arena);
  return arena.used() * static_cast<std::size_t>(pass_.threads);
}

template <class T>
void ChannelPasses<T>::run(const PassArrays<T>& arrays, void* workspace) const {
  const std::size_t bytes = workspace_bytes() / static_cast<std::size_t>(pass_.threads);
  const std::int64_t slices = pass_.axes[0].phases.count;
  const std::int64_t items = pass_.problem.n * slices * channel_items_ * row_items_ * column_items_;
  parallel_for_in_arenas(
      items, pass_.threads, workspace, bytes, [&](std::int64_t item, Arena& arena) {
        const auto next = [&](std::int64_t count) {
          const std::int64_t index = item % count;
          item /= count;
          return index;
        };
        Item place{};
        place.column = next(column_items_) * columns_;
        place.columns = std::min(columns_, pass_.axes[2].phases.count - place.column);
        place.row = next(row_items_) * rows_;
        place.rows = std::min(rows_, pass_.axes[1].phases.count - place.row);
        place.channel = next(channel_items_) * channels_;
        place.channels = std::min(channels_, pass_.problem.c - place.channel);
        place.slice = next(slices);
        place.n = item;
        run_item(arrays, place, lay_out(arena));
      });
}

/// Weights [channel][tap] of an item's channels to [vector of channels][tap][channel].
template <class T>
void ChannelPasses<T>::arrange(const T* from, std::int64_t taps, const Item& item, T* to) const {
  const std::int64_t lanes = pass_.kernels.lanes;
  for (std::int64_t c = 0; c < item.channels; c += lanes, to += taps * lanes) {
    const std::int64_t channels = std::min(lanes, item.channels - c);
    if (channels < lanes) std::fill_n(to, taps * lanes, T(0));
    pass_.kernels.transpose_sums(to, lanes, from + (item.channel + c) * taps, taps,
                                 {channels, taps}, 1, 0);
  }
}

template <class T>
void ChannelPasses<T>::run_item(const PassArrays<T>& arrays, const Item& item,
                                const Memory& memory) const {
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t width = pass_.width();
  const SeparableWeights<T>& weights = arrays.weights;
  const bool* rank_one = weights.rank_one + item.channel;
  const bool two_passes =
      std::all_of(rank_one, rank_one + item.channels, [](bool one) { return one; });
  if (two_passes) {
    arrange(weights.columns, pass_.height(), item, memory.columns);
    arrange(weights.rows, width, item, memory.rows);
  } else {
    arrange(weights.kernels, pass_.taps(), item, memory.kernels);
  }
  const std::int64_t size = pass_.source_size(2);
  const std::int64_t first = pass_.source(2, item.column);
  const std::int64_t before = std::clamp<std::int64_t>(-first, 0, item.columns + width - 1);
  const std::int64_t end = std::clamp(size - first, before, item.columns + width - 1);
  const std::int64_t pixel = arrays.source.stride(4);
  for (std::int64_t y = 0; y < item.rows; y += rows_together_) {
    const std::int64_t rows = std::min(rows_together_, item.rows - y);
    find_rows(arrays, item, y, rows, memory);
    ChannelBlock<T> block{};
    block.pixels = item.columns;
    block.channels = item.channels;
    block.tap_count = width;
    block.taps = memory.taps;
    if (two_passes) {
      run_first_pass(arrays, item, rows, memory);
      // Columns of the sums are counted from the first one inside.
      for (std::int64_t b = 0; b < width; ++b) {
        memory.taps[b] = {(b - before) * channels_, b * lanes};
      }
      block.source_step = channels_;
      block.source_limit = (end - before) * channels_;
      block.weight_pitch = width * lanes;
      block.rows = 1;
      for (std::int64_t r = 0; r < rows; ++r) {
        const std::int64_t most = 1 + pass_.kernels.depthwise.channel_rows;
        std::fill_n(memory.sources, most, nullptr);
        memory.sources[0] = memory.between + r * (columns_ + width - 1) * channels_;
        store(arrays, item, y + r, {memory.sources, memory.rows, 0, 1}, block, memory);
      }
      continue;
    }
    for (std::int64_t b = 0; b < width; ++b) memory.taps[b] = {(first + b) * pixel, b * lanes};
    block.source_step = pixel;
    block.source_limit = size * pixel;
    block.weight_pitch = pass_.taps() * lanes;
    block.rows = rows;
    store(arrays, item, y, {memory.sources, memory.kernels, width * lanes, pass_.height()}, block,
          memory);
  }
}

/// The source rows that rows [y, y + rows) of an item read, at its first channel, and those that
/// the rows below will.
template <class T>
void ChannelPasses<T>::find_rows(const PassArrays<T>& arrays, const Item& item, std::int64_t y,
                                 std::int64_t rows, const Memory& memory) const {
  const RealView& source = arrays.source;
  const std::int64_t slice = pass_.source(0, item.slice);
  const bool outside = slice < 0 || slice >= pass_.source_size(0);
  const std::int64_t base = item.n * source.stride(0) + item.channel + slice * source.stride(2);
  const std::int64_t first = pass_.source(1, item.row + y);
  const std::int64_t count = pass_.height() + rows - 1 + pass_.kernels.depthwise.channel_rows;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::int64_t row = first + i;
    memory.sources[i] = outside || row < 0 || row >= pass_.source_size(1)
                            ? nullptr
                            : reinterpret_cast<const T*>(source.at(base + row * source.stride(3)));
  }
}

/// Columns of taps into the sums of every source column that an item reads.
template <class T>
void ChannelPasses<T>::run_first_pass(const PassArrays<T>& arrays, const Item& item,
                                      std::int64_t rows, const Memory& memory) const {
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t first = pass_.source(2, item.column);
  const std::int64_t read = item.columns + pass_.width() - 1;
  const std::int64_t low = std::clamp<std::int64_t>(first, 0, pass_.source_size(2));
  const std::int64_t count =
      std::clamp<std::int64_t>(first + read, low, pass_.source_size(2)) - low;
  if (count == 0) return;
  const std::int64_t pixel = arrays.source.stride(4);
  const ChannelRows<T> set{memory.sources, memory.columns, lanes, pass_.height()};
  const ChannelTap tap{low * pixel, 0};
  const std::int64_t pitch = (columns_ + pass_.width() - 1) * channels_;
  pass_.kernels.depthwise.channels({&set, 1, &tap, 1, 0, pixel, pass_.source_size(2) * pixel, 0,
                                    pass_.height() * lanes, rows, count, item.channels, nullptr,
                                    memory.between, pitch, channels_});
}

/// Runs the kernel for the rows of a block, from row y of an item on.
template <class T>
void ChannelPasses<T>::store(const PassArrays<T>& arrays, const Item& item, std::int64_t y,
                             const ChannelRows<T>& set, ChannelBlock<T> block,
                             const Memory& memory) const {
  const RealView& destination = arrays.destination;
  const auto& [d, h, w] = pass_.axes;
  std::byte* to = destination.at(item.n * destination.stride(0) + item.channel +
                                 d.runs[0].run->destination(item.slice) * destination.stride(2) +
                                 h.runs[0].run->destination(item.row + y) * destination.stride(3) +
                                 w.runs[0].run->destination(item.column) * destination.stride(4));
  const bool writes = pass_.stores_plainly();
  block.sets = &set;
  block.set_count = 1;
  block.bias = arrays.bias == nullptr ? nullptr : arrays.bias + item.channel;
  block.out = writes ? reinterpret_cast<T*>(to) : memory.sums;
  block.out_pitch = writes ? destination.stride(3) : columns_ * channels_;
  block.out_step = writes ? destination.stride(4) : channels_;
  pass_.kernels.depthwise.channels(block);
  if (writes) return;
  const Epilogue<T> epilogue{nullptr, 0, pass_.problem.activation, pass_.problem.accumulate};
  for (std::int64_t r = 0; r < block.rows; ++r) {
    pass_.kernels.store_block[static_cast<int>(destination.type())](
        destination.at(r * destination.stride(3)) + (to - destination.at(0)), destination.stride(4),
        1, memory.sums + r * block.out_pitch, channels_, {item.columns, item.channels}, epilogue);
  }
}

template class ChannelPasses<float>;
template class ChannelPasses<double>;

}  // namespace fastconv::separable
