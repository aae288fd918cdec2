#pragma once

#include "algorithms/fft/schedule.hpp"
#include "algorithms/fft/source_spectra.hpp"

namespace fastconv::fft_convolution {

/// The memory of each thread.
template <class T>
struct ThreadMemory {
  T* first;
  std::int64_t step;

  T* of(int thread) const { return first + thread * step; }
};

/// Where the spectra of a block of tiles go, with the elements from one to the next of each kind.
template <class T>
struct SpectraPlaces {
  T* data;
  std::int64_t tile_step;
  std::int64_t plane_step;
  std::int64_t layer_step;
};

/// The transform of a block of tiles in pieces that threads may share: some channels of one tile.
template <class T>
class SourceBlock {
 public:
  /// Channels [first, first + count) of all groups together.
  SourceBlock(const SourceSpectra<T>& source, const Tile& tile, const TileBlock& block,
              const direct::ChannelRange& channels, const SpectraPlaces<T>& to)
      : source_(source),
        tile_(tile),
        block_(block),
        channels_(channels),
        to_(to),
        batch_(source.batch(channels.count)),
        batches_(ceil_divide(channels.count, batch_)) {}

  std::int64_t pieces() const { return block_.count * batches_; }
  /// The tile of a piece, counted within the block.
  std::int64_t tile_of(std::int64_t piece) const { return piece / batches_; }

  /// Says whether all elements are finite.
  bool transform(std::int64_t piece, T* scratch) const {
    const std::int64_t in_block = tile_of(piece);
    const std::int64_t at = block_.first + in_block;
    const std::int64_t first = piece % batches_ * batch_;
    return source_.transform(
        tile_, tile_.origin(at % tile_.tile_count()), at / tile_.tile_count(),
        channels_.first + first, std::min(batch_, channels_.count - first),
        to_.data + in_block * to_.tile_step + first * tile_.planes * to_.plane_step, to_.plane_step,
        to_.layer_step, scratch);
  }

 private:
  const SourceSpectra<T>& source_;
  const Tile& tile_;
  const TileBlock& block_;
  direct::ChannelRange channels_;
  SpectraPlaces<T> to_;
  std::int64_t batch_;
  std::int64_t batches_;
};

}  // namespace fastconv::fft_convolution
