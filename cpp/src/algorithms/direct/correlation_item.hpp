#pragma once

#include <atomic>
#include <span>

#include "algorithms/direct/correlation_runs.hpp"
#include "algorithms/direct/correlation_schedule.hpp"
#include "algorithms/direct/correlation_source.hpp"
#include "algorithms/direct/correlation_store.hpp"
#include "algorithms/direct/weight_packing.hpp"
#include "algorithms/direct/weights_in_place.hpp"

/// One item of the work of a forward or backward-input convolution: some images, groups and
/// destination channels of one tile. The loops inside the parallel one that opens
/// correlation_plan.cpp.
namespace fastconv::direct {

/// Weights of a call: packed before, or block by block as they are needed.
template <class T>
struct CallWeights {
  const WeightsInPlace<T>* in_place;  ///< null where they are packed
  const T* packed;                    ///< null where they are in place or packed as they are used
  const T* starts;  ///< what the sums of each packed row begin with; null for zeros
  const WeightPacker<T>& packer;
  std::atomic<bool>& finite;
  bool checked;  ///< whether `finite` matters
};

/// Scratch memory of one thread.
template <class T>
struct ItemMemory {
  T* packed;
  T* sums;
  T* planes;                     ///< sums of one block, transposed
  T* weights;                    ///< of one block, or of a piece of one
  std::int64_t* packed_sources;  ///< which sources `packed` holds, all channels of them, or -1
};

/// What all items of a region share.
template <class T>
struct CorrelationCall {
  const Problem& problem;
  const CorrelationSchedule<T>& schedule;
  const TypedKernels<T>& kernels;
  const RealView& source;
  SourcePadding padding;
  const SourceInPlace<T>& in_place;
  const Destination<T>& destination;
  const CallWeights<T>& weights;
  bool accumulate;
};

template <class T>
class CorrelationItem {
 public:
  CorrelationItem(const CorrelationCall<T>& call, const Region& region, std::int64_t item,
                  const ItemMemory<T>& memory);

  void compute();

 private:
  /// Blocks [first, end) of destination channels.
  struct BlockRange {
    std::int64_t first;
    std::int64_t end;
  };

  /// What an item computes.
  struct Place {
    std::int64_t n;
    std::int64_t images;
    Extent origin;
    std::int64_t first_group;
    std::int64_t groups;
    BlockRange blocks;
  };

  struct PixelRuns {
    Extent size;
    Extent pitch;
    Flattening flattening;
    FlatRuns runs;
  };

  /// A block's reduction over all source channels, and the function that carries it out.
  struct BlockSteps {
    const Block<T>& block;
    SourceTile<T> source;
    DepthRange<T> depth;
    decltype(&compute_along_pixels<T>) compute;
  };

  Place place_of(std::int64_t item) const;
  LinesAhead source_lines(const Place& place) const;
  bool packs_whole_blocks() const;
  template <class Body>
  void for_each_block(const Body& body) const;
  template <class Body>
  void for_each_box_of(std::span<const Phase> phases, std::int64_t group, const Block<T>& block,
                       const ChannelRange& sources, T* waiting, const Body& body);
  void compute_whole_blocks();
  void pack(const ChannelRange& sources) const;
  void pack_unless_shared(const ChannelRange& sources) const;
  SourceTile<T> source_of(const Phase& phase, std::int64_t group,
                          const ChannelRange& sources) const;
  CorrelationWeights<T> weights_of(const Phase& phase, std::int64_t group, const Block<T>& block,
                                   const ChannelRange& sources) const;
  bool waits_for_memory(const Block<T>& block) const;
  void compute_phases(const ChannelRange& sources);
  PixelRuns pixel_runs(const Phase& phase) const;
  PositionBox box_of(const Phase& phase, const FlatRun& run, std::int64_t width) const;
  BlockSteps steps_of(const Phase& phase, std::int64_t group, const Block<T>& block);
  void compute_run(const BlockSteps& steps, const FlatRun& run, std::int64_t length, bool exact,
                   T* sums, std::int64_t pitch) const;
  bool compute_in_destination(const Phase& phase, const PixelRuns& runs);
  void compute_pixels(std::span<const Phase> phases);
  void compute_channels(std::span<const Phase> phases, const BlockRange& blocks,
                        const ChannelRange& sources);
  BoxSums<T> sums_of(const PositionBox& box, const Block<T>& block, std::int64_t channel,
                     Flattening flattening, T* waiting) const;
  const T* start_of(std::int64_t group, const Block<T>& block) const;
  void add_piece(const Phase& phase, const Block<T>& block, const ChannelRange& range,
                 const CorrelationWeights<T>& weights, const T* start, const SourceTile<T>& source,
                 const PositionBox& box, const BoxSums<T>& sums, LinesAhead& weight_lines);
  LinesAhead weights_ahead(std::int64_t group, std::int64_t block, ChannelRange next,
                           const ChannelRange& sources) const;
  void pack_piece(std::int64_t group, const Block<T>& block, const ChannelRange& sources) const;
  CorrelationWeights<T> piece_weights(const Phase& phase, const Block<T>& block,
                                      const ChannelRange& sources) const;
  LinesAhead next_piece_ahead(const Phase& phase, std::int64_t block,
                              const ChannelRange& range) const;

  const CorrelationCall<T>& call_;
  const CorrelationSchedule<T>& schedule_;
  const TypedKernels<T>& kernels_;
  const Region& region_;
  ItemMemory<T> memory_;
  std::int64_t sources_;  ///< the same for items that differ in their destination channels alone
  Place place_;
  bool in_place_;
  LinesAhead next_source_;  ///< what the next item reads, fetched meanwhile
};

}  // namespace fastconv::direct
