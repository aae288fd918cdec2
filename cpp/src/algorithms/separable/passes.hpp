#pragma once

#include <array>

#include "algorithms/depthwise/tap_groups.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/real_view.hpp"
#include "kernels/kernel_table.hpp"
#include "runtime/aligned_buffer.hpp"

namespace fastconv::separable {

/// What both ways of running the passes need to know of a problem. Of each axis there is one run
/// with one group of taps, whose steps are 1.
template <class T>
struct PassDescription {
  const Problem& problem;
  const TypedKernels<T>& kernels;
  const std::array<depthwise::AxisTaps, 3>& axes;
  int threads;
  std::int64_t destinations;  ///< channels that read one source channel

  std::int64_t height() const { return problem.axes[1].kernel; }
  std::int64_t width() const { return problem.axes[2].kernel; }
  std::int64_t taps() const { return height() * width(); }
  std::int64_t source_size(std::size_t axis) const {
    const Axis& sizes = problem.axes[axis];
    return problem.pass == Pass::backward_input ? sizes.output : sizes.input;
  }
  /// The element of the source that the first tap of position `index` reads.
  std::int64_t source(std::size_t axis, std::int64_t index) const {
    return axes[axis].source(0, index + axes[axis].runs[0].groups[0].shift);
  }
  bool pads_zeros() const {
    return problem.padding_mode == PaddingMode::zeros || problem.pass == Pass::backward_input;
  }
  bool stores_plainly() const {
    return problem.activation == Activation::none && !problem.accumulate;
  }
};

/// Weights of every destination channel, taps in the order in which they meet the source.
template <class T>
struct SeparableWeights {
  T* kernels;      ///< [channel][height][width]
  T* columns;      ///< [channel][height], of kernels of rank 1
  T* rows;         ///< [channel][width]
  bool* rank_one;  ///< [channel]
};

/// The arrays of one execution.
template <class T>
struct PassArrays {
  RealView source;
  RealView destination;
  SeparableWeights<T> weights;
  const T* bias;  ///< contiguous, or null

  T bias_of(std::int64_t channel) const { return bias == nullptr ? T(0) : bias[channel]; }
};

/// Vectors along rows of pixels: row_passes.cpp.
template <class T>
class RowPasses {
 public:
  explicit RowPasses(const PassDescription<T>& pass);

  std::size_t workspace_bytes() const;
  void run(const PassArrays<T>& arrays, void* workspace) const;

 private:
  struct Memory {
    T* packed;
    T* zeros;
    T* between;  ///< sums of the first pass, [row][column], with zeros where padding stands
    T* sums;
    const T** rows;
    std::int64_t* offsets;
  };
  /// Positions of one slice.
  struct Zone {
    std::int64_t n;
    direct::Extent origin;
    std::int64_t rows;
    std::int64_t columns;
  };
  /// Source rows as the kernels see them: `rows` pointers to their first column, of which there are
  /// `before` columns of padding and those up to `end` inside.
  struct SourceRows {
    const T** rows;
    std::int64_t first_row;  ///< of the source, or less than none to leave out
    bool in_place;
    std::int64_t before;
    std::int64_t end;
    RowLimits limits;
  };

  std::int64_t between_pitch() const;
  std::int64_t sums_pitch() const;
  Memory lay_out(Arena& arena) const;
  bool reads_in_place(const RealView& source) const;
  void run_item(const PassArrays<T>& arrays, std::int64_t item, const Memory& memory) const;
  SourceRows find_rows(const PassArrays<T>& arrays, const Zone& zone, std::int64_t group,
                       const T* packed, const Memory& memory) const;
  void run_channel(const PassArrays<T>& arrays, const Zone& zone, const SourceRows& source,
                   std::int64_t channel, const Memory& memory) const;
  void run_first_pass(const SourceRows& source, std::int64_t y, std::int64_t rows, const T* column,
                      const Memory& memory) const;

  PassDescription<T> pass_;
  direct::Tile tile_;
  std::int64_t step_rows_ = 1;        ///< that go through both passes together
  std::int64_t groups_together_ = 1;  ///< packed at once where memory interleaves them
  std::int64_t groups_per_item_ = 1;
  std::int64_t group_blocks_ = 1;
};

/// Vectors along channels: channel_passes.cpp.
template <class T>
class ChannelPasses {
 public:
  explicit ChannelPasses(const PassDescription<T>& pass);

  /// Whether memory has the channels of pixels side by side.
  bool suits(const RealView& source, const RealView& destination) const;
  std::size_t workspace_bytes() const;
  void run(const PassArrays<T>& arrays, void* workspace) const;

 private:
  struct Memory {
    T* between;  ///< sums of the first pass, [row][column][channel]
    T* sums;
    T* columns;  ///< [vector of channels][tap][channel]
    T* rows;
    T* kernels;
    const T** sources;
    ChannelTap* taps;
  };
  struct Item {
    std::int64_t n;
    std::int64_t slice;
    std::int64_t row;
    std::int64_t rows;
    std::int64_t column;
    std::int64_t columns;
    std::int64_t channel;
    std::int64_t channels;
  };

  Memory lay_out(Arena& arena) const;
  void run_item(const PassArrays<T>& arrays, const Item& item, const Memory& memory) const;
  void arrange(const T* from, std::int64_t taps, const Item& item, T* to) const;
  void find_rows(const PassArrays<T>& arrays, const Item& item, std::int64_t y, std::int64_t rows,
                 const Memory& memory) const;
  void run_first_pass(const PassArrays<T>& arrays, const Item& item, std::int64_t rows,
                      const Memory& memory) const;
  void store(const PassArrays<T>& arrays, const Item& item, std::int64_t y,
             const ChannelRows<T>& set, ChannelBlock<T> block, const Memory& memory) const;

  PassDescription<T> pass_;
  bool possible_;
  std::int64_t rows_ = 1;
  std::int64_t row_items_ = 1;
  std::int64_t columns_ = 1;
  std::int64_t column_items_ = 1;
  std::int64_t channels_ = 1;
  std::int64_t channel_items_ = 1;
  std::int64_t rows_together_ = 1;
};

}  // namespace fastconv::separable
