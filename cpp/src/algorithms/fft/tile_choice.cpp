#include "algorithms/fft/tile_choice.hpp"

#include <algorithm>
#include <array>
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

double stages(std::int64_t length) {
  double count = 0.0;
  for (const int radix : {8, 11, 7, 5, 4, 3, 2}) {
    for (; length % radix == 0; length /= radix) count += 1.0;
  }
  return count;
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
  bool transposed;  ///< channels-last memory, which planes are taken out of and put back into
};

/// Seconds, fitted to the times of 287 layers in float32 with AVX-512 and raised by a tenth, as the
/// estimates of the other algorithms are on such layers.
double cost(const fft::TileSize& size, const Counts& counts) {
  constexpr double kCallSeconds = 1e-6;
  constexpr double kTransformSeconds = 28e-9;
  // A complex vector packed or stored and transposed, and on its way through a stage.
  constexpr double kVectorSeconds = 1.8e-9;
  constexpr double kStageSeconds = 2.4e-9;
  constexpr double kVectorBeyondFirstCacheSeconds = 1.2e-9;
  constexpr double kVectorBeyondSecondCacheSeconds = 2e-9;
  constexpr double kFactorSeconds = 2.5e-9;
  constexpr double kTransposedVectorSeconds = 20e-9;
  constexpr double kProductSeconds = 1.4e-9;
  // Spectra of kernels: written and read, where they fit a cache, and where they do not.
  constexpr double kKernelSeconds = 2e-9;
  constexpr double kKernelBeyondSecondCacheSeconds = 7e-9;
  constexpr double kKernelInMemorySeconds = 27e-9;
  constexpr double kFirstCacheBytes = 32768.0;
  constexpr double kPlaneInSecondCacheBytes = 400e3;
  constexpr double kPlaneInLastCacheBytes = 1.4e6;
  constexpr double kSecondCacheBytes = 8e6;
  constexpr double kLastCacheBytes = 48e6;
  // Half of a product's time and a quarter of a stage's are multiply-adds. Those of sequences,
  // whose spectra are long, take all of it, and a little more than the fit has.
  constexpr double kLongProducts = 1.2;
  const double halved = halved_vector_factor();
  const double product_seconds =
      kProductSeconds *
      (size.sequence && halved > 1.0 ? kLongProducts * halved : (1.0 + halved) / 2.0);
  const double stage_seconds = kStageSeconds * (3.0 + halved) / 4.0;
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
  const double stage_vectors =
      along_rows * (stages(size.rows / 2) + stages(size.depth)) + layers * stages(size.columns);
  const double transform = kTransformSeconds + (along_rows + layers) * vector_seconds +
                           stage_vectors * stage_seconds +
                           (size.sequence ? along_rows * kFactorSeconds : 0.0) +
                           (size.cyclic ? along_rows * stage_seconds : 0.0);
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
  return kCallSeconds +
         (counts.tiles * (counts.sources + counts.results) + counts.kernels) * transform +
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

/// Lengths of tiles along an axis.
std::vector<std::int64_t> lengths(const Regions& regions, std::size_t axis, std::int64_t step,
                                  std::int64_t longest) {
  const std::int64_t positions = regions.positions(axis);
  if (!regions.wraps(axis)) return lengths(positions, regions.reach(axis), step, longest);
  if (positions > longest) return {};
  return {positions};
}

/// Lengths of rows of `columns` that a sequence of one period, or of some tiles, is cut into.
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
                problem.channels_last};
  // Sums of spectra are read and written once for each block of tiles.
  const double slower = problem.pass == Pass::backward_weight ? 1.3 : 1.0;
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
    for (const std::int64_t columns : {lanes, 2 * lanes, 4 * lanes, 6 * lanes, 8 * lanes,
                                       12 * lanes, 16 * lanes, 24 * lanes, 32 * lanes}) {
      if (columns > kLongest) continue;
      for (const std::int64_t length : sequence_lengths(regions, columns)) {
        consider({1, length / columns, columns, true, periodic[2]});
      }
    }
    return best;
  }
  const auto depths = regions.positions(0) == 1 && regions.reach(0) == 0
                          ? std::vector<std::int64_t>{1}
                          : lengths(regions, 0, 1, kLongest);
  const auto rows = lengths(regions, 1, 2, 2 * kLongest);
  const auto columns = lengths(regions, 2, 1, kLongest);
  const auto whole_vectors = lengths(regions, 2, lanes, kLongest);
  for (const std::int64_t depth : depths) {
    for (const std::int64_t row_count : rows) {
      for (const auto& widths : {columns, whole_vectors}) {
        for (const std::int64_t width : widths) {
          consider({depth, row_count, width, false, periodic[1]});
        }
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
