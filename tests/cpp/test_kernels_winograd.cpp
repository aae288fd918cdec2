/// The kernels of Winograd's convolution against the matrices that they stand for, with every
/// buffer as small as their description allows.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "forced_isa.hpp"
#include "guarded_buffer.hpp"
#include "kernels/kernel_table.hpp"
#include "kernels/winograd_points.hpp"
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
constexpr double kNa = 2 * kP * (kP - kQ);
constexpr double kNb = 2 * kQ * (kQ - kP);
const Matrix kSourceMatrix{{kP * kQ, 0, -(kP + kQ), 0, 1, 0}, {0, -kA * kQ, -kQ, kA, 1, 0},
                           {0, kA * kQ, -kQ, -kA, 1, 0},      {0, -kB * kP, -kP, kB, 1, 0},
                           {0, kB * kP, -kP, -kB, 1, 0},      {0, kP * kQ, 0, -(kP + kQ), 0, 1}};
const Matrix kWeightMatrix{{1 / (kP * kQ), 0, 0},          {1 / kNa, kA / kNa, kP / kNa},
                           {1 / kNa, -kA / kNa, kP / kNa}, {1 / kNb, kB / kNb, kQ / kNb},
                           {1 / kNb, -kB / kNb, kQ / kNb}, {0, 0, 1}};
const Matrix kSumMatrix{{1, 1, 1, 1, 1, 0},
                        {0, kA, -kA, kB, -kB, 0},
                        {0, kP, kP, kQ, kQ, 0},
                        {0, kA * kP, -kA * kP, kB * kQ, -kB * kQ, 1}};

/// The three matrices belong together: A^T [(G g) * (B^T d)] is the correlation of d with g.
TEST(WinogradMatrices, GiveTheCorrelation) {
  const std::vector<double> taps{2, -3, 5};
  const std::vector<double> inputs{1, 4, -2, 7, 3, -6};
  const Matrix weights = product(kWeightMatrix, transposed({taps}));
  Matrix products = product(kSourceMatrix, transposed({inputs}));
  for (std::size_t f = 0; f < 6; ++f) products[f][0] *= weights[f][0];
  const Matrix outputs = product(kSumMatrix, products);
  for (std::size_t o = 0; o < 4; ++o) {
    const double expected = taps[0] * inputs[o] + taps[1] * inputs[o + 1] + taps[2] * inputs[o + 2];
    EXPECT_NEAR(outputs[o][0], expected, 1e-12);
  }
}

TYPED_TEST(WinogradKernelTest, SourceIsTransformedByItsMatrix) {
  using T = TypeParam;
  for (const std::int64_t tiles : {1, 2, 5}) {
    for (const Side side : kSides) {
      const std::int64_t pixel_pitch = this->lanes_ + 1;
      const std::int64_t row_pitch = (4 * tiles + 2) * pixel_pitch + 3;
      const std::int64_t tile_pitch = this->lanes_ + 2;
      const std::int64_t frequency_pitch = tiles * tile_pitch + 1;
      GuardedArray<T> source(5 * row_pitch + (4 * tiles + 1) * pixel_pitch + this->lanes_, side);
      GuardedArray<T> to(35 * frequency_pitch + (tiles - 1) * tile_pitch + this->lanes_, side);
      fill_random(source, this->random_);
      fill_random(to, this->random_);
      this->kernels_.winograd.source(source.data(), row_pitch, pixel_pitch, tiles, to.data(),
                                     tile_pitch, frequency_pitch);
      for (std::int64_t tile = 0; tile < tiles; ++tile) {
        for (std::int64_t lane = 0; lane < this->lanes_; ++lane) {
          Matrix window(6, std::vector<double>(6));
          for (std::size_t h = 0; h < 6; ++h) {
            for (std::size_t w = 0; w < 6; ++w) {
              window[h][w] = source[static_cast<std::int64_t>(h) * row_pitch +
                                    (4 * tile + static_cast<std::int64_t>(w)) * pixel_pitch + lane];
            }
          }
          const Matrix expected =
              product(product(kSourceMatrix, window), transposed(kSourceMatrix));
          for (std::size_t f = 0; f < 36; ++f) {
            ASSERT_NEAR(
                to[static_cast<std::int64_t>(f) * frequency_pitch + tile * tile_pitch + lane],
                expected[f / 6][f % 6], this->tolerance(500));
          }
        }
      }
    }
  }
}

TYPED_TEST(WinogradKernelTest, WeightsAreTransformedByTheirMatrix) {
  using T = TypeParam;
  constexpr std::int64_t kSources = 3;
  for (const bool mirrored : {false, true}) {
    for (const Side side : kSides) {
      const std::int64_t tap_pitch = this->lanes_;
      const std::int64_t to_pitch = this->lanes_ + 2;
      const std::int64_t frequency_pitch = kSources * to_pitch + 1;
      GuardedArray<T> weights(kSources * 9 * tap_pitch, side);
      GuardedArray<T> to(35 * frequency_pitch + (kSources - 1) * to_pitch + this->lanes_, side);
      fill_random(weights, this->random_);
      this->kernels_.winograd.weights(mirrored ? weights.data() + 8 * tap_pitch : weights.data(),
                                      mirrored ? -tap_pitch : tap_pitch, 9 * tap_pitch, kSources,
                                      to.data(), to_pitch, frequency_pitch);
      for (std::int64_t s = 0; s < kSources; ++s) {
        for (std::int64_t lane = 0; lane < this->lanes_; ++lane) {
          Matrix taps(3, std::vector<double>(3));
          for (std::size_t t = 0; t < 9; ++t) {
            const auto tap = static_cast<std::int64_t>(mirrored ? 8 - t : t);
            taps[t / 3][t % 3] = weights[(s * 9 + tap) * tap_pitch + lane];
          }
          const Matrix expected = product(product(kWeightMatrix, taps), transposed(kWeightMatrix));
          for (std::size_t f = 0; f < 36; ++f) {
            ASSERT_NEAR(to[static_cast<std::int64_t>(f) * frequency_pitch + s * to_pitch + lane],
                        expected[f / 6][f % 6], this->tolerance(10));
          }
        }
      }
    }
  }
}

TYPED_TEST(WinogradKernelTest, SumsAreTransformedByTheirMatrix) {
  using T = TypeParam;
  constexpr std::int64_t kTiles = 3;
  for (const bool with_bias : {false, true}) {
    for (const Side side : kSides) {
      const std::int64_t tile_pitch = this->lanes_ + 1;
      const std::int64_t frequency_pitch = kTiles * tile_pitch + 2;
      const std::int64_t pixel_pitch = this->lanes_ + 3;
      const std::int64_t row_pitch = 4 * kTiles * pixel_pitch + 1;
      GuardedArray<T> sums(35 * frequency_pitch + (kTiles - 1) * tile_pitch + this->lanes_, side);
      GuardedArray<T> bias(this->lanes_, side);
      GuardedArray<T> to(3 * row_pitch + (4 * kTiles - 1) * pixel_pitch + this->lanes_, side);
      fill_random(sums, this->random_);
      fill_random(bias, this->random_);
      EXPECT_TRUE(this->kernels_.winograd.sums(sums.data(), tile_pitch, frequency_pitch, kTiles,
                                               with_bias ? bias.data() : nullptr, to.data(),
                                               row_pitch, pixel_pitch));
      for (std::int64_t tile = 0; tile < kTiles; ++tile) {
        for (std::int64_t lane = 0; lane < this->lanes_; ++lane) {
          Matrix products(6, std::vector<double>(6));
          for (std::size_t f = 0; f < 36; ++f) {
            products[f / 6][f % 6] =
                sums[static_cast<std::int64_t>(f) * frequency_pitch + tile * tile_pitch + lane];
          }
          const Matrix expected = product(product(kSumMatrix, products), transposed(kSumMatrix));
          for (std::size_t i = 0; i < 4; ++i) {
            for (std::size_t j = 0; j < 4; ++j) {
              ASSERT_NEAR(to[static_cast<std::int64_t>(i) * row_pitch +
                             (4 * tile + static_cast<std::int64_t>(j)) * pixel_pitch + lane],
                          expected[i][j] + (with_bias ? static_cast<double>(bias[lane]) : 0.0),
                          this->tolerance(500));
            }
          }
        }
      }
      sums[35 * frequency_pitch + tile_pitch + this->lanes_ - 1] =
          std::numeric_limits<T>::infinity();
      EXPECT_FALSE(this->kernels_.winograd.sums(sums.data(), tile_pitch, frequency_pitch, kTiles,
                                                nullptr, to.data(), row_pitch, pixel_pitch));
    }
  }
}

}  // namespace
}  // namespace fastconv::testing
