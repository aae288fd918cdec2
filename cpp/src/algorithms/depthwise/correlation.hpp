#pragma once

#include <array>

#include "algorithms/depthwise/tap_groups.hpp"
#include "algorithms/direct/tile.hpp"
#include "algorithms/real_view.hpp"
#include "kernels/kernel_table.hpp"
#include "runtime/aligned_buffer.hpp"

namespace fastconv::depthwise {

/// What both ways of running a forward or backward-input pass need to know of it. A destination
/// channel adds up `sources` source channels (backward with a channel multiplier) and a source
/// channel is read by `destinations` of them (forward with one).
template <class T>
struct PassDescription {
  const Problem& problem;
  const TypedKernels<T>& kernels;
  const std::array<AxisTaps, 3>& axes;
  int threads;
  std::int64_t sources;
  std::int64_t destinations;

  std::int64_t kernel_size() const {
    return problem.axes[0].kernel * problem.axes[1].kernel * problem.axes[2].kernel;
  }
};

/// The arrays of one execution.
template <class T>
struct PassArrays {
  RealView source;
  RealView destination;
  const T* weights;  ///< packed
  const T* bias;     ///< contiguous, or null
};

/// Vectors along rows of pixels: row_correlation.cpp.
template <class T>
class RowCorrelation {
 public:
  explicit RowCorrelation(const PassDescription<T>& pass);

  std::size_t workspace_bytes() const;
  /// Weights in the order in which the kernels read them: [destination channel][phase][source
  /// channel][tap].
  std::int64_t weight_count() const;
  void pack_weights(const TensorView& weight, T* packed) const;
  void run(const PassArrays<T>& arrays, void* workspace) const;
  std::string description() const;

 private:
  struct Phase {
    std::array<const TapRun*, 3> runs;
    std::int64_t first_tap;  ///< of those of one source channel, in all phases
    std::int64_t tap_count;
    std::int64_t first_offset;
    RowColumns columns;           ///< of packed planes
    RowColumns columns_in_place;  ///< of the source itself
  };
  struct Memory {
    T* packed;
    T* zeros;
    T* sums;
    const T** rows;
    RowTaps<T>* taps;
  };
  /// A tile, in packed planes or where it lies.
  struct Zone {
    std::int64_t n;
    direct::Extent origin;
    const T* packed;  ///< null in place
    bool pairs;       ///< two phases of a row are computed together
  };
  /// Source rows of one channel and slice that the tap rows of a group read.
  struct RowSet {
    std::int64_t group;
    std::int64_t source;
    std::int64_t depth_plane;
    std::int64_t depth;
    std::int64_t row_plane;
    std::int64_t first_row;
    std::int64_t rows;
    std::int64_t spacing;  ///< from one row to the next, of a source that is read in place
  };

  /// Of one source channel; where a stride exceeds the input some taps meet no element.
  std::int64_t taps_met() const { return static_cast<std::int64_t>(kernel_index_.size()); }
  std::int64_t source_size(std::size_t axis) const {
    const Axis& sizes = pass_.problem.axes[axis];
    return pass_.problem.pass == Pass::backward_input ? sizes.output : sizes.input;
  }
  direct::Extent source_sizes() const { return {source_size(0), source_size(1), source_size(2)}; }
  std::int64_t sums_pitch() const {
    return static_cast<std::int64_t>(round_up(static_cast<std::size_t>(tile_.size[2]),
                                              static_cast<std::size_t>(pass_.kernels.lanes)));
  }
  /// Whether the kernel finds its way over the rows of a stride of two by itself.
  bool reads_every_second(const Zone& zone) const {
    return zone.packed == nullptr && pass_.axes[2].phases.source_step == 2;
  }
  Memory lay_out(Arena& arena) const;
  void run_item(const PassArrays<T>& arrays, std::int64_t item, const Memory& memory) const;
  void run_channels(const PassArrays<T>& arrays, const Zone& zone, std::int64_t group,
                    const Memory& memory) const;
  const T** find_rows(const PassArrays<T>& arrays, const Zone& zone, const RowSet& set,
                      const Memory& memory, const T** rows) const;
  std::int64_t find_taps(const PassArrays<T>& arrays, const Phase& phase, const Zone& zone,
                         std::int64_t group, std::int64_t channel, std::int64_t jd,
                         const Memory& memory) const;
  void run_pair(const PassArrays<T>& arrays, const Phase& even, const Phase& odd, const Zone& zone,
                std::int64_t group, std::int64_t channel, const Memory& memory) const;
  void run_phase(const PassArrays<T>& arrays, const Phase& phase, const Zone& zone,
                 std::int64_t group, std::int64_t channel, const Memory& memory) const;

  PassDescription<T> pass_;
  direct::Tile tile_;
  std::vector<Phase> phases_;
  std::vector<std::int64_t> kernel_index_;  ///< kernel element of each packed tap
  std::vector<std::int64_t> offsets_;       ///< of the taps of each run of the last axis
  std::vector<std::int64_t> offsets_in_place_;
  std::int64_t groups_together_ = 1;  ///< packed at once where memory interleaves them
  std::int64_t groups_per_item_ = 1;
  std::int64_t group_blocks_ = 1;
  std::int64_t row_sets_ = 1;
  std::int64_t rows_of_set_ = 0;
  bool pads_zeros_ = false;      ///< and steps through rows by 1 or 2
  bool reads_in_place_ = false;  ///< where the elements of a row lie side by side
  bool pairs_phases_ = false;    ///< of a row, where the kernel can write the destination
  bool streams_ = false;         ///< the result past the caches
};

/// Whether vectors run along channels, and whether the source is packed for it.
enum class ChannelMode : std::uint8_t { none, in_place, packed };

/// Vectors along channels: channel_correlation.cpp.
template <class T>
class ChannelCorrelation {
 public:
  explicit ChannelCorrelation(const PassDescription<T>& pass);

  /// What suits the pass and the layout of its arrays.
  ChannelMode mode(const RealView& source, const RealView& destination) const;
  std::size_t workspace_bytes() const;
  std::int64_t weight_count() const;
  void pack_weights(const TensorView& weight, T* packed) const;
  void run(const PassArrays<T>& arrays, void* workspace) const;

 private:
  /// Taps of a run of the last axis.
  struct RunTaps {
    std::int64_t first;
    std::int64_t count;
  };
  /// Work items of one of the two modes.
  struct Cut {
    std::int64_t rows = 1;
    std::int64_t row_items = 1;
    std::int64_t columns = 1;
    std::int64_t column_items = 1;
    std::int64_t channels = 1;  ///< computed together
  };
  struct Memory {
    ChannelTap* taps;
    const T** rows;
    ChannelRows<T>* sets;
    T* sums;
    T* packed;
    T* transposed;
  };
  /// Source elements as an item reads them: the image itself, or what was packed of it.
  struct ItemSource {
    const T* data;
    std::int64_t slice_pitch;
    std::int64_t row_pitch;
    std::int64_t pixel;
    std::int64_t first_slice;
    std::int64_t first_row;

    const T* at(std::int64_t slice, std::int64_t row) const {
      return data + (slice - first_slice) * slice_pitch + (row - first_row) * row_pitch;
    }
  };
  struct ItemDestination {
    bool gathers;  ///< results, which are transposed when all are there
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
    std::int64_t channels_together;
    bool packed;
    ItemSource source;
    ItemDestination destination;
  };

  /// Output rows that the kernel computes together.
  struct Rows {
    std::int64_t first;
    std::int64_t count;
    std::int64_t sets;
    std::int64_t destination;
    std::int64_t pitch;  ///< of the destination
  };

  void append_taps(const TapRun& run);
  std::int64_t rows_together(const TapRun& run) const;
  std::int64_t packed_rows() const;
  std::int64_t packed_slices() const;
  std::int64_t source_size(std::size_t axis) const {
    const Axis& sizes = pass_.problem.axes[axis];
    return pass_.problem.pass == Pass::backward_input ? sizes.output : sizes.input;
  }
  Memory lay_out(Arena& arena) const;
  void read_in_place(const PassArrays<T>& arrays, Item& item) const;
  void pack(const PassArrays<T>& arrays, Item& item, const Memory& memory) const;
  void store_gathered(const PassArrays<T>& arrays, const Item& item, const Memory& memory) const;
  void run_item(const PassArrays<T>& arrays, const Item& item, const Memory& memory) const;
  std::int64_t find_rows(const PassArrays<T>& arrays, const Item& item, const TapRun& d,
                         const TapRun& h, std::int64_t row, std::int64_t rows,
                         const Memory& memory) const;
  void run_rows(const PassArrays<T>& arrays, const Item& item, const Rows& rows, const TapRun& run,
                const RunTaps& taps, const Memory& memory) const;

  PassDescription<T> pass_;
  bool possible_;
  bool packable_ = false;
  std::int64_t vectors_ = 0;      ///< of channels
  std::int64_t most_rows_ = 1;    ///< together
  std::vector<ChannelTap> taps_;  ///< offsets count pixels
  std::vector<RunTaps> run_taps_;
  Cut in_place_;
  Cut packed_;
};

}  // namespace fastconv::depthwise
