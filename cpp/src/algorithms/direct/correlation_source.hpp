#pragma once

#include "algorithms/direct/correlation_schedule.hpp"
#include "algorithms/lines_ahead.hpp"

namespace fastconv::direct {

/// The source as the microkernels read it, at the first position of a tile: a packed tile, or the
/// array itself.
template <class T>
struct SourceTile {
  CorrelationSource<T> pixels;
  std::int64_t row_pitch;
  std::int64_t slice_pitch;
  std::int64_t image_pitch;
  Flattening flattening;
};

/// A source array that needs no packing: nothing is padded or converted, and the kernels' steps
/// from pixel to pixel suit its strides.
template <class T>
class SourceInPlace {
 public:
  /// `offsets` is scratch memory for the depth of all phases of the region.
  SourceInPlace(const CorrelationSchedule<T>& schedule, const Region& region, const Extent& sizes,
                const RealView& source, std::int64_t images, std::int64_t channels,
                std::int64_t lanes, std::int64_t* offsets);

  /// Whether the source of a tile can be read in place: rows shorter than a vector must not reach
  /// beyond the array.
  bool possible(const Extent& origin, std::int64_t n, std::int64_t images,
                std::int64_t first_channel, std::int64_t channels) const;

  /// Whether the pixels of all steps of a phase lie alike on vector boundaries.
  bool steps_lie_alike(const Phase& phase) const;

  SourceTile<T> tile(const Extent& origin, std::int64_t n, std::int64_t first_channel,
                     const Phase& phase) const;

 private:
  void fill_offsets(const CorrelationSchedule<T>& schedule, const Phase& phase) const;
  Flattening flattening(const Extent& size) const;
  std::int64_t offset(const Extent& origin, std::int64_t n, std::int64_t channel) const;

  const Region& region_;
  RealView source_;
  LanesAlong lanes_along_;
  std::int64_t lanes_;
  std::int64_t* offsets_;
  Extent steps_;  ///< elements from position to position along each axis
  std::int64_t end_ = 0;
  bool possible_ = false;
};

/// Which of the source's channels and images an item of work reads.
struct SourceShare {
  std::int64_t n;
  std::int64_t images;
  std::int64_t first_channel;
  std::int64_t channels;
};

/// What a tile reads of a source of these sizes, to be fetched before it is packed or read in
/// place; nothing where lines would hold little of it, or it would fill the cache.
LinesAhead lines_of_tile(const Tile& tile, const Extent& origin, const Extent& sizes,
                         const RealView& source, const SourceShare& share);

}  // namespace fastconv::direct
