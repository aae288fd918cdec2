#pragma once

#include <memory>
#include <vector>

#include "algorithms/fft/regions.hpp"
#include "algorithms/fft/tile_choice.hpp"

namespace fastconv::fft_convolution {

/// Tiles that are transformed and multiplied together: those of all images of a region form one
/// sequence.
struct TileBlock {
  std::size_t region;
  std::int64_t first;
  std::int64_t count;
};

/// Blocks that may be computed in any order, or one after the other, before those of the next
/// stage.
struct BlockStage {
  std::int64_t first;
  std::int64_t count;
  bool adds;      ///< to what earlier stages wrote
  bool in_order;  ///< since several blocks may write one element
};

/// Everything that is decided before the arrays are seen. The sizes of tiles and blocks, which the
/// order of sums depends on, follow from the problem alone and not from the threads.
template <class T>
class Schedule {
 public:
  Schedule(const Problem& problem, const TypedKernels<T>& kernels, int threads,
           std::size_t max_workspace);

  Regions regions;
  GroupChannels channels;
  std::shared_ptr<const fft::TileTransform<T>> transform;
  std::vector<Tile> tiles;              ///< of each region
  std::vector<std::vector<Runs>> runs;  ///< of each region
  std::int64_t sources;                 ///< spectra of a tile's source, of one group
  std::int64_t run_count;               ///< spectra of a destination channel

  /// Destination channels of a group are divided into shares whose kernels have room; the shares
  /// of all groups form one sequence, of which some take part in a round.
  std::int64_t share_channels;  ///< at most
  std::int64_t shares;          ///< of a group
  std::int64_t units;           ///< shares of all groups
  std::int64_t units_per_round;
  /// All tiles form one block whose sources stay transformed from one share to the next.
  bool keeps_sources;

  std::vector<TileBlock> blocks;
  std::vector<BlockStage> stages;
  std::int64_t block_tiles;  ///< at most

  std::int64_t kernel_layer_step;
  std::int64_t source_layer_step;
  std::int64_t result_layer_step;
  /// Each thread has blocks, or whole units, of its own; else all work on one.
  bool blocks_in_parallel;
  bool units_in_parallel;

  std::int64_t first_channel(std::int64_t share) const { return share * share_channels; }
  std::int64_t channels_of(std::int64_t share) const {
    return std::min(share_channels, channels.destinations - first_channel(share));
  }
  /// Whether the sources of a share are those of the one before, still transformed.
  bool has_sources(std::int64_t share) const { return keeps_sources && share > 0; }
  /// Elements of the kernels of a unit, and of the spectra of a block.
  std::int64_t kernel_size() const { return transform->layers() * kernel_layer_step; }
  std::int64_t source_size() const { return transform->layers() * source_layer_step; }
  std::int64_t result_size() const { return transform->layers() * result_layer_step; }

  /// Whether so many sets of spectra as large as a unit's kernels stay in a cache.
  bool kernels_stay_cached(std::int64_t sets) const;

 private:
  void choose_shares(std::int64_t groups, std::int64_t images, std::int64_t most_bytes,
                     std::int64_t most_block_bytes);
  void choose_blocks(std::int64_t images, int threads, std::int64_t most_bytes);
  void append_blocks(std::int64_t region, std::int64_t images);
  std::int64_t spectrum_bytes() const {
    return transform->layers() * transform->number_size() * static_cast<std::int64_t>(sizeof(T));
  }
};

}  // namespace fastconv::fft_convolution
