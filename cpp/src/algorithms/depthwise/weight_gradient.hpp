#pragma once

#include <array>
#include <vector>

#include "algorithms/depthwise/tap_groups.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/real_view.hpp"
#include "kernels/kernel_table.hpp"

/// The two ways to compute gradients of weights, each for one tile of one image at a time.
namespace fastconv::depthwise {

/// A column of the kernel: where its taps meet the planes of a tile, and where they stand.
struct TapColumn {
  std::int64_t plane;
  std::int64_t shift;
  std::int64_t kernel;
};

/// What both ways know of a problem.
template <class T>
struct WeightGradientPass {
  WeightGradientPass(const Problem& problem_of, const TypedKernels<T>& kernels_of);

  /// Calls body(depth group, depth tap, row group) for every set of tap rows.
  template <class Body>
  void for_each_row_set(const Body& body) const {
    for (const TapGroup& dg : axes[0].runs[0].groups) {
      for (std::int64_t td = 0; td < dg.count; ++td) {
        for (const TapGroup& hg : axes[1].runs[0].groups) body(dg, td, hg);
      }
    }
  }
  std::int64_t width() const { return static_cast<std::int64_t>(columns.size()); }

  const Problem& problem;
  const TypedKernels<T>& kernels;
  std::int64_t multiplier;  ///< output channels of an input channel
  std::int64_t taps;
  std::array<AxisTaps, 3> axes;
  std::vector<TapColumn> columns;
};

/// How one of the two ways cuts the work.
struct WeightGradientCut {
  WeightGradientCut(const std::array<AxisTaps, 3>& axes, const Problem& problem,
                    std::int64_t channel_blocks, std::int64_t most_elements,
                    std::int64_t least_width);

  direct::Tile tile;
  std::int64_t blocks;  ///< of channels
  std::int64_t pieces;  ///< of images and tiles
};

/// Scratch memory of one thread.
template <class T>
struct WeightGradientMemory {
  T* packed;
  T* gradient;
  std::int64_t* offsets;
  const T** rows;
};

/// Elements of each.
struct WeightGradientSizes {
  std::int64_t packed;
  std::int64_t gradient;
  std::int64_t offsets;
  std::int64_t rows;
};

/// Where a tile lies.
struct WeightGradientTile {
  const RealView& input;
  const RealView& gradient;
  std::int64_t n;
  direct::Extent origin;
};

/// Vectors along rows of pixels; blocks are groups.
template <class T>
class RowWeightGradient {
 public:
  explicit RowWeightGradient(const WeightGradientPass<T>& pass);

  const WeightGradientCut& cut() const { return cut_; }
  std::int64_t block_sums() const { return pass_.multiplier * pass_.taps; }
  WeightGradientSizes sizes() const;
  void add(const WeightGradientTile& place, std::int64_t group,
           const WeightGradientMemory<T>& memory, T* sums) const;

 private:
  std::int64_t in_source(std::size_t axis, std::int64_t plane, std::int64_t shift) const;
  std::int64_t zero_row_size() const;
  std::int64_t most_source_rows() const;
  T* add_every_second(const RowGradient<T>& taps, T* sums) const;

  const WeightGradientPass<T>& pass_;
  WeightGradientCut cut_;
  std::vector<std::int64_t> order_in_source_;  ///< of the taps of a slice, without dilation
  bool masks_padding_;                         ///< of rows that are read where they lie
};

/// Vectors along the channels; blocks are whole vectors of them.
template <class T>
class ChannelWeightGradient {
 public:
  explicit ChannelWeightGradient(const WeightGradientPass<T>& pass);

  const WeightGradientCut& cut() const { return cut_; }
  std::int64_t block_sums() const { return pass_.taps * pass_.kernels.lanes; }
  WeightGradientSizes sizes() const;
  /// Whether it is the better way for arrays that lie so.
  bool suits(const RealView& input, const RealView& gradient) const;
  void add(const WeightGradientTile& place, std::int64_t block,
           const WeightGradientMemory<T>& memory, T* sums) const;

 private:
  void pack(const WeightGradientTile& place, const direct::Extent& size, std::int64_t channel,
            std::int64_t channels, T* packed) const;
  void pack_row(const WeightGradientTile& place, const T* from, std::size_t plane,
                const InsideRange& inside, std::int64_t columns, std::int64_t channels,
                T* row) const;
  T padding() const;

  const WeightGradientPass<T>& pass_;
  WeightGradientCut cut_;
};

}  // namespace fastconv::depthwise
