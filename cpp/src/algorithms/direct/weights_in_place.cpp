#include "algorithms/direct/weights_in_place.hpp"

#include <algorithm>
#include <atomic>

#include "runtime/parallel.hpp"

namespace fastconv::direct {

template <class T>
WeightsInPlace<T>::WeightsInPlace(const CorrelationSchedule<T>& schedule, const Problem& problem,
                                  const TypedKernels<T>& kernels, const TensorView& weight,
                                  bool checked, std::int64_t* offsets)
    : schedule_(schedule), weight_(weight), offsets_(offsets) {
  const bool forward = problem.pass == Pass::forward;
  group_stride_ = problem.k / problem.g * weight_.stride(0);
  source_stride_ = weight_.stride(forward ? 1 : 0);
  destination_stride_ = weight_.stride(forward ? 0 : 1);
  possible_ = suits() && (!checked || all_finite(problem, kernels));
  if (!possible_) return;
  for (const TapSet& set : schedule.tap_sets) {
    const TapRows rows(weight_, set.runs);
    if (even_step(rows)) continue;
    for (std::int64_t row = 0; row < rows.rows(); ++row) {
      const std::int64_t first = rows.offset(row);
      for (std::int64_t tap = 0; tap < rows.taps_of_row(); ++tap) {
        std::int64_t* to = offsets + set.depth_before + row * rows.taps_of_row() + tap;
        for (std::int64_t source = 0; source < schedule.source_channels; ++source) {
          to[source * rows.taps()] = first + tap * rows.step() + source * source_stride_;
        }
      }
    }
  }
}

/// Elements are those of the kernels, and with vectors along the channels these lie side by side.
template <class T>
bool WeightsInPlace<T>::suits() const {
  if (!schedule_.may_use_weights_in_place || stored_type<T>() != weight_.type()) return false;
  if (schedule_.lanes_along == LanesAlong::channels && destination_stride_ != 1) return false;
  return !schedule_.uses_even_weights_alone ||
         std::ranges::all_of(schedule_.tap_sets, [&](const TapSet& set) {
           return even_step(TapRows(weight_, set.runs)).has_value();
         });
}

/// False also for weights with gaps between them.
template <class T>
bool WeightsInPlace<T>::all_finite(const Problem& problem, const TypedKernels<T>& kernels) const {
  constexpr std::int64_t kShare = 1 << 14;
  std::int64_t count = 1;
  for (const auto& [size, axis] : {std::pair{problem.axes[2].kernel, std::size_t{4}},
                                   {problem.axes[1].kernel, 3},
                                   {problem.axes[0].kernel, 2},
                                   {problem.c / problem.g, 1},
                                   {problem.k, 0}}) {
    if (size != 1 && weight_.stride(axis) != count) return false;
    count *= size;
  }
  const auto* values = reinterpret_cast<const T*>(weight_.at(0));
  std::atomic<bool> finite{true};
  parallel_for(ceil_divide(count, kShare), schedule_.threads, [&](std::int64_t share, int) {
    const std::int64_t first = share * kShare;
    if (!kernels.all_finite(values + first, std::min(kShare, count - first))) finite = false;
  });
  return finite;
}

/// The step that leads through all source channels and taps, if there is one: then no offsets are
/// needed.
template <class T>
std::optional<std::int64_t> WeightsInPlace<T>::even_step(const TapRows& rows) const {
  if (rows.taps() == 1) return source_stride_;
  const bool even = rows.rows() == 1 && source_stride_ == rows.taps() * rows.step();
  return even ? std::optional(rows.step()) : std::nullopt;
}

template <class T>
CorrelationWeights<T> WeightsInPlace<T>::of(const Phase& phase, std::int64_t group,
                                            const Block<T>& block,
                                            std::int64_t first_source) const {
  const TapSet& set = schedule_.tap_sets[phase.tap_set];
  const auto* data = reinterpret_cast<const T*>(
      weight_.at(group * group_stride_ + block.first * destination_stride_));
  const TapRows rows(weight_, set.runs);
  if (const auto step = even_step(rows)) {
    return {data + rows.offset(0) + first_source * source_stride_, *step, destination_stride_};
  }
  return {data, 0, destination_stride_, offsets_ + set.depth_before + first_source * rows.taps()};
}

template class WeightsInPlace<float>;
template class WeightsInPlace<double>;
template class WeightsInPlace<std::int32_t>;
template class WeightsInPlace<std::int64_t>;

}  // namespace fastconv::direct
