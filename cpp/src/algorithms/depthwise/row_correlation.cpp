/// Forward and backward-input passes with vectors along the pixels:
///
///     parallel for each image, block of channels, tile
///       pack the tile's source into padded planes (direct/tile.hpp)            [L1, L2]
///       for each destination channel, phase
///         for each set of rows that meets the same tap rows
///           the kernel: rows x vectors of pixels in registers, all taps        [registers]
///         store, unless the kernel wrote the destination itself
///
/// Taps that lie in one plane and at neighbouring rows form a set; see RowTaps.
#include <algorithm>

#include "algorithms/depthwise/correlation.hpp"
#include "padding.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::depthwise {

using direct::ceil_divide;
using direct::Extent;

namespace {

/// Packed source of one channel; several channels that memory interleaves may take four times it.
constexpr std::int64_t kTileBytes = 128 * 1024;
constexpr std::int64_t kInterleavedBytes = 512 * 1024;
constexpr std::int64_t kInterleavedGroups = 16;
/// Source elements that an item of work should have at least.
constexpr std::int64_t kItemElements = 32 * 1024;
/// Rows of sums on their way into a destination that the kernel cannot write.
constexpr std::int64_t kSumRows = 16;

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
    : pass_(pass),
      tile_({&pass.axes[0].phases, &pass.axes[1].phases, &pass.axes[2].phases}) {
  const auto bytes = [&] {
    return pass_.sources * tile_.channel_size() * static_cast<std::int64_t>(sizeof(T));
  };
  while (bytes() > kTileBytes && tile_.halve(pass_.kernels.lanes * 8)) {
  }
  groups_together_ = std::clamp<std::int64_t>(kInterleavedBytes / bytes(), 1,
                                              std::min(kInterleavedGroups, pass_.problem.g));
  const std::int64_t elements = pass_.sources * tile_.channel_size();
  groups_per_item_ =
      std::min(pass_.problem.g, ceil_divide(ceil_divide(kItemElements, elements), groups_together_) *
                                    groups_together_);
  group_blocks_ = ceil_divide(pass_.problem.g, groups_per_item_);

  const auto& [d_axis, h_axis, w_axis] = pass_.axes;
  for (const TapRun& w : w_axis.runs) {
    for (const TapGroup& group : w.groups) {
      for (std::int64_t t = 0; t < group.count; ++t) {
        offsets_.push_back(group.plane * tile_.plane_size + group.shift + t * w.step);
      }
    }
  }
  const auto& axes = pass_.problem.axes;
  std::int64_t taps = 0;
  for (const TapRun& d : d_axis.runs) {
    for (const TapRun& h : h_axis.runs) {
      std::int64_t sets = 0;
      for (const TapGroup& dg : d.groups) {
        sets += dg.count * static_cast<std::int64_t>(h.groups.size());
      }
      row_sets_ = std::max(row_sets_, pass_.sources * sets);
      for (const TapRun& w : w_axis.runs) {
        phases_.push_back({{&d, &h, &w}, taps, 0});
        for_each_tap(d, h, w, [&](std::int64_t kd, std::int64_t kh, std::int64_t kw) {
          kernel_index_.push_back((kd * axes[1].kernel + kh) * axes[2].kernel + kw);
        });
        phases_.back().tap_count = static_cast<std::int64_t>(kernel_index_.size()) - taps;
        taps = static_cast<std::int64_t>(kernel_index_.size());
      }
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
  for (std::int64_t channel = 0; channel < channels; ++channel) {
    for (const Phase& phase : phases_) {
      for (std::int64_t s = 0; s < pass_.sources; ++s) {
        const T* kernel = from + (channel * pass_.sources + s) * weight.strides[0];
        for (std::int64_t t = 0; t < phase.tap_count; ++t) {
          const std::int64_t index = kernel_index_[static_cast<std::size_t>(phase.first_tap + t)];
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
  // The last row of the last plane is read in whole vectors.
  const std::int64_t packed = groups_together_ * pass_.sources * tile_.channel_size();
  const std::int64_t pitch = round_up(count(tile_.size[2]), count(pass_.kernels.lanes));
  return {arena.take<T>(count(packed + pass_.kernels.lanes)),
          arena.take<T>(count(std::min(kSumRows, tile_.size[1]) * pitch)),
          arena.take<const T*>(count(row_sets_ * tile_.pitch[1])),
          arena.take<RowTaps<T>>(count(row_sets_)), nullptr};
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
  parallel_for(pass_.problem.n * group_blocks_ * tile_.tile_count(), pass_.threads,
               [&](std::int64_t item, int thread) {
                 Arena arena(static_cast<std::byte*>(workspace) +
                             static_cast<std::size_t>(thread) * bytes);
                 run_item(arrays, item, lay_out(arena));
               });
}

template <class T>
void RowCorrelation<T>::run_item(const PassArrays<T>& arrays, std::int64_t item,
                                 const Memory& memory) const {
  const Extent origin = tile_.origin(item % tile_.tile_count());
  item /= tile_.tile_count();
  const std::int64_t first = item % group_blocks_ * groups_per_item_;
  const std::int64_t end = std::min(first + groups_per_item_, pass_.problem.g);
  const std::int64_t n = item / group_blocks_;
  const Problem& problem = pass_.problem;
  direct::SourcePadding padding = direct::input_padding(problem);
  if (problem.pass == Pass::backward_input) {
    padding = {.sizes = {problem.axes[0].output, problem.axes[1].output, problem.axes[2].output},
               .mode = PaddingMode::zeros};
  }
  const std::int64_t together = arrays.source.stride(1) == 1 ? groups_together_ : 1;
  const auto load = pass_.kernels.load_block[static_cast<int>(arrays.source.type())];
  for (std::int64_t group = first; group < end; group += together) {
    const std::int64_t groups = std::min(together, end - group);
    direct::pack_source(tile_, padding, origin, arrays.source, n, group * pass_.sources,
                        groups * pass_.sources, load, memory.packed);
    for (std::int64_t g = 0; g < groups; ++g) {
      const T* packed = memory.packed + g * pass_.sources * tile_.channel_size();
      for (std::int64_t m = 0; m < pass_.destinations; ++m) {
        run_channel(arrays, n, (group + g) * pass_.destinations + m, origin, packed, memory);
      }
    }
  }
}

template <class T>
void RowCorrelation<T>::run_channel(const PassArrays<T>& arrays, std::int64_t n,
                                    std::int64_t destination, const Extent& origin, const T* packed,
                                    const Memory& memory) const {
  for (const Phase& phase : phases_) {
    run_phase(arrays, phase, n, destination, origin, packed, memory);
  }
}

template <class T>
void RowCorrelation<T>::run_phase(const PassArrays<T>& arrays, const Phase& phase, std::int64_t n,
                                  std::int64_t channel, const Extent& origin, const T* packed,
                                  const Memory& memory) const {
  const auto& [d, h, w] = phase.runs;
  const Extent size =
      tile_.size_at(origin, direct::Runs{d->run, h->run, w->run});
  if (size[0] == 0 || size[1] == 0 || size[2] == 0) return;
  const Problem& problem = pass_.problem;
  const T bias = arrays.bias == nullptr ? T(0) : arrays.bias[channel];
  const auto type = static_cast<int>(arrays.destination.type());
  const Epilogue<T> epilogue{nullptr, 0, problem.activation, problem.accumulate};
  const std::int64_t to_step = w->run->destination_step * arrays.destination.stride(4);
  const bool plain = problem.activation == Activation::none && !problem.accumulate;
  const bool writes = plain && to_step == 1;
  const std::int64_t sums_pitch = round_up(static_cast<std::size_t>(tile_.size[2]),
                                           static_cast<std::size_t>(pass_.kernels.lanes));
  const std::int64_t width = w->run->tap_count();
  const std::int64_t* offsets = offsets_.data();
  for (const TapRun* run = pass_.axes[2].runs.data(); run != w; ++run) {
    offsets += run->run->tap_count();
  }
  for (std::int64_t jd = 0; jd < size[0]; ++jd) {
    std::int64_t sets = 0;
    const T** rows = memory.rows;
    const T* weights = arrays.weights +
                       (channel * taps_met() + phase.first_tap) * pass_.sources;
    for (std::int64_t s = 0; s < pass_.sources; ++s) {
      for (const TapGroup& dg : d->groups) {
        for (std::int64_t td = 0; td < dg.count; ++td) {
          for (const TapGroup& hg : h->groups) {
            const std::int64_t plane =
                (dg.plane * tile_.phases[1]->plane_count() + hg.plane) *
                tile_.phases[2]->plane_count();
            const T* row = packed + s * tile_.channel_size() + plane * tile_.plane_size +
                           ((jd + dg.shift + td * d->step) * tile_.pitch[1] + hg.shift) *
                               tile_.pitch[2];
            const std::int64_t row_count = size[1] + (hg.count - 1) * h->step;
            memory.taps[sets++] = {rows, weights, offsets, h->step, hg.count, width};
            for (std::int64_t p = 0; p < row_count; ++p) *rows++ = row + p * tile_.pitch[2];
            weights += hg.count * width;
          }
        }
      }
    }
    if (width == 0) sets = 0;
    const std::int64_t to = n * arrays.destination.stride(0) +
                            channel * arrays.destination.stride(1) +
                            d->run->destination(origin[0] + jd) * arrays.destination.stride(2) +
                            w->run->destination(origin[2]) * arrays.destination.stride(4);
    for (std::int64_t first = 0; first < std::min(h->step, size[1]); ++first) {
      const std::int64_t row_count = ceil_divide(size[1] - first, h->step);
      const std::int64_t to_pitch =
          h->step * h->run->destination_step * arrays.destination.stride(3);
      const std::int64_t most = writes ? row_count : kSumRows;
      for (std::int64_t y = 0; y < row_count; y += most) {
        RowBlock<T> block{memory.taps, sets, first + y * h->step, std::min(most, row_count - y),
                          size[2], memory.sums, sums_pitch, bias};
        std::byte* at = arrays.destination.at(
            to + h->run->destination(origin[1] + first + y * h->step) *
                     arrays.destination.stride(3));
        if (writes) {
          block.out = reinterpret_cast<T*>(at);
          block.pitch = to_pitch;
        }
        pass_.kernels.depthwise.rows(block);
        if (!writes) {
          pass_.kernels.store_block[type](at, to_pitch, to_step, memory.sums, sums_pitch,
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
