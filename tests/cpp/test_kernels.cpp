/// Every microkernel of the active instruction set against a plain loop, with every buffer as
/// small as the kernel's description allows, against an inaccessible page.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "forced_isa.hpp"
#include "guarded_buffer.hpp"
#include "kernels/kernel_table.hpp"
#include "typed_numbers.hpp"

namespace fastconv::testing {
namespace {

constexpr Side kSides[] = {Side::end, Side::start};

template <class T>
class Kernels : public ::testing::Test {
 protected:
  const TypedKernels<T>& kernels_ = active_kernels().typed<T>();
  std::mt19937_64 random_{20240607};

  std::vector<std::int64_t> random_offsets(std::int64_t count, std::int64_t largest) {
    std::vector<std::int64_t> offsets(static_cast<std::size_t>(count));
    for (std::int64_t& offset : offsets) {
      offset = static_cast<std::int64_t>(random_() % static_cast<std::uint64_t>(largest + 1));
    }
    // Both ends of the source are reached.
    if (count > 0) offsets.back() = largest;
    if (count > 1) offsets.front() = 0;
    return offsets;
  }
};
TYPED_TEST_SUITE(Kernels, ComputeTypes, ComputeTypeName);

TYPED_TEST(Kernels, TableHoldsWhatPlansRelyOn) {
  const auto& kernels = this->kernels_;
  ASSERT_GT(kernels.lanes, 0);
  std::set<int> rows{1};
  std::set<int> rows_with_one_vector;
  for (const auto& kernel : kernels.correlation) {
    EXPECT_LE(kernel.vectors, kMaxCorrelationVectors);
    EXPECT_EQ(kernel.rows & (kernel.rows - 1), 0) << "blocks are halved";
    rows.insert(kernel.rows);
    if (kernel.vectors == 1) rows_with_one_vector.insert(kernel.rows);
  }
  EXPECT_EQ(rows, rows_with_one_vector);
  for (int halved = *rows.rbegin(); halved > 1; halved /= 2) EXPECT_TRUE(rows.contains(halved / 2));

  std::set<int> channel_vectors;
  std::set<int> channel_vectors_with_one_pixel;
  for (const auto& kernel : kernels.channel_correlation) {
    EXPECT_LE(kernel.pixels, kMaxCorrelationPixels);
    channel_vectors.insert(kernel.vectors);
    if (kernel.pixels == 1) channel_vectors_with_one_pixel.insert(kernel.vectors);
  }
  EXPECT_EQ(channel_vectors, (std::set<int>{1, 2}));
  EXPECT_EQ(channel_vectors, channel_vectors_with_one_pixel);

  std::set<int> vectors;
  std::set<int> vectors_with_one_row;
  for (const auto& kernel : kernels.outer_product) {
    EXPECT_LE(kernel.rows, 8);
    EXPECT_LE(kernel.vectors * kernels.lanes, 64);
    (kernel.rows == 1 ? vectors_with_one_row : vectors).insert(kernel.vectors);
  }
  EXPECT_TRUE(vectors.contains(1));
  EXPECT_TRUE(std::includes(vectors_with_one_row.begin(), vectors_with_one_row.end(),
                            vectors.begin(), vectors.end()));

  ASSERT_GT(kernels.dot_product.count, 0);
  EXPECT_TRUE(std::is_sorted(kernels.dot_product.begin(), kernels.dot_product.end(),
                             [](const auto& a, const auto& b) { return a.rows > b.rows; }));
  EXPECT_EQ((kernels.dot_product.end() - 1)->rows, 1);
}

/// out[m][lane] of a correlation kernel: `rows` sums m of `width` lanes.
struct CorrelationCase {
  std::int64_t rows;
  std::int64_t width;
  std::int64_t packed_channels;  ///< weights of one step
  std::int64_t last_pixel;       ///< of one step, from its offset
};

/// multiplied(weights of the step, pixels of the step, m, lane, sum) is the plain sum's next value.
template <class T, class Multiplied>
void expect_plain_sum(CorrelationFunction<T> run, const CorrelationCase& tile,
                      const std::vector<std::int64_t>& offset_values, std::int64_t pixel_step,
                      bool adds, Side side, std::mt19937_64& random, Multiplied multiplied) {
  const auto depth = static_cast<std::int64_t>(offset_values.size());
  const std::int64_t pitch = tile.width + 3;
  const std::int64_t largest = depth == 0 ? 0 : std::ranges::max(offset_values);
  GuardedArray<T> weights(depth * tile.packed_channels, side);
  GuardedArray<T> source(depth == 0 ? 0 : largest + tile.last_pixel + 1, side);
  GuardedArray<std::int64_t> offsets(depth, side);
  GuardedArray<T> out((tile.rows - 1) * pitch + tile.width, side);
  fill_random(weights, random);
  fill_random(source, random);
  fill_random(out, random);
  std::ranges::copy(offset_values, offsets.begin());
  std::vector<T> expected(out.begin(), out.end());
  for (std::int64_t m = 0; m < tile.rows; ++m) {
    for (std::int64_t lane = 0; lane < tile.width; ++lane) {
      T sum = 0;
      for (std::int64_t r = 0; r < depth; ++r) {
        sum = multiplied(weights.data() + r * tile.packed_channels, source.data() + offsets[r], m,
                         lane, sum);
      }
      T& element = expected[static_cast<std::size_t>(m * pitch + lane)];
      element = adds ? multiply_add(T(1), sum, element) : sum;
    }
  }
  run(weights.data(), {source.data(), offsets.data(), pixel_step}, depth, out.data(), pitch, adds);
  ASSERT_TRUE(std::ranges::equal(out, expected));
}

constexpr std::int64_t kDepths[] = {0, 1, 2, 3, 7, 8, 33, 200};

TYPED_TEST(Kernels, CorrelationIsThePlainSum) {
  using T = TypeParam;
  for (const CorrelationKernel<T>& kernel : this->kernels_.correlation) {
    const std::int64_t width = std::int64_t{kernel.vectors} * this->kernels_.lanes;
    for (const std::int64_t depth : kDepths) {
      for (const Side side : kSides) {
        const bool adds = depth % 2 == 1;
        SCOPED_TRACE(::testing::Message()
                     << kernel.rows << " rows, " << kernel.vectors << " vectors, depth " << depth);
        expect_plain_sum<T>(kernel.run, {kernel.rows, width, kernel.rows, width - 1},
                            this->random_offsets(depth, 37), 1, adds, side, this->random_,
                            [](const T* weights, const T* pixels, std::int64_t m, std::int64_t lane,
                               T sum) { return multiply_add(weights[m], pixels[lane], sum); });
      }
    }
  }
}

TYPED_TEST(Kernels, ChannelCorrelationIsThePlainSum) {
  using T = TypeParam;
  for (const ChannelCorrelationKernel<T>& kernel : this->kernels_.channel_correlation) {
    const std::int64_t channels = std::int64_t{kernel.vectors} * this->kernels_.lanes;
    for (const std::int64_t depth : kDepths) {
      for (const std::int64_t step : {1, 5}) {
        for (const Side side : kSides) {
          const bool adds = (depth + step) % 2 == 1;
          SCOPED_TRACE(::testing::Message() << kernel.pixels << " pixels, " << kernel.vectors
                                            << " vectors, depth " << depth << ", step " << step);
          expect_plain_sum<T>(
              kernel.run, {kernel.pixels, channels, channels, (kernel.pixels - 1) * step},
              this->random_offsets(depth, 37), step, adds, side, this->random_,
              [&](const T* weights, const T* pixels, std::int64_t m, std::int64_t lane, T sum) {
                return multiply_add(weights[lane], pixels[m * step], sum);
              });
        }
      }
    }
  }
}

TYPED_TEST(Kernels, TransposeMovesEveryElement) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  std::set<std::int64_t> sizes{0, 1, 2, 5, lanes - 1, lanes, lanes + 1, 2 * lanes, 2 * lanes + 3};
  for (const std::int64_t rows : sizes) {
    for (const std::int64_t count : sizes) {
      for (const std::int64_t gap : {0, 3}) {
        for (const bool backwards : {false, true}) {
          SCOPED_TRACE(::testing::Message() << rows << " x " << count << ", gap " << gap
                                            << (backwards ? ", backwards" : ""));
          const Side side = backwards ? Side::start : Side::end;
          const std::int64_t pitch = count + gap;
          const bool empty = rows == 0 || count == 0;
          GuardedArray<T> from(empty ? 0 : (rows - 1) * pitch + count, side);
          GuardedArray<T> to(empty ? 0 : (count - 1) * (rows + gap) + rows, side);
          fill_random(from, this->random_);
          fill_random(to, this->random_);
          const T* first = from.data() + (backwards && !empty ? (rows - 1) * pitch : 0);
          const std::int64_t from_pitch = backwards ? -pitch : pitch;
          std::vector<T> expected(to.begin(), to.end());
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t i = 0; i < count; ++i) {
              expected[static_cast<std::size_t>(i * (rows + gap) + r)] = first[r * from_pitch + i];
            }
          }
          this->kernels_.transpose(to.data(), rows + gap, first, from_pitch, {rows, count});
          ASSERT_TRUE(std::ranges::equal(to, expected));
        }
      }
    }
  }
}

/// Sizes of the rows of pixels that the weight-gradient kernels are tried with.
struct PixelCase {
  std::int64_t rows;
  std::int64_t pixels;
};

std::vector<PixelCase> pixel_cases(std::int64_t lanes) {
  std::vector<PixelCase> cases{{0, 5}, {3, 0}};
  std::set<std::int64_t> widths{1, 2, 3, 7, lanes - 1, lanes, lanes + 1, 2 * lanes + 1, 61};
  widths.erase(0);
  for (const std::int64_t pixels : widths) {
    cases.push_back({1, pixels});
    cases.push_back({3, pixels});
  }
  return cases;
}

TYPED_TEST(Kernels, OuterProductAddsThePlainSum) {
  using T = TypeParam;
  constexpr std::int64_t kLargestOffset = 19;
  for (const OuterProductKernel<T>& kernel : this->kernels_.outer_product) {
    const std::int64_t width = std::int64_t{kernel.vectors} * this->kernels_.lanes;
    for (const PixelCase& size : pixel_cases(this->kernels_.lanes)) {
      for (const Side side : kSides) {
        SCOPED_TRACE(::testing::Message()
                     << kernel.rows << " rows, " << kernel.vectors << " vectors, " << size.rows
                     << " x " << size.pixels << " pixels");
        const bool empty = size.rows == 0 || size.pixels == 0;
        const std::int64_t source_pitch = size.pixels + 2;
        const std::int64_t gradient_pitch = size.pixels * width + 5;
        const std::int64_t sums_pitch = width + 1;
        GuardedArray<T> source(
            empty ? 0 : kLargestOffset + (size.rows - 1) * source_pitch + size.pixels, side);
        GuardedArray<T> gradient(empty ? 0 : (size.rows - 1) * gradient_pitch + size.pixels * width,
                                 side);
        GuardedArray<std::int64_t> offsets(kernel.rows, side);
        GuardedArray<T> sums((kernel.rows - 1) * sums_pitch + width, side);
        fill_random(source, this->random_);
        fill_random(gradient, this->random_);
        fill_random(sums, this->random_);
        std::ranges::copy(this->random_offsets(kernel.rows, kLargestOffset), offsets.begin());
        std::vector<T> expected(sums.begin(), sums.end());
        for (std::int64_t m = 0; m < kernel.rows; ++m) {
          for (std::int64_t lane = 0; lane < width; ++lane) {
            T& sum = expected[static_cast<std::size_t>(m * sums_pitch + lane)];
            for (std::int64_t row = 0; row < size.rows; ++row) {
              for (std::int64_t p = 0; p < size.pixels; ++p) {
                sum = multiply_add(source[offsets[m] + row * source_pitch + p],
                                   gradient[row * gradient_pitch + p * width + lane], sum);
              }
            }
          }
        }
        const PixelRows<T> pixels{size.rows,    size.pixels,     source.data(),
                                  source_pitch, gradient.data(), gradient_pitch};
        kernel.run(pixels, offsets.data(), sums.data(), sums_pitch);
        ASSERT_TRUE(std::ranges::equal(sums, expected));
      }
    }
  }
}

TYPED_TEST(Kernels, DotProductAddsThePlainSum) {
  using T = TypeParam;
  constexpr std::int64_t kLargestOffset = 19;
  constexpr std::int64_t kSumsPitch = 3;
  for (const DotProductKernel<T>& kernel : this->kernels_.dot_product) {
    for (const PixelCase& size : pixel_cases(this->kernels_.lanes)) {
      for (const Side side : kSides) {
        SCOPED_TRACE(::testing::Message()
                     << kernel.rows << " rows, " << size.rows << " x " << size.pixels << " pixels");
        const bool empty = size.rows == 0 || size.pixels == 0;
        const std::int64_t source_pitch = size.pixels + 2;
        const std::int64_t gradient_pitch = size.pixels + 1;
        GuardedArray<T> source(
            empty ? 0 : kLargestOffset + (size.rows - 1) * source_pitch + size.pixels, side);
        GuardedArray<T> gradient(empty ? 0 : (size.rows - 1) * gradient_pitch + size.pixels, side);
        GuardedArray<std::int64_t> offsets(kernel.rows, side);
        GuardedArray<T> sums((kernel.rows - 1) * kSumsPitch + 1, side);
        fill_random(source, this->random_);
        fill_random(gradient, this->random_);
        fill_random(sums, this->random_);
        std::ranges::copy(this->random_offsets(kernel.rows, kLargestOffset), offsets.begin());
        std::vector<T> expected(sums.begin(), sums.end());
        for (std::int64_t m = 0; m < kernel.rows; ++m) {
          T& sum = expected[static_cast<std::size_t>(m * kSumsPitch)];
          for (std::int64_t row = 0; row < size.rows; ++row) {
            for (std::int64_t p = 0; p < size.pixels; ++p) {
              sum = multiply_add(source[offsets[m] + row * source_pitch + p],
                                 gradient[row * gradient_pitch + p], sum);
            }
          }
        }
        const PixelRows<T> pixels{size.rows,    size.pixels,     source.data(),
                                  source_pitch, gradient.data(), gradient_pitch};
        kernel.run(pixels, offsets.data(), sums.data(), kSumsPitch);
        ASSERT_TRUE(std::ranges::equal(sums, expected));
      }
    }
  }
}

/// What lies between rows of pixels is never multiplied: 0 * infinity would be NaN.
template <class T>
void expect_nothing_outside_rows_counts(const TypedKernels<T>& kernels) {
  constexpr std::int64_t kRows = 3;
  const T infinity = std::numeric_limits<T>::infinity();
  for (const DotProductKernel<T>& kernel : kernels.dot_product) {
    for (std::int64_t pixels = 1; pixels <= 2 * kernels.lanes + 1; ++pixels) {
      const std::int64_t pitch = pixels + kernels.lanes;
      std::vector<T> source(static_cast<std::size_t>(kRows * pitch), infinity);
      std::vector<T> gradient(static_cast<std::size_t>(kRows * pitch), infinity);
      for (std::int64_t row = 0; row < kRows; ++row) {
        std::fill_n(source.begin() + row * pitch, pixels, T(1));
        std::fill_n(gradient.begin() + row * pitch, pixels, T(2));
      }
      const std::vector<std::int64_t> offsets(static_cast<std::size_t>(kernel.rows), 0);
      std::vector<T> sums(static_cast<std::size_t>(kernel.rows), T(0));
      kernel.run({kRows, pixels, source.data(), pitch, gradient.data(), pitch}, offsets.data(),
                 sums.data(), 1);
      for (const T sum : sums) ASSERT_EQ(sum, static_cast<T>(2 * kRows * pixels));
    }
  }
}

TEST(DotProduct, NeverMultipliesWhatLiesOutsideARow) {
  expect_nothing_outside_rows_counts(active_kernels().float32);
  expect_nothing_outside_rows_counts(active_kernels().float64);
}

}  // namespace
}  // namespace fastconv::testing
