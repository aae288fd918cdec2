/// Both passes with vectors along the pixels:
///
///     parallel for each image, block of channels, tile
///       pack the tile's source into padded rows, unless they are read where they lie
///       for each destination channel, few rows
///         first pass: columns of taps, for every source column that the rows read     [L2 -> L1]
///         second pass: rows of taps, from those sums into the destination             [L1]
///
/// Sums between the passes are a few rows of a tile, [row][column], zeros where padding stands.
/// Channels whose kernel has another rank are computed from all taps at once.
#include <algorithm>

#include "algorithms/separable/passes.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::separable {

using direct::Extent;

namespace {

/// Rows that go through both passes together: their sums within the first-level cache, and no fewer
/// than the kernel computes at once.
constexpr std::int64_t kLeastStepRows = 4;
constexpr std::int64_t kMostStepRows = 16;
constexpr std::int64_t kStepBytes = 16 * 1024;
/// Rows of a tile. The first pass computes no row twice, so that few would do, but packed tiles
/// overlap.
constexpr std::int64_t kTileRows = 64;
/// Source that a tile reads.
constexpr std::int64_t kTileBytes = 256 * 1024;
constexpr std::int64_t kLeastColumns = 128;
constexpr std::int64_t kInterleavedBytes = 512 * 1024;
constexpr std::int64_t kInterleavedGroups = 16;
/// Source elements that an item of work should have at least.
constexpr std::int64_t kItemElements = 16 * 1024;
/// Rows beyond those that a tile reads, for the kernel to fetch, and vectors beyond its columns.
constexpr std::int64_t kRowsAhead = 4;
constexpr std::int64_t kVectorsBeyond = 9;

}  // namespace

template <class T>
RowPasses<T>::RowPasses(const PassDescription<T>& pass)
    : pass_(pass), tile_({&pass.axes[0].phases, &pass.axes[1].phases, &pass.axes[2].phases}) {
  constexpr auto kBytes = static_cast<std::int64_t>(sizeof(T));
  const Extent counts = tile_.counts;
  const std::int64_t rows = std::min(kTileRows, counts[1]);
  const std::int64_t fitting =
      kTileBytes / kBytes / (rows + pass_.height() - 1) - (pass_.width() - 1);
  const std::int64_t most = std::max({kLeastColumns, 4 * pass_.width(), fitting});
  const std::int64_t strips = ceil_divide(counts[2], most);
  const std::int64_t lanes = pass_.kernels.lanes;
  const std::int64_t columns = ceil_divide(ceil_divide(counts[2], strips), lanes) * lanes;
  tile_.cut(
      {1, ceil_divide(counts[1], ceil_divide(counts[1], rows)), std::min(counts[2], columns)});
  step_rows_ = std::clamp(kStepBytes / (between_pitch() * kBytes) / kLeastStepRows * kLeastStepRows,
                          kLeastStepRows, kMostStepRows);
  groups_together_ = std::clamp<std::int64_t>(kInterleavedBytes / (tile_.channel_size() * kBytes),
                                              1, std::min(kInterleavedGroups, pass_.problem.g));
  groups_per_item_ =
      std::min(pass_.problem.g,
               ceil_divide(ceil_divide(kItemElements, tile_.channel_size()), groups_together_) *
                   groups_together_);
  group_blocks_ = ceil_divide(pass_.problem.g, groups_per_item_);
}

template <class T>
std::int64_t RowPasses<T>::between_pitch() const {
  return tile_.pitch[2] + kVectorsBeyond * pass_.kernels.lanes;
}

template <class T>
std::int64_t RowPasses<T>::sums_pitch() const {
  return static_cast<std::int64_t>(round_up(static_cast<std::size_t>(tile_.size[2]),
                                            static_cast<std::size_t>(pass_.kernels.lanes)));
}

template <class T>
typename RowPasses<T>::Memory RowPasses<T>::lay_out(Arena& arena) const {
  const auto count = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };
  // Packed rows are read in whole vectors.
  const std::int64_t packed =
      groups_together_ * tile_.channel_size() + kVectorsBeyond * pass_.kernels.lanes;
  return {arena.take<T>(count(packed)),
          arena.take<T>(count(between_pitch())),
          arena.take<T>(count(step_rows_ * between_pitch())),
          arena.take<T>(count(step_rows_ * sums_pitch())),
          arena.take<const T*>(count(tile_.pitch[1] + kRowsAhead)),
          arena.take<std::int64_t>(count(pass_.width()))};
}

template <class T>
std::size_t RowPasses<T>::workspace_bytes() const {
  Arena arena(nullptr);
  lay_out(arena);
  return arena.used() * static_cast<std::size_t>(pass_.threads);
}

template <class T>
bool RowPasses<T>::reads_in_place(const RealView& source) const {
  return source.stride(4) == 1 && pass_.pads_zeros();
}

template <class T>
void RowPasses<T>::run(const PassArrays<T>& arrays, void* workspace) const {
  const std::size_t bytes = workspace_bytes() / static_cast<std::size_t>(pass_.threads);
  parallel_for_in_arenas(
      pass_.problem.n * group_blocks_ * tile_.tile_count(), pass_.threads, workspace, bytes,
      [&](std::int64_t item, Arena& arena) { run_item(arrays, item, lay_out(arena)); });
}

template <class T>
void RowPasses<T>::run_item(const PassArrays<T>& arrays, std::int64_t item,
                            const Memory& memory) const {
  const Extent origin = tile_.origin(item % tile_.tile_count());
  item /= tile_.tile_count();
  const Extent size = tile_.size_at(origin);
  const Zone zone{item / group_blocks_, origin, size[1], size[2]};
  const std::int64_t first = item % group_blocks_ * groups_per_item_;
  const std::int64_t end = std::min(first + groups_per_item_, pass_.problem.g);
  const bool in_place = reads_in_place(arrays.source);
  const bool interleaved = arrays.source.stride(1) == 1 && !in_place;
  const std::int64_t together = interleaved ? groups_together_ : 1;
  for (std::int64_t b = 0; b < pass_.width(); ++b) memory.offsets[b] = b;
  std::fill_n(memory.zeros, between_pitch(), T(0));
  std::fill_n(memory.between, step_rows_ * between_pitch(), T(0));
  direct::SourcePadding padding = direct::input_padding(pass_.problem);
  if (pass_.problem.pass == Pass::backward_input) {
    padding = {.sizes = {pass_.source_size(0), pass_.source_size(1), pass_.source_size(2)},
               .mode = PaddingMode::zeros};
  }
  for (std::int64_t group = first; group < end; group += together) {
    const std::int64_t groups = std::min(together, end - group);
    if (!in_place) {
      direct::pack_source(tile_, padding, origin, arrays.source, zone.n, group, groups,
                          pass_.kernels.load_block[static_cast<int>(arrays.source.type())],
                          memory.packed);
    }
    for (std::int64_t g = 0; g < groups; ++g) {
      const T* packed = in_place ? nullptr : memory.packed + g * tile_.channel_size();
      const SourceRows source = find_rows(arrays, zone, group + g, packed, memory);
      for (std::int64_t m = 0; m < pass_.destinations; ++m) {
        run_channel(arrays, zone, source, (group + g) * pass_.destinations + m, memory);
      }
    }
  }
}

template <class T>
typename RowPasses<T>::SourceRows RowPasses<T>::find_rows(const PassArrays<T>& arrays,
                                                          const Zone& zone, std::int64_t group,
                                                          const T* packed,
                                                          const Memory& memory) const {
  const std::int64_t read = zone.rows + pass_.height() - 1;
  const std::int64_t columns = zone.columns + pass_.width() - 1;
  if (packed != nullptr) {
    const T* row = packed + pass_.axes[1].runs[0].groups[0].shift * tile_.pitch[2] +
                   pass_.axes[2].runs[0].groups[0].shift;
    for (std::int64_t i = 0; i < read; ++i) memory.rows[i] = row + i * tile_.pitch[2];
    return {memory.rows, 0, false, 0, columns, kUnlimitedRow};
  }
  const RealView& source = arrays.source;
  const std::int64_t slice = pass_.source(0, zone.origin[0]);
  const std::int64_t first_row = pass_.source(1, zone.origin[1]);
  const std::int64_t column = pass_.source(2, zone.origin[2]);
  const std::int64_t size = pass_.source_size(2);
  const bool outside = slice < 0 || slice >= pass_.source_size(0);
  const std::int64_t base =
      zone.n * source.stride(0) + group * source.stride(1) + slice * source.stride(2) + column;
  for (std::int64_t i = 0; i < read + kRowsAhead; ++i) {
    const std::int64_t row = first_row + i;
    memory.rows[i] = outside || row < 0 || row >= pass_.source_size(1)
                         ? memory.zeros
                         : reinterpret_cast<const T*>(source.at(base + row * source.stride(3)));
  }
  const std::int64_t before = std::clamp<std::int64_t>(-column, 0, columns);
  return {memory.rows,
          first_row,
          true,
          before,
          std::clamp(size - column, before, columns),
          {-column, size - column}};
}

/// Columns of taps into rows [y, y + rows) of the sums between the passes.
template <class T>
void RowPasses<T>::run_first_pass(const SourceRows& source, std::int64_t y, std::int64_t rows,
                                  const T* column, const Memory& memory) const {
  std::int64_t skipped = 0;
  std::int64_t height = pass_.height();
  if (source.in_place) {
    // Taps whose rows lie outside for every row of the result.
    const std::int64_t first = source.first_row + y;
    const std::int64_t end = first + height - pass_.source_size(1);
    skipped = std::clamp<std::int64_t>(-first - (rows - 1), 0, height - 1);
    height -= skipped + std::clamp<std::int64_t>(end, 0, height - skipped - 1);
  }
  const std::int64_t pitch = between_pitch();
  const std::int64_t count = source.end - source.before;
  if (count > 0) {
    const RowTaps<T> taps{source.rows, column + skipped, &source.before, 1, height, 1};
    pass_.kernels.depthwise.rows({&taps, 1, y + skipped, rows, count,
                                  memory.between + source.before, pitch, T(0), RowColumns::apart,
                                  source.limits});
  }
}

template <class T>
void RowPasses<T>::run_channel(const PassArrays<T>& arrays, const Zone& zone,
                               const SourceRows& source, std::int64_t channel,
                               const Memory& memory) const {
  const std::int64_t height = pass_.height();
  const std::int64_t width = pass_.width();
  const SeparableWeights<T>& weights = arrays.weights;
  const RealView& destination = arrays.destination;
  const auto& [d, h, w] = pass_.axes;
  const std::int64_t to = zone.n * destination.stride(0) + channel * destination.stride(1) +
                          d.runs[0].run->destination(zone.origin[0]) * destination.stride(2) +
                          w.runs[0].run->destination(zone.origin[2]) * destination.stride(4);
  const bool writes = pass_.stores_plainly() && destination.stride(4) == 1;
  const T* between[kMostStepRows];
  for (std::int64_t r = 0; r < step_rows_; ++r) between[r] = memory.between + r * between_pitch();
  for (std::int64_t y = 0; y < zone.rows; y += step_rows_) {
    const std::int64_t rows = std::min(step_rows_, zone.rows - y);
    std::byte* at =
        destination.at(to + h.runs[0].run->destination(zone.origin[1] + y) * destination.stride(3));
    RowTaps<T> taps{between, weights.rows + channel * width, memory.offsets, 1, 1, width};
    RowBlock<T> block{&taps,
                      1,
                      0,
                      rows,
                      zone.columns,
                      memory.sums,
                      sums_pitch(),
                      arrays.bias_of(channel),
                      RowColumns::neighbours,
                      kUnlimitedRow};
    if (writes) {
      block.out = reinterpret_cast<T*>(at);
      block.pitch = destination.stride(3);
      block.streams = depthwise::streams_result(pass_.problem, pass_.kernels.lanes);
    }
    if (weights.rank_one[channel]) {
      run_first_pass(source, y, rows, weights.columns + channel * height, memory);
    } else {
      taps = {source.rows, weights.kernels + channel * pass_.taps(), memory.offsets, 1, height,
              width};
      block.first_row = y;
      block.limits = source.limits;
    }
    pass_.kernels.depthwise.rows(block);
    if (!writes) {
      const Epilogue<T> epilogue{nullptr, 0, pass_.problem.activation, pass_.problem.accumulate};
      pass_.kernels.store_block[static_cast<int>(destination.type())](
          at, destination.stride(3), destination.stride(4), memory.sums, sums_pitch(),
          {rows, zone.columns}, epilogue);
    }
  }
}

template class RowPasses<float>;
template class RowPasses<double>;

}  // namespace fastconv::separable
