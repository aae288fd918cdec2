#include "algorithms/direct/correlation_item.hpp"

#include <algorithm>

#include "algorithms/direct/joined_packing.hpp"

namespace fastconv::direct {
namespace {

/// Consecutive destination channels whose sums wait to be stored.
struct StoreBatch {
  std::int64_t first;
  std::int64_t channels;
};

/// Whether flat runs of positions are runs in the target too, without garbage between rows.
template <class T>
bool fits_runs(const BoxSums<T>& target, const Extent& size, Flattening flattening,
               const Extent& pitch) {
  if (flattening == Flattening::rows || (size[0] == 1 && size[1] == 1)) return true;
  return pitch[2] == size[2] && target.row_pitch == size[2] &&
         (flattening == Flattening::slices || size[0] == 1 ||
          (pitch[1] == size[1] && target.slice_pitch == size[1] * size[2]));
}

}  // namespace

template <class T>
CorrelationItem<T>::CorrelationItem(const CorrelationCall<T>& call, const Region& region,
                                    std::int64_t item, const ItemMemory<T>& memory)
    : call_(call),
      schedule_(call.schedule),
      kernels_(call.kernels),
      region_(region),
      memory_(memory),
      sources_(item / region.channel_shares),
      place_(place_of(item)) {
  in_place_ = call.in_place.possible(place_.origin, place_.n, place_.images,
                                     place_.first_group * schedule_.source_channels,
                                     place_.groups * schedule_.source_channels);
  if (schedule_.fetches_sources && item + 1 < region.items) {
    next_source_ = source_lines(place_of(item + 1));
  }
}

template <class T>
typename CorrelationItem<T>::Place CorrelationItem<T>::place_of(std::int64_t item) const {
  const Tile& tile = region_.tile;
  const std::int64_t share = item % region_.channel_shares;
  item /= region_.channel_shares;
  Place place{};
  place.origin = tile.origin(item % tile.tile_count());
  item /= tile.tile_count();
  place.first_group = item % schedule_.group_blocks() * schedule_.groups_per_item;
  place.groups = std::min(schedule_.groups_per_item, call_.problem.g - place.first_group);
  place.n = item / schedule_.group_blocks() * region_.images_per_item;
  place.images = std::min(region_.images_per_item, call_.problem.n - place.n);
  place.blocks = {share * schedule_.block_count() / region_.channel_shares,
                  (share + 1) * schedule_.block_count() / region_.channel_shares};
  return place;
}

/// What an item reads, shared out over this item's work; nothing if this one reads the same.
template <class T>
LinesAhead CorrelationItem<T>::source_lines(const Place& place) const {
  const bool same = place.n == place_.n && place.origin == place_.origin &&
                    place.first_group == place_.first_group;
  if (same || !region_.reads || kernels_.channels_per_element > 1) return {};
  LinesAhead lines =
      lines_of_tile(region_.tile, place.origin, call_.padding.sizes, call_.source,
                    {place.n, place.images, place.first_group * schedule_.source_channels,
                     place.groups * schedule_.source_channels});
  const bool by_channel = schedule_.lanes_along == LanesAlong::channels;
  const std::int64_t positions =
      by_channel
          ? kMaxCorrelationPixels
          : schedule_.blocks.front().kernels[kMaxCorrelationVectors]->vectors * kernels_.lanes;
  std::int64_t calls = 0;
  for (const Phase& phase : region_.phases) {
    const Extent size = region_.tile.size_at(place_.origin, phase.runs);
    if (product(size) == 0) continue;
    const auto [runs, length] =
        flat_runs(size, in_place_ ? size : region_.tile.pitch, region_.flattening);
    calls += runs * ceil_divide(length, positions) * place_.groups *
             (place_.blocks.end - place_.blocks.first) * (by_channel ? place_.images : 1) *
             std::max<std::int64_t>(1, ceil_divide(phase.depth(), kDepthChunk));
  }
  lines.share_out(std::max<std::int64_t>(1, calls));
  return lines;
}

template <class T>
void CorrelationItem<T>::compute() {
  const std::int64_t part =
      in_place_ || !region_.reads ? schedule_.source_channels : region_.sources_per_item;
  if (packs_whole_blocks()) {
    compute_whole_blocks();
    return;
  }
  for (std::int64_t first = 0; first == 0 || first < schedule_.source_channels; first += part) {
    const ChannelRange sources{first, std::min(part, schedule_.source_channels - first)};
    if (region_.reads && !in_place_) pack_unless_shared(sources);
    if (schedule_.leaves_out_padding) {
      compute_channels(region_.phases, place_.blocks, sources);
      if (part == 0) break;
      continue;
    }
    compute_phases(sources);
    if (part == 0) break;
  }
}

/// One phase after the other, or two at a time.
template <class T>
void CorrelationItem<T>::compute_phases(const ChannelRange& sources) {
  const auto any = [&](const Phase& phase) {
    return product(region_.tile.size_at(place_.origin, phase.runs)) > 0;
  };
  const std::span<const Phase> phases = region_.phases;
  for (std::size_t i = 0; i < phases.size(); ++i) {
    if (!any(phases[i])) continue;
    if (schedule_.lanes_along == LanesAlong::channels) {
      compute_channels(phases.subspan(i, 1), place_.blocks, sources);
    } else if (region_.alternate_sums > 0 && i % 2 == 0 && any(phases[i + 1])) {
      compute_pixels(phases.subspan(i++, 2));
    } else {
      compute_pixels(phases.subspan(i, 1));
    }
  }
}

/// Calls body(group, block, its first destination channel) for each block of each group.
template <class T>
template <class Body>
void CorrelationItem<T>::for_each_block(const Body& body) const {
  for (std::int64_t group = place_.first_group; group < place_.first_group + place_.groups;
       ++group) {
    for (std::int64_t b = place_.blocks.first; b < place_.blocks.end; ++b) {
      const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(b)];
      body(group, block, group * schedule_.destination_channels + block.first);
    }
  }
}

/// Calls body(phase, source, box, sums) for the positions of each phase in each image; sums that
/// are not formed in the destination are among those of the block at `waiting`.
template <class T>
template <class Body>
void CorrelationItem<T>::for_each_box_of(std::span<const Phase> phases, std::int64_t group,
                                         const Block<T>& block, const ChannelRange& sources,
                                         T* waiting, const Body& body) {
  const std::int64_t channel = group * schedule_.destination_channels + block.first;
  for (const Phase& phase : phases) {
    const SourceTile<T> source = source_of(phase, group, sources);
    const Extent size = region_.tile.size_at(place_.origin, phase.runs);
    for (std::int64_t image = 0; image < place_.images && product(size) > 0; ++image) {
      const PositionBox box{place_.n + image, phase.runs, place_.origin, size};
      T* sums = waiting + (image * region_.sums_pitch + phase.sums_first) * block.rows;
      body(phase, source, box, sums_of(box, block, channel, source.flattening, sums));
    }
  }
}

/// The weights of a piece of each block are packed for all phases at once: every line of their
/// memory is read once, and what is packed stays in the cache until all phases have used it.
template <class T>
void CorrelationItem<T>::compute_whole_blocks() {
  const ChannelRange all{0, schedule_.source_channels};
  if (region_.reads && !in_place_) pack_unless_shared(all);
  const std::int64_t group = place_.first_group;
  for (std::int64_t b = place_.blocks.first; b < place_.blocks.end; ++b) {
    const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(b)];
    const std::int64_t channel = group * schedule_.destination_channels + block.first;
    const auto for_each_box = [&](const auto& body) {
      for_each_box_of(region_.phases, group, block, all, memory_.sums, body);
    };
    const std::int64_t piece = schedule_.sources_per_piece();
    for (std::int64_t first = 0; first < all.count; first += piece) {
      const ChannelRange range{first, std::min(piece, all.count - first)};
      pack_piece(group, block, range);
      for_each_box([&](const Phase& phase, const SourceTile<T>& source, const PositionBox& box,
                       const BoxSums<T>& sums) {
        LinesAhead ahead = next_piece_ahead(phase, b, range);
        add_piece(phase, block, range, piece_weights(phase, block, range), start_of(group, block),
                  source, box, sums, ahead);
      });
    }
    for_each_box(
        [&](const Phase&, const SourceTile<T>&, const PositionBox& box, const BoxSums<T>& sums) {
          call_.destination.store_positions(box, channel, block.channels, sums, call_.accumulate,
                                            memory_.planes);
        });
  }
}

/// The thread's item before this one may have packed them.
template <class T>
void CorrelationItem<T>::pack_unless_shared(const ChannelRange& sources) const {
  const bool all = sources.count == schedule_.source_channels;
  if (all && *memory_.packed_sources == sources_) return;
  pack(sources);
  *memory_.packed_sources = all ? sources_ : -1;
}

template <class T>
void CorrelationItem<T>::pack(const ChannelRange& sources) const {
  const RealView& source = call_.source;
  const Tile& tile = region_.tile;
  const auto load_block = kernels_.load_block[static_cast<int>(source.type())];
  // Several groups are packed only when each is packed whole, so the channels are contiguous.
  const std::int64_t first = place_.first_group * schedule_.source_channels + sources.first;
  const std::int64_t channels = place_.groups * sources.count;
  for (std::int64_t image = 0; image < place_.images; ++image) {
    T* to = memory_.packed + image * channels * tile.channel_size();
    if constexpr (std::is_same_v<T, std::int32_t>) {
      if (kernels_.channels_per_element > 1) {
        const std::int64_t of_group =
            (call_.problem.pass == Pass::forward ? call_.problem.c : call_.problem.k) /
            call_.problem.g;
        pack_joined_source(tile, call_.padding, place_.origin, source, place_.n + image,
                           {place_.first_group, place_.groups, of_group}, sources, kernels_, to);
        continue;
      }
    }
    pack_source(tile, call_.padding, place_.origin, source, place_.n + image, first, channels,
                load_block, to);
  }
}

/// The source of a phase, at the channels that `sources` begins with.
template <class T>
SourceTile<T> CorrelationItem<T>::source_of(const Phase& phase, std::int64_t group,
                                            const ChannelRange& sources) const {
  if (in_place_) {
    return call_.in_place.tile(place_.origin, place_.n, group * schedule_.source_channels, phase);
  }
  const Tile& tile = region_.tile;
  // Offsets count from the first channel of all.
  const std::int64_t first = (group - place_.first_group) * sources.count - sources.first;
  return {{.data = memory_.packed + first * tile.channel_size(),
           .offsets = phase.offsets.data(),
           .pixel_step = 1,
           .fetches = phase.taps == 1},
          tile.pitch[2],
          tile.pitch[1] * tile.pitch[2],
          place_.groups * sources.count * tile.channel_size(),
          region_.flattening};
}

/// Whether a block has few multiply-adds for what is read where it lies, in memory.
template <class T>
bool CorrelationItem<T>::waits_for_memory(const Block<T>& block) const {
  constexpr int kFewRows = 2;
  constexpr std::int64_t kLeastBytes = 8 << 20;  // more than caches hold
  const Extent& sizes = call_.padding.sizes;
  const std::int64_t elements =
      call_.problem.n * call_.problem.g * schedule_.source_channels * product(sizes);
  return in_place_ && block.rows <= kFewRows &&
         elements * static_cast<std::int64_t>(sizeof(T)) >= kLeastBytes;
}

/// The flat runs of a phase's positions in this item.
template <class T>
typename CorrelationItem<T>::PixelRuns CorrelationItem<T>::pixel_runs(const Phase& phase) const {
  const Extent size = region_.tile.size_at(place_.origin, phase.runs);
  const Extent pitch = in_place_ ? size : region_.tile.pitch;
  const Flattening flattening =
      source_of(phase, place_.first_group, {0, schedule_.source_channels}).flattening;
  return {size, pitch, flattening, flat_runs(size, pitch, flattening)};
}

/// The positions of a flat run of a phase.
template <class T>
PositionBox CorrelationItem<T>::box_of(const Phase& phase, const FlatRun& run,
                                       std::int64_t width) const {
  const Extent& origin = place_.origin;
  return {place_.n,
          phase.runs,
          {origin[0] + run.first_d, origin[1] + run.first_h, origin[2]},
          {run.end_d - run.first_d, run.end_h - run.first_h, width}};
}

/// What the runs of a block read, all steps of the reduction.
template <class T>
typename CorrelationItem<T>::BlockSteps CorrelationItem<T>::steps_of(const Phase& phase,
                                                                     std::int64_t group,
                                                                     const Block<T>& block) {
  const ChannelRange all_sources{0, schedule_.source_channels};
  const bool waits = waits_for_memory(block);
  return {block, source_of(phase, group, all_sources),
          DepthRange<T>{.first = 0,
                        .end = phase.depth(),
                        .weights = weights_of(phase, group, block, all_sources),
                        .ahead = waits ? nullptr : &next_source_,
                        .start = start_of(group, block),
                        .aligned_steps = in_place_ && call_.in_place.steps_lie_alike(phase)},
          waits ? compute_from_memory<T> : compute_along_pixels<T>};
}

/// The sums of one flat run and one block, with vectors along the pixels.
template <class T>
void CorrelationItem<T>::compute_run(const BlockSteps& steps, const FlatRun& run,
                                     std::int64_t length, bool exact, T* sums,
                                     std::int64_t pitch) const {
  CorrelationSource<T> pixels = steps.source.pixels;
  pixels.data += run.first_d * steps.source.slice_pitch + run.first_h * steps.source.row_pitch;
  steps.compute(steps.block, pixels, steps.depth, length, kernels_.lanes, exact, sums, pitch);
}

/// The sums of full blocks are formed in the destination, if that is possible: then all runs of a
/// block before the next one, since the results of neighbouring runs are neighbours in memory.
template <class T>
bool CorrelationItem<T>::compute_in_destination(const Phase& phase, const PixelRuns& runs) {
  const PositionBox first = box_of(phase, flat_run(runs.flattening, runs.size, 0), runs.size[2]);
  const auto target = call_.destination.planes_in_place(first, 0, call_.accumulate);
  if (!target || !fits_runs(*target, first.size, runs.flattening, runs.pitch)) return false;
  for_each_block([&](std::int64_t group, const Block<T>& block, std::int64_t channel) {
    if (block.channels < block.rows) return;
    const BlockSteps steps = steps_of(phase, group, block);
    for (std::int64_t i = 0; i < runs.runs.count; ++i) {
      const FlatRun run = flat_run(runs.flattening, runs.size, i);
      const PositionBox box = box_of(phase, run, runs.size[2]);
      const BoxSums<T> sums = *call_.destination.planes_in_place(box, channel, call_.accumulate);
      compute_run(steps, run, runs.runs.length, true, sums.data, sums.line_pitch);
      call_.destination.store_planes(box, channel, block.channels, sums, false);
    }
  });
  return true;
}

/// A phase, or two whose rows alternate in memory and are stored together.
template <class T>
void CorrelationItem<T>::compute_pixels(std::span<const Phase> phases) {
  const std::array<PixelRuns, 2> all_runs{pixel_runs(phases.front()), pixel_runs(phases.back())};
  const auto& [size, pitch, flattening, runs] = all_runs[0];
  if (all_runs[1].flattening != flattening || all_runs[1].runs.count != runs.count) {
    for (const Phase& phase : phases) compute_pixels({&phase, 1});
    return;
  }
  const bool in_destination =
      phases.size() == 1 && compute_in_destination(phases.front(), all_runs[0]);
  const auto waits = [&](const Block<T>& block) {
    return !in_destination || block.channels < block.rows;
  };
  if (std::ranges::none_of(schedule_.blocks, waits)) return;
  const auto sums_of = [&](std::size_t i) {
    const Extent& of = all_runs[i].pitch;
    return BoxSums<T>{memory_.sums + static_cast<std::int64_t>(i) * region_.alternate_sums, of[2],
                      of[1] * of[2], region_.sums_pitch};
  };
  const std::array<BoxSums<T>, 2> waiting{sums_of(0), sums_of(1)};
  for (std::int64_t i = 0; i < runs.count; ++i) {
    const FlatRun run = flat_run(flattening, size, i);
    const std::array<PositionBox, 2> boxes{box_of(phases.front(), run, size[2]),
                                           box_of(phases.back(), run, all_runs[1].size[2])};
    StoreBatch batch{};
    const auto store = [&] {
      if (batch.channels > 0 && phases.size() == 1) {
        call_.destination.store_planes(boxes[0], batch.first, batch.channels, waiting[0],
                                       call_.accumulate);
      } else if (batch.channels > 0) {
        call_.destination.store_alternating_planes(boxes, batch.first, batch.channels, waiting,
                                                   call_.accumulate);
      }
    };
    for_each_block([&](std::int64_t group, const Block<T>& block, std::int64_t channel) {
      if (!waits(block)) return;
      if (batch.channels >= kStoredChannels || channel != batch.first + batch.channels) {
        store();
        batch = {channel, 0};
      }
      for (std::size_t phase = 0; phase < phases.size(); ++phase) {
        compute_run(steps_of(phases[phase], group, block), run, all_runs[phase].runs.length,
                    in_place_, waiting[phase].data + batch.channels * region_.sums_pitch,
                    region_.sums_pitch);
      }
      batch.channels += block.channels;
    });
    store();
  }
}

/// The phases of one box of positions, or several whose boxes share the weights.
template <class T>
void CorrelationItem<T>::compute_channels(std::span<const Phase> phases, const BlockRange& blocks,
                                          const ChannelRange& sources) {
  const std::int64_t end = sources.first + sources.count;
  const bool last_part = end >= schedule_.source_channels;
  const bool parted = region_.sources_per_item < schedule_.source_channels && !in_place_;
  const std::int64_t piece =
      schedule_.leaves_out_padding ? schedule_.sources_together : schedule_.sources_per_piece();
  T* waiting = memory_.sums;
  for (std::int64_t group = place_.first_group; group < place_.first_group + place_.groups;
       ++group) {
    for (std::int64_t b = blocks.first; b < blocks.end; ++b) {
      const Block<T>& block = schedule_.blocks[static_cast<std::size_t>(b)];
      const std::int64_t channel = group * schedule_.destination_channels + block.first;
      const auto for_each_box = [&](const auto& body) {
        for_each_box_of(phases, group, block, sources, waiting, body);
      };
      std::int64_t first = sources.first;
      do {
        const ChannelRange range{first, std::min(piece, end - first)};
        const CorrelationWeights<T> weights = weights_of(phases.front(), group, block, range);
        LinesAhead ahead = weights_ahead(group, b, {first + piece, piece}, sources);
        for_each_box([&](const Phase& phase, const SourceTile<T>& source, const PositionBox& box,
                         const BoxSums<T>& sums) {
          add_piece(phase, block, range, weights, start_of(group, block), source, box, sums, ahead);
        });
        first += piece;
      } while (first < end);
      if (last_part) {
        for_each_box([&](const Phase&, const SourceTile<T>&, const PositionBox& box,
                         const BoxSums<T>& sums) {
          call_.destination.store_positions(box, channel, block.channels, sums, call_.accumulate,
                                            memory_.planes);
        });
      }
      if (parted) {
        waiting += region_.images_per_item * region_.sums_pitch * block.rows;
      }
    }
  }
}

/// Where the sums of one image are formed: in the destination itself, or where they wait.
template <class T>
BoxSums<T> CorrelationItem<T>::sums_of(const PositionBox& box, const Block<T>& block,
                                       std::int64_t channel, Flattening flattening,
                                       T* waiting) const {
  const Extent& size = box.size;
  const Extent pitch = in_place_ ? size : region_.tile.pitch;
  if (block.channels == block.rows) {
    const auto target = call_.destination.positions_in_place(box, channel, call_.accumulate);
    if (target && fits_runs(*target, size, flattening, pitch)) return *target;
  }
  const std::int64_t row_pitch = flattening == Flattening::rows ? size[2] : pitch[2];
  const std::int64_t slice_pitch =
      flattening == Flattening::tile ? pitch[1] * pitch[2] : (size[1] - 1) * row_pitch + size[2];
  return {waiting, row_pitch, slice_pitch, block.rows};
}

/// Adds the products of some source channels, whose weights are given, to the sums of a box.
template <class T>
void CorrelationItem<T>::add_piece(const Phase& phase, const Block<T>& block,
                                   const ChannelRange& range, const CorrelationWeights<T>& weights,
                                   const T* start, const SourceTile<T>& source,
                                   const PositionBox& box, const BoxSums<T>& sums,
                                   LinesAhead& weight_lines) {
  const Extent pitch = in_place_ ? box.size : region_.tile.pitch;
  const BoxLines lines = box_lines(box.size, pitch, source.flattening);
  const std::int64_t chunk = schedule_.fetches_weights ? kShortDepth : kDepthChunk;
  LinesAhead* ahead = &next_source_;
  if (!weight_lines.empty()) {
    ahead = &weight_lines;
    ahead->share_out(lines.count * ceil_divide(lines.length, kMaxCorrelationPixels) *
                     std::max<std::int64_t>(1, ceil_divide(range.count * phase.taps, chunk)));
  }
  for (std::int64_t line = 0; line < lines.count; ++line) {
    CorrelationSource<T> pixels = source.pixels;
    pixels.data += (box.n - place_.n) * source.image_pitch;
    T* to = sums.data;
    std::int64_t to_pitch = sums.line_pitch;
    if (lines.upright) {
      const std::int64_t d = line / box.size[2];
      const std::int64_t w = line % box.size[2];
      pixels.data += d * source.slice_pitch + w * pixels.pixel_step;
      pixels.pixel_step = source.row_pitch;
      to += (d * sums.slice_pitch + w) * sums.line_pitch;
      to_pitch *= sums.row_pitch;
    } else {
      const FlatRun flat = flat_run(source.flattening, box.size, line);
      pixels.data += flat.first_d * source.slice_pitch + flat.first_h * source.row_pitch;
      to += (flat.first_d * sums.slice_pitch + flat.first_h * sums.row_pitch) * sums.line_pitch;
    }
    for (const TapSpan& span : phase.spans) {
      const std::int64_t first = range.first * phase.taps + span.first * range.count;
      compute_along_channels(block, pixels,
                             {first, first + span.count * range.count,
                              weights.from(span.packed * range.count), chunk, ahead, start},
                             lines.length, to, to_pitch);
    }
  }
}

template class CorrelationItem<float>;
template class CorrelationItem<double>;
template class CorrelationItem<std::int32_t>;
template class CorrelationItem<std::int64_t>;

}  // namespace fastconv::direct
