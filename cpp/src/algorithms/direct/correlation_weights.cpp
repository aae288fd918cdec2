/// Where the microkernels of an item find their weights: packed before, packed now, or in place.
#include <algorithm>

#include "algorithms/direct/correlation_item.hpp"

namespace fastconv::direct {

template <class T>
bool CorrelationItem<T>::packs_whole_blocks() const {
  return schedule_.packs_whole_blocks && call_.weights.packed == nullptr &&
         call_.weights.in_place == nullptr;
}

/// The weights of some source channels for all sets of taps, one set after the other.
template <class T>
void CorrelationItem<T>::pack_piece(std::int64_t group, const Block<T>& block,
                                    const ChannelRange& sources) const {
  const CallWeights<T>& weights = call_.weights;
  if (!weights.packer.pack_elements(schedule_.tap_targets, group, block.first, block.channels,
                                    block.rows, block.rows, 0, sources, memory_.weights)) {
    for (const TapSet& set : schedule_.tap_sets) {
      weights.packer.pack_block(set.runs, group, block.first, block.channels, block.rows, sources,
                                schedule_.weight_order(),
                                memory_.weights + set.depth_before / schedule_.source_channels *
                                                      sources.count * block.rows);
    }
  }
  const std::int64_t depth = schedule_.all_depth / schedule_.source_channels * sources.count;
  if (weights.checked && !kernels_.all_finite(memory_.weights, depth * block.rows)) {
    weights.finite = false;
  }
}

template <class T>
CorrelationWeights<T> CorrelationItem<T>::piece_weights(const Phase& phase, const Block<T>& block,
                                                        const ChannelRange& sources) const {
  const std::int64_t taps_before =
      phase.depth() == 0
          ? 0
          : schedule_.tap_sets[phase.tap_set].depth_before / schedule_.source_channels;
  return {memory_.weights + taps_before * sources.count * block.rows, block.rows};
}

/// The weights of a block for some of the source channels, packed now unless they are already, or
/// are read where they lie.
template <class T>
CorrelationWeights<T> CorrelationItem<T>::weights_of(const Phase& phase, std::int64_t group,
                                                     const Block<T>& block,
                                                     const ChannelRange& sources) const {
  const bool any = phase.depth() > 0 || schedule_.leaves_out_padding;
  if (!any || schedule_.tap_sets.empty()) return {memory_.weights, block.rows};
  const TapSet& set = schedule_.tap_sets[phase.tap_set];
  const std::int64_t taps = tap_count(set.runs);
  const CallWeights<T>& weights = call_.weights;
  if (weights.in_place != nullptr) return weights.in_place->of(phase, group, block, sources.first);
  if (weights.packed != nullptr) {
    return {weights.packed + set.depth_before * schedule_.packed_rows() +
                (group * schedule_.padded_rows + block.packed_first) * set.depth +
                sources.first * taps * block.rows,
            block.rows};
  }
  weights.packer.pack_block(set.runs, group, block.first, block.channels, block.rows, sources,
                            schedule_.weight_order(), memory_.weights);
  const std::int64_t count = sources.count * taps * block.rows;
  if (weights.checked && !kernels_.all_finite(memory_.weights, count)) weights.finite = false;
  return {memory_.weights, block.rows};
}

template <class T>
const T* CorrelationItem<T>::start_of(std::int64_t group, const Block<T>& block) const {
  const T* starts = call_.weights.starts;
  return starts == nullptr ? nullptr : starts + group * schedule_.padded_rows + block.packed_first;
}

/// The weights of a block for `next`, or those that come after the last of `sources`, if they are
/// to be fetched.
template <class T>
LinesAhead CorrelationItem<T>::weights_ahead(std::int64_t group, std::int64_t block,
                                             ChannelRange next, const ChannelRange& sources) const {
  if (call_.weights.packed != nullptr || !schedule_.fetches_weights) return {};
  const std::int64_t end = sources.first + sources.count;
  if (next.first >= end) {
    next.first = sources.first;
    if (++block == place_.blocks.end) return {};
  }
  next.count = std::min(next.count, end - next.first);
  const Block<T>& of = schedule_.blocks[static_cast<std::size_t>(block)];
  return call_.weights.packer.lines_of(group, of.first, of.channels, next);
}

/// The weights of the piece after this one, or of the next block's first, in as many parts as there
/// are phases.
template <class T>
LinesAhead CorrelationItem<T>::next_piece_ahead(const Phase& phase, std::int64_t block,
                                                const ChannelRange& range) const {
  if (!schedule_.fetches_weights) return {};
  std::int64_t next = range.first + range.count;
  if (next >= schedule_.source_channels) {
    next = 0;
    if (++block == place_.blocks.end) return {};
  }
  const std::int64_t count = std::min(range.count, schedule_.source_channels - next);
  const auto phases = std::ssize(region_.phases);
  const std::int64_t index = &phase - region_.phases.data();
  const std::int64_t first = next + index * count / phases;
  const std::int64_t end = next + (index + 1) * count / phases;
  const Block<T>& of = schedule_.blocks[static_cast<std::size_t>(block)];
  return call_.weights.packer.lines_of(place_.first_group, of.first, of.channels,
                                       {first, end - first});
}

template class CorrelationItem<float>;
template class CorrelationItem<double>;
template class CorrelationItem<std::int32_t>;
template class CorrelationItem<std::int64_t>;

}  // namespace fastconv::direct
