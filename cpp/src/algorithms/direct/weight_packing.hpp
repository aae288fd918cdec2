#pragma once

#include "algorithms/direct/tile.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

/// Arranges weights for the correlation microkernel: [source channel][tap][row], rows being
/// destination channels. Going backward the two kinds of channels change places. Complex weights
/// become the real 2x2 matrices [re -im; im re] of their action on (real, imaginary) pairs.
template <class T>
class WeightPacker {
 public:
  WeightPacker(const Problem& problem, const TensorView& weight, const TypedKernels<T>& kernels);

  /// Destination channels [first, first + channels) of the group, with the taps of the three
  /// runs. Rows from `channels` to `rows` are zero.
  void pack_block(const Runs& runs, std::int64_t group, std::int64_t first,
                  std::int64_t channels, int rows, T* packed) const;

 private:
  /// Weights of one (destination, source) pair of channels, `rows` apart.
  void pack_taps(const Runs& runs, std::int64_t offset, int rows,
                 T* packed) const;

  RealView weight_;
  LoadRowFunction<T> load_row_;
  int parts_;
  bool conjugate_;
  std::int64_t source_channels_;
  std::int64_t group_stride_;
  std::int64_t source_stride_;
  std::int64_t destination_stride_;
};

}  // namespace fastconv::direct
