#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "fastconv/problem.hpp"

/// Padding, stride and dilation, one axis at a time, for both directions.
///
/// A convolution reads a *source* (the input; going backward the gradient of the output) and
/// writes a *destination* (the output; going backward the gradient of the input). Both directions
/// have the same shape once the destination is cut into *runs*: position j of a run adds up, over
/// its taps, weight[tap] * source[source_first + residue(tap) + source_step * (j + shift(tap))].
///
/// Forward there is one run; a stride s makes the source step s, so that taps fall into residues
/// modulo s, and each residue becomes a plane of its own when the source is packed. Backward the
/// source step is 1 and a stride makes s runs (phases), each with the taps that meet it, so that
/// no zeros are inserted. All phases read the same window of the source, which is packed once.
/// Modes of padding that repeat the input add further phases going backward: the copies of an
/// element hand their gradients to it.
namespace fastconv::direct {

struct Tap {
  std::int64_t plane;  ///< index into AxisPhases::residues
  std::int64_t shift;  ///< source elements of that plane to skip
};

struct AxisRun {
  std::int64_t count = 0;  ///< positions j
  std::int64_t first = 0;  ///< positions before this one are only there to align runs
  std::int64_t destination_first = 0;
  std::int64_t destination_step = 1;  ///< negative for a mirrored copy, 0 for a repeated one
  /// Taps in order stand for kernel elements kernel_first, kernel_first + kernel_step, ...
  std::int64_t kernel_first = 0;
  std::int64_t kernel_step = 1;
  std::vector<Tap> taps;
  std::int64_t first_tap = 0;  ///< among those of AxisPhases::whole, if the run was cut from it

  std::int64_t tap_count() const { return static_cast<std::int64_t>(taps.size()); }
  std::int64_t destination(std::int64_t j) const {
    return destination_first + j * destination_step;
  }
};

/// Runs that read one window of the source.
struct AxisPhases {
  std::vector<AxisRun> runs;
  std::int64_t count = 0;  ///< positions of the longest run
  std::int64_t source_first = 0;
  std::int64_t source_step = 1;
  std::int64_t reach = 0;  ///< the largest shift
  std::vector<std::int64_t> residues{0};
  bool adds = false;     ///< to what earlier phases wrote
  bool repeats = false;  ///< a run writes one element several times
  /// The source is a period: behind its end comes its beginning. Then `reach` is 0.
  bool wraps = false;
  /// The run that `leave_out_padding` cut, with all of its taps.
  std::optional<AxisRun> whole;

  std::int64_t plane_count() const { return static_cast<std::int64_t>(residues.size()); }
  /// Elements of each plane that the first `size` positions of all runs read: size + reach, unless
  /// runs of a few positions have the largest shifts. As many as the positions of a period.
  std::int64_t window(std::int64_t size) const;
};

/// The one run of a forward pass along an axis.
AxisPhases forward_phases(const Axis& axis, bool flip);

/// The runs of a backward pass along an axis: those of the elements themselves first, then those
/// that add the gradients of their copies in the padding. Where a stride leaves elements that no
/// tap meets, the first phases write zeros everywhere if `fill_unmet`; without it (the destination
/// holds values to add to) there is a run for each.
std::vector<AxisPhases> backward_phases(const Axis& axis, PaddingMode mode, bool flip,
                                        bool fill_unmet);

/// The same with the runs of every phases in one order and with the same taps: run r begins at a
/// multiple of the stride plus r, and leaves out positions before the phases' first element.
std::vector<AxisPhases> aligned_backward_phases(const Axis& axis, PaddingMode mode, bool flip);

/// Cuts the only run of the phases where the set of taps that lie inside a source of this size
/// changes, and leaves the other taps out: near the ends of a source many taps of a dilated kernel
/// meet nothing but padding. What remains reads only the source.
AxisPhases leave_out_padding(const AxisPhases& phases, std::int64_t size);

/// Whether everything that the phases read lies inside a source of this size.
bool reads_inside(const AxisPhases& phases, std::int64_t size);

}  // namespace fastconv::direct
