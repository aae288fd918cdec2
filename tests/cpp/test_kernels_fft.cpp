/// The kernels of the transform engine, and the transforms of tiles, against the formulas that they
/// stand for, with every buffer as small as its description allows.
#include <gtest/gtest.h>

#include <cmath>
#include <complex>
#include <limits>
#include <numbers>
#include <vector>

#include "fft/tile_transform.hpp"
#include "forced_isa.hpp"
#include "guarded_buffer.hpp"
#include "typed_numbers.hpp"

namespace fastconv::testing {
namespace {

using Complex = std::complex<double>;

constexpr Side kSides[] = {Side::end, Side::start};

Complex turn(std::int64_t numerator, std::int64_t denominator) {
  const double angle = -2.0 * std::numbers::pi * static_cast<double>(numerator % denominator) /
                       static_cast<double>(denominator);
  return {std::cos(angle), std::sin(angle)};
}

/// The sum of the definition.
std::vector<Complex> plain_transform(const std::vector<Complex>& numbers) {
  const auto length = static_cast<std::int64_t>(numbers.size());
  std::vector<Complex> result(numbers.size());
  for (std::int64_t k = 0; k < length; ++k) {
    for (std::int64_t j = 0; j < length; ++j) {
      result[static_cast<std::size_t>(k)] +=
          numbers[static_cast<std::size_t>(j)] * turn(j * k, length);
    }
  }
  return result;
}

template <class T>
class FftKernelTest : public ::testing::Test {
 protected:
  const TypedKernels<T>& kernels_ = active_kernels().typed<T>();
  const std::int64_t lanes_ = kernels_.lanes;
  std::mt19937_64 random_{19650401};

  /// Numbers of a few units that went through the stages of `points`.
  static double tolerance(std::int64_t points) {
    return 40.0 * std::sqrt(static_cast<double>(points)) *
           (2.0 + std::log2(static_cast<double>(points))) *
           static_cast<double>(std::numeric_limits<T>::epsilon());
  }
  /// Lane by lane from memory where numbers are `step` apart.
  std::vector<Complex> lane(const T* re, const T* im, std::int64_t step, std::int64_t count,
                            std::int64_t at) const {
    std::vector<Complex> numbers;
    for (std::int64_t i = 0; i < count; ++i) {
      numbers.emplace_back(re[i * step + at], im[i * step + at]);
    }
    return numbers;
  }
  static void expect_near(const std::vector<Complex>& result, const std::vector<Complex>& expected,
                          double tolerance, const std::string& what) {
    ASSERT_EQ(result.size(), expected.size());
    for (std::size_t i = 0; i < result.size(); ++i) {
      ASSERT_NEAR(std::abs(result[i] - expected[i]), 0.0, tolerance) << what << ", number " << i;
    }
  }
  void check_transform(std::int64_t length, bool twist_in, bool twist_out, bool in_place, Side side,
                       bool compact);
};
using FloatingTypes = ::testing::Types<float, double>;
TYPED_TEST_SUITE(FftKernelTest, FloatingTypes, ComputeTypeName);

template <class T>
void FftKernelTest<T>::check_transform(std::int64_t length, bool twist_in, bool twist_out,
                                       bool in_place, Side side, bool compact) {
  constexpr std::int64_t kCount = 3;
  std::vector<Complex> twist;
  for (std::int64_t i = 0; i < length; ++i) twist.push_back(turn(i * 3 + 1, 7 * length));
  const fft::LaneTransformTables<T> tables(length, twist_in ? twist : std::vector<Complex>(),
                                           twist_out ? twist : std::vector<Complex>());
  const std::int64_t step = 2 * lanes_ + (compact ? 0 : 3);
  const std::int64_t size = length * step;
  GuardedArray<T> in(kCount * size, side);
  GuardedArray<T> separate(kCount * size, side);
  GuardedArray<T> scratch(tables.scratch_size(lanes_), side);
  fill_random(in, random_);
  const std::vector<T> before(in.begin(), in.end());
  T* out = in_place ? in.data() : separate.data();
  kernels_.fft.transform(tables.transform(), kCount, {in.data(), in.data() + lanes_, step}, size,
                         {out, out + lanes_, step}, size, scratch.data());
  for (std::int64_t i = 0; i < kCount; ++i) {
    for (std::int64_t at = 0; at < lanes_; ++at) {
      const T* first = before.data() + i * size;
      std::vector<Complex> numbers = lane(first, first + lanes_, step, length, at);
      for (std::size_t j = 0; twist_in && j < numbers.size(); ++j) numbers[j] *= twist[j];
      std::vector<Complex> expected = plain_transform(numbers);
      for (std::size_t j = 0; twist_out && j < expected.size(); ++j) expected[j] *= twist[j];
      const T* result = out + i * size;
      expect_near(lane(result, result + lanes_, step, length, at), expected, tolerance(length),
                  "length " + std::to_string(length));
    }
  }
  EXPECT_TRUE(scratch.intact());
}

TYPED_TEST(FftKernelTest, TransformIsTheSumOfTheDefinition) {
  for (const std::int64_t length :
       {1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12, 16, 22, 30, 32, 35, 64, 77}) {
    for (const Side side : kSides) {
      for (const bool in_place : {false, true}) {
        for (const bool compact : {false, true}) {
          this->check_transform(length, false, false, in_place, side, compact);
          this->check_transform(length, true, false, in_place, side, compact);
          this->check_transform(length, false, true, in_place, side, compact);
        }
      }
    }
  }
  for (const std::int64_t length : {128, 243, 512}) {
    this->check_transform(length, false, false, true, Side::end, true);
  }
}

TYPED_TEST(FftKernelTest, EveryRadixIsListed) {
  for (const int radix : kTransformRadices) EXPECT_TRUE(fft::is_supported_length(radix)) << radix;
  EXPECT_FALSE(fft::is_supported_length(13));
  EXPECT_EQ(fft::next_supported_length(13), 14);
}

TYPED_TEST(FftKernelTest, MultiplyIsLaneByLane) {
  using T = TypeParam;
  const std::int64_t lanes = this->lanes_;
  for (const std::int64_t count : {1, 2, 5}) {
    for (const Side side : kSides) {
      GuardedArray<T> values(2 * count * lanes, side);
      GuardedArray<T> factors(2 * count * lanes, side);
      fill_random(values, this->random_);
      fill_random(factors, this->random_);
      const std::vector<T> before(values.begin(), values.end());
      this->kernels_.fft.multiply({values.data(), values.data() + lanes, 2 * lanes},
                                  {factors.data(), factors.data() + lanes, 2 * lanes}, count);
      for (std::int64_t at = 0; at < lanes; ++at) {
        const auto a = this->lane(before.data(), before.data() + lanes, 2 * lanes, count, at);
        const auto b = this->lane(factors.data(), factors.data() + lanes, 2 * lanes, count, at);
        const auto c = this->lane(values.data(), values.data() + lanes, 2 * lanes, count, at);
        for (std::size_t i = 0; i < c.size(); ++i) ASSERT_EQ(c[i], a[i] * b[i]);
      }
    }
  }
}

TYPED_TEST(FftKernelTest, ColumnsAreSplitAndJoined) {
  using T = TypeParam;
  const std::int64_t lanes = this->lanes_;
  for (std::int64_t columns = 1; columns <= lanes; ++columns) {
    for (const std::int64_t rows : {1, 3}) {
      for (const Side side : kSides) {
        const std::int64_t pitch = 2 * columns + 5;
        GuardedArray<T> matrix((rows - 1) * pitch + 2 * columns, side);
        GuardedArray<T> parts(2 * rows * lanes, side);
        GuardedArray<T> joined((rows - 1) * pitch + 2 * columns, side);
        fill_random(matrix, this->random_);
        fill_random(joined, this->random_);
        std::vector<T> expected(joined.begin(), joined.end());
        const ComplexVectors<T> to{parts.data(), parts.data() + lanes, 2 * lanes};
        this->kernels_.fft.split_columns(matrix.data(), pitch, rows, columns, to);
        for (std::int64_t row = 0; row < rows; ++row) {
          for (std::int64_t column = 0; column < lanes; ++column) {
            for (std::int64_t part = 0; part < 2; ++part) {
              const std::int64_t from = row * pitch + 2 * column + part;
              ASSERT_EQ(parts[(2 * row + part) * lanes + column],
                        column < columns ? matrix[from] : T(0));
              if (column < columns) expected[static_cast<std::size_t>(from)] = matrix[from];
            }
          }
        }
        this->kernels_.fft.join_columns({to.re, to.im, to.step}, rows, columns, joined.data(),
                                        pitch);
        ASSERT_TRUE(std::ranges::equal(joined, expected)) << columns << " columns";
      }
    }
  }
}

/// The spectrum of 2 m real numbers by the definition, and that of m complex ones.
TYPED_TEST(FftKernelTest, SpectraOfRealNumbersGoThereAndBack) {
  using T = TypeParam;
  const std::int64_t lanes = this->lanes_;
  for (const std::int64_t half : {1, 2, 3, 4, 5, 8, 15, 16, 31, 32, 33, 63, 64, 97}) {
    for (const Side side : kSides) {
      std::vector<T> forward;
      std::vector<T> back;
      const double scale = 0.5 / static_cast<double>(half);
      // One transform reads whole vectors of factors.
      for (std::int64_t k = 0; k < half / 2 + 1 + lanes; ++k) {
        const Complex there = Complex(0.0, -0.5) * turn(k, 2 * half);
        const Complex again = Complex(0.0, scale) * std::conj(turn(k, 2 * half));
        forward.insert(forward.end(), {static_cast<T>(there.real()), static_cast<T>(there.imag())});
        back.insert(back.end(), {static_cast<T>(again.real()), static_cast<T>(again.imag())});
      }
      GuardedArray<T> numbers(2 * lanes * (half + 1), side);
      GuardedArray<T> row(2 * (half + 1), side);
      fill_random(numbers, this->random_);
      std::vector<std::vector<Complex>> halves;
      std::vector<std::vector<Complex>> spectra;
      for (std::int64_t at = 0; at < lanes; ++at) {
        const auto pairs = this->lane(numbers.data(), numbers.data() + lanes, 2 * lanes, half, at);
        std::vector<Complex> real;
        for (const Complex& pair : pairs) {
          real.insert(real.end(), {Complex(pair.real()), Complex(pair.imag())});
        }
        halves.push_back(plain_transform(pairs));
        spectra.push_back(plain_transform(real));
        spectra.back().resize(static_cast<std::size_t>(half + 1));
        for (std::int64_t k = 0; k < half; ++k) {
          const Complex& number = halves.back()[static_cast<std::size_t>(k)];
          numbers[2 * k * lanes + at] = static_cast<T>(number.real());
          numbers[(2 * k + 1) * lanes + at] = static_cast<T>(number.imag());
          if (at > 0) continue;
          row[k] = static_cast<T>(number.real());
          row[half + 1 + k] = static_cast<T>(number.imag());
        }
      }
      const ComplexVectors<T> parts{numbers.data(), numbers.data() + lanes, 2 * lanes};
      const SplitRow<T> split{row.data(), row.data() + half + 1};
      const double tolerance = this->tolerance(2 * half);
      const std::string what = std::to_string(half) + " pairs";
      this->kernels_.fft.real_spectrum({parts.re, parts.im, parts.step}, half, forward.data(),
                                       parts);
      this->kernels_.fft.real_spectrum_row({split.re, split.im}, half, T(0.5), forward.data(),
                                           split);
      for (std::int64_t at = 0; at < lanes; ++at) {
        this->expect_near(this->lane(parts.re, parts.im, parts.step, half + 1, at),
                          spectra[static_cast<std::size_t>(at)], tolerance, what);
      }
      this->expect_near(this->lane(split.re, split.im, 1, half + 1, 0), spectra[0], tolerance,
                        what);
      this->kernels_.fft.half_spectrum({parts.re, parts.im, parts.step}, half,
                                       static_cast<T>(scale), back.data(), parts);
      this->kernels_.fft.half_spectrum_row({split.re, split.im}, half, static_cast<T>(scale),
                                           back.data(), split);
      for (auto& numbers_of_lane : halves) {
        for (Complex& number : numbers_of_lane) number *= 2.0 * scale;
      }
      for (std::int64_t at = 0; at < lanes; ++at) {
        this->expect_near(this->lane(parts.re, parts.im, parts.step, half, at),
                          halves[static_cast<std::size_t>(at)], tolerance, what);
      }
      this->expect_near(this->lane(split.re, split.im, 1, half, 0), halves[0], tolerance, what);
    }
  }
}

TYPED_TEST(FftKernelTest, ComplexProductsAreSumsOfConjugateProducts) {
  using T = TypeParam;
  const std::int64_t lanes = this->lanes_;
  ASSERT_GT(this->kernels_.complex_product.count, 0);
  for (const ComplexProductKernel<T>& kernel : this->kernels_.complex_product) {
    for (const std::int64_t layers : {1, 3}) {
      for (const std::int64_t depth : {1, 2, 7}) {
        for (const Side side : kSides) {
          for (const bool adds : {false, true}) {
            const std::int64_t number = 2 * lanes;
            const auto matrix = [&](GuardedArray<T>& data, std::int64_t rows,
                                    std::int64_t columns) {
              return ComplexMatrix<T>{data.data(), columns * number + 1, number,
                                      rows * (columns * number + 1)};
            };
            const auto size = [&](std::int64_t rows, std::int64_t columns) {
              return layers * rows * (columns * number + 1) - 1;
            };
            GuardedArray<T> left_data(size(kernel.rows, depth), side);
            GuardedArray<T> right_data(size(kernel.columns, depth), side);
            GuardedArray<T> out_data(size(kernel.rows, kernel.columns), side);
            fill_random(left_data, this->random_);
            fill_random(right_data, this->random_);
            fill_random(out_data, this->random_);
            std::vector<T> expected(out_data.begin(), out_data.end());
            const auto left = matrix(left_data, kernel.rows, depth);
            const auto right = matrix(right_data, kernel.columns, depth);
            const auto out = matrix(out_data, kernel.rows, kernel.columns);
            const auto at = [lanes](const ComplexMatrix<T>& of, const T* data, std::int64_t layer,
                                    std::int64_t row, std::int64_t column, std::int64_t lane) {
              const T* first =
                  data + layer * of.layer_step + row * of.row_step + column * of.column_step;
              return Complex(first[lane], first[lanes + lane]);
            };
            for (std::int64_t layer = 0; layer < layers; ++layer) {
              for (std::int64_t i = 0; i < kernel.rows; ++i) {
                for (std::int64_t j = 0; j < kernel.columns; ++j) {
                  for (std::int64_t lane = 0; lane < lanes; ++lane) {
                    Complex sum = adds ? at(out, out.data, layer, i, j, lane) : Complex();
                    for (std::int64_t r = 0; r < depth; ++r) {
                      sum += at(left, left.data, layer, i, r, lane) *
                             std::conj(at(right, right.data, layer, j, r, lane));
                    }
                    T* to = expected.data() + layer * out.layer_step + i * out.row_step +
                            j * out.column_step;
                    to[lane] = static_cast<T>(sum.real());
                    to[lanes + lane] = static_cast<T>(sum.imag());
                  }
                }
              }
            }
            kernel.run(layers, depth, {left.data, left.row_step, left.column_step, left.layer_step},
                       {right.data, right.row_step, right.column_step, right.layer_step}, out,
                       adds);
            // The gaps between rows hold NaN in neither.
            for (std::size_t i = 0; i < expected.size(); ++i) {
              ASSERT_EQ(out_data[static_cast<std::int64_t>(i)], expected[i])
                  << kernel.rows << " x " << kernel.columns << ", depth " << depth;
            }
          }
        }
      }
    }
  }
}

/// Every size of tile has a kernel of one row and one column, so that any matrix can be cut.
TYPED_TEST(FftKernelTest, ComplexProductsEndWithOneByOne) {
  const auto& kernels = this->kernels_.complex_product;
  const auto& last = kernels.first[kernels.count - 1];
  EXPECT_EQ(last.rows, 1);
  EXPECT_EQ(last.columns, 1);
}

/// correlation[j] = sum_a tile[j + a] * kernel[a], through spectra; around the end of columns and
/// of what is cyclic. Rows of sequences are whole vectors.
TYPED_TEST(FftKernelTest, TilesCorrelate) {
  using T = TypeParam;
  const fft::TileSize sizes[] = {{1, 2, 1},
                                 {1, 4, 3},
                                 {1, 8, 8},
                                 {1, 16, 16},
                                 {1, 12, 7},
                                 {1, 32, 5},
                                 {3, 4, 5},
                                 {2, 8, 9},
                                 {1, 6, 33},
                                 {5, 2, 7},
                                 {1, 8, 16, true},
                                 {1, 16, 32, true},
                                 {1, 10, 48, true},
                                 {1, 64, 32, true},
                                 {1, 2, 3, false, true},
                                 {1, 8, 9, false, true},
                                 {1, 32, 32, false, true},
                                 {1, 66, 5, false, true},
                                 {3, 4, 5, false, true},
                                 {2, 12, 33, false, true},
                                 {1, 2, 16, true, true},
                                 {1, 8, 16, true, true},
                                 {1, 30, 48, true, true},
                                 {1, 64, 32, true, true}};
  for (const fft::TileSize& size : sizes) {
    const fft::TileTransform<T> transform(size, this->kernels_);
    const std::int64_t pitch = transform.pitch();
    const std::int64_t layer_step = transform.number_size() + 3;
    // Sizes of the kernel: a third along each axis; a sequence has one axis.
    const std::int64_t all = size.points();
    const fft::TileSize box = size.sequence ? fft::TileSize{1, 1, all}
                                            : fft::TileSize{size.depth, size.rows, size.columns};
    // Positions along an axis whose windows are compared: all where it is a circle.
    const auto positions = [](std::int64_t n, std::int64_t kernel, bool circle) {
      return circle ? n : n - kernel + 1;
    };
    const auto third = [](std::int64_t n) { return (n + 2) / 3; };
    const fft::TileSize taps{third(box.depth), third(box.rows), third(box.columns)};
    const auto index = [&](std::int64_t d, std::int64_t h, std::int64_t w) {
      return size.sequence ? w : (d * size.rows + h) * pitch + w;
    };
    for (const Side side : kSides) {
      GuardedArray<T> tile(transform.plane_size(), side);
      GuardedArray<T> kernel(transform.plane_size(), side);
      GuardedArray<T> result(transform.plane_size(), side);
      GuardedArray<T> spectrum((transform.layers() - 1) * layer_step + transform.number_size(),
                               side);
      GuardedArray<T> weights((transform.layers() - 1) * layer_step + transform.number_size(),
                              side);
      GuardedArray<T> scratch(transform.scratch_size(), side);
      fill_random(tile, this->random_);
      std::fill(kernel.begin(), kernel.end(), T(0));
      for (std::int64_t d = 0; d < taps.depth; ++d) {
        for (std::int64_t h = 0; h < taps.rows; ++h) {
          for (std::int64_t w = 0; w < taps.columns; ++w) {
            kernel[index(d, h, w)] = random_number<T>(this->random_);
          }
        }
      }
      transform.forward(tile.data(), size.columns, spectrum.data(), layer_step, scratch.data());
      transform.forward(kernel.data(), size.columns, weights.data(), layer_step, scratch.data());
      const ComplexProductKernel<T>& product =
          this->kernels_.complex_product.first[this->kernels_.complex_product.count - 1];
      product.run(transform.layers(), 1, {spectrum.data(), 0, 0, layer_step},
                  {weights.data(), 0, 0, layer_step}, {spectrum.data(), 0, 0, layer_step}, false);
      transform.inverse(spectrum.data(), layer_step, size.columns, result.data(), scratch.data());
      const std::int64_t rows = positions(box.rows, taps.rows, size.cyclic);
      const std::int64_t columns =
          positions(box.columns, taps.columns, size.cyclic || !size.sequence);
      for (std::int64_t d = 0; d < box.depth; ++d) {
        for (std::int64_t h = 0; h < rows; ++h) {
          for (std::int64_t w = 0; w < columns; ++w) {
            double expected = 0;
            for (std::int64_t a = 0; a < taps.depth; ++a) {
              for (std::int64_t b = 0; b < taps.rows; ++b) {
                for (std::int64_t c = 0; c < taps.columns; ++c) {
                  const T value =
                      tile[index((d + a) % box.depth, (h + b) % box.rows, (w + c) % box.columns)];
                  expected +=
                      static_cast<double>(value) * static_cast<double>(kernel[index(a, b, c)]);
                }
              }
            }
            ASSERT_NEAR(static_cast<double>(result[index(d, h, w)]), expected,
                        20 * this->tolerance(all))
                << size.depth << "x" << size.rows << "x" << size.columns
                << (size.cyclic ? ", cyclic" : "") << " at " << d << ", " << h << ", " << w;
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace fastconv::testing
