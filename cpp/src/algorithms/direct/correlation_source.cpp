#include "algorithms/direct/correlation_source.hpp"

#include <algorithm>

#include "fastconv/cpu.hpp"
#include "runtime/aligned_buffer.hpp"

namespace fastconv::direct {

template <class T>
SourceInPlace<T>::SourceInPlace(const CorrelationSchedule<T>& schedule, const Region& region,
                                const Extent& sizes, const RealView& source, std::int64_t images,
                                std::int64_t channels, std::int64_t lanes, std::int64_t* offsets)
    : region_(region),
      source_(source),
      lanes_along_(schedule.lanes_along),
      lanes_(lanes),
      offsets_(offsets) {
  const auto& phases = region.tile.phases;
  bool all_inside = region.reads && source.parts() == 1 && stored_type<T>() == source.type();
  for (std::size_t a = 0; a < 3; ++a) {
    steps_[a] = phases[a]->source_step * source.stride(a + 2);
    all_inside = all_inside && reads_inside(*phases[a], sizes[a]) && source.stride(a + 2) >= 0;
    end_ += (sizes[a] - 1) * source.stride(a + 2);
  }
  end_ += (images - 1) * source.stride(0) + (channels - 1) * source.stride(1) + 1;
  possible_ = all_inside && source.stride(0) >= 0 && source.stride(1) >= 0 &&
              (lanes_along_ == LanesAlong::channels || steps_[2] == 1);
  if (region.items == 1) possible_ = possible({0, 0, 0}, 0, images, 0, channels);
  if (!possible_) return;
  for (const Phase& phase : region.phases) fill_offsets(schedule, phase);
}

/// In the order of the reduction: [piece of the source channels][tap][source channel].
template <class T>
void SourceInPlace<T>::fill_offsets(const CorrelationSchedule<T>& schedule,
                                    const Phase& phase) const {
  const auto along = [&](std::size_t axis, const Tap& tap) {
    const AxisPhases& phases = *region_.tile.phases[axis];
    return phases.residues[static_cast<std::size_t>(tap.plane)] * source_.stride(axis + 2) +
           tap.shift * steps_[axis];
  };
  std::int64_t* offsets = offsets_ + phase.first_offset;
  std::int64_t tap = 0;
  for (const Tap& d : phase.runs[0]->taps) {
    for (const Tap& h : phase.runs[1]->taps) {
      for (const Tap& w : phase.runs[2]->taps) {
        const std::int64_t of_tap = along(0, d) + along(1, h) + along(2, w);
        for (std::int64_t first = 0; first < schedule.source_channels;
             first += schedule.sources_together) {
          const std::int64_t count =
              std::min(schedule.sources_together, schedule.source_channels - first);
          std::int64_t* to = offsets + first * phase.taps + tap * count;
          for (std::int64_t i = 0; i < count; ++i) {
            to[i] = of_tap + (first + i) * source_.stride(1);
          }
        }
        ++tap;
      }
    }
  }
}

template <class T>
std::int64_t SourceInPlace<T>::offset(const Extent& origin, std::int64_t n,
                                      std::int64_t channel) const {
  std::int64_t result = n * source_.stride(0) + channel * source_.stride(1);
  for (std::size_t a = 0; a < 3; ++a) {
    result += region_.tile.phases[a]->source_first * source_.stride(a + 2) + origin[a] * steps_[a];
  }
  return result;
}

template <class T>
bool SourceInPlace<T>::possible(const Extent& origin, std::int64_t n, std::int64_t images,
                                std::int64_t first_channel, std::int64_t channels) const {
  if (!possible_ || lanes_along_ == LanesAlong::channels) return possible_;
  const bool fills_vectors = std::ranges::all_of(region_.phases, [&](const Phase& phase) {
    const Extent size = region_.tile.size_at(origin, phase.runs);
    return product(size) == 0 || flat_runs(size, size, flattening(size)).length >= lanes_;
  });
  if (fills_vectors) return true;
  std::int64_t last = offset(origin, n + images - 1, first_channel + channels - 1);
  const Extent size = region_.tile.size_at(origin);
  for (std::size_t a = 0; a < 3; ++a) {
    const AxisPhases& phases = *region_.tile.phases[a];
    last += (phases.window(size[a]) - 1) * steps_[a] +
            *std::ranges::max_element(phases.residues) * source_.stride(a + 2);
  }
  return last + lanes_ <= end_;
}

/// Steps of one tap are channels, which may be a number of whole vectors apart.
template <class T>
bool SourceInPlace<T>::steps_lie_alike(const Phase& phase) const {
  return phase.taps == 1 && source_.stride(1) % lanes_ == 0;
}

/// A source without gaps is one row.
template <class T>
Flattening SourceInPlace<T>::flattening(const Extent& size) const {
  const bool rows_join = steps_[1] == size[2] * steps_[2] || size[1] == 1;
  const bool slices_join =
      rows_join && (steps_[0] == size[1] * size[2] * steps_[2] || size[0] == 1);
  return std::min(region_.flattening, slices_join ? Flattening::tile
                                      : rows_join ? Flattening::slices
                                                  : Flattening::rows);
}

template <class T>
SourceTile<T> SourceInPlace<T>::tile(const Extent& origin, std::int64_t n,
                                     std::int64_t first_channel, const Phase& phase) const {
  const auto* data = reinterpret_cast<const T*>(source_.at(offset(origin, n, first_channel)));
  // With one tap the pixels of a step are used by this step alone, and lie far from those of the
  // next one, but where channels lie side by side.
  return {{.data = data,
           .offsets = offsets_ + phase.first_offset,
           .pixel_step = steps_[2],
           .fetches = phase.taps == 1 && source_.stride(1) != 1},
          steps_[1],
          steps_[0],
          source_.stride(0),
          flattening(region_.tile.size_at(origin, phase.runs))};
}

LinesAhead lines_of_tile(const Tile& tile, const Extent& origin, const Extent& sizes,
                         const RealView& source, const SourceShare& share) {
  struct Dimension {
    std::int64_t count;
    std::int64_t stride;
  };
  std::array<Dimension, 5> dimensions{
      Dimension{share.images, source.stride(0)}, {share.channels, source.stride(1)}, {}, {}, {}};
  std::int64_t offset = share.n * source.stride(0) + share.first_channel * source.stride(1);
  const Extent size = tile.size_at(origin);
  for (std::size_t a = 0; a < 3; ++a) {
    const AxisPhases& phases = *tile.phases[a];
    // Where one residue alone is read the elements between are left out.
    const bool thinned = phases.plane_count() == 1;
    const std::int64_t step = thinned ? phases.source_step : 1;
    const std::int64_t start = phases.source_first + phases.source_step * origin[a] +
                               (thinned ? phases.residues.front() : 0);
    const std::int64_t read = phases.window(size[a]) * (thinned ? 1 : phases.source_step);
    const std::int64_t first = start < 0 ? ceil_divide(-start, step) : 0;
    const std::int64_t end =
        std::min(read, start < sizes[a] ? ceil_divide(sizes[a] - start, step) : 0);
    if (end <= first) return {};
    offset += (start + first * step) * source.stride(a + 2);
    dimensions[a + 2] = {end - first, step * source.stride(a + 2)};
  }
  const auto by_stride = [](const Dimension& a, const Dimension& b) { return a.stride < b.stride; };
  std::ranges::sort(dimensions, by_stride);
  if (dimensions[0].stride < 0 || source.parts() != 1) return {};
  // Dimensions without gaps between their elements are one row; two more may lead from row to row.
  const std::int64_t line = static_cast<std::int64_t>(kAlignment) / source.element_bytes();
  std::int64_t row = 1;
  std::int64_t elements = 1;
  std::array<Dimension, 2> outer{Dimension{1, 0}, Dimension{1, 0}};
  std::size_t gaps = 0;
  for (const Dimension& dimension : dimensions) {
    if (dimension.count == 1) continue;
    elements *= dimension.count;
    if (gaps == 0 && dimension.stride <= row + line) {
      row += (dimension.count - 1) * dimension.stride;
    } else if (gaps == outer.size()) {
      return {};
    } else {
      outer[gaps++] = dimension;
    }
  }
  const std::int64_t bytes = source.element_bytes();
  const std::int64_t fetched = outer[0].count * outer[1].count * row * bytes;
  if (fetched > 2 * elements * bytes ||
      fetched > static_cast<std::int64_t>(second_level_cache_bytes() / 2)) {
    return {};
  }
  return {source.at(offset), outer[1].count,          outer[1].stride * bytes,
          outer[0].count,    outer[0].stride * bytes, row * bytes};
}

template class SourceInPlace<float>;
template class SourceInPlace<double>;
template class SourceInPlace<std::int32_t>;
template class SourceInPlace<std::int64_t>;

}  // namespace fastconv::direct
