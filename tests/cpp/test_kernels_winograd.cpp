/// The kernels of Winograd's convolution against the matrices that they stand for, with every
/// buffer as small as their description allows.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <limits>
#include <utility>
#include <vector>

#include "forced_isa.hpp"
#include "guarded_buffer.hpp"
#include "kernels/kernel_table.hpp"
#include "typed_numbers.hpp"

namespace fastconv::testing {
namespace {

constexpr Side kSides[] = {Side::end, Side::start};

template <class T>
class WinogradKernelTest : public ::testing::Test {
 protected:
  const TypedKernels<T>& kernels_ = active_kernels().typed<T>();
  const std::int64_t lanes_ = kernels_.lanes;
  std::mt19937_64 random_{20150910};

  /// A few units in the last place of sums of this size.
  static double tolerance(double size) {
    return 16.0 * size * static_cast<double>(std::numeric_limits<T>::epsilon());
  }
};
using FloatingTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(WinogradKernelTest, FloatingTypes, ComputeTypeName);

TYPED_TEST(WinogradKernelTest, MatrixProductIsThePlainSum) {
  using T = TypeParam;
  ASSERT_GT(this->kernels_.matrix_product.count, 0);
  for (const MatrixProductKernel<T>& kernel : this->kernels_.matrix_product) {
    const std::int64_t width = kernel.vectors * this->lanes_;
    for (const std::int64_t depth : {1, 2, 7, 64}) {
      for (const Side side : kSides) {
        for (const bool adds : {false, true}) {
          const std::int64_t left_pitch = depth + 3;
          const std::int64_t out_pitch = width + 5;
          GuardedArray<T> left((kernel.rows - 1) * left_pitch + depth, side);
          GuardedArray<T> right(depth * width, side);
          GuardedArray<T> out((kernel.rows - 1) * out_pitch + width, side);
          fill_random(left, this->random_);
          fill_random(right, this->random_);
          fill_random(out, this->random_);
          std::vector<T> expected(out.begin(), out.end());
          for (std::int64_t m = 0; m < kernel.rows; ++m) {
            for (std::int64_t column = 0; column < width; ++column) {
              T& sum = expected[static_cast<std::size_t>(m * out_pitch + column)];
              if (!adds) sum = T(0);
              for (std::int64_t r = 0; r < depth; ++r) {
                sum += left[m * left_pitch + r] * right[r * width + column];
              }
            }
          }
          kernel.run(left.data(), left_pitch, right.data(), depth, out.data(), out_pitch, adds);
          ASSERT_TRUE(std::ranges::equal(out, expected))
              << kernel.rows << " rows, " << kernel.vectors << " vectors, depth " << depth;
        }
      }
    }
  }
}

/// Every number of vectors up to the most has kernels, so that panels of any width can be cut.
TYPED_TEST(WinogradKernelTest, MatrixProductsHaveEveryWidth) {
  int most = 0;
  for (const auto& kernel : this->kernels_.matrix_product) {
    most = std::max(most, kernel.vectors);
    EXPECT_LE(kernel.rows, 8);
  }
  for (int vectors = 1; vectors <= most; ++vectors) {
    EXPECT_TRUE(std::ranges::any_of(this->kernels_.matrix_product, [&](const auto& kernel) {
      return kernel.vectors == vectors;
    })) << vectors;
  }
}

TYPED_TEST(WinogradKernelTest, VectorsHoldTheChannelsOfPixels) {
  using T = TypeParam;
  for (std::int64_t channels = 1; channels <= this->lanes_; ++channels) {
    for (const std::int64_t pixels : {1, 2, 7, 16, 17, 33}) {
      for (const Side side : kSides) {
        for (const bool planes : {false, true}) {
          const std::int64_t pitch = (planes ? pixels : channels) + 2;
          GuardedArray<T> from(
              planes ? (channels - 1) * pitch + pixels : (pixels - 1) * pitch + channels, side);
          const std::int64_t to_pitch = this->lanes_ + 1;
          GuardedArray<T> to((pixels - 1) * to_pitch + this->lanes_, side);
          fill_random(from, this->random_);
          fill_random(to, this->random_);
          std::vector<T> expected(to.begin(), to.end());
          for (std::int64_t i = 0; i < pixels; ++i) {
            for (std::int64_t c = 0; c < this->lanes_; ++c) {
              expected[static_cast<std::size_t>(i * to_pitch + c)] =
                  c >= channels ? T(0) : from[planes ? c * pitch + i : i * pitch + c];
            }
          }
          if (planes) {
            this->kernels_.vectors_from_planes(from.data(), pitch, {channels, pixels}, to.data(),
                                               to_pitch);
          } else {
            this->kernels_.vectors_from_pixels(from.data(), pitch, {pixels, channels}, to.data(),
                                               to_pitch);
          }
          ASSERT_TRUE(std::ranges::equal(to, expected))
              << channels << " channels, " << pixels << " pixels, planes " << planes;
        }
      }
    }
  }
}

using Matrix = std::vector<std::vector<double>>;

Matrix product(const Matrix& a, const Matrix& b) {
  Matrix result(a.size(), std::vector<double>(b.front().size()));
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < b.front().size(); ++j) {
      for (std::size_t k = 0; k < b.size(); ++k) result[i][j] += a[i][k] * b[k][j];
    }
  }
  return result;
}

Matrix transposed(const Matrix& a) {
  Matrix result(a.front().size(), std::vector<double>(a.size()));
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (std::size_t j = 0; j < a.front().size(); ++j) result[j][i] = a[i][j];
  }
  return result;
}

constexpr double kA = winograd::kInnerPoint;
constexpr double kB = winograd::kOuterPoint;
constexpr double kP = kA * kA;
constexpr double kQ = kB * kB;
constexpr double kR = 1 / (kP * kQ);
constexpr double kS = 1 / (2 * kP * (kP - kQ));
constexpr double kT = 1 / (2 * kQ * (kQ - kP));
const Matrix kSourceMatrix{{kP * kQ, 0, -(kP + kQ), 0, 1, 0}, {0, -kA * kQ, -kQ, kA, 1, 0},
                           {0, kA * kQ, -kQ, -kA, 1, 0},      {0, -kB * kP, -kP, kB, 1, 0},
                           {0, kB * kP, -kP, -kB, 1, 0},      {0, kP * kQ, 0, -(kP + kQ), 0, 1}};
const Matrix kWeightMatrix{{1, 0, 0},   {1, kA, kP},  {1, -kA, kP},
                           {1, kB, kQ}, {1, -kB, kQ}, {0, 0, 1}};
const Matrix kSumMatrix{{kR, kS, kS, kT, kT, 0},
                        {0, kS * kA, -kS * kA, kT * kB, -kT * kB, 0},
                        {0, kS * kP, kS * kP, kT * kQ, kT * kQ, 0},
                        {0, kS * kA * kP, -kS * kA * kP, kT * kB * kQ, -kT * kB * kQ, 1}};

/// The matrices of an axis.
struct AxisMatrices {
  explicit AxisMatrices(const winograd::TileAxis& axis)
      : source(zeros(axis.frequencies, axis.inputs)),
        weight(zeros(axis.frequencies, axis.taps)),
        sums(zeros(axis.outputs, axis.frequencies)) {
    using namespace winograd;
    if (axis == kPlainAxis) {
      source = weight = sums = {{1}};
    } else if (axis == kTwoTapsAxis) {
      add_two_taps(0, {0, 1}, {0, 1}, {0, 1});
    } else if (axis == kThreeTapsAxis) {
      source = kSourceMatrix;
      weight = kWeightMatrix;
      sums = kSumMatrix;
    } else if (axis == kStridedThreeAxis) {
      add_two_taps(0, {0, 2}, {0, 2}, {0, 1});
      add_one_tap(5, {1, 2}, 1, {0, 1});
    } else if (axis == kStridedFourAxis) {
      add_two_taps(0, {0, 2}, {0, 2}, {0, 1});
      add_two_taps(5, {1, 2}, {1, 3}, {0, 1});
    } else if (axis == kSpreadThreeAxis) {
      add_two_taps(0, {0, 1}, {0, 2}, {1, 2});
      add_one_tap(5, {0, 1}, 1, {0, 2});
    } else {
      EXPECT_EQ(axis, kSpreadFourAxis);
      add_two_taps(0, {0, 1}, {0, 2}, {0, 2});
      add_two_taps(5, {1, 1}, {1, 3}, {1, 2});
    }
  }

  Matrix source;
  Matrix weight;
  Matrix sums;

 private:
  struct Steps {
    std::size_t first;
    std::size_t step;
  };

  static Matrix zeros(int rows, int columns) {
    return Matrix(static_cast<std::size_t>(rows),
                  std::vector<double>(static_cast<std::size_t>(columns)));
  }

  /// F(4, 2) from a frequency on.
  void add_two_taps(std::size_t frequency, Steps inputs, std::array<std::size_t, 2> taps,
                    Steps outputs) {
    for (std::size_t f = 0; f < 5; ++f) {
      for (std::size_t i = 0; i < 5; ++i) {
        source[frequency + f][inputs.first + i * inputs.step] = kSourceMatrix[f][i];
      }
      for (std::size_t t = 0; t < 2; ++t) weight[frequency + f][taps[t]] = kWeightMatrix[f][t];
      for (std::size_t o = 0; o < 4; ++o) {
        sums[outputs.first + o * outputs.step][frequency + f] = kSumMatrix[o][f];
      }
    }
  }

  void add_one_tap(std::size_t frequency, Steps inputs, std::size_t tap, Steps outputs) {
    for (std::size_t i = 0; i < 4; ++i) {
      source[frequency + i][inputs.first + i * inputs.step] = 1;
      weight[frequency + i][tap] = 1;
      sums[outputs.first + i * outputs.step][frequency + i] = 1;
    }
  }
};

/// What an axis stands for, by the definition.
std::vector<double> correlation(const winograd::TileAxis& axis, const std::vector<double>& inputs,
                                const std::vector<double>& taps) {
  std::vector<double> outputs(static_cast<std::size_t>(axis.outputs));
  for (int o = 0; o < axis.outputs; ++o) {
    for (int t = 0; t < axis.taps; ++t) {
      // Forward output o reads input o * stride + t. Backward that is the other way round, and
      // every second tap falls between the inputs.
      const bool backward = axis.outputs > axis.step;
      int position = o * axis.step / axis.outputs + t;
      if (backward) {
        const int twice = o + t - axis.taps % 2;
        if (twice % 2 != 0) continue;
        position = twice / 2;
      }
      outputs[static_cast<std::size_t>(o)] +=
          taps[static_cast<std::size_t>(t)] * inputs[static_cast<std::size_t>(position)];
    }
  }
  return outputs;
}

/// The three matrices belong together: A^T [(G g) * (B^T d)] is the correlation of d with g.
TEST(WinogradMatrices, GiveTheCorrelation) {
  for (const winograd::TileAxis& axis :
       {winograd::kPlainAxis, winograd::kTwoTapsAxis, winograd::kThreeTapsAxis,
        winograd::kStridedThreeAxis, winograd::kStridedFourAxis, winograd::kSpreadThreeAxis,
        winograd::kSpreadFourAxis}) {
    const AxisMatrices matrices(axis);
    std::vector<double> taps{2, -3, 5, 7};
    std::vector<double> inputs{1, 4, -2, 7, 3, -6, 8, -5, 9, 2};
    taps.resize(static_cast<std::size_t>(axis.taps));
    inputs.resize(static_cast<std::size_t>(axis.inputs));
    const Matrix weights = product(matrices.weight, transposed({taps}));
    Matrix products = product(matrices.source, transposed({inputs}));
    for (std::size_t f = 0; f < products.size(); ++f) products[f][0] *= weights[f][0];
    const Matrix outputs = product(matrices.sums, products);
    const std::vector<double> expected = correlation(axis, inputs, taps);
    for (std::size_t o = 0; o < expected.size(); ++o) {
      EXPECT_NEAR(outputs[o][0], expected[o], 1e-12) << axis.taps << " taps, output " << o;
    }
  }
}

/// Height and width of a block of numbers that a kernel reads or writes, its places in memory.
struct Grid {
  std::int64_t height;
  std::int64_t width;

  Matrix read(auto&& at) const {
    Matrix result(static_cast<std::size_t>(height),
                  std::vector<double>(static_cast<std::size_t>(width)));
    for (std::int64_t h = 0; h < height; ++h) {
      for (std::int64_t w = 0; w < width; ++w) {
        result[static_cast<std::size_t>(h)][static_cast<std::size_t>(w)] = at(h, w);
      }
    }
    return result;
  }

  void expect_near(const Matrix& expected, double tolerance, auto&& at) const {
    for (std::int64_t h = 0; h < height; ++h) {
      for (std::int64_t w = 0; w < width; ++w) {
        ASSERT_NEAR(at(h, w), expected[static_cast<std::size_t>(h)][static_cast<std::size_t>(w)],
                    tolerance)
            << h << ", " << w;
      }
    }
  }
};

TYPED_TEST(WinogradKernelTest, SourceIsTransformedByItsMatrix) {
  using T = TypeParam;
  ASSERT_GT(this->kernels_.winograd.count, 0);
  for (const WinogradKernels<T>& kernels : this->kernels_.winograd) {
    const auto& [rows, columns] = std::pair{kernels.rows, kernels.columns};
    const Matrix row_matrix = AxisMatrices(rows).source;
    const Matrix column_matrix = AxisMatrices(columns).source;
    const std::int64_t frequencies = rows.frequencies * columns.frequencies;
    for (const std::int64_t tiles : {1, 2, 5}) {
      for (const Side side : kSides) {
        const std::int64_t width = columns.step * (tiles - 1) + columns.inputs;
        const std::int64_t pixel_pitch = this->lanes_ + 1;
        const std::int64_t row_pitch = width * pixel_pitch + 3;
        const std::int64_t tile_pitch = this->lanes_ + 2;
        const std::int64_t frequency_pitch = tiles * tile_pitch + 1;
        GuardedArray<T> source(
            (rows.inputs - 1) * row_pitch + (width - 1) * pixel_pitch + this->lanes_, side);
        GuardedArray<T> to(
            (frequencies - 1) * frequency_pitch + (tiles - 1) * tile_pitch + this->lanes_, side);
        fill_random(source, this->random_);
        fill_random(to, this->random_);
        kernels.source(source.data(), row_pitch, pixel_pitch, tiles, to.data(), tile_pitch,
                       frequency_pitch);
        for (std::int64_t tile = 0; tile < tiles; ++tile) {
          for (std::int64_t lane = 0; lane < this->lanes_; ++lane) {
            const Matrix window =
                Grid{rows.inputs, columns.inputs}.read([&](std::int64_t h, std::int64_t w) {
                  return source[h * row_pitch + (columns.step * tile + w) * pixel_pitch + lane];
                });
            Grid{rows.frequencies, columns.frequencies}.expect_near(
                product(product(row_matrix, window), transposed(column_matrix)),
                this->tolerance(500), [&](std::int64_t i, std::int64_t j) {
                  return to[(columns.frequencies * i + j) * frequency_pitch + tile * tile_pitch +
                            lane];
                });
          }
        }
      }
    }
  }
}

TYPED_TEST(WinogradKernelTest, WeightsAreTransformedByTheirMatrix) {
  using T = TypeParam;
  constexpr std::int64_t kSources = 3;
  for (const WinogradKernels<T>& kernels : this->kernels_.winograd) {
    const auto& [rows, columns] = std::pair{kernels.rows, kernels.columns};
    const Matrix row_matrix = AxisMatrices(rows).weight;
    const Matrix column_matrix = AxisMatrices(columns).weight;
    const std::int64_t count = rows.taps * columns.taps;
    const std::int64_t frequencies = rows.frequencies * columns.frequencies;
    for (const bool mirrored : {false, true}) {
      for (const Side side : kSides) {
        const std::int64_t tap_pitch = this->lanes_;
        const std::int64_t to_pitch = this->lanes_ + 2;
        const std::int64_t frequency_pitch = kSources * to_pitch + 1;
        GuardedArray<T> weights(kSources * count * tap_pitch, side);
        GuardedArray<T> to(
            (frequencies - 1) * frequency_pitch + (kSources - 1) * to_pitch + this->lanes_, side);
        fill_random(weights, this->random_);
        kernels.weights(mirrored ? weights.data() + (count - 1) * tap_pitch : weights.data(),
                        mirrored ? -tap_pitch : tap_pitch, count * tap_pitch, kSources, to.data(),
                        to_pitch, frequency_pitch);
        for (std::int64_t s = 0; s < kSources; ++s) {
          for (std::int64_t lane = 0; lane < this->lanes_; ++lane) {
            const Matrix taps = Grid{rows.taps, columns.taps}.read([&](std::int64_t h,
                                                                       std::int64_t w) {
              const std::int64_t tap = columns.taps * h + w;
              return weights[(s * count + (mirrored ? count - 1 - tap : tap)) * tap_pitch + lane];
            });
            Grid{rows.frequencies, columns.frequencies}.expect_near(
                product(product(row_matrix, taps), transposed(column_matrix)), this->tolerance(100),
                [&](std::int64_t i, std::int64_t j) {
                  return to[(columns.frequencies * i + j) * frequency_pitch + s * to_pitch + lane];
                });
          }
        }
      }
    }
  }
}

TYPED_TEST(WinogradKernelTest, SumsAreTransformedByTheirMatrix) {
  using T = TypeParam;
  constexpr std::int64_t kTiles = 3;
  for (const WinogradKernels<T>& kernels : this->kernels_.winograd) {
    const auto& [rows, columns] = std::pair{kernels.rows, kernels.columns};
    const Matrix row_matrix = AxisMatrices(rows).sums;
    const Matrix column_matrix = AxisMatrices(columns).sums;
    const std::int64_t frequencies = rows.frequencies * columns.frequencies;
    for (const bool with_bias : {false, true}) {
      for (const Side side : kSides) {
        const std::int64_t tile_pitch = this->lanes_ + 1;
        const std::int64_t frequency_pitch = kTiles * tile_pitch + 2;
        const std::int64_t pixel_pitch = this->lanes_ + 3;
        const std::int64_t row_pitch = columns.outputs * kTiles * pixel_pitch + 1;
        GuardedArray<T> sums(
            (frequencies - 1) * frequency_pitch + (kTiles - 1) * tile_pitch + this->lanes_, side);
        GuardedArray<T> bias(this->lanes_, side);
        GuardedArray<T> to((rows.outputs - 1) * row_pitch +
                               (columns.outputs * kTiles - 1) * pixel_pitch + this->lanes_,
                           side);
        fill_random(sums, this->random_);
        fill_random(bias, this->random_);
        EXPECT_TRUE(kernels.sums(sums.data(), tile_pitch, frequency_pitch, kTiles,
                                 with_bias ? bias.data() : nullptr, to.data(), row_pitch,
                                 pixel_pitch));
        for (std::int64_t tile = 0; tile < kTiles; ++tile) {
          for (std::int64_t lane = 0; lane < this->lanes_; ++lane) {
            const Matrix products = Grid{rows.frequencies, columns.frequencies}.read(
                [&](std::int64_t i, std::int64_t j) {
                  return sums[(columns.frequencies * i + j) * frequency_pitch + tile * tile_pitch +
                              lane];
                });
            const double added = with_bias ? static_cast<double>(bias[lane]) : 0.0;
            Grid{rows.outputs, columns.outputs}.expect_near(
                product(product(row_matrix, products), transposed(column_matrix)),
                this->tolerance(500), [&](std::int64_t i, std::int64_t j) {
                  return to[i * row_pitch + (columns.outputs * tile + j) * pixel_pitch + lane] -
                         added;
                });
          }
        }
        sums[(frequencies - 1) * frequency_pitch + tile_pitch + this->lanes_ - 1] =
            std::numeric_limits<T>::infinity();
        EXPECT_FALSE(kernels.sums(sums.data(), tile_pitch, frequency_pitch, kTiles, nullptr,
                                  to.data(), row_pitch, pixel_pitch));
      }
    }
  }
}

}  // namespace
}  // namespace fastconv::testing
