#include "algorithms/fft/tile_choice.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <vector>

#include "kernels/kernel_table.hpp"
#include "runtime/vector_units.hpp"

namespace fastconv::fft_convolution {
namespace {

/// Of spectra that stay in a last-level cache, and of those of tiles that do while the kernels take
/// turns.
constexpr double kCachedSpectraBytes = 10.5e6;
constexpr double kKeptSourceBytes = 16.8e6;
/// Of a transform along one axis: those that are in their caches.
constexpr std::int64_t kLongest = 512;
/// Tiles along an axis that are tried.
constexpr std::int64_t kTileCounts[] = {1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64, 96};
constexpr std::int64_t kMostTileCount = 96;

/// Additions and multiplications of a vector of complex numbers in a stage, twiddle factors
/// included.
constexpr struct {
  int radix;
  double operations;
} kStages[] = {{8, 9.7}, {11, 17.3}, {7, 12.9}, {5, 10.4}, {4, 7.0}, {3, 8.0}, {2, 4.0}};

/// What stages cost each vector, of which one costs `vector` and each of its operations
/// `operation`.
double stages(std::int64_t length, double vector, double operation) {
  double seconds = 0.0;
  for (const auto& stage : kStages) {
    for (; length % stage.radix == 0; length /= stage.radix) {
      seconds += vector + stage.operations * operation;
    }
  }
  return seconds;
}

struct Counts {
  double tiles;     ///< of all images and regions
  double sources;   ///< spectra that a tile's source has, of all groups
  double results;   ///< likewise of its destination
  double products;  ///< of spectra, for each tile
  double kernels;   ///< spectra of kernels
  double groups;
  double lanes;
  double bytes;     ///< of an element
  double elements;  ///< of source and destination
  std::int64_t tap_columns;
  bool transposed;  ///< channels-last memory, which planes are taken out of and put back into
};

/// Seconds, fitted to the times of 287 layers in float32 with AVX-512 and, for the stages, of ten
/// layers in 3400 sizes of tiles; raised by a tenth, as the estimates of the other algorithms are
/// on such layers.
double cost(const fft::TileSize& size, const Counts& counts) {
  constexpr double kCallSeconds = 1e-6;
  constexpr double kTransformSeconds = 28e-9;
  // A complex vector packed or stored and transposed, and on its way through a stage.
  constexpr double kVectorSeconds = 1.2e-9;
  constexpr double kStageSeconds = 1.2e-9;
  constexpr double kVectorBeyondFirstCacheSeconds = 0.7e-9;
  constexpr double kVectorBeyondSecondCacheSeconds = 2e-9;
  constexpr double kFactorSeconds = 2.5e-9;
  // An element on its way from or to memory, and a row of them that a tile has.
  constexpr double kElementSeconds = 0.3e-9;
  // More where the last-level cache is far and the second-level one does not hold them.
  constexpr double kFarElementSeconds = 1.5e-9;
  constexpr double kNearBytes = 4e6;
  constexpr double kRowSeconds = 6e-9;
  constexpr double kTransposedVectorSeconds = 9e-9;
  constexpr double kProductSeconds = 1.3e-9;
  // Spectra of kernels: written and read, where they fit a cache, and where they do not.
  constexpr double kKernelSeconds = 2e-9;
  constexpr double kKernelBeyondSecondCacheSeconds = 3e-9;
  constexpr double kKernelInMemorySeconds = 27e-9;
  constexpr double kFirstCacheBytes = 32768.0;
  constexpr double kPlaneInSecondCacheBytes = 400e3;
  constexpr double kPlaneInLastCacheBytes = 1.4e6;
  constexpr double kSecondCacheBytes = 8e6;
  constexpr double kLastCacheBytes = 48e6;
  // Half of a product's time and three fifths of an operation's depend on the width of the units.
  // Products of sequences, whose spectra are long, do altogether, and take a little more than the
  // fit has.
  constexpr double kLongProducts = 1.2;
  const double halved = halved_vector_factor();
  const double product_seconds =
      kProductSeconds *
      (size.sequence && halved > 1.0 ? kLongProducts * halved : (1.0 + halved) / 2.0);
  const double operation_seconds = 0.04e-9 + 0.065e-9 * halved;
  const auto stage_seconds = [&](std::int64_t length) {
    return stages(length, kStageSeconds, operation_seconds);
  };
  const auto vectors_of = [&](std::int64_t count) {
    return static_cast<double>(ceil_divide(count, static_cast<std::int64_t>(counts.lanes)));
  };
  const std::int64_t rows = size.depth * size.spectrum_rows();
  const double along_rows = static_cast<double>(rows) * vectors_of(size.columns);
  const double layers = vectors_of(rows) * static_cast<double>(size.columns);
  double vector_seconds = kVectorSeconds;
  const double plane_bytes = static_cast<double>(size.points()) * counts.bytes;
  if (plane_bytes > kFirstCacheBytes) vector_seconds += kVectorBeyondFirstCacheSeconds;
  if (plane_bytes > kPlaneInSecondCacheBytes) vector_seconds += kVectorBeyondSecondCacheSeconds;
  if (plane_bytes > kPlaneInLastCacheBytes) vector_seconds += kVectorBeyondSecondCacheSeconds;
  const double row_seconds = vector_seconds + stage_seconds(size.rows / 2) +
                             stage_seconds(size.depth) + (size.sequence ? kFactorSeconds : 0.0) +
                             (size.cyclic ? stage_seconds(4) : 0.0);
  const double transform = kTransformSeconds + along_rows * row_seconds +
                           layers * (vector_seconds + stage_seconds(size.columns));
  // Columns beyond the taps are zeros before and after the first step.
  const double empty_vectors =
      size.sequence ? 0.0 : vectors_of(size.columns) - vectors_of(counts.tap_columns);
  const double kernel_transform =
      transform - static_cast<double>(rows) * empty_vectors * row_seconds;
  const double memory_rows = size.sequence ? 1.0 : static_cast<double>(size.depth * size.rows);
  const double kernel_vectors = counts.kernels * layers;
  const double vector_bytes = 2.0 * counts.lanes * counts.bytes;
  const double kernel_bytes = kernel_vectors * vector_bytes;
  double kernel_seconds = kKernelSeconds;
  const bool take_turns =
      kernels_take_turns(kernel_bytes / counts.groups,
                         counts.tiles * counts.sources * layers * vector_bytes / counts.groups);
  if (kernel_bytes > kSecondCacheBytes && !take_turns) {
    kernel_seconds += kKernelBeyondSecondCacheSeconds;
  }
  if (kernel_bytes > kLastCacheBytes && !take_turns) kernel_seconds += kKernelInMemorySeconds;
  double element_seconds = kElementSeconds;
  if (last_cache_is_far() && counts.elements * counts.bytes > kNearBytes) {
    element_seconds += kFarElementSeconds;
  }
  return kCallSeconds + counts.elements * element_seconds +
         counts.tiles * (counts.sources + counts.results) * memory_rows * kRowSeconds +
         counts.tiles * (counts.sources + counts.results) * transform +
         counts.kernels * kernel_transform +
         (counts.transposed ? counts.tiles * (counts.sources + counts.results) * along_rows *
                                  kTransposedVectorSeconds
                            : 0.0) +
         counts.tiles * layers * counts.products * product_seconds +
         kernel_vectors * kernel_seconds;
}

/// Lengths t such that t - reach positions, some tiles long, cover all: for each number of tiles
/// the shortest transform.
std::vector<std::int64_t> lengths(std::int64_t positions, std::int64_t reach, std::int64_t step,
                                  std::int64_t longest) {
  const std::int64_t least = step;
  std::vector<std::int64_t> result;
  for (const std::int64_t tiles : kTileCounts) {
    const std::int64_t wanted = std::max(least, ceil_divide(positions, tiles) + reach);
    const std::int64_t length = step * fft::next_supported_length(ceil_divide(wanted, step));
    if (length > longest) continue;
    if (result.empty() || length != result.back()) result.push_back(length);
    if (tiles > positions || wanted - reach < reach / 3) break;
  }
  // Very many tiles: lengths that go well with the kernel.
  if (positions > kMostTileCount * std::max<std::int64_t>(reach, 16)) {
    for (const std::int64_t multiple : {2, 3, 4, 6}) {
      const std::int64_t wanted = std::max<std::int64_t>(least, multiple * (reach + 8));
      const std::int64_t length = step * fft::next_supported_length(ceil_divide(wanted, step));
      if (length <= longest) result.push_back(length);
    }
  }
  return result;
}

}  // namespace

bool kernels_take_turns(double kernel_bytes, double source_bytes) {
  return kernel_bytes + source_bytes > kCachedSpectraBytes &&
         source_bytes <= std::min(1.25 * kernel_bytes, kKeptSourceBytes);
}

GroupChannels::GroupChannels(const Problem& problem)
    : parts(problem.is_complex() ? 2 : 1),
      sources(problem.c / problem.g * parts),
      destinations(problem.k / problem.g * parts),
      outputs_written(problem.pass != Pass::backward_input) {
  if (!outputs_written) std::swap(sources, destinations);
}

namespace {

/// Lengths of tiles along an axis, and those that make whole squares of vectors.
std::vector<std::int64_t> lengths(const Regions& regions, std::size_t axis, std::int64_t step,
                                  std::int64_t squares, std::int64_t longest) {
  const std::int64_t positions = regions.positions(axis);
  if (regions.wraps(axis)) {
    if (positions > longest) return {};
    return {positions};
  }
  std::vector<std::int64_t> all = lengths(positions, regions.reach(axis), step, longest);
  std::ranges::copy(lengths(positions, regions.reach(axis), squares, longest),
                    std::back_inserter(all));
  std::ranges::sort(all);
  all.erase(std::ranges::unique(all).begin(), all.end());
  return all;
}

/// Lengths of a sequence's tiles that rows of so many columns fill: one period, or those that cover
/// all positions.
std::vector<std::int64_t> sequence_lengths(const Regions& regions, std::int64_t columns) {
  const std::int64_t positions = regions.positions(2);
  if (!regions.wraps(2)) {
    return lengths(positions, regions.reach(2), 2 * columns, 2 * columns * kLongest);
  }
  const std::int64_t pairs = positions / (2 * columns);
  const bool fits =
      positions % (2 * columns) == 0 && pairs <= kLongest && fft::is_supported_length(pairs);
  return fits ? std::vector<std::int64_t>{positions} : std::vector<std::int64_t>{};
}

TileChoice cheapest_tile(const Problem& problem, const PeriodicAxes& periodic) {
  const Regions regions(problem, periodic);
  const bool single = problem.compute_type() == ComputeType::float32;
  const KernelTable& table = active_kernels();
  const std::int64_t lanes = single ? table.float32.lanes : table.float64.lanes;
  const GroupChannels channels(problem);
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  const double groups = number(problem.g);
  const double sources = number(channels.sources * regions.planes());
  const double results = number(channels.destinations * regions.run_count());
  Counts counts{0.0,
                groups * sources,
                groups * results,
                groups * sources * results,
                groups * sources * results,
                groups,
                number(lanes),
                single ? 4.0 : 8.0,
                0.0,
                regions.tap_columns(),
                problem.channels_last};
  for (const auto& sizes : {problem.input_sizes(), problem.output_sizes()}) {
    double elements = number(channels.parts);
    for (const std::int64_t size : sizes) elements *= number(size);
    counts.elements += elements;
  }
  // Sums of spectra are read and written once for each block of tiles.
  const double slower = problem.pass == Pass::backward_weight ? 1.15 : 1.0;
  TileChoice best{{}, periodic, -1.0};
  const auto consider = [&](const fft::TileSize& size) {
    const Extent sizes =
        size.sequence ? Extent{1, 1, size.points()} : Extent{size.depth, size.rows, size.columns};
    double tiles = number(problem.n);
    for (std::size_t a = 0; a < 3; ++a) {
      const std::int64_t positions = sizes[a] - regions.reach(a);
      if (positions < 1) return;
      tiles *= number(regions.tile_count(a, positions));
    }
    counts.tiles = tiles;
    const double seconds = slower * cost(size, counts);
    if (best.seconds < 0.0 || seconds < best.seconds) best = {size, periodic, seconds};
  };
  if (regions.is_sequence()) {
    for (const std::int64_t vectors : {1, 2, 4, 6, 8, 12, 16, 24, 32, 64, 128, 256}) {
      const std::int64_t columns = vectors * lanes;
      if (columns > kLongest) continue;
      for (const std::int64_t length : sequence_lengths(regions, columns)) {
        consider({1, length / columns, columns, true, periodic[2]});
      }
    }
    return best;
  }
  const auto depths = regions.positions(0) == 1 && regions.reach(0) == 0
                          ? std::vector<std::int64_t>{1}
                          : lengths(regions, 0, 1, 1, kLongest);
  const auto rows = lengths(regions, 1, 2, 2 * lanes, 2 * kLongest);
  const auto columns = lengths(regions, 2, 1, lanes, kLongest);
  for (const std::int64_t depth : depths) {
    for (const std::int64_t row_count : rows) {
      for (const std::int64_t width : columns) {
        consider({depth, row_count, width, false, periodic[1]});
      }
    }
  }
  return best;
}

TileChoice cheapest_tile(const Problem& problem) {
  TileChoice best = cheapest_tile(problem, PeriodicAxes{});
  const auto try_periods = [&](const PeriodicAxes& periodic) {
    if (periodic == PeriodicAxes{}) return;
    const TileChoice choice = cheapest_tile(problem, periodic);
    if (choice.seconds < 0.0) return;
    if (best.seconds < 0.0 || choice.seconds < best.seconds) best = choice;
  };
  // Cyclic rows have a row of frequencies more, which may cost a vector.
  const PeriodicAxes possible = Regions::possible_periods(problem);
  try_periods(possible);
  if (possible[1]) try_periods({possible[0], false, possible[2]});
  return best;
}

/// The last few answers, since looking for one takes longer than a small problem does, and both the
/// estimate and the plan of a problem ask.
class RecentChoices {
 public:
  const TileChoice& find_or_make(const Problem& problem) {
    for (const Entry& entry : entries_) {
      if (entry.made && entry.problem == problem) return entry.choice;
    }
    Entry& oldest = entries_[oldest_];
    oldest = {true, problem, cheapest_tile(problem)};
    oldest_ = (oldest_ + 1) % entries_.size();
    return oldest.choice;
  }

 private:
  struct Entry {
    bool made = false;
    Problem problem;
    TileChoice choice{};
  };

  std::array<Entry, 16> entries_;
  std::size_t oldest_ = 0;
};

}  // namespace

TileChoice choose_tile(const Problem& problem) {
  thread_local RecentChoices choices;
  return choices.find_or_make(problem);
}

}  // namespace fastconv::fft_convolution
