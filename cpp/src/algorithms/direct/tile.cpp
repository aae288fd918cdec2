#include "algorithms/direct/tile.hpp"

#include <algorithm>

#include "padding.hpp"

namespace fastconv::direct {

Tile::Tile(const std::array<const AxisRun*, 3>& axis_runs) : runs(axis_runs) {
  for (std::size_t a = 0; a < 3; ++a) {
    counts[a] = runs[a]->count;
    planes *= runs[a]->plane_count();
  }
  size = counts;
  update();
}

void Tile::update() {
  for (std::size_t a = 0; a < 3; ++a) {
    pitch[a] = size[a] + runs[a]->reach;
    tiles[a] = ceil_divide(counts[a], std::max<std::int64_t>(1, size[a]));
  }
  plane_size = product(pitch);
}

bool Tile::halve(std::int64_t least_width) {
  // Rows are cut last: whole rows are copied and stored fastest.
  constexpr std::array<double, 3> kPreference{1.0, 1.0, 0.25};
  int best = -1;
  double best_ratio = 0.0;
  for (std::size_t a = 0; a < 3; ++a) {
    // A run that writes one element repeatedly must stay within one tile.
    if (size[a] < 2 || runs[a]->destination_step == 0) continue;
    if (a == 2 && size[a] < 2 * least_width) continue;
    const double ratio =
        kPreference[a] * static_cast<double>(size[a]) / static_cast<double>(runs[a]->reach + 1);
    if (ratio > best_ratio) {
      best = static_cast<int>(a);
      best_ratio = ratio;
    }
  }
  if (best < 0) return false;
  const auto axis = static_cast<std::size_t>(best);
  size[axis] = ceil_divide(size[axis], 2);
  update();
  return true;
}

Extent Tile::origin(std::int64_t index) const {
  return {index / (tiles[1] * tiles[2]) * size[0], index / tiles[2] % tiles[1] * size[1],
          index % tiles[2] * size[2]};
}

Extent Tile::size_at(const Extent& first) const {
  Extent result;
  for (std::size_t a = 0; a < 3; ++a) result[a] = std::min(size[a], counts[a] - first[a]);
  return result;
}

std::vector<std::int64_t> Tile::tap_offsets() const {
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(tap_count()));
  for (const Tap& d : runs[0]->taps) {
    for (const Tap& h : runs[1]->taps) {
      for (const Tap& w : runs[2]->taps) {
        const std::int64_t plane =
            (d.plane * runs[1]->plane_count() + h.plane) * runs[2]->plane_count() + w.plane;
        offsets.push_back(plane * plane_size +
                          (d.shift * pitch[1] + h.shift) * pitch[2] + w.shift);
      }
    }
  }
  return offsets;
}

namespace {

/// Source positions of one plane along one axis: start + index * step for index in [0, count), of
/// which [inside_first, inside_end) lie in the source itself.
struct AxisPositions {
  std::int64_t start;
  std::int64_t step;
  std::int64_t count;
  std::int64_t inside_first;
  std::int64_t inside_end;

  AxisPositions(const AxisRun& run, std::size_t plane, std::int64_t origin, std::int64_t length,
                std::int64_t size)
      : start(run.source_first + run.residues[plane] + run.source_step * origin),
        step(run.source_step),
        count(length) {
    const auto index_at_or_after = [&](std::int64_t position) {
      if (position <= start) return std::int64_t{0};
      return std::min(count, ceil_divide(position - start, step));
    };
    inside_first = index_at_or_after(0);
    inside_end = index_at_or_after(size);
  }

  std::int64_t source(std::int64_t index, std::int64_t size, PaddingMode mode) const {
    if (index >= inside_first && index < inside_end) return start + index * step;
    return padded_source(start + index * step, size, mode);
  }
};

template <class T>
struct RowPacker {
  const AxisPositions& w;
  const SourcePadding& padding;
  LoadRowFunction<T> load_row;
  std::int64_t stride;
  std::int64_t element_bytes;

  void pack(const std::byte* row, T fill, T* to) const {
    border(row, 0, w.inside_first, fill, to);
    if (w.inside_end > w.inside_first) {
      load_row(to + w.inside_first, 1,
               row + (w.start + w.inside_first * w.step) * stride * element_bytes, w.step * stride,
               w.inside_end - w.inside_first);
    }
    border(row, std::max(w.inside_first, w.inside_end), w.count, fill, to);
  }

  void border(const std::byte* row, std::int64_t first, std::int64_t end, T fill, T* to) const {
    for (std::int64_t i = first; i < end; ++i) {
      const std::int64_t source = w.source(i, padding.sizes[2], padding.mode);
      if (source < 0) {
        to[i] = fill;
      } else {
        load_row(to + i, 1, row + source * stride * element_bytes, 1, 1);
      }
    }
  }
};

}  // namespace

template <class T>
void pack_source(const Tile& tile, const SourcePadding& padding, const Extent& origin,
                 const RealView& source, std::int64_t n, std::int64_t first, std::int64_t count,
                 LoadRowFunction<T> load_row, T* packed) {
  const Extent size = tile.size_at(origin);
  const auto& runs = tile.runs;
  const auto element_bytes = static_cast<std::int64_t>(size_of(source.type()));
  constexpr bool kInteger = T(0.5) == T(0);
  const auto fill = [&](std::int64_t channel) {
    return kInteger ? static_cast<T>(padding.integer)
                    : static_cast<T>(padding.value[static_cast<std::size_t>(channel % source.parts())]);
  };
  T* plane = packed;
  for (std::size_t rd = 0; rd < runs[0]->residues.size(); ++rd) {
    const AxisPositions d(*runs[0], rd, origin[0], size[0] + runs[0]->reach, padding.sizes[0]);
    for (std::size_t rh = 0; rh < runs[1]->residues.size(); ++rh) {
      const AxisPositions h(*runs[1], rh, origin[1], size[1] + runs[1]->reach, padding.sizes[1]);
      for (std::size_t rw = 0; rw < runs[2]->residues.size(); ++rw, plane += tile.plane_size) {
        const AxisPositions w(*runs[2], rw, origin[2], size[2] + runs[2]->reach, padding.sizes[2]);
        const RowPacker<T> packer{w, padding, load_row, source.stride(4), element_bytes};
        const auto pack_row = [&](std::int64_t channel, std::int64_t jd, std::int64_t jh) {
          T* to = plane + (channel - first) * tile.channel_size() +
                  (jd * tile.pitch[1] + jh) * tile.pitch[2];
          const std::int64_t id = d.source(jd, padding.sizes[0], padding.mode);
          const std::int64_t ih = h.source(jh, padding.sizes[1], padding.mode);
          if (id < 0 || ih < 0) {
            std::fill(to, to + w.count, fill(channel));
            return;
          }
          const std::int64_t offset = n * source.stride(0) + source.channel_offset(channel) +
                                      id * source.stride(2) + ih * source.stride(3);
          packer.pack(source.at(offset), fill(channel), to);
        };
        const bool channels_last = std::abs(source.stride(1)) < std::abs(source.stride(4));
        if (channels_last) {
          for (std::int64_t jd = 0; jd < d.count; ++jd) {
            for (std::int64_t jh = 0; jh < h.count; ++jh) {
              for (std::int64_t c = first; c < first + count; ++c) pack_row(c, jd, jh);
            }
          }
        } else {
          for (std::int64_t c = first; c < first + count; ++c) {
            for (std::int64_t jd = 0; jd < d.count; ++jd) {
              for (std::int64_t jh = 0; jh < h.count; ++jh) pack_row(c, jd, jh);
            }
          }
        }
      }
    }
  }
}

template void pack_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                          std::int64_t, std::int64_t, std::int64_t, LoadRowFunction<float>, float*);
template void pack_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                          std::int64_t, std::int64_t, std::int64_t, LoadRowFunction<double>,
                          double*);
template void pack_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                          std::int64_t, std::int64_t, std::int64_t, LoadRowFunction<std::int32_t>,
                          std::int32_t*);
template void pack_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                          std::int64_t, std::int64_t, std::int64_t, LoadRowFunction<std::int64_t>,
                          std::int64_t*);

}  // namespace fastconv::direct
