/// Forward and backward-input passes with vectors along the pixels:
///
///     parallel for each image, block of channels, tile
///       pack the tile's source into padded planes (direct/tile.hpp), unless
///         the kernel reads its rows where they lie                             [L1, L2]
///       for each destination channel, phase (or pair of phases along a row)
///         for each set of rows that meets the same tap rows
///           the kernel: rows x vectors of pixels in registers, all taps        [registers]
///         store, unless the kernel wrote the destination itself
///
/// Taps that lie in one plane and at neighbouring rows form a set; see RowTaps.
#include <algorithm>

#include "algorithms/depthwise/correlation.hpp"
#include "algorithms/depthwise/source_rows.hpp"
#include "padding.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::depthwise {

using direct::Extent;

namespace {

/// Packed source of one channel, or of all that one result adds up; several channels that memory
/// interleaves may take four times the first.
constexpr std::int64_t kTileBytes = 128 * 1024;
constexpr std::int64_t kAddedBytes = 640 * 1024;
constexpr std::int64_t kInterleavedBytes = 512 * 1024;
constexpr std::int64_t kInterleavedGroups = 16;
/// Source elements that an item of work should have at least.
constexpr std::int64_t kItemElements = 32 * 1024;
/// Rows beyond those that a tile with a stride of two reads, for the kernel to fetch.
constexpr std::int64_t kStridedRowsAhead = 2 * kDepthwiseRowsAhead;
/// Pieces of long rows are no shorter while there are rows to cut: memory is read faster in rows.
constexpr std::int64_t kLeastCutRow = 4096;
/// Rows that share what the kernel loads; with large kernels columns are cut rather than these.
constexpr std::int64_t kLeastRows = 8;
/// Rows of sums on their way into a destination that the kernel cannot write.
constexpr std::int64_t kSumRows = 16;
/// Vectors of a row from which on its ends may be slow.
constexpr std::int64_t kLeastInPlace = 10;

/// Whether taps at these offsets are neighbours as the kernels understand it.
RowColumns row_columns(const std::int64_t* offsets, std::int64_t count, std::int64_t source_step) {
  bool neighbours = count > 0;
  for (std::int64_t t = 0; t < count; ++t) {
    const std::int64_t even = source_step == 2 ? (count + 1) / 2 : count;
    const std::int64_t expected = t < even ? t * source_step : (t - even) * source_step + 1;
    neighbours = neighbours && offsets[t] == offsets[0] + expected;
  }
  if (!neighbours) return RowColumns::apart;
  return source_step == 2 ? RowColumns::every_second : RowColumns::neighbours;
}

/// Calls body(kd, kh, kw) for the kernel element of every tap, in the order of packed weights.
template <class Body>
void for_each_tap(const TapRun& d, const TapRun& h, const TapRun& w, const Body& body) {
  const auto each = [](const TapRun& run, const auto& inner) {
    for (const TapGroup& group : run.groups) {
      for (std::int64_t t = 0; t < group.count; ++t) inner(group.kernel + t * group.kernel_step);
    }
  };
  each(d, [&](std::int64_t kd) {
    each(h, [&](std::int64_t kh) { each(w, [&](std::int64_t kw) { body(kd, kh, kw); }); });
  });
}

}  // namespace

template <class T>
RowCorrelation<T>::RowCorrelation(const PassDescription<T>& pass)
    : pass_(pass), tile_({&pass.axes[0].phases, &pass.axes[1].phases, &pass.axes[2].phases}) {
  const auto bytes = [&] {
    return pass_.sources * tile_.channel_size() * static_cast<std::int64_t>(sizeof(T));
  };
  while (bytes() > (pass_.sources > 1 ? kAddedBytes : kTileBytes)) {
    if (tile_.size[0] * tile_.size[1] > kLeastRows && tile_.halve(kLeastCutRow)) continue;
    if (tile_.size[2] < 16 * pass_.kernels.lanes) break;
    tile_.cut({tile_.size[0], tile_.size[1], ceil_divide(tile_.size[2], 2)});
  }
  // The kernel takes as many rows at a time as it has tap rows: none should be left over.
  const std::int64_t strip =
      std::min<std::int64_t>(kMostDepthwiseRows, pass_.problem.axes[1].kernel);
  if (tile_.tiles[1] > 1) {
    tile_.cut({tile_.size[0], ceil_divide(tile_.size[1], strip) * strip, tile_.size[2]});
  }
  groups_together_ = std::clamp<std::int64_t>(kInterleavedBytes / bytes(), 1,
                                              std::min(kInterleavedGroups, pass_.problem.g));
  const std::int64_t elements = pass_.sources * tile_.channel_size();
  groups_per_item_ = std::min(
      pass_.problem.g,
      ceil_divide(ceil_divide(kItemElements, elements), groups_together_) * groups_together_);
  group_blocks_ = ceil_divide(pass_.problem.g, groups_per_item_);

  const auto& [d_axis, h_axis, w_axis] = pass_.axes;
  for (const TapRun& w : w_axis.runs) {
    for (const TapGroup& group : w.groups) {
      for (std::int64_t t = 0; t < group.count; ++t) {
        const std::int64_t shift = group.shift + t * w.step;
        offsets_.push_back(group.plane * tile_.plane_size + shift);
        offsets_in_place_.push_back(w_axis.phases.residues[static_cast<std::size_t>(group.plane)] +
                                    w_axis.phases.source_step * shift);
      }
    }
  }
  const auto& phases = pass_.axes[2].phases;
  pads_zeros_ = (pass_.problem.padding_mode == PaddingMode::zeros ||
                 pass_.problem.pass == Pass::backward_input) &&
                phases.source_step <= 2;
  pairs_phases_ = w_axis.runs.size() == 2 && w_axis.runs[0].run->destination_step == 2 &&
                  pass_.problem.activation == Activation::none && !pass_.problem.accumulate;
  streams_ = streams_result(pass_.problem, pass_.kernels.lanes);
  const auto& axes = pass_.problem.axes;
  std::int64_t taps = 0;
  for (const TapRun& d : d_axis.runs) {
    for (const TapRun& h : h_axis.runs) {
      std::int64_t sets = 0;
      for (const TapGroup& dg : d.groups) {
        sets += dg.count * static_cast<std::int64_t>(h.groups.size());
      }
      row_sets_ = std::max(row_sets_, pass_.sources * sets);
      rows_of_set_ = std::max(rows_of_set_, tile_.pitch[1] + kDepthwiseRowsAhead * h.step);
      std::int64_t first_offset = 0;
      for (const TapRun& w : w_axis.runs) {
        const std::int64_t width = w.run->tap_count();
        phases_.push_back(
            {{&d, &h, &w},
             taps,
             0,
             first_offset,
             row_columns(offsets_.data() + first_offset, width, 1),
             row_columns(offsets_in_place_.data() + first_offset, width, phases.source_step)});
        first_offset += width;
        for_each_tap(d, h, w, [&](std::int64_t kd, std::int64_t kh, std::int64_t kw) {
          kernel_index_.push_back((kd * axes[1].kernel + kh) * axes[2].kernel + kw);
        });
        phases_.back().tap_count = static_cast<std::int64_t>(kernel_index_.size()) - taps;
        taps = static_cast<std::int64_t>(kernel_index_.size());
      }
    }
  }
  for (const Phase& phase : phases_) {
    pairs_phases_ = pairs_phases_ && phase.columns == RowColumns::neighbours;
  }
  const DepthwiseKernels<T>& kernels = pass_.kernels.depthwise;
  if (pads_zeros_ && phases.source_step == 1) {
    reads_in_place_ = kernels.masks_loads || tile_.size[2] >= kLeastInPlace * pass_.kernels.lanes;
  } else if (pads_zeros_) {
    const std::int64_t width = w_axis.runs[0].run->tap_count();
    const Axis& h = pass_.problem.axes[1];
    reads_in_place_ = kernels.masks_loads && width < 8 && kernels.slides[width] &&
                      phases_[0].columns_in_place == RowColumns::every_second && h.dilation == 1 &&
                      (h.stride == 2 || (h.output == 1 && h.kernel == 1));
    if (reads_in_place_) {
      rows_of_set_ = std::max(rows_of_set_, 2 * tile_.size[1] + h.kernel + kStridedRowsAhead);
    }
  }
}

template <class T>
std::int64_t RowCorrelation<T>::weight_count() const {
  return pass_.problem.k * taps_met();
}

template <class T>
void RowCorrelation<T>::pack_weights(const TensorView& weight, T* packed) const {
  const auto* from = static_cast<const T*>(weight.data);
  const auto& axes = pass_.problem.axes;
  const std::int64_t channels = pass_.problem.k / pass_.sources;
  const bool contiguous =
      weight.strides[4] == 1 && (axes[1].kernel == 1 || weight.strides[3] == axes[2].kernel) &&
      (axes[0].kernel == 1 || weight.strides[2] == axes[1].kernel * axes[2].kernel);
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    for (const Phase& phase : phases_) {
      for (std::int64_t s = 0; s < pass_.sources; ++s) {
        const T* kernel = from + (channel * pass_.sources + s) * weight.strides[0];
        const std::int64_t* indices = kernel_index_.data() + phase.first_tap;
        if (contiguous) {
          for (std::int64_t t = 0; t < phase.tap_count; ++t) *packed++ = kernel[indices[t]];
          continue;
        }
        for (std::int64_t t = 0; t < phase.tap_count; ++t) {
          const std::int64_t index = indices[t];
          const std::int64_t row = index / axes[2].kernel;
          *packed++ = kernel[row / axes[1].kernel * weight.strides[2] +
                             row % axes[1].kernel * weight.strides[3] +
                             index % axes[2].kernel * weight.strides[4]];
        }
      }
    }
  }
}

template <class T>
typename RowCorrelation<T>::Memory RowCorrelation<T>::lay_out(Arena& arena) const {
  const auto count = [](std::int64_t elements) { return static_cast<std::size_t>(elements); };
  // Rows are padded and read in whole vectors.
  const std::int64_t packed =
      groups_together_ * pass_.sources * tile_.channel_size() + 2 * pass_.kernels.lanes;
  const std::int64_t zeros = reads_in_place_ ? pass_.axes[2].phases.source_step *
                                                   (tile_.pitch[2] + 8 * pass_.kernels.lanes)
                                             : 0;
  return {arena.take<T>(count(packed)), arena.take<T>(count(zeros)),
          arena.take<T>(count(std::min(kSumRows, tile_.size[1]) * sums_pitch())),
          arena.take<const T*>(count(row_sets_ * rows_of_set_)),
          arena.take<RowTaps<T>>(count(2 * row_sets_))};
}

template <class T>
std::size_t RowCorrelation<T>::workspace_bytes() const {
  Arena arena(nullptr);
  lay_out(arena);
  return arena.used() * static_cast<std::size_t>(pass_.threads);
}

template <class T>
void RowCorrelation<T>::run(const PassArrays<T>& arrays, void* workspace) const {
  const std::size_t bytes = workspace_bytes() / static_cast<std::size_t>(pass_.threads);
  parallel_for_in_arenas(
      pass_.problem.n * group_blocks_ * tile_.tile_count(), pass_.threads, workspace, bytes,
      [&](std::int64_t item, Arena& arena) { run_item(arrays, item, lay_out(arena)); });
}

template <class T>
void RowCorrelation<T>::run_item(const PassArrays<T>& arrays, std::int64_t item,
                                 const Memory& memory) const {
  const Extent origin = tile_.origin(item % tile_.tile_count());
  item /= tile_.tile_count();
  const std::int64_t first = item % group_blocks_ * groups_per_item_;
  const std::int64_t end = std::min(first + groups_per_item_, pass_.problem.g);
  const std::int64_t n = item / group_blocks_;
  Zone zone{n, origin, memory.packed, false};
  const bool rows_lie = arrays.source.stride(4) == 1 && pads_zeros_;
  const bool interleaved = arrays.source.stride(1) == 1 && pass_.problem.g > 1;
  const std::int64_t together = interleaved ? groups_together_ : 1;
  // Pairs of phases read whole vectors, of padded rows.
  zone.pairs = pairs_phases_ && arrays.destination.stride(4) == 1;
  const bool in_place = reads_in_place_ && rows_lie && !zone.pairs;
  if (in_place) {
    std::fill_n(memory.zeros,
                pass_.axes[2].phases.source_step * (tile_.pitch[2] + 8 * pass_.kernels.lanes),
                T(0));
  }
  for (std::int64_t group = first; group < end; group += together) {
    const std::int64_t groups = std::min(together, end - group);
    if (in_place) {
      for (std::int64_t g = 0; g < groups; ++g) {
        run_channels(arrays, {n, origin, nullptr, false}, group + g, memory);
      }
      continue;
    }
    if (rows_lie && !interleaved) {
      depthwise::pack_rows(tile_, pass_.axes, arrays.source, source_sizes(),
                           {origin, n, group * pass_.sources, pass_.sources},
                           pass_.kernels.depthwise.pad_rows, memory.packed);
    } else {
      direct::SourcePadding padding = direct::input_padding(pass_.problem);
      if (pass_.problem.pass == Pass::backward_input) {
        padding = {.sizes = source_sizes(), .mode = PaddingMode::zeros};
      }
      direct::pack_source(
          tile_, padding, origin, arrays.source, n, group * pass_.sources, groups * pass_.sources,
          pass_.kernels.load_block[static_cast<int>(arrays.source.type())], memory.packed);
    }
    for (std::int64_t g = 0; g < groups; ++g) {
      zone.packed = memory.packed + g * pass_.sources * tile_.channel_size();
      run_channels(arrays, zone, group + g, memory);
    }
  }
}

template <class T>
void RowCorrelation<T>::run_channels(const PassArrays<T>& arrays, const Zone& zone,
                                     std::int64_t group, const Memory& memory) const {
  for (std::int64_t m = 0; m < pass_.destinations; ++m) {
    const std::int64_t channel = group * pass_.destinations + m;
    for (std::size_t i = 0; i < phases_.size(); i += zone.pairs ? 2 : 1) {
      if (zone.pairs) {
        run_pair(arrays, phases_[i], phases_[i + 1], zone, group, channel, memory);
      } else {
        run_phase(arrays, phases_[i], zone, group, channel, memory);
      }
    }
  }
}

/// One row of the source for each position that the tap rows of a set meet.
template <class T>
const T** RowCorrelation<T>::find_rows(const PassArrays<T>& arrays, const Zone& zone,
                                       const RowSet& set, const Memory& memory,
                                       const T** rows) const {
  const auto& [d_axis, h_axis, w_axis] = pass_.axes;
  if (zone.packed != nullptr) {
    const std::int64_t plane = (set.depth_plane * tile_.phases[1]->plane_count() + set.row_plane) *
                               tile_.phases[2]->plane_count();
    const T* row = zone.packed + set.source * tile_.channel_size() + plane * tile_.plane_size +
                   (set.depth * tile_.pitch[1] + set.first_row) * tile_.pitch[2];
    for (std::int64_t p = 0; p < set.rows; ++p) *rows++ = row + p * tile_.pitch[2];
    return rows;
  }
  return depthwise::find_rows(
      arrays.source, source_sizes(),
      {zone.n, set.group * pass_.sources + set.source,
       d_axis.source(set.depth_plane, zone.origin[0] + set.depth),
       h_axis.source(set.row_plane, zone.origin[1] + set.first_row), set.spacing, set.rows,
       w_axis.phases.source_first + w_axis.phases.source_step * zone.origin[2]},
      static_cast<const T*>(memory.zeros), rows);
}

/// The sets of taps that slice jd of a phase adds up; returns how many.
template <class T>
std::int64_t RowCorrelation<T>::find_taps(const PassArrays<T>& arrays, const Phase& phase,
                                          const Zone& zone, std::int64_t group,
                                          std::int64_t channel, std::int64_t jd,
                                          const Memory& memory) const {
  const auto& [d, h, w] = phase.runs;
  const Extent size = tile_.size_at(zone.origin, direct::Runs{d->run, h->run, w->run});
  const std::int64_t width = w->run->tap_count();
  const std::int64_t* offsets =
      (zone.packed == nullptr ? offsets_in_place_ : offsets_).data() + phase.first_offset;
  std::int64_t sets = 0;
  const T** rows = memory.rows;
  const T* weights = arrays.weights + (channel * taps_met() + phase.first_tap) * pass_.sources;
  for (std::int64_t s = 0; s < pass_.sources; ++s) {
    for (const TapGroup& dg : d->groups) {
      for (std::int64_t td = 0; td < dg.count; ++td) {
        RowSet set{group, s, dg.plane, jd + dg.shift + td * d->step, 0, 0, 0, 1};
        if (reads_every_second(zone)) {
          const std::int64_t height = h->run->tap_count();
          memory.taps[sets++] = {rows, weights, offsets, 1, height, width};
          set.first_row = h->groups.front().shift;
          set.rows = 2 * (size[1] - 1) + height + kStridedRowsAhead;
          rows = find_rows(arrays, zone, set, memory, rows);
          weights += height * width;
          continue;
        }
        for (const TapGroup& hg : h->groups) {
          memory.taps[sets++] = {rows, weights, offsets, h->step, hg.count, width};
          set.row_plane = hg.plane;
          set.first_row = hg.shift;
          set.rows = size[1] + (hg.count - 1) * h->step + kDepthwiseRowsAhead * h->step;
          set.spacing = pass_.axes[1].phases.source_step;
          rows = find_rows(arrays, zone, set, memory, rows);
          weights += hg.count * width;
        }
      }
    }
  }
  return sets;
}

/// Two phases of the same rows, whose pixels take turns in the destination.
template <class T>
void RowCorrelation<T>::run_pair(const PassArrays<T>& arrays, const Phase& even, const Phase& odd,
                                 const Zone& zone, std::int64_t group, std::int64_t channel,
                                 const Memory& memory) const {
  const auto& [d, h, w] = even.runs;
  const RealView& destination = arrays.destination;
  const Extent size = tile_.size_at(zone.origin, direct::Runs{d->run, h->run, w->run});
  const std::int64_t odd_count =
      std::clamp<std::int64_t>(odd.runs[2]->run->count - zone.origin[2], 0, tile_.size[2]);
  const std::int64_t odd_width = odd.runs[2]->run->tap_count();
  for (std::int64_t jd = 0; jd < size[0]; ++jd) {
    const std::int64_t sets = find_taps(arrays, even, zone, group, channel, jd, memory);
    RowTaps<T>* odd_taps = memory.taps + sets;
    const T* weights = arrays.weights + (channel * taps_met() + odd.first_tap) * pass_.sources;
    for (std::int64_t i = 0; i < sets; ++i) {
      odd_taps[i] = memory.taps[i];
      odd_taps[i].weights = weights;
      odd_taps[i].offsets = offsets_.data() + odd.first_offset;
      odd_taps[i].width = odd_width;
      weights += odd_taps[i].height * odd_width;
    }
    const std::int64_t to = zone.n * destination.stride(0) + channel * destination.stride(1) +
                            d->run->destination(zone.origin[0] + jd) * destination.stride(2) +
                            w->run->destination(zone.origin[2]);
    for (std::int64_t first = 0; first < std::min(h->step, size[1]); ++first) {
      const std::int64_t row = h->run->destination(zone.origin[1] + first);
      pass_.kernels.depthwise.row_pairs(
          {{memory.taps, sets, first, ceil_divide(size[1] - first, h->step), size[2] + odd_count,
            reinterpret_cast<T*>(destination.at(to + row * destination.stride(3))),
            h->step * h->run->destination_step * destination.stride(3),
            arrays.bias == nullptr ? T(0) : arrays.bias[channel], RowColumns::neighbours,
            kUnlimitedRow},
           odd_taps});
    }
  }
}

template <class T>
void RowCorrelation<T>::run_phase(const PassArrays<T>& arrays, const Phase& phase, const Zone& zone,
                                  std::int64_t group, std::int64_t channel,
                                  const Memory& memory) const {
  const auto& [d, h, w] = phase.runs;
  const Extent size = tile_.size_at(zone.origin, direct::Runs{d->run, h->run, w->run});
  if (size[0] == 0 || size[1] == 0 || size[2] == 0) return;
  const Problem& problem = pass_.problem;
  const T bias = arrays.bias == nullptr ? T(0) : arrays.bias[channel];
  const auto type = static_cast<int>(arrays.destination.type());
  const Epilogue<T> epilogue{nullptr, 0, problem.activation, problem.accumulate};
  const std::int64_t to_step = w->run->destination_step * arrays.destination.stride(4);
  const bool plain = problem.activation == Activation::none && !problem.accumulate;
  const bool writes = plain && to_step == 1;
  const std::int64_t width = w->run->tap_count();
  const bool in_place = zone.packed == nullptr;
  const direct::AxisPhases& columns = pass_.axes[2].phases;
  const std::int64_t column = columns.source_first + columns.source_step * zone.origin[2];
  const RowLimits limits = in_place ? RowLimits{-column, source_size(2) - column} : kUnlimitedRow;
  for (std::int64_t jd = 0; jd < size[0]; ++jd) {
    std::int64_t sets = find_taps(arrays, phase, zone, group, channel, jd, memory);
    if (width == 0) sets = 0;
    const std::int64_t to =
        zone.n * arrays.destination.stride(0) + channel * arrays.destination.stride(1) +
        d->run->destination(zone.origin[0] + jd) * arrays.destination.stride(2) +
        w->run->destination(zone.origin[2]) * arrays.destination.stride(4);
    for (std::int64_t first = 0; first < std::min(h->step, size[1]); ++first) {
      const std::int64_t row_count = ceil_divide(size[1] - first, h->step);
      const std::int64_t to_pitch =
          h->step * h->run->destination_step * arrays.destination.stride(3);
      const std::int64_t most = writes ? row_count : kSumRows;
      for (std::int64_t y = 0; y < row_count; y += most) {
        RowBlock<T> block{memory.taps,
                          sets,
                          reads_every_second(zone) ? 2 * y : first + y * h->step,
                          std::min(most, row_count - y),
                          size[2],
                          memory.sums,
                          sums_pitch(),
                          bias,
                          in_place ? phase.columns_in_place : phase.columns,
                          limits};
        std::byte* at =
            arrays.destination.at(to + h->run->destination(zone.origin[1] + first + y * h->step) *
                                           arrays.destination.stride(3));
        if (writes) {
          block.out = reinterpret_cast<T*>(at);
          block.pitch = to_pitch;
          block.streams = streams_;
        }
        pass_.kernels.depthwise.rows(block);
        if (!writes) {
          pass_.kernels.store_block[type](at, to_pitch, to_step, memory.sums, sums_pitch(),
                                          {block.rows, size[2]}, epilogue);
        }
      }
    }
  }
}

template <class T>
std::string RowCorrelation<T>::description() const {
  return "vectors along rows, tiles of " + std::to_string(tile_.size[0]) + "x" +
         std::to_string(tile_.size[1]) + "x" + std::to_string(tile_.size[2]);
}

template class RowCorrelation<float>;
template class RowCorrelation<double>;

}  // namespace fastconv::depthwise
