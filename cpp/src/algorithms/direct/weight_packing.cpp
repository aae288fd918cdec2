#include "algorithms/direct/weight_packing.hpp"

#include <algorithm>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::direct {

TapRows::TapRows(const RealView& weight, const Runs& runs)
    : weight_(weight),
      runs_(runs),
      taps_(tap_count(runs)),
      rows_(runs[0]->tap_count() * runs[1]->tap_count()),
      step_(runs[2]->kernel_step * weight.stride(4)) {
  const auto continues = [&](std::size_t axis, std::int64_t count) {
    return runs[axis]->tap_count() == 1 ||
           runs[axis]->kernel_step * weight.stride(axis + 2) == step_ * count;
  };
  if (!continues(1, runs[2]->tap_count())) return;
  rows_ = runs[0]->tap_count();
  if (continues(0, runs[1]->tap_count() * runs[2]->tap_count())) rows_ = 1;
}

std::int64_t TapRows::offset(std::int64_t row) const {
  const std::int64_t tap = row * taps_of_row();
  const std::int64_t width = runs_[2]->tap_count();
  const std::int64_t height = runs_[1]->tap_count();
  const auto element = [&](std::size_t axis, std::int64_t index) {
    return (runs_[axis]->kernel_first + index * runs_[axis]->kernel_step) *
           weight_.stride(axis + 2);
  };
  return element(0, tap / width / height) + element(1, tap / width % height) +
         element(2, tap % width);
}

template <class T>
WeightPacker<T>::WeightPacker(const Problem& problem, const TensorView& weight,
                              const TypedKernels<T>& kernels)
    : weight_(weight),
      load_weights_(kernels.load_weights[static_cast<int>(weight_.type())]),
      lanes_(kernels.lanes),
      transpose_(kernels.transpose_sums),
      kernel_{problem.axes[0].kernel, problem.axes[1].kernel, problem.axes[2].kernel},
      joined_(kernels.channels_per_element),
      channels_((problem.pass == Pass::forward ? problem.c : problem.k) / problem.g),
      parts_(weight_.parts()),
      conjugate_(problem.conjugate) {
  const bool forward = problem.pass == Pass::forward;
  group_stride_ = problem.k / problem.g * weight_.stride(0);
  source_stride_ = weight_.stride(forward ? 1 : 0);
  destination_stride_ = weight_.stride(forward ? 0 : 1);
}

template <class T>
void WeightPacker<T>::pack_block(const Runs& runs, std::int64_t group, std::int64_t first,
                                 std::int64_t channels, int rows, const ChannelRange& sources,
                                 WeightOrder order, T* packed) const {
  if (joined_ > 1) {
    pack_joined(runs, group, first, channels, rows, sources, order, packed);
    return;
  }
  const TapRows tap_rows(weight_, runs);
  const std::int64_t taps = tap_rows.taps();
  if (channels < rows) std::fill_n(packed, sources.count * taps * rows, T(0));
  const bool by_sources = order == WeightOrder::sources;
  const std::int64_t source_pitch = by_sources ? taps * rows : rows;
  const std::int64_t tap_pitch = by_sources ? rows : sources.count * rows;
  // Blocks of complex problems begin with a real part: they have an even number of rows.
  const std::int64_t source_channels = sources.count / parts_;
  const std::int64_t base = group * group_stride_ + first / parts_ * destination_stride_ +
                            sources.first / parts_ * source_stride_;
  WeightShape shape{.sources = source_channels,
                    .taps = tap_rows.taps_of_row(),
                    .rows = channels / parts_,
                    .source_stride = source_stride_,
                    .tap_stride = tap_rows.step(),
                    .row_stride = destination_stride_,
                    .to_source_pitch = parts_ * source_pitch,
                    .to_tap_pitch = tap_pitch,
                    .to_row_step = parts_};
  for (std::int64_t destination_part = 0; destination_part < parts_; ++destination_part) {
    for (std::int64_t source_part = 0; source_part < parts_; ++source_part) {
      const auto [part, negated] = weight_part(destination_part, source_part, conjugate_);
      T* to = packed + source_part * source_pitch + destination_part;
      for (std::int64_t row = 0; row < tap_rows.rows(); ++row) {
        load_weights_(to + row * shape.taps * tap_pitch,
                      weight_.at(base + tap_rows.offset(row) + part), shape);
      }
      if (!negated) continue;
      for (std::int64_t source = 0; source < source_channels; ++source) {
        T* matrix = to + source * shape.to_source_pitch;
        for (std::int64_t t = 0; t < taps; ++t) {
          for (std::int64_t i = 0; i < rows; i += parts_) {
            matrix[t * tap_pitch + i] = -matrix[t * tap_pitch + i];
          }
        }
      }
    }
  }
}

template <class T>
LinesAhead WeightPacker<T>::lines_of(std::int64_t group, std::int64_t first, std::int64_t channels,
                                     const ChannelRange& sources) const {
  struct Channels {
    std::int64_t count;
    std::int64_t stride;
  };
  Channels rows{sources.count, source_stride_};
  Channels inside{channels, destination_stride_};
  if (rows.stride < inside.stride) std::swap(rows, inside);
  bool dense =
      parts_ == 1 && joined_ == 1 && inside.stride > 0 && inside.stride <= product(kernel_);
  std::int64_t elements = (inside.count - 1) * inside.stride + 1;
  for (std::size_t a = 0; a < 3; ++a) {
    dense = dense && weight_.stride(a + 2) >= 0;
    elements += (kernel_[a] - 1) * weight_.stride(a + 2);
  }
  if (!dense) return {};
  const auto size = static_cast<std::int64_t>(size_of(weight_.type()));
  const std::int64_t base =
      group * group_stride_ + first * destination_stride_ + sources.first * source_stride_;
  return {weight_.at(base), rows.count, rows.stride * size, elements * size};
}

template <class T>
bool WeightPacker<T>::pack_elements(const std::vector<TapTarget>& targets, std::int64_t group,
                                    std::int64_t first, std::int64_t channels, int rows,
                                    std::int64_t all_rows, std::int64_t rows_before,
                                    const ChannelRange& range, T* packed) const {
  constexpr std::int64_t kColumns = 16;
  constexpr std::int64_t kMostRows = 64;
  const bool contiguous = (kernel_[2] == 1 || weight_.stride(4) == 1) &&
                          (kernel_[1] == 1 || weight_.stride(3) == kernel_[2]) &&
                          (kernel_[0] == 1 || weight_.stride(2) == kernel_[1] * kernel_[2]);
  if (targets.empty() || !contiguous || parts_ != 1 || weight_.type() != stored_type<T>() ||
      rows > kMostRows) {
    return false;
  }
  const std::int64_t sources = range.count;
  const std::int64_t base =
      group * group_stride_ + first * destination_stride_ + range.first * source_stride_;
  const std::int64_t elements = product(kernel_);
  // Source channels far apart are too little in one place for the processor to foresee the next.
  constexpr std::int64_t kAhead = 16;
  LinesAhead ahead;
  if (source_stride_ > destination_stride_ && sources > kAhead) {
    ahead = lines_of(group, first, channels, {range.first + kAhead, sources - kAhead});
    ahead.share_out(sources - kAhead);
  }
  const auto place = [&](std::int64_t source, std::int64_t element) {
    const TapTarget& target = targets[static_cast<std::size_t>(element)];
    return packed + (target.taps_before * all_rows + rows_before * target.taps) * sources +
           (source * target.taps + target.index) * rows;
  };
  const auto* matrix = reinterpret_cast<const T*>(weight_.at(base));
  // Few rows leave most of a square empty.
  if (rows < lanes_) {
    for (std::int64_t before = 0; before < sources; before += kAhead) {
      const std::int64_t end = std::min(before + kAhead, sources);
      for (std::int64_t source = before; source < end; ++source) ahead.fetch();
      for (std::int64_t e = 0; e < elements; ++e) {
        T* to = place(before, e);
        const std::int64_t step = targets[static_cast<std::size_t>(e)].taps * rows;
        for (std::int64_t source = before; source < end; ++source, to += step) {
          const T* from = matrix + source * source_stride_ + e;
          for (std::int64_t m = 0; m < channels; ++m) to[m] = from[m * destination_stride_];
          for (std::int64_t m = channels; m < rows; ++m) to[m] = T(0);
        }
      }
    }
    return true;
  }
  alignas(kAlignment) T transposed[kColumns * kMostRows] = {};
  for (std::int64_t source = 0; source < sources; ++source) {
    ahead.fetch();
    const T* from = matrix + source * source_stride_;
    for (std::int64_t e = 0; e < elements; e += kColumns) {
      const std::int64_t columns = std::min(kColumns, elements - e);
      transpose_(transposed, rows, from + e, destination_stride_, {channels, columns}, 1, 0);
      for (std::int64_t column = 0; column < columns; ++column) {
        std::copy_n(transposed + column * rows, rows, place(source, e + column));
      }
    }
  }
  return true;
}

template <class T>
void WeightPacker<T>::pack_joined(const Runs& runs, std::int64_t group, std::int64_t first,
                                  std::int64_t channels, int rows, const ChannelRange& sources,
                                  WeightOrder order, T* packed) const {
  const TapRows tap_rows(weight_, runs);
  const std::int64_t taps = tap_rows.taps();
  if (channels < rows) std::fill_n(packed, sources.count * taps * rows, T(0));
  const bool by_sources = order == WeightOrder::sources;
  const std::int64_t source_pitch = by_sources ? taps * rows : rows;
  const std::int64_t tap_pitch = by_sources ? rows : sources.count * rows;
  const std::int64_t whole =
      std::clamp<std::int64_t>(channels_ / joined_ - sources.first, 0, sources.count);
  WeightShape shape{.sources = whole,
                    .taps = tap_rows.taps_of_row(),
                    .rows = channels,
                    .source_stride = joined_ * source_stride_,
                    .tap_stride = tap_rows.step(),
                    .row_stride = destination_stride_,
                    .to_source_pitch = source_pitch,
                    .to_tap_pitch = tap_pitch,
                    .to_row_step = 1,
                    .joined = {joined_, source_stride_}};
  const std::int64_t base =
      group * group_stride_ + first * destination_stride_ + sources.first * shape.source_stride;
  const auto load = [&](std::int64_t element) {
    for (std::int64_t row = 0; row < tap_rows.rows(); ++row) {
      load_weights_(packed + element * source_pitch + row * shape.taps * tap_pitch,
                    weight_.at(base + element * shape.source_stride + tap_rows.offset(row)), shape);
    }
  };
  if (whole > 0) load(0);
  if (whole == sources.count) return;
  shape.sources = 1;
  shape.joined.count = channels_ % joined_;
  load(whole);
}

template class WeightPacker<float>;
template class WeightPacker<double>;
template class WeightPacker<std::int32_t>;
template class WeightPacker<std::int64_t>;

}  // namespace fastconv::direct
