/// Every algorithm against the reference on shapes made from the tiles of the active kernels, on
/// the shared list of shapes, and on images that do not fit a cache tile.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "convolution_case.hpp"
#include "fastconv/cpu.hpp"
#include "forced_isa.hpp"
#include "kernels/kernel_table.hpp"
#include "padding.hpp"
#include "shape_lines.hpp"

namespace fastconv::testing {
namespace {

ProblemDescription row_problem(std::int64_t c, std::int64_t k, std::int64_t width,
                               std::int64_t kernel) {
  ProblemDescription d;
  d.spatial_rank = 1;
  d.c = d.c_per_group = c;
  d.k = k;
  d.input[2] = width;
  d.kernel[2] = kernel;
  d.pad_before[2] = (kernel - 1) / 2;
  d.pad_after[2] = kernel / 2;
  return d;
}

/// Sizes around a tile, and around two of them.
std::set<std::int64_t> around(std::int64_t tile) {
  std::set<std::int64_t> sizes{tile - 1, tile, tile + 1, 2 * tile + 1};
  sizes.erase(0);
  return sizes;
}

struct ComputeCase {
  const char* name;
  TypeCombination types;
};
constexpr ComputeCase kComputeCases[] = {
    {"float32", uniform(DataType::float32)},
    {"float64", uniform(DataType::float64)},
    {"int32", {DataType::int32, DataType::int8, DataType::uint8}},
    {"int64", {DataType::int64, DataType::int16, DataType::int32}},
    {"complex64", uniform(DataType::complex64)},
};

class TileGeometry : public ::testing::TestWithParam<ComputeCase> {
 protected:
  /// Calls body(kernels of the compute type).
  template <class Body>
  static void with_kernels(Body&& body) {
    const KernelTable& table = active_kernels();
    switch (GetParam().types.result) {
      case DataType::float64:
        return body(table.float64);
      case DataType::int32:
        return body(table.int32);
      case DataType::int64:
        return body(table.int64);
      default:
        return body(table.float32);
    }
  }

  void check(ProblemDescription description, Pass pass) {
    set_types(description, pass, GetParam().types);
    expect_equal_to_reference(describe(description), {.packed = pass != Pass::backward_weight},
                              random_);
  }

  std::mt19937_64 random_{1};
};
std::string compute_case_name(const ::testing::TestParamInfo<ComputeCase>& compute_case) {
  return compute_case.param.name;
}
INSTANTIATE_TEST_SUITE_P(Convolution, TileGeometry, ::testing::ValuesIn(kComputeCases),
                         compute_case_name);

TEST_P(TileGeometry, OfTheCorrelationKernels) {
  with_kernels([&](const auto& kernels) {
    std::set<std::pair<std::int64_t, std::int64_t>> sizes;
    for (const auto& kernel : kernels.correlation) {
      for (const std::int64_t channels : around(kernel.rows)) {
        for (const std::int64_t width : around(std::int64_t{kernel.vectors} * kernels.lanes)) {
          sizes.emplace(channels, width);
        }
      }
    }
    ASSERT_FALSE(sizes.empty());
    for (const auto& [channels, width] : sizes) {
      check(row_problem(2, channels, width, 2), Pass::forward);
      check(row_problem(channels, 2, width, 2), Pass::backward_input);
      check(row_problem(2, channels, width, 3), Pass::backward_weight);
    }
  });
}

TEST_P(TileGeometry, OfTheChannelCorrelationKernels) {
  with_kernels([&](const auto& kernels) {
    std::set<std::pair<std::int64_t, std::int64_t>> sizes;
    for (const auto& kernel : kernels.channel_correlation) {
      for (const std::int64_t channels : around(std::int64_t{kernel.vectors} * kernels.lanes)) {
        for (const std::int64_t width : around(kernel.pixels)) sizes.emplace(channels, width);
      }
    }
    ASSERT_FALSE(sizes.empty());
    for (const auto& [channels, width] : sizes) {
      check(row_problem(2, channels, width, 2), Pass::forward);
      check(row_problem(2, channels, width, 1), Pass::forward);
      check(row_problem(channels, 2, width, 2), Pass::backward_input);
    }
  });
}

TEST_P(TileGeometry, OfTheOuterProductKernels) {
  with_kernels([&](const auto& kernels) {
    std::set<std::pair<std::int64_t, std::int64_t>> sizes;
    for (const auto& kernel : kernels.outer_product) {
      for (const std::int64_t pairs : around(kernel.rows)) {
        for (const std::int64_t channels : around(std::int64_t{kernel.vectors} * kernels.lanes)) {
          sizes.emplace(pairs, channels);
        }
      }
    }
    ASSERT_FALSE(sizes.empty());
    for (const auto& [pairs, channels] : sizes) {
      check(row_problem(pairs, channels, 11, 1), Pass::backward_weight);
      check(row_problem(1, channels, 11, pairs), Pass::backward_weight);
    }
  });
}

TEST_P(TileGeometry, OfTheDotProductKernels) {
  with_kernels([&](const auto& kernels) {
    for (const auto& kernel : kernels.dot_product) {
      for (const std::int64_t pairs : around(kernel.rows)) {
        for (const std::int64_t width : around(kernels.lanes)) {
          check(row_problem(pairs, 1, width, 1), Pass::backward_weight);
          check(row_problem(1, 1, width + pairs, pairs), Pass::backward_weight);
        }
      }
    }
  });
}

TEST(Convolution, OfTheSharedShapesAroundTiles) {
  std::mt19937_64 random(2);
  const std::vector<ShapeLine> lines = read_shape_lines("tiles.txt");
  ASSERT_GT(lines.size(), 100u);
  for (const ShapeLine& line : lines) {
    SCOPED_TRACE(line.title);
    for (const Pass pass : line.passes) {
      ProblemDescription description = line.description;
      set_types(description, pass, line.types);
      expect_equal_to_reference(describe(description),
                                {.layouts = {line.layout, Layout::channels_first, line.layout}},
                                random);
    }
  }
}

/// Images several times as large as the share of the cache that a tile gets.
std::vector<ProblemDescription> large_problems() {
  const auto elements = static_cast<double>(second_level_cache_bytes()) / 2 / sizeof(float);
  const auto side = static_cast<std::int64_t>(std::sqrt(elements / 4));
  std::vector<ProblemDescription> problems;
  // A long signal, whose rows have to be cut.
  problems.push_back(row_problem(1, 1, static_cast<std::int64_t>(2.5 * elements), 3));
  // Images with more channels on one side than on the other.
  for (const auto& [c, k] : {std::pair<std::int64_t, std::int64_t>{8, 1}, {1, 8}}) {
    ProblemDescription d;
    d.c = d.c_per_group = c;
    d.k = k;
    d.input = {1, side, side + 3};
    d.kernel = {1, 3, 2};
    d.pad_before = {0, 2, 0};
    d.pad_after = {0, 1, 3};
    problems.push_back(d);
  }
  // Channels that are convolved one by one.
  ProblemDescription depthwise;
  depthwise.c = depthwise.k = depthwise.groups = 9;
  depthwise.input = {1, side, side};
  depthwise.kernel = {1, 2, 3};
  depthwise.stride = {1, 2, 1};
  problems.push_back(depthwise);
  // A volume, and windows that do not touch one another.
  ProblemDescription volume;
  volume.spatial_rank = 3;
  volume.c = volume.c_per_group = 2;
  volume.k = 2;
  volume.input = {7, side / 2, side};
  volume.kernel = {3, 1, 2};
  volume.dilation = {2, 1, 1};
  volume.pad_before = volume.pad_after = {2, 0, 1};
  volume.stride = {1, 1, 3};
  problems.push_back(volume);
  return problems;
}

TEST(Convolution, OfImagesThatAreCutIntoTiles) {
  std::mt19937_64 random(3);
  for (ProblemDescription description : large_problems()) {
    for (const Pass pass : kPasses) {
      set_types(description, pass, uniform(DataType::float32));
      description.padding_mode = PaddingMode::zeros;
      expect_equal_to_reference(describe(description), {}, random);
      if (pass == Pass::backward_input) continue;  // slow in the reference, see below
      description.padding_mode = PaddingMode::reflect;
      expect_equal_to_reference(
          describe(description),
          {.layouts = {Layout::channels_last, Layout::channels_first, Layout::channels_last},
           .threads = 3},
          random);
    }
  }
}

/// Adds the gradient of the padded input to that of the elements that the padding repeats.
void add_folded(const Problem& problem, const Tensor& padded, const Tensor& folded) {
  padded.for_each_position(
      [&](std::int64_t n, std::int64_t c, std::int64_t d, std::int64_t h, std::int64_t w) {
        const std::array<std::int64_t, 3> position{d, h, w};
        std::int64_t offset = n * folded.view().strides[0] + c * folded.view().strides[1];
        for (std::size_t a = 0; a < 3; ++a) {
          const Axis& axis = problem.axes[a];
          offset += folded.view().strides[a + 2] *
                    padded_source(position[a] - axis.pad_before, axis.input, problem.padding_mode);
        }
        static_cast<float*>(folded.view().data)[offset] +=
            static_cast<float>(padded.at(n, c, d, h, w).real());
      });
}

/// More than 8 MiB that are read where they lie for one or two output channels: a few input
/// channels of a piece of a row at a time, rows and pieces that fill neither tiles nor vectors.
TEST(Convolution, OfFewChannelsFromMemory) {
  std::mt19937_64 random(8);
  for (const std::int64_t outputs : {1, 3}) {
    ProblemDescription d = row_problem(41, outputs, 52'001, 1);
    set_types(d, Pass::forward, uniform(DataType::float32));
    d.has_bias = true;
    d.activation = Activation::relu;
    for (const int threads : {1, 2}) {
      expect_equal_to_reference(describe(d), {.threads = threads}, random);
    }
  }
}

/// Tiles of a single row would pack whole planes for each, where padding is left out.
TEST(Convolution, VolumesAreNotCutIntoSingleRows) {
  for (const Pass pass : {Pass::forward, Pass::backward_input}) {
    for (const std::int64_t channels : {32, 64, 96}) {
      ProblemDescription d;
      d.spatial_rank = 3;
      d.c = d.c_per_group = channels;
      d.k = channels;
      d.input = {32, 32, 32};
      d.kernel = {3, 3, 3};
      d.pad_before = d.pad_after = {1, 1, 1};
      set_types(d, pass, uniform(DataType::float32));
      const std::string description = Plan(describe(d), {.algorithm = "direct"}).description();
      EXPECT_EQ(description.find("tiles of 1x1x"), std::string::npos) << description;
    }
  }
}

TEST(Convolution, GradientsOfRepeatedElementsAreSumsOverTheirCopies) {
  std::mt19937_64 random(4);
  for (ProblemDescription description : large_problems()) {
    set_types(description, Pass::backward_input, uniform(DataType::float32));
    description.padding_mode = PaddingMode::symmetric;
    const Problem problem = describe(description);
    ProblemDescription of_padded = description;
    of_padded.padding_mode = PaddingMode::zeros;
    for (std::size_t a = 0; a < 3; ++a) {
      of_padded.input[a] += of_padded.pad_before[a] + of_padded.pad_after[a];
      of_padded.pad_before[a] = of_padded.pad_after[a] = 0;
    }
    constexpr std::array<Layout, 3> kDense{};
    const ProblemTensors tensors(problem, kDense, Side::end);
    tensors.fill_with_integers(random);
    const ProblemTensors padded(describe(of_padded), kDense, Side::end);
    padded.weight().copy_memory_from(tensors.weight());
    padded.output().copy_memory_from(tensors.output());
    Plan(describe(of_padded), {.algorithm = "reference"}).execute(padded.arguments(), nullptr);
    const Tensor expected(DataType::float32, problem.input_sizes());
    expected.fill_with_integers(random, 0, 0);
    add_folded(problem, padded.input(), expected);

    execute_guarded(Plan(problem, {.algorithm = "direct", .threads = 2}), tensors.arguments());
    EXPECT_TRUE(same_memory(tensors.input(), expected)) << problem.to_string();
  }
}

}  // namespace
}  // namespace fastconv::testing
