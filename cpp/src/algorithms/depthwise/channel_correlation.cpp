/// Forward and backward-input passes with vectors along channels. Where those lie side by side and
/// the taps are few, memory is read where it lies:
///
///     parallel for each image, block of rows, block of columns
///       for each few rows, phase, block of channels                            [L1]
///         the kernel: rows x 8 pixels x one vector of channels, all taps       [registers]
///
/// Otherwise one vector of channels at a time is packed [slice][row][column][channel], transposed
/// if memory has channels apart, so that rows which follow each other share the first-level cache:
///
///     parallel for each image, vector of channels, block of rows
///       pack the source that the rows read                                     [L2]
///       for each few rows, phase
///         the kernel                                                           [registers]
///       transpose the result, if memory has channels apart
///
/// Taps that would read padding are left out. Weights are [vector of channels][tap][channel].
#include <algorithm>

#include "algorithms/depthwise/correlation.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::depthwise {

namespace {

/// Source that the tap rows of a block of columns span, within the first-level cache, so that a
/// row finds there what those above it have read.
constexpr std::int64_t kWindowBytes = 32 * 1024;
/// What a tile of 8 pixels reads of all channels that are computed together, within the first-level
/// cache.
constexpr std::int64_t kTileBytes = 28 * 1024;
constexpr std::int64_t kTilePixels = 8;
constexpr std::int64_t kWantedItems = 16;
/// A packed block of source, and the least that is worth an item.
constexpr std::int64_t kPackedBytes = 384 * 1024;
constexpr std::int64_t kMostPackedBytes = 1024 * 1024;
/// More taps than this, and the source is read so often that packing it pays.
constexpr std::int64_t kMostTapsInPlace = 16;
/// Taps of a kernel of one row from which on transposing pays.
constexpr std::int64_t kLeastTapsOfLoneRows = 8;

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
  const std::int64_t lanes = pass_.kernels.lanes;
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(T));
  vectors_ = ceil_divide(problem.c, lanes);
  for (const TapRun& run : pass_.axes[2].runs) append_taps(run);
  for (const TapRun& run : pass_.axes[1].runs) {
    most_rows_ = std::max(most_rows_, rows_together(run));
  }
  const auto& axes = problem.axes;

  const std::int64_t tile_bytes = (kTilePixels + axes[2].kernel - 1) * axes[1].kernel * kBytes;
  const std::int64_t most_channels = std::max(4 * lanes, kTileBytes / tile_bytes / lanes * lanes);
  const std::int64_t channel_blocks = ceil_divide(problem.c, most_channels);
  in_place_.channels =
      std::min(problem.c, ceil_divide(ceil_divide(problem.c, channel_blocks), lanes) * lanes);
  const std::int64_t row_pixels = axes[0].kernel * axes[1].kernel;
  const std::int64_t columns = pass_.axes[2].phases.count;
  const std::int64_t window = kWindowBytes / (row_pixels * problem.c * kBytes);
  in_place_.columns =
      std::clamp(window / kTilePixels * kTilePixels, kTilePixels, std::max(kTilePixels, columns));
  in_place_.column_items = ceil_divide(columns, in_place_.columns);
  const std::int64_t rows = pass_.axes[1].phases.count;
  const std::int64_t images = std::max<std::int64_t>(1, problem.n) * pass_.axes[0].phases.count;
  const std::int64_t wanted = ceil_divide(kWantedItems, in_place_.column_items * images);
  in_place_.rows = ceil_divide(ceil_divide(rows, std::min(rows, wanted)), most_rows_) * most_rows_;
  in_place_.row_items = ceil_divide(rows, in_place_.rows);

  packed_.channels = lanes;
  packed_.columns = columns;
  packed_.column_items = 1;
  packed_.rows = rows;
  const auto bytes = [&] {
    return packed_rows() * packed_slices() * source_size(2) * lanes * kBytes;
  };
  while (bytes() > kPackedBytes && packed_.rows > 4) packed_.rows = ceil_divide(packed_.rows, 2);
  packed_.row_items = ceil_divide(rows, packed_.rows);
  packable_ = bytes() <= kMostPackedBytes;
}

/// Source rows that the rows of a packed item read.
template <class T>
std::int64_t ChannelCorrelation<T>::packed_rows() const {
  const direct::AxisPhases& h = pass_.axes[1].phases;
  return std::min(source_size(1), (packed_.rows + h.reach) * h.source_step);
}

template <class T>
std::int64_t ChannelCorrelation<T>::packed_slices() const {
  const direct::AxisPhases& d = pass_.axes[0].phases;
  return std::min(source_size(0), (1 + d.reach) * d.source_step);
}

template <class T>
void ChannelCorrelation<T>::append_taps(const TapRun& run) {
  RunTaps result{static_cast<std::int64_t>(taps_.size()), 0};
  for (const TapGroup& group : run.groups) {
    for (std::int64_t t = 0; t < group.count; ++t, ++result.count) {
      taps_.push_back({pass_.axes[2].source(group.plane, group.shift + t * run.step),
                       (group.kernel + t * group.kernel_step) * pass_.kernels.lanes});
    }
  }
  run_taps_.push_back(result);
}

/// Rows share source rows where their taps are neighbours.
template <class T>
std::int64_t ChannelCorrelation<T>::rows_together(const TapRun& run) const {
  std::int64_t rows = run.step == 1 ? pass_.kernels.depthwise.channel_rows : 1;
  for (const TapGroup& group : run.groups) rows = std::min(rows, group.count);
  return rows;
}

template <class T>
ChannelMode ChannelCorrelation<T>::mode(const RealView& source, const RealView& destination) const {
  if (!possible_) return ChannelMode::none;
  const bool interleaved = source.stride(1) == 1 && destination.stride(1) == 1;
  const std::int64_t taps = pass_.kernel_size();
  if (interleaved && source.stride(4) > 0 && (taps <= kMostTapsInPlace || !packable_)) {
    return ChannelMode::in_place;
  }
  if (!packable_) return ChannelMode::none;
  if (interleaved) return ChannelMode::packed;
  // Rows of pixels fill vectors badly (those of taps three wide need the fewest, since their sums
  // roll), or their vectors serve one output row alone, or many taps of
  // a large kernel lie in the padding.
  const Axis& width = pass_.problem.axes[2];
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t row = pass_.axes[2].phases.count;
  const bool narrow = 4 * row <= (width.kernel <= 3 ? 5 : 6) * lanes;
  const bool lone_rows = taps == width.kernel && taps >= kLeastTapsOfLoneRows;
  return narrow || lone_rows || 4 * width.kernel > row ? ChannelMode::packed : ChannelMode::none;
}

template <class T>
std::int64_t ChannelCorrelation<T>::weight_count() const {
  return possible_ ? pass_.kernel_size() * vectors_ * pass_.kernels.lanes : 0;
}

template <class T>
void ChannelCorrelation<T>::pack_weights(const TensorView& weight, T* packed) const {
  const auto& axes = pass_.problem.axes;
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t taps = pass_.kernel_size();
  const auto* from = static_cast<const T*>(weight.data);
  const bool flat = weight.strides[4] == 1 && weight.strides[3] == axes[2].kernel &&
                    (axes[0].kernel == 1 || weight.strides[2] == axes[1].kernel * axes[2].kernel);
  for (std::int64_t c = 0; c < pass_.problem.c; c += lanes, packed += taps * lanes) {
    const std::int64_t channels = std::min(lanes, pass_.problem.c - c);
    if (channels < lanes) std::fill_n(packed, taps * lanes, T(0));
    if (flat) {
      pass_.kernels.transpose_sums(packed, lanes, from + c * weight.strides[0], weight.strides[0],
                                   {channels, taps}, 1, 0);
      continue;
    }
    T* to = packed;
    for (std::int64_t d = 0; d < axes[0].kernel; ++d) {
      for (std::int64_t h = 0; h < axes[1].kernel; ++h) {
        for (std::int64_t w = 0; w < axes[2].kernel; ++w, to += lanes) {
          const T* tap = from + c * weight.strides[0] + d * weight.strides[2] +
                         h * weight.strides[3] + w * weight.strides[4];
          for (std::int64_t i = 0; i < channels; ++i) to[i] = tap[i * weight.strides[0]];
        }
      }
    }
  }
}

template <class T>
typename ChannelCorrelation<T>::Memory ChannelCorrelation<T>::lay_out(Arena& arena) const {
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t packed =
      packable_ ? packed_rows() * packed_slices() * source_size(2) * lanes : 0;
  const std::int64_t sums = packable_ ? packed_.rows * packed_.columns * lanes : 0;
  const auto kernel_rows =
      static_cast<std::size_t>(pass_.problem.axes[0].kernel * pass_.problem.axes[1].kernel);
  const std::int64_t row_sums = most_rows_ * in_place_.columns * in_place_.channels;
  return {arena.take<ChannelTap>(taps_.size()),
          arena.take<const T*>(kernel_rows *
                               static_cast<std::size_t>(2 * pass_.kernels.depthwise.channel_rows)),
          arena.take<ChannelRows<T>>(kernel_rows),
          arena.take<T>(static_cast<std::size_t>(std::max(row_sums, sums))),
          arena.take<T>(static_cast<std::size_t>(packed)),
          arena.take<T>(static_cast<std::size_t>(sums))};
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
  const bool packs = mode(arrays.source, arrays.destination) == ChannelMode::packed;
  const Cut& cut = packs ? packed_ : in_place_;
  const std::int64_t items = pass_.problem.n * pass_.axes[0].phases.count * cut.row_items *
                             cut.column_items * (packs ? vectors_ : 1);
  parallel_for_in_arenas(
      items, pass_.threads, workspace, bytes, [&](std::int64_t item, Arena& arena) {
        const Memory memory = lay_out(arena);
        Item place{};
        place.column = item % cut.column_items * cut.columns;
        item /= cut.column_items;
        place.row = item % cut.row_items * cut.rows;
        item /= cut.row_items;
        place.slice = item % pass_.axes[0].phases.count;
        item /= pass_.axes[0].phases.count;
        place.columns = cut.columns;
        place.rows = cut.rows;
        place.channels = pass_.problem.c;
        if (!packs) {
          place.n = item;
          read_in_place(arrays, place);
          run_item(arrays, place, memory);
          return;
        }
        place.n = item / vectors_;
        place.channel = item % vectors_ * pass_.kernels.lanes;
        place.channels =
            std::min<std::int64_t>(pass_.kernels.lanes, pass_.problem.c - place.channel);
        pack(arrays, place, memory);
        run_item(arrays, place, memory);
        if (place.destination.gathers) store_gathered(arrays, place, memory);
      });
}

template <class T>
void ChannelCorrelation<T>::read_in_place(const PassArrays<T>& arrays, Item& item) const {
  const RealView& source = arrays.source;
  item.source = {reinterpret_cast<const T*>(source.at(item.n * source.stride(0))),
                 source.stride(2),
                 source.stride(3),
                 source.stride(4),
                 0,
                 0};
  item.channels_together = in_place_.channels;
}

/// Copies the slices and rows that an item reads, whole vectors of channels for each pixel.
template <class T>
void ChannelCorrelation<T>::pack(const PassArrays<T>& arrays, Item& item,
                                 const Memory& memory) const {
  const auto& [d_axis, h_axis, w_axis] = pass_.axes;
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t columns = source_size(2);
  const auto range = [&](const AxisTaps& axis, std::int64_t first, std::int64_t count,
                         std::int64_t size) {
    const std::int64_t start = axis.phases.source_first + axis.phases.source_step * first;
    const std::int64_t end = start + axis.phases.source_step * (count + axis.phases.reach);
    const std::int64_t low = std::clamp<std::int64_t>(start, 0, size);
    return std::pair(low, std::clamp(end, low, size));
  };
  const auto [first_slice, end_slice] = range(d_axis, item.slice, 1, source_size(0));
  const auto [first_row, end_row] =
      range(h_axis, item.row, std::min(item.rows, h_axis.phases.count - item.row), source_size(1));
  const RealView& source = arrays.source;
  const std::int64_t pitch = columns * lanes;
  T* to = memory.packed;
  for (std::int64_t d = first_slice; d < end_slice; ++d) {
    const T* from = reinterpret_cast<const T*>(
        source.at(item.n * source.stride(0) + item.channel * source.stride(1) +
                  d * source.stride(2) + first_row * source.stride(3)));
    const bool flat = source.stride(3) == columns * source.stride(4);
    const std::int64_t runs = flat ? 1 : end_row - first_row;
    const std::int64_t length = flat ? (end_row - first_row) * columns : columns;
    for (std::int64_t run = 0; run < runs; ++run, to += length * lanes) {
      const T* row = from + run * source.stride(3);
      if (source.stride(1) == 1) {
        pass_.kernels.depthwise.pack_channels(to, row, source.stride(4), length, item.channels);
      } else if (source.stride(4) == 1) {
        pass_.kernels.transpose_sums(to, lanes, row, source.stride(1), {item.channels, length}, 1,
                                     0);
      } else {
        for (std::int64_t c = 0; c < item.channels; ++c) {
          for (std::int64_t i = 0; i < length; ++i) {
            to[i * lanes + c] = row[c * source.stride(1) + i * source.stride(4)];
          }
        }
      }
    }
  }
  item.source = {memory.packed, (end_row - first_row) * pitch, pitch, lanes, first_slice,
                 first_row};
  item.packed = true;
  item.channels_together = lanes;
  item.destination.gathers = arrays.destination.stride(1) != 1 && pass_.axes[0].runs.size() == 1 &&
                             h_axis.runs.size() == 1 && w_axis.runs.size() == 1;
}

/// Transposes what an item computed into memory that has channels apart.
template <class T>
void ChannelCorrelation<T>::store_gathered(const PassArrays<T>& arrays, const Item& item,
                                           const Memory& memory) const {
  const Problem& problem = pass_.problem;
  const RealView& destination = arrays.destination;
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t columns = pass_.axes[2].phases.count;
  const std::int64_t rows = std::min(item.rows, pass_.axes[1].phases.count - item.row);
  const auto type = static_cast<int>(destination.type());
  const Epilogue<T> epilogue{nullptr, 0, problem.activation, problem.accumulate};
  const bool plain = problem.activation == Activation::none && !problem.accumulate;
  const bool flat = destination.stride(3) == columns * destination.stride(4);
  const std::int64_t runs = flat ? 1 : rows;
  const std::int64_t length = flat ? rows * columns : columns;
  for (std::int64_t run = 0; run < runs; ++run) {
    const std::int64_t at = item.n * destination.stride(0) + item.channel * destination.stride(1) +
                            item.slice * destination.stride(2) +
                            (item.row + run) * destination.stride(3);
    const T* sums = memory.sums + run * length * lanes;
    if (plain && destination.stride(4) == 1) {
      pass_.kernels.transpose_sums(reinterpret_cast<T*>(destination.at(at)), destination.stride(1),
                                   sums, lanes, {length, item.channels}, 1, 0);
      continue;
    }
    pass_.kernels.transpose_sums(memory.transposed, length, sums, lanes, {length, item.channels}, 1,
                                 0);
    pass_.kernels.store_block[type](destination.at(at), destination.stride(1),
                                    destination.stride(4), memory.transposed, length,
                                    {item.channels, length}, epilogue);
  }
}

template <class T>
void ChannelCorrelation<T>::run_item(const PassArrays<T>& arrays, const Item& item,
                                     const Memory& memory) const {
  const auto& [d_axis, h_axis, w_axis] = pass_.axes;
  const RealView& destination = arrays.destination;
  for (const TapRun& d : d_axis.runs) {
    if (item.slice >= d.run->count) continue;
    for (const TapRun& h : h_axis.runs) {
      const std::int64_t end = std::min(item.row + item.rows, h.run->count);
      const std::int64_t together = rows_together(h);
      for (std::int64_t row = item.row; row < end; row += together) {
        const std::int64_t count = std::min(together, end - row);
        const Rows rows{row, count, find_rows(arrays, item, d, h, row, count, memory),
                        item.n * destination.stride(0) +
                            d.run->destination(item.slice) * destination.stride(2) +
                            h.run->destination(row) * destination.stride(3),
                        h.run->destination_step * destination.stride(3)};
        for (std::size_t i = 0; i < w_axis.runs.size(); ++i) {
          run_rows(arrays, item, rows, w_axis.runs[i], run_taps_[i], memory);
        }
      }
    }
  }
}

/// The source rows that rows [row, row + rows) read; returns how many sets they form.
template <class T>
std::int64_t ChannelCorrelation<T>::find_rows(const PassArrays<T>& arrays, const Item& item,
                                              const TapRun& d, const TapRun& h, std::int64_t row,
                                              std::int64_t rows, const Memory& memory) const {
  const auto& [d_axis, h_axis, w_axis] = pass_.axes;
  const auto& axes = pass_.problem.axes;
  const std::int64_t row_weights = axes[2].kernel * pass_.kernels.lanes;
  std::int64_t sets = 0;
  const T** next = memory.rows;
  for (const TapGroup& dg : d.groups) {
    for (std::int64_t td = 0; td < dg.count; ++td) {
      const std::int64_t sd = d_axis.source(dg.plane, item.slice + dg.shift + td * d.step);
      if (sd < 0 || sd >= source_size(0)) continue;
      const std::int64_t kernel_slice = (dg.kernel + td * dg.kernel_step) * axes[1].kernel;
      for (const TapGroup& hg : h.groups) {
        memory.sets[sets++] = {next, arrays.weights + (kernel_slice + hg.kernel) * row_weights,
                               hg.kernel_step * row_weights, hg.count};
        const std::int64_t read = hg.count + rows - 1;
        for (std::int64_t i = 0; i < read + pass_.kernels.depthwise.channel_rows; ++i) {
          const std::int64_t sh = h_axis.source(hg.plane, row + hg.shift + i * h.step);
          const bool left_out = sh < 0 || sh >= source_size(1) || (i >= read && item.packed);
          *next++ = left_out ? nullptr : item.source.at(sd, sh);
        }
      }
    }
  }
  return sets;
}

template <class T>
void ChannelCorrelation<T>::run_rows(const PassArrays<T>& arrays, const Item& item,
                                     const Rows& rows, const TapRun& run, const RunTaps& taps,
                                     const Memory& memory) const {
  const std::int64_t pixels = std::min(item.columns, run.run->count - item.column);
  if (pixels <= 0) return;
  const Problem& problem = pass_.problem;
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t channel_stride = arrays.destination.stride(1);
  const bool gathers = item.destination.gathers;
  const bool plain = problem.activation == Activation::none && !problem.accumulate;
  const bool writes = plain && channel_stride == 1;
  const Epilogue<T> epilogue{nullptr, 0, problem.activation, problem.accumulate};
  const std::int64_t pixel = item.source.pixel;
  const std::int64_t source_step = pass_.axes[2].phases.source_step * pixel;
  const std::int64_t to_step = run.run->destination_step * arrays.destination.stride(4);
  const auto type = static_cast<int>(arrays.destination.type());
  // Pixels outside are told by their offset, so it counts from the first element of the row.
  for (std::int64_t t = 0; t < taps.count; ++t) {
    const ChannelTap& tap = taps_[static_cast<std::size_t>(taps.first + t)];
    memory.taps[t] = {tap.offset * pixel + item.column * source_step, tap.weight};
  }
  for (std::int64_t c = 0; c < item.channels; c += item.channels_together) {
    const std::int64_t channels = std::min(item.channels_together, item.channels - c);
    const std::int64_t channel = item.channel + c;
    const std::int64_t at = rows.destination + channel * channel_stride +
                            run.run->destination(item.column) * arrays.destination.stride(4);
    std::byte* to = arrays.destination.at(at);
    const std::int64_t sums_step = gathers ? lanes : channels;
    const std::int64_t sums_pitch = item.columns * sums_step;
    T* sums = memory.sums + (gathers ? (rows.first - item.row) * sums_pitch : 0);
    pass_.kernels.depthwise.channels(
        {memory.sets, rows.sets, memory.taps, taps.count, c, source_step, source_size(2) * pixel,
         channel * pass_.kernel_size(), pass_.kernel_size() * lanes, rows.count, pixels, channels,
         arrays.bias == nullptr ? nullptr : arrays.bias + channel,
         writes ? reinterpret_cast<T*>(to) : sums, writes ? rows.pitch : sums_pitch,
         writes ? to_step : sums_step});
    for (std::int64_t r = 0; !writes && !gathers && r < rows.count; ++r) {
      pass_.kernels.store_block[type](arrays.destination.at(at + r * rows.pitch), to_step,
                                      channel_stride, sums + r * sums_pitch, sums_step,
                                      {pixels, channels}, epilogue);
    }
  }
}

template class ChannelCorrelation<float>;
template class ChannelCorrelation<double>;

}  // namespace fastconv::depthwise
