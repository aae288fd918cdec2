#include "algorithms/direct/weight_gradient_schedule.hpp"

#include <algorithm>
#include <limits>
#include <numeric>

namespace fastconv::direct {
namespace {

/// Packed input and gradient of a unit together with the item's sums, within a second-level cache.
constexpr std::int64_t kItemBytes = 640 * 1024;
constexpr std::int64_t kLeastUnitBytes = 256 * 1024;
/// The gradient of a chunk of pixels.
constexpr std::int64_t kChunkBytes = 64 * 1024;
/// The sums of a panel, while a streaming item finishes them.
constexpr std::int64_t kPanelBytes = 64 * 1024;
/// Sums of all pieces of the reduction together, unless one piece alone is larger.
constexpr std::int64_t kSumBytes = 8 * 1024 * 1024;
/// Those of one item, where they can be cut down to it.
constexpr std::int64_t kMostItemSumBytes = 2 * 1024 * 1024;
constexpr std::int64_t kMostPieces = 16;

bool is_unpadded(const AxisPhases& phases, const Axis& axis) {
  std::int64_t last = 0;
  for (const Tap& tap : phases.runs[0].taps) {
    const std::int64_t residue = phases.residues[static_cast<std::size_t>(tap.plane)];
    last = std::max(last, residue + phases.source_step * tap.shift);
  }
  return phases.source_first >= 0 &&
         phases.source_first + last + phases.source_step * (phases.count - 1) < axis.input;
}

}  // namespace

bool exchanges_operands(const Problem& problem, std::int64_t lanes) {
  const std::int64_t channels = problem.c / problem.g;
  const std::int64_t outputs = problem.k / problem.g;
  if (problem.is_complex() || 2 * channels < lanes || 2 * outputs < lanes) return false;
  std::int64_t pixels = problem.n;
  for (const Axis& axis : problem.axes) {
    if (axis.kernel != 1 || axis.pad_before > 0) return false;
    if ((axis.output - 1) * axis.stride - axis.pad_before >= axis.input) return false;
    pixels *= axis.output;
  }
  // Either the input is rearranged, or the gradient and half as slowly the sums.
  return channels * pixels < outputs * pixels + channels * outputs / 2;
}

Problem exchanged(const Problem& problem) {
  Problem result = problem;
  std::swap(result.c, result.k);
  std::swap(result.input_type, result.output_type);
  for (Axis& axis : result.axes) axis = Axis{.input = axis.output, .output = axis.output};
  return result;
}

/// Outer products want enough output channels to fill vectors, and the gradient arranged by pixels,
/// which costs as much as so many pairs if memory has it otherwise. Dot products leave the last
/// vector of a row partly filled, and load more for each multiply-add.
template <class T>
bool WeightGradientSchedule<T>::wants_outer_products(const Problem& problem,
                                                     std::int64_t lanes) const {
  constexpr double kLoads = 1.2;
  if (2 * outputs < lanes) return false;
  if (problem.channels_last || parts != 1) return true;
  const std::int64_t width = tile.counts[2];
  const double vectors = static_cast<double>(ceil_divide(width, lanes) * lanes) /
                         static_cast<double>(std::max<std::int64_t>(1, width));
  const auto arranged = static_cast<double>(lanes);
  return static_cast<double>(pairs()) * (kLoads * vectors - 1.0) > arranged;
}

template <class T>
const OuterProductKernel<T>& WeightGradientSchedule<T>::Block::at_least(std::int64_t rows) const {
  const auto enough = std::find_if(kernels.begin(), kernels.end(),
                                   [&](const auto* kernel) { return kernel->rows >= rows; });
  return enough == kernels.end() ? most_rows() : **enough;
}

template <class T>
WeightGradientSchedule<T>::WeightGradientSchedule(const Problem& problem,
                                                  const TypedKernels<T>& kernels)
    : n(problem.n),
      groups(problem.g),
      parts(problem.is_complex() ? 2 : 1),
      channels(problem.c / problem.g * parts),
      outputs(problem.k / problem.g * parts),
      padded_outputs(outputs),
      phases{forward_phases(problem.axes[0], problem.flip),
             forward_phases(problem.axes[1], problem.flip),
             forward_phases(problem.axes[2], problem.flip)},
      runs{&phases[0].runs[0], &phases[1].runs[0], &phases[2].runs[0]},
      tile({&phases[0], &phases[1], &phases[2]}),
      taps(tap_count(runs)) {
  if (empty()) return;
  outer_products = wants_outer_products(problem, kernels.lanes);
  may_stay = parts == 1 && is_stored_as<T>(problem.input_type) && reads_nothing_but_input(problem);
  choose_blocks(kernels);
  find_met_positions(problem);
  choose_items(kernels.lanes);
  choose_units(kernels.lanes);
}

template <class T>
bool WeightGradientSchedule<T>::reads_nothing_but_input(const Problem& problem) const {
  for (std::size_t axis = 0; axis < 3; ++axis) {
    if (!is_unpadded(phases[axis], problem.axes[axis])) return false;
  }
  return true;
}

/// Only padding with zeros adds nothing to a sum.
template <class T>
void WeightGradientSchedule<T>::find_met_positions(const Problem& problem) {
  constexpr double kWorthwhile = 0.92;
  if (!outer_products || parts != 1 || problem.padding_mode != PaddingMode::zeros) return;
  for (std::size_t a = 0; a < 3; ++a) {
    std::int64_t met = 0;
    for (const Tap& tap : phases[a].runs[0].taps) {
      const std::int64_t step = phases[a].source_step;
      const std::int64_t at = phases[a].source_first +
                              phases[a].residues[static_cast<std::size_t>(tap.plane)] +
                              step * tap.shift;
      // Positions j with 0 <= at + step * j < input.
      const std::int64_t first =
          std::clamp<std::int64_t>(ceil_divide(-at, step), 0, tile.counts[a]);
      const std::int64_t end =
          std::clamp(ceil_divide(problem.axes[a].input - at, step), first, tile.counts[a]);
      met_[a].push_back({first, end});
      met += end - first;
    }
    met_share_ *= static_cast<double>(met) /
                  static_cast<double>(tile.counts[a] * std::ssize(phases[a].runs[0].taps));
  }
  leaves_out_padding = met_share_ < kWorthwhile;
  if (!leaves_out_padding) met_share_ = 1.0;
}

template <class T>
PixelBox WeightGradientSchedule<T>::met_pixels(const Unit& unit, std::int64_t tap) const {
  PixelBox box{};
  for (std::size_t a = 3; a-- > 0;) {
    const auto taps_of_axis = std::ssize(met_[a]);
    const Positions& met = met_[a][static_cast<std::size_t>(tap % taps_of_axis)];
    tap /= taps_of_axis;
    const std::int64_t first =
        std::clamp<std::int64_t>(met.first - unit.origin[a], 0, unit.size[a]);
    box.first[a] = first;
    box.size[a] = std::clamp(met.end - unit.origin[a], first, unit.size[a]) - first;
  }
  // A unit of several images has tiles of one slice.
  if (unit.images > 1) box.size[0] *= unit.images;
  return box;
}

template <class T>
void WeightGradientSchedule<T>::choose_blocks(const TypedKernels<T>& kernels) {
  if (!outer_products) {
    blocks.push_back({0, outputs, {}});
    return;
  }
  const std::int64_t lanes = kernels.lanes;
  padded_outputs = ceil_divide(outputs, lanes) * lanes;
  for (std::int64_t first = 0; first < padded_outputs;) {
    int vectors = 0;
    for (const OuterProductKernel<T>& kernel : kernels.outer_product) {
      if (first + kernel.vectors * lanes <= padded_outputs && kernel.rows > 1) {
        vectors = std::max(vectors, kernel.vectors);
      }
    }
    Block block{first, vectors * lanes, {}};
    for (const OuterProductKernel<T>& kernel : kernels.outer_product) {
      if (kernel.vectors == vectors) block.kernels.push_back(&kernel);
    }
    std::sort(block.kernels.begin(), block.kernels.end(),
              [](const auto* a, const auto* b) { return a->rows < b->rows; });
    most_rows = std::max<std::int64_t>(most_rows, block.most_rows().rows);
    first += block.width;
    blocks.push_back(std::move(block));
  }
}

/// In multiply-adds of one thread: the arithmetic, what packing and adding up cost beside it, and
/// the share of one item that another thread may have to wait for. Constants are vector operations
/// per element, measured.
template <class T>
double WeightGradientSchedule<T>::cost(std::int64_t lanes) const {
  constexpr double kWaitedShare = 0.2;
  constexpr double kPackedInput = 3.0;
  constexpr double kUnpackedInput = 0.5;  // in some layouts it is packed after all
  constexpr double kPackedGradient = 0.75;
  constexpr double kPackedGradientFromMemory = 1.75;
  constexpr double kCachedBytes = 4e6;
  constexpr double kSum = 1.0;
  constexpr double kVisitedSum = 1.0;  // beyond the second-level cache
  constexpr double kPixelsPerVisit = 256.0;
  constexpr double kItem = 2500.0;  // per item
  const auto pixels = static_cast<double>(n * product(tile.counts));
  const auto sums = static_cast<double>(sum_count());
  const auto items = static_cast<double>(item_count());
  const double gradient = pixels * static_cast<double>(groups * padded_outputs);
  const auto input = static_cast<double>(n * groups * channels * tile.channel_size());
  const double passes_of_gradient = static_cast<double>(channel_blocks());
  const double passes_of_input = static_cast<double>(output_blocks());
  double vector_operations =
      (gradient * sizeof(T) > kCachedBytes ? kPackedGradientFromMemory : kPackedGradient) *
          gradient * passes_of_gradient +
      (may_stay ? kUnpackedInput : kPackedInput) * input * passes_of_input +
      kSum * sums * (pieces == 1 ? 1.0 : static_cast<double>(pieces + 1)) + kItem * items;
  const auto summed_bytes = static_cast<double>(item_sum_count()) * sizeof(T);
  const double packed_bytes = sizeof(T) *
                              (gradient / passes_of_input + input / passes_of_gradient) /
                              static_cast<double>(group_blocks());
  if (summed_bytes + std::min<double>(packed_bytes, kLeastUnitBytes) > kItemBytes &&
      (pieces > 1 || packed_bytes > kItemBytes)) {
    vector_operations += kVisitedSum * sums * std::max(1.0, pixels / kPixelsPerVisit);
  }
  const double total = met_share_ * pixels * sums + vector_operations * static_cast<double>(lanes);
  return total * (1.0 + kWaitedShare / items);
}

template <class T>
void WeightGradientSchedule<T>::choose_items(std::int64_t lanes) {
  constexpr std::int64_t kChannelsPerCacheLine = 16;
  channels_per_item = channels;
  outputs_per_item = padded_outputs;
  groups_per_item =
      std::clamp<std::int64_t>(kChannelsPerCacheLine / std::max(channels, outputs), 1, groups);
  const std::int64_t sum_bytes = sum_count() * static_cast<std::int64_t>(sizeof(T));
  const std::int64_t most_pieces = std::clamp<std::int64_t>(kSumBytes / sum_bytes, 1, kMostPieces);
  const std::int64_t widest = blocks.front().width;
  struct Choice {
    std::int64_t channels;
    std::int64_t outputs;
    std::int64_t pieces;
  };
  Choice best{channels, padded_outputs, 1};
  double best_cost = std::numeric_limits<double>::infinity();
  // Groups that share an item are not cut further.
  const std::int64_t least_channels = groups_per_item > 1 ? channels : 8 * parts;
  for (std::int64_t of_channels = 1;; of_channels *= 2) {
    channels_per_item = ceil_divide(channels / parts, of_channels) * parts;
    if (leaves_out_padding) {
      channels_per_item = std::min(channels, ceil_divide(channels_per_item, most_rows) * most_rows);
    }
    for (std::int64_t of_outputs = 1;; of_outputs *= 2) {
      outputs_per_item =
          std::min(padded_outputs, ceil_divide(padded_outputs, of_outputs * widest) * widest);
      const bool smallest = outputs_per_item <= widest && channels_per_item <= least_channels;
      const bool fits =
          item_sum_count() * static_cast<std::int64_t>(sizeof(T)) <= kMostItemSumBytes;
      for (pieces = 1; (fits || smallest) && pieces <= most_pieces; pieces *= 2) {
        const double this_cost = cost(lanes);
        if (this_cost < best_cost) {
          best_cost = this_cost;
          best = {channels_per_item, outputs_per_item, pieces};
        }
      }
      if (outputs_per_item <= widest) break;
    }
    if (channels_per_item <= least_channels) break;
  }
  channels_per_item = best.channels;
  outputs_per_item = best.outputs;
  pieces = best.pieces;
}

template <class T>
void WeightGradientSchedule<T>::choose_units(std::int64_t lanes) {
  const auto packed_bytes = [&] {
    return (input_elements() + gradient_elements()) * static_cast<std::int64_t>(sizeof(T));
  };
  const std::int64_t all_pixels_bytes = n * packed_bytes();
  std::int64_t limit = kItemBytes;
  if (pieces > 1 || all_pixels_bytes > kItemBytes) {
    limit = std::max<std::int64_t>(
        kLeastUnitBytes, kItemBytes - item_sum_count() * static_cast<std::int64_t>(sizeof(T)));
  }
  while (packed_bytes() > limit && tile.halve(lanes * 8)) {
  }
  while (n * tile.tile_count() < pieces && product(tile.size) > 64 && tile.halve(lanes * 8)) {
  }
  // Slices of a unit are images, unless a tile has slices of its own.
  if (n > 0 && outer_products && tile.tile_count() == 1 && tile.size[0] == 1) {
    const std::int64_t most = std::clamp<std::int64_t>(
        limit / std::max<std::int64_t>(1, packed_bytes()), 1, ceil_divide(n, pieces));
    images_per_unit = std::max<std::int64_t>(1, ceil_divide(n, ceil_divide(n, most)));
  }
  pieces = std::clamp<std::int64_t>(unit_count(), 1, pieces);
}

template <class T>
typename WeightGradientSchedule<T>::Item WeightGradientSchedule<T>::item(std::int64_t index) const {
  Item result{};
  result.piece = index % pieces;
  index /= pieces;
  result.first_output = index % output_blocks() * outputs_per_item;
  result.outputs = std::min(outputs_per_item, padded_outputs - result.first_output);
  index /= output_blocks();
  result.first_channel = index % channel_blocks() * channels_per_item;
  result.channels = std::min(channels_per_item, channels - result.first_channel);
  result.first_group = index / channel_blocks() * groups_per_item;
  result.groups = std::min(groups_per_item, groups - result.first_group);
  const auto block_at = [&](std::int64_t output) {
    return std::find_if(blocks.begin(), blocks.end(),
                        [&](const Block& block) { return block.first >= output; }) -
           blocks.begin();
  };
  result.first_block = block_at(result.first_output);
  result.end_block = block_at(result.first_output + result.outputs);
  return result;
}

template <class T>
typename WeightGradientSchedule<T>::Unit WeightGradientSchedule<T>::unit(std::int64_t index) const {
  Unit result{};
  result.n = index / tile.tile_count() * images_per_unit;
  result.images = std::min(images_per_unit, n - result.n);
  result.origin = tile.origin(index % tile.tile_count());
  result.size = tile.size_at(result.origin);
  return result;
}

/// Whole tiles of rows where that is possible.
template <class T>
std::int64_t WeightGradientSchedule<T>::panel_channels() const {
  if (!outer_products) return channels_per_item;
  const std::int64_t rows = blocks.front().most_rows().rows;
  const std::int64_t step =
      leaves_out_padding ? rows : std::lcm(rows / std::gcd(rows, taps), parts);
  const std::int64_t channel_bytes =
      taps * blocks.front().width * static_cast<std::int64_t>(sizeof(T));
  return std::max<std::int64_t>(step, kPanelBytes / channel_bytes / step * step);
}

template <class T>
std::int64_t WeightGradientSchedule<T>::chunk_pixels(const Block& block) const {
  return std::max<std::int64_t>(1,
                                kChunkBytes / (block.width * static_cast<std::int64_t>(sizeof(T))));
}

template struct WeightGradientSchedule<float>;
template struct WeightGradientSchedule<double>;
template struct WeightGradientSchedule<std::int32_t>;
template struct WeightGradientSchedule<std::int64_t>;

}  // namespace fastconv::direct
