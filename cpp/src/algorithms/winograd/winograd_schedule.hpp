#pragma once

#include <vector>

#include "algorithms/winograd/geometry.hpp"
#include "algorithms/winograd/panels.hpp"

namespace fastconv::winograd {

/// Most bytes of a share's transformed weights, so that they stay in a cache; less where many
/// threads have a share each. Transforming the source once more for each costs less than memory
/// would.
std::int64_t most_share_bytes(int threads);

/// Everything that is decided before the arrays are seen. None of it changes a result: tiles and
/// channels are independent of each other.
template <class T>
class Schedule {
 public:
  Schedule(const Geometry& geometry, const TypedKernels<T>& kernels, int threads);

  std::int64_t lanes;
  std::int64_t frequencies;
  std::int64_t padded_source_channels;
  std::int64_t source_pitch;  ///< those of all parts of the kernel
  std::int64_t padded_destination_channels;
  std::int64_t depth;            ///< products of a sum: source channels and parts of the kernel
  std::vector<Panel<T>> panels;  ///< of one group

  /// Rows of tiles; those of all images form one sequence.
  std::int64_t tile_rows;
  std::int64_t rows_per_block;  ///< at most
  std::int64_t columns_per_block;
  std::int64_t row_blocks;  ///< of nearly as many rows each
  std::int64_t column_blocks;
  std::int64_t box_rows;  ///< most rows of tiles of a box within one image

  std::int64_t shares;          ///< parts that the panels of a group are divided into
  std::int64_t share_channels;  ///< padded destination channels of the largest share
  std::int64_t frequency_size;  ///< elements of one frequency of a share's transformed weights
  std::int64_t units;           ///< shares of all groups
  std::int64_t slot_size;       ///< elements of one frequency of a block of tiles

  std::int64_t first_row(std::int64_t row_block) const {
    return row_block * tile_rows / row_blocks;
  }
  std::int64_t block_tiles() const { return rows_per_block * columns_per_block; }
  std::int64_t blocks() const { return row_blocks * column_blocks; }
  /// Of the transformed weights of a share.
  std::int64_t unit_size() const { return frequencies * frequency_size; }
  std::int64_t panel_count() const { return static_cast<std::int64_t>(panels.size()); }
  /// Panels [first_panel(share), first_panel(share + 1)) belong to a share.
  std::int64_t first_panel(std::int64_t share) const { return share * panel_count() / shares; }
  std::int64_t share_of_panel(std::int64_t panel) const {
    std::int64_t share = 0;
    while (first_panel(share + 1) <= panel) ++share;
    return share;
  }
  /// The first padded destination channel of a share.
  std::int64_t first_channel(std::int64_t share) const {
    const std::int64_t panel = first_panel(share);
    if (panel == panel_count()) return padded_destination_channels;
    return panels[static_cast<std::size_t>(panel)].first * lanes;
  }

 private:
  void choose_blocks(const Geometry& geometry, int threads);
  void choose_shares(const Geometry& geometry, int threads);
};

}  // namespace fastconv::winograd
