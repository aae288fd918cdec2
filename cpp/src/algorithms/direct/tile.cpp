#include "algorithms/direct/tile.hpp"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "algorithms/lines_ahead.hpp"
#include "padding.hpp"

namespace fastconv::direct {

Tile::Tile(const std::array<const AxisPhases*, 3>& axis_phases) : phases(axis_phases) {
  for (std::size_t a = 0; a < 3; ++a) {
    counts[a] = phases[a]->count;
    planes *= phases[a]->plane_count();
  }
  size = counts;
  update();
}

Tile::Tile(const std::array<const AxisPhases*, 3>& axis_phases, const Extent& most,
           const Extent& fixed_pitch)
    : Tile(axis_phases) {
  for (std::size_t a = 0; a < 3; ++a) {
    const std::int64_t fewest = std::max<std::int64_t>(1, ceil_divide(counts[a], most[a]));
    size[a] = std::max<std::int64_t>(1, ceil_divide(counts[a], fewest));
    tiles[a] = ceil_divide(counts[a], size[a]);
  }
  pitch = fixed_pitch;
  plane_size = product(pitch);
}

void Tile::update() {
  for (std::size_t a = 0; a < 3; ++a) {
    pitch[a] = phases[a]->window(size[a]);
    tiles[a] = ceil_divide(counts[a], std::max<std::int64_t>(1, size[a]));
  }
  plane_size = product(pitch);
  // Planes a multiple of some cache lines apart would fall into few sets of the first-level cache.
  constexpr std::int64_t kCacheLine = 16;
  if (plane_size % (4 * kCacheLine) == 0) plane_size += kCacheLine;
}

bool Tile::halve(std::int64_t least_width) {
  // Rows are cut last: whole rows are copied and stored fastest, and are one long row where no
  // neighbours lie between them.
  const bool joined = phases[0]->reach == 0 && phases[1]->reach == 0;
  const std::array<double, 3> preference{1.0, 1.0, joined ? 0.01 : 0.25};
  int best = -1;
  double best_ratio = 0.0;
  for (std::size_t a = 0; a < 3; ++a) {
    // A run that writes one element repeatedly must stay within one tile.
    if (size[a] < 2 || phases[a]->repeats) continue;
    if (a == 2 && size[a] < 2 * least_width) continue;
    const double ratio =
        preference[a] * static_cast<double>(size[a]) / static_cast<double>(phases[a]->reach + 1);
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

void Tile::fill_vectors(std::int64_t lanes) {
  const bool joined = phases[1]->reach == 0 && phases[2]->reach == 0 && size[2] == counts[2] &&
                      size[0] == 1 && size[1] < counts[1];
  const std::int64_t rows = lanes / std::gcd(lanes, size[2]);
  if (!joined || size[1] < rows) return;
  const std::int64_t more = ceil_divide(size[1], rows) * rows;
  // Not so many that the tile would outgrow the cache.
  size[1] = 4 * (more - size[1]) <= size[1] ? more : size[1] / rows * rows;
  update();
}

void Tile::cut(const Extent& tile_size) {
  size = tile_size;
  update();
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

Extent Tile::size_at(const Extent& first, const Runs& runs) const {
  Extent result;
  for (std::size_t a = 0; a < 3; ++a) {
    result[a] = std::clamp<std::int64_t>(runs[a]->count - first[a], 0, size[a]);
  }
  return result;
}

std::vector<std::int64_t> Tile::tap_offsets(const Runs& runs) const {
  std::vector<std::int64_t> offsets;
  offsets.reserve(static_cast<std::size_t>(tap_count(runs)));
  for (const Tap& d : runs[0]->taps) {
    for (const Tap& h : runs[1]->taps) {
      for (const Tap& w : runs[2]->taps) {
        const std::int64_t plane =
            (d.plane * phases[1]->plane_count() + h.plane) * phases[2]->plane_count() + w.plane;
        offsets.push_back(plane * plane_size + (d.shift * pitch[1] + h.shift) * pitch[2] + w.shift);
      }
    }
  }
  return offsets;
}

SourcePadding input_padding(const Problem& problem) {
  const auto& axes = problem.axes;
  SourcePadding padding{.sizes = {axes[0].input, axes[1].input, axes[2].input},
                        .mode = problem.padding_mode};
  if (padding.mode == PaddingMode::constant) {
    padding.value = {problem.padding_value.real(), problem.padding_value.imag()};
    padding.integer = problem.padding_integer;
  }
  return padding;
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

  AxisPositions(const AxisPhases& phases, std::size_t plane, std::int64_t origin,
                std::int64_t length, std::int64_t size)
      : start(phases.source_first + phases.residues[plane] + phases.source_step * origin),
        step(phases.source_step),
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

  /// Calls body(run) for indices side by side whose sources are at one step.
  template <class Body>
  void for_each_run(std::int64_t size, PaddingMode mode, Body&& body) const {
    for (std::int64_t first = 0; first < count;) {
      Run run{first, 1, source(first, size, mode), 0};
      if (first == inside_first && first < inside_end) {
        run.count = inside_end - inside_first;
        run.step = step;
      } else {
        const std::int64_t end = first < inside_first ? inside_first : count;
        std::int64_t last = run.source;
        for (; run.first + run.count < end; ++run.count) {
          const std::int64_t next = source(run.first + run.count, size, mode);
          if (run.count == 1) run.step = next - last;
          if (next - last != run.step || (next < 0) != (last < 0)) break;
          last = next;
        }
      }
      body(run);
      first += run.count;
    }
  }

  struct Run {
    std::int64_t first;
    std::int64_t count;
    std::int64_t source;  ///< of the first index; -1 where the padding value stands
    std::int64_t step;
  };
};

/// One residue plane of one tile, for all channels.
template <class T>
class PlanePacker {
 public:
  PlanePacker(const Tile& tile, const SourcePadding& padding, const RealView& source,
              const BlockLoader<T>& load_block, const AxisPositions& d, const AxisPositions& h,
              const AxisPositions& w)
      : tile_(tile),
        padding_(padding),
        source_(source),
        load_block_(load_block),
        d_(d),
        h_(h),
        w_(w) {}

  /// Channels whose planes begin at `to`, tile.channel_size() apart.
  void pack(std::int64_t n, std::int64_t first, std::int64_t count, T* to) const {
    const bool channels_last =
        source_.parts() == 1 && std::abs(source_.stride(1)) < std::abs(source_.stride(4));
    for (std::int64_t jd = 0; jd < d_.count; ++jd) {
      const std::int64_t id = d_.source(jd, padding_.sizes[0], padding_.mode);
      T* slice = to + jd * tile_.pitch[1] * tile_.pitch[2];
      if (channels_last) {
        pack_rows_of_channels(n, first, count, id, slice);
        continue;
      }
      const std::int64_t offset = n * source_.stride(0) + id * source_.stride(2);
      for (std::int64_t c = 0; c < count; ++c) {
        if (id >= 0 && c + 1 < count) {
          fetch_slice(offset + source_.channel_offset(first + c + 1));
        }
        pack_slice(offset + source_.channel_offset(first + c), id >= 0, fill_value(first + c),
                   slice + c * tile_.channel_size());
      }
    }
  }

 private:
  T fill_value(std::int64_t channel) const {
    if constexpr (T(0.5) == T(0)) {
      return static_cast<T>(padding_.integer);
    } else {
      return static_cast<T>(padding_.value[static_cast<std::size_t>(channel % source_.parts())]);
    }
  }

  /// The rows of one slice of a channel are on their way from memory while the one before is
  /// packed: they are too short for the processor to foresee the next.
  void fetch_slice(std::int64_t offset) const {
    // Further apart, lines would be fetched for nothing.
    constexpr std::int64_t kMostColumnBytes = 32;
    const std::int64_t column_bytes = source_.stride(4) * w_.step * source_.element_bytes();
    if (repeats_input(padding_.mode)) return;
    if (column_bytes <= 0 || column_bytes > kMostColumnBytes) return;
    LinesAhead lines(
        source_.at(offset + (h_.start + h_.inside_first * h_.step) * source_.stride(3) +
                   (w_.start + w_.inside_first * w_.step) * source_.stride(4)),
        std::max<std::int64_t>(0, h_.inside_end - h_.inside_first),
        h_.step * source_.stride(3) * source_.element_bytes(),
        (w_.inside_end - w_.inside_first) * column_bytes);
    lines.share_out(1);
    lines.fetch();
  }

  /// The rows of one slice of a channel.
  void pack_slice(std::int64_t offset, bool inside, T fill, T* slice) const {
    if (repeats_input(padding_.mode)) {
      pack_repeated_slice(offset, slice);
      return;
    }
    const std::int64_t pitch = tile_.pitch[2];
    const std::int64_t first_row = inside ? h_.inside_first : h_.count;
    const std::int64_t end_row = inside ? std::max(first_row, h_.inside_end) : h_.count;
    if (end_row > first_row && w_.inside_end > w_.inside_first) {
      load(offset, {first_row, end_row - first_row, h_.start + first_row * h_.step, h_.step},
           {w_.inside_first, w_.inside_end - w_.inside_first, w_.start + w_.inside_first * w_.step,
            w_.step},
           slice + first_row * pitch + w_.inside_first);
    }
    fill_around(first_row, end_row, fill, slice);
  }

  void pack_repeated_slice(std::int64_t offset, T* slice) const {
    h_.for_each_run(padding_.sizes[1], padding_.mode, [&](const AxisPositions::Run& rows) {
      w_.for_each_run(padding_.sizes[2], padding_.mode, [&](const AxisPositions::Run& columns) {
        load(offset, rows, columns, slice + rows.first * tile_.pitch[2] + columns.first);
      });
    });
  }

  void load(std::int64_t offset, const AxisPositions::Run& rows, const AxisPositions::Run& columns,
            T* to) const {
    load_block_(
        to, tile_.pitch[2],
        source_.at(offset + rows.source * source_.stride(3) + columns.source * source_.stride(4)),
        rows.step * source_.stride(3), columns.step * source_.stride(4),
        {rows.count, columns.count});
  }

  /// Everything but the elements inside: what follows one row of them reaches to the next.
  void fill_around(std::int64_t first_row, std::int64_t end_row, T fill, T* slice) const {
    const std::int64_t pitch = tile_.pitch[2];
    T* end = slice + h_.count * pitch;
    if (end_row <= first_row || w_.inside_end <= w_.inside_first) {
      std::fill(slice, end, fill);
      return;
    }
    T* from = slice;
    for (std::int64_t row = first_row; row < end_row; ++row) {
      T* inside = slice + row * pitch;
      std::fill(from, inside + w_.inside_first, fill);
      from = inside + w_.inside_end;
    }
    std::fill(from, end, fill);
  }

  /// Channels-last memory: pixels side by side of all channels are one block.
  void pack_rows_of_channels(std::int64_t n, std::int64_t first, std::int64_t count,
                             std::int64_t id, T* slice) const {
    for (std::int64_t jh = 0; jh < h_.count; ++jh) {
      T* rows = slice + jh * tile_.pitch[2];
      const std::int64_t ih = h_.source(jh, padding_.sizes[1], padding_.mode);
      if (id < 0 || ih < 0) {
        fill_columns(count, 0, w_.count, fill_value(first), rows);
        continue;
      }
      const std::int64_t at = n * source_.stride(0) + first * source_.stride(1) +
                              id * source_.stride(2) + ih * source_.stride(3);
      w_.for_each_run(padding_.sizes[2], padding_.mode, [&](const AxisPositions::Run& columns) {
        if (columns.source < 0) {
          fill_columns(count, columns.first, columns.first + columns.count, fill_value(first),
                       rows);
        } else {
          load_block_(rows + columns.first, tile_.channel_size(),
                      source_.at(at + columns.source * source_.stride(4)), source_.stride(1),
                      columns.step * source_.stride(4), {count, columns.count});
        }
      });
    }
  }

  void fill_columns(std::int64_t count, std::int64_t first, std::int64_t end, T fill,
                    T* rows) const {
    for (std::int64_t c = 0; c < count; ++c) {
      std::fill(rows + c * tile_.channel_size() + first, rows + c * tile_.channel_size() + end,
                fill);
    }
  }

  const Tile& tile_;
  const SourcePadding& padding_;
  const RealView& source_;
  const BlockLoader<T>& load_block_;
  const AxisPositions& d_;
  const AxisPositions& h_;
  const AxisPositions& w_;
};

}  // namespace

template <class T>
void pack_source(const Tile& tile, const SourcePadding& padding, const Extent& origin,
                 const RealView& source, std::int64_t n, std::int64_t first, std::int64_t count,
                 std::type_identity_t<BlockLoader<T>> load_block, T* packed) {
  const Extent size = tile.size_at(origin);
  const auto positions = [&](std::size_t axis, std::size_t plane) {
    const AxisPhases& phases = *tile.phases[axis];
    return AxisPositions(phases, plane, origin[axis], phases.window(size[axis]),
                         padding.sizes[axis]);
  };
  T* plane = packed;
  for (std::size_t rd = 0; rd < tile.phases[0]->residues.size(); ++rd) {
    const AxisPositions d = positions(0, rd);
    for (std::size_t rh = 0; rh < tile.phases[1]->residues.size(); ++rh) {
      const AxisPositions h = positions(1, rh);
      for (std::size_t rw = 0; rw < tile.phases[2]->residues.size(); ++rw) {
        const AxisPositions w = positions(2, rw);
        PlanePacker<T>(tile, padding, source, load_block, d, h, w).pack(n, first, count, plane);
        plane += tile.plane_size;
      }
    }
  }
}

template void pack_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                          std::int64_t, std::int64_t, std::int64_t, BlockLoader<float>, float*);
template void pack_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                          std::int64_t, std::int64_t, std::int64_t, BlockLoader<double>, double*);
template void pack_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                          std::int64_t, std::int64_t, std::int64_t, BlockLoader<std::int32_t>,
                          std::int32_t*);
template void pack_source(const Tile&, const SourcePadding&, const Extent&, const RealView&,
                          std::int64_t, std::int64_t, std::int64_t, BlockLoader<std::int64_t>,
                          std::int64_t*);

}  // namespace fastconv::direct
