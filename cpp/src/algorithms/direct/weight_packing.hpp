#pragma once

#include "algorithms/direct/tile.hpp"
#include "algorithms/lines_ahead.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

/// The taps of three runs in the memory of a weight, as rows of taps at one step. A kernel that is
/// contiguous, or mirrored along every axis, is one row.
class TapRows {
 public:
  TapRows(const RealView& weight, const Runs& runs);

  std::int64_t taps() const { return taps_; }
  std::int64_t rows() const { return rows_; }
  std::int64_t taps_of_row() const { return taps_ / rows_; }
  std::int64_t step() const { return step_; }
  /// Where a row begins, from the kernel's first element.
  std::int64_t offset(std::int64_t row) const;

 private:
  const RealView& weight_;
  const Runs& runs_;
  std::int64_t taps_;
  std::int64_t rows_;
  std::int64_t step_;
};

/// Where an element of the kernel is packed: as tap number `index` of a set of `taps`.
struct TapTarget {
  std::int64_t taps_before = -1;  ///< of the sets before
  std::int64_t taps = 0;
  std::int64_t index = 0;
};

struct ChannelRange {
  std::int64_t first;
  std::int64_t count;
};

/// What packed weights are ordered by, rows inside: source channels or, where some phases leave
/// taps out, taps.
enum class WeightOrder { sources, taps };

/// Arranges weights for the correlation microkernel: [source channel][tap][row] or [tap][source
/// channel][row], rows being destination channels. Going backward the two kinds of channels change
/// places. Complex weights become the real 2x2 matrices [re -im; im re] of their action on (real,
/// imaginary) pairs. Kernels whose elements hold several source channels get as many weights in
/// each, and zeros with the last of them.
template <class T>
class WeightPacker {
 public:
  WeightPacker(const Problem& problem, const TensorView& weight, const TypedKernels<T>& kernels);

  /// Destination channels [first, first + channels) of the group and source channels of the real
  /// view (or elements of several), with the taps of the three runs. Rows from `channels` to `rows`
  /// are zero.
  void pack_block(const Runs& runs, std::int64_t group, std::int64_t first, std::int64_t channels,
                  int rows, const ChannelRange& sources, WeightOrder order, T* packed) const;

  /// The memory that `pack_block` reads; nothing if that is not a few long rows.
  LinesAhead lines_of(std::int64_t group, std::int64_t first, std::int64_t channels,
                      const ChannelRange& sources) const;

  /// Packs the weights of all sets of taps at once, each element of the kernel going to its own
  /// place: that of its set (of as many source channels) among `all_rows`, and there behind
  /// `rows_before`. False, and nothing done, if the weight's memory does not suit that.
  bool pack_elements(const std::vector<TapTarget>& targets, std::int64_t group, std::int64_t first,
                     std::int64_t channels, int rows, std::int64_t all_rows,
                     std::int64_t rows_before, const ChannelRange& sources, T* packed) const;

 private:
  void pack_joined(const Runs& runs, std::int64_t group, std::int64_t first, std::int64_t channels,
                   int rows, const ChannelRange& sources, WeightOrder order, T* packed) const;

  RealView weight_;
  LoadWeightsFunction<T> load_weights_;
  std::int64_t lanes_;
  TransposeSumsFunction<T> transpose_;
  Extent kernel_;
  std::int64_t joined_;    ///< source channels of an element
  std::int64_t channels_;  ///< source channels of a group, of the problem
  std::int64_t parts_;
  bool conjugate_;
  std::int64_t group_stride_;
  std::int64_t source_stride_;
  std::int64_t destination_stride_;
};

}  // namespace fastconv::direct
