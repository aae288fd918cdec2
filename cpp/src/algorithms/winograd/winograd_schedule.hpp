#pragma once

#include <vector>

#include "algorithms/winograd/geometry.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::winograd {

/// Vectors of destination channels that one product computes.
template <class T>
struct Panel {
  std::int64_t first;  ///< vector
  std::int64_t vectors;
  const MatrixProductKernel<T>* kernel;
  const MatrixProductKernel<T>* last_rows;  ///< for fewer rows than `kernel` has
};

/// Everything that is decided before the arrays are seen. None of it changes a result: tiles and
/// channels are independent of each other.
template <class T>
class Schedule {
 public:
  Schedule(const Geometry& geometry, const TypedKernels<T>& kernels, int threads);

  std::vector<Panel<T>> panels;  ///< of one group
  std::int64_t lanes;
  std::int64_t padded_source_channels;
  std::int64_t padded_destination_channels;
  std::int64_t frequency_size;  ///< elements of one frequency of a group's transformed weights
  std::int64_t rows_per_block;  ///< rows of tiles; those of all images form one sequence
  std::int64_t columns_per_block;
  std::int64_t row_blocks;
  std::int64_t column_blocks;
  std::int64_t shares;          ///< parts that the panels are divided into
  std::int64_t share_channels;  ///< padded destination channels of the largest share
  std::int64_t items;           ///< groups, blocks and shares
  std::int64_t slot_size;       ///< elements of one frequency of a block of tiles
  std::int64_t box_rows;        ///< most rows of tiles of a box within one image

  std::int64_t block_tiles() const { return rows_per_block * columns_per_block; }
  /// Panels [first_panel(share), first_panel(share + 1)) belong to a share.
  std::int64_t first_panel(std::int64_t share) const {
    return share * static_cast<std::int64_t>(panels.size()) / shares;
  }

 private:
  void choose_panels(const Geometry& geometry, const TypedKernels<T>& kernels);
  void choose_blocks(const Geometry& geometry, int threads);
};

/// Tiles that are transformed together: as many as fit the second-level cache, and enough of them
/// to read the transformed weights of a large layer seldom.
std::int64_t most_block_tiles(std::int64_t channels, std::int64_t weight_bytes,
                              std::int64_t element_bytes);

}  // namespace fastconv::winograd
