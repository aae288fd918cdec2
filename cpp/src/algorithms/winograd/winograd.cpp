#include "algorithms/winograd/winograd.hpp"

#include "algorithms/winograd/winograd_schedule.hpp"
#include "padding.hpp"
#include "runtime/vector_units.hpp"

namespace fastconv::winograd {
namespace {

std::int64_t lanes_of(const Problem& problem) {
  const KernelTable& kernels = active_kernels();
  return problem.compute_type() == ComputeType::float32 ? kernels.float32.lanes
                                                        : kernels.float64.lanes;
}

/// Of the transformed weights, in whole vectors.
std::int64_t transformed_weight_bytes(const Problem& problem, const Geometry& geometry) {
  const std::int64_t lanes = lanes_of(problem);
  return geometry.frequencies() * geometry.groups * geometry.parts() * geometry.source_channels *
         ceil_divide(geometry.destination_channels, lanes) * lanes *
         (problem.compute_type() == ComputeType::float32 ? 4 : 8);
}

/// Whether all tiles fit one block while the second-level cache does not hold the transformed
/// weights. Does not depend on the number of threads, for the bits of the result depend on it.
bool has_few_tiles(const Problem& problem) {
  constexpr std::int64_t kMostTiles = 48;
  constexpr std::int64_t kLeastWeightBytes = 1 << 20;
  const Geometry geometry(problem);
  return geometry.tiles() <= kMostTiles &&
         transformed_weight_bytes(problem, geometry) > kLeastWeightBytes;
}

/// What a dilation adds for each vector of channels that is read or written. Neighbours of a phase
/// lie apart in a plane; with channels last that costs nothing, but for the small images that many
/// phases are.
double dilation_seconds(const Problem& problem, const Geometry& geometry) {
  constexpr double kPixelSeconds = 35e-9;
  constexpr double kImageSeconds = 0.55e-6;
  const auto& [rows, columns] = geometry.axes;
  if (rows.dilation == 1 && columns.dilation == 1) return 0.0;
  if (problem.channels_last) return kImageSeconds * static_cast<double>(geometry.images);
  const std::int64_t pixels = rows.tile.outputs * std::int64_t{columns.tile.outputs};
  return kPixelSeconds * static_cast<double>(geometry.tiles() * pixels);
}

}  // namespace

std::optional<std::string> refuses(const Problem& problem) {
  constexpr std::int64_t kLeastChannels = 4;
  // A block holds the transformed source of all parts.
  constexpr std::int64_t kMostParts = 6;
  if (problem.pass == Pass::backward_weight) return "it does not compute gradients of weights";
  const DataType type = problem.result_type();
  if (is_integer(type)) return "it does not compute integers";
  if (problem.input_type != type || problem.weight_type != type || problem.output_type != type) {
    return "its tensors have different types";
  }
  const Axis& depth = problem.axes[0];
  if (depth.stride != 1 || (depth.kernel > 1 && depth.dilation != 1)) {
    return "its depth has a stride or dilation";
  }
  const auto rows = tile_axis(problem.axes[1], problem.pass);
  const auto columns = tile_axis(problem.axes[2], problem.pass);
  if (!rows || !columns || find_kernels(active_kernels().float32, *rows, *columns) == nullptr) {
    return "its tiles are those of kernels of stride 1 and of 3x3 and 4x4 kernels of stride 2";
  }
  if (problem.pass == Pass::backward_input && repeats_input(problem.padding_mode)) {
    return "its padding repeats the input";
  }
  const Geometry geometry(problem);
  if (geometry.slice_parts() > kMostParts) {
    return "its kernel has more than " + std::to_string(kMostParts) + " parts of three taps";
  }
  if (std::min(geometry.source_channels, geometry.destination_channels) < kLeastChannels) {
    return "a group has few channels, so that transforms would cost more than they save";
  }
  return std::nullopt;
}

/// Vectors of multiply-adds, and vectors of tiles and weights that are transformed, at the rates of
/// a least-squares fit to 42 layers of float32 with AVX-512 and F(4x4, 3x3), within a fifth of
/// each; those of other tiles follow from their frequencies, with the two constants that say so.
/// One more transformation of the source for each share of the weights. Weights that never leave
/// the second-level cache cost less. Where the last-level cache is far, pixels and weights that are
/// gathered from it take longer, and products wait for transformed weights that lie there.
double estimate_cost(const Problem& problem, int threads) {
  constexpr double kCallSeconds = 2.1e-6;
  constexpr double kVectorMultiplyAddsPerSecond = 6e9;
  constexpr double kHalvedMultiplyAddsPerSecond = 3.4e9;
  constexpr double kSourceVectorSeconds = 61e-9;
  constexpr double kResultVectorSeconds = 71e-9;
  constexpr double kWeightVectorSeconds = 45e-9;
  constexpr double kShareSeconds = 10e-9;
  // Going backward the channels of a vector lie side by side and those of a sum far apart.
  constexpr double kBackwardSeconds = 10e-9;
  constexpr double kFarPixelSeconds = 9e-9;
  constexpr double kFarWeights = 1.3;
  constexpr double kFarBytesPerSecond = 15e9;
  constexpr std::int64_t kNearWeightBytes = 1 << 20;
  // What a tile costs however few its frequencies.
  constexpr double kSmallestTile = 0.25;
  const bool few_tiles = has_few_tiles(problem);
  const bool far = last_cache_is_far();
  const double weight_vector_seconds = (kWeightVectorSeconds + (few_tiles ? 0.0 : kShareSeconds) +
                                        (problem.pass == Pass::forward ? 0.0 : kBackwardSeconds)) *
                                       (far ? kFarWeights : 1.0);
  const Geometry geometry(problem);
  const std::int64_t lanes = lanes_of(problem);
  const auto number = [](std::int64_t count) { return static_cast<double>(count); };
  const double tiles = number(geometry.tiles());
  const double sources = number(geometry.parts() * geometry.source_channels);
  const double slice_vectors =
      number(geometry.depth_taps * ceil_divide(geometry.source_channels, lanes));
  const double source_vectors = number(geometry.slice_parts()) * slice_vectors;
  const double result_vectors = number(ceil_divide(geometry.destination_channels, lanes));
  const double weight_bytes =
      number(transformed_weight_bytes(problem, geometry)) / number(geometry.groups);
  const double shares =
      few_tiles ? 1.0 : std::max(1.0, weight_bytes / number(most_share_bytes(threads)));
  const double frequencies = number(geometry.frequencies());
  // The rates are those of the 36 frequencies of a stride of 1.
  const double weight_size = frequencies / 36.0;
  const double tile_size =
      kSmallestTile + (1.0 - kSmallestTile) * weight_size * halved_vector_factor();
  const double multiply_adds_per_second =
      halved_vector_factor() > 1.0 ? kHalvedMultiplyAddsPerSecond : kVectorMultiplyAddsPerSecond;
  const double pixels = number(geometry.axes[0].tile.step * geometry.axes[1].tile.step);
  const double pixel_seconds = far ? pixels * kFarPixelSeconds : 0.0;
  const bool waits = far && !few_tiles && weight_bytes > number(kNearWeightBytes);
  const double wait_seconds = waits ? weight_bytes / kFarBytesPerSecond : 0.0;
  const double seconds =
      tiles * (frequencies * sources * result_vectors / multiply_adds_per_second +
               shares * slice_vectors * pixel_seconds +
               tile_size * (shares * source_vectors * kSourceVectorSeconds +
                            result_vectors * kResultVectorSeconds)) +
      (shares * slice_vectors + result_vectors) * dilation_seconds(problem, geometry) +
      weight_size * sources * result_vectors * weight_vector_seconds + wait_seconds;
  return kCallSeconds + number(geometry.groups) * seconds / threads;
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads) {
  const auto make = [&]<class T>(T) {
    return has_few_tiles(problem) ? make_few_tiles_plan<T>(problem, threads)
                                  : make_blocks_plan<T>(problem, threads);
  };
  return problem.compute_type() == ComputeType::float32 ? make(float()) : make(double());
}

}  // namespace fastconv::winograd
