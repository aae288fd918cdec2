/// The kernels of depthwise convolution against plain loops, with buffers that end at a guard page.
#include <gtest/gtest.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "forced_isa.hpp"
#include "guarded_buffer.hpp"
#include "kernels/kernel_table.hpp"
#include "typed_numbers.hpp"

namespace fastconv::testing {
namespace {

using FloatingTypes = ::testing::Types<float, double>;

template <class T>
class DepthwiseKernelsTest : public ::testing::Test {
 protected:
  const TypedKernels<T>& kernels_ = active_kernels().typed<T>();
  std::mt19937_64 random_{20240607};
};
TYPED_TEST_SUITE(DepthwiseKernelsTest, FloatingTypes);

TYPED_TEST(DepthwiseKernelsTest, RowsAreThePlainSum) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  for (const std::int64_t height : {1, 2, 3, 4, 5, 9}) {
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 11}) {
      for (const std::int64_t count :
           {std::int64_t{1}, lanes - 1, lanes, lanes + 1, 4 * lanes, 8 * lanes + 3}) {
        if (count == 0) continue;
        for (const std::int64_t step : {1, 2}) {
          constexpr std::int64_t kWidth = 3;
          const std::int64_t offsets[kWidth] = {0, 1, 5};
          const bool streams = rows % 2 == 0;
          const std::int64_t whole =
              streams ? count + lanes - 1 : (count + lanes - 1) / lanes * lanes;
          const std::int64_t source_rows = 1 + (rows + height - 2) * step + 1;
          GuardedArray<T> source(source_rows * (whole + 5));
          GuardedArray<T> weights(height * kWidth);
          fill_random(source, this->random_);
          fill_random(weights, this->random_);
          std::vector<const T*> pointers;
          for (std::int64_t r = 0; r < source_rows; ++r) {
            pointers.push_back(source.data() + r * (whole + 5));
          }
          GuardedArray<T> out((rows - 1) * (count + 2) + count);
          fill_random(out, this->random_);
          std::vector<T> expected(out.begin(), out.end());
          for (std::int64_t y = 0; y < rows; ++y) {
            for (std::int64_t x = 0; x < count; ++x) {
              T sum = T(2);
              for (int repeat = 0; repeat < 2; ++repeat) {
                for (std::int64_t a = 0; a < height; ++a) {
                  for (std::int64_t b = 0; b < kWidth; ++b) {
                    const T* row = pointers[static_cast<std::size_t>(1 + (y + a) * step)];
                    sum = multiply_add(weights[a * kWidth + b], row[offsets[b] + x], sum);
                  }
                }
              }
              expected[static_cast<std::size_t>(y * (count + 2) + x)] = sum;
            }
          }
          const RowTaps<T> taps{pointers.data(), weights.data(), offsets, step, height, kWidth};
          const RowTaps<T> sets[] = {taps, taps};
          this->kernels_.depthwise.rows({sets, 2, 1, rows, count, out.data(), count + 2, T(2),
                                         RowColumns::apart, kUnlimitedRow, streams});
          ASSERT_TRUE(std::ranges::equal(out, expected))
              << height << " tap rows, " << rows << " rows of " << count << ", step " << step;
        }
      }
    }
  }
}

TYPED_TEST(DepthwiseKernelsTest, PairsOfRowsTakeTurns) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  const std::int64_t even_offsets[] = {1, 2};
  const std::int64_t odd_offsets[] = {0, 1, 2};
  for (const auto& [even_width, odd_width] :
       std::initializer_list<std::pair<std::int64_t, std::int64_t>>{{1, 2}, {2, 3}, {2, 1}}) {
    for (const std::int64_t height : {1, 2, 3, 5}) {
      for (const std::int64_t step : {1, 2}) {
        for (const std::int64_t count : {std::int64_t{1}, 2 * lanes - 1, 2 * lanes, 4 * lanes + 2,
                                         8 * lanes, 13 * lanes + 1}) {
          constexpr std::int64_t kRows = 7;
          const std::int64_t pixels = (count + 1) / 2;
          const std::int64_t pitch = (pixels + lanes - 1) / lanes * lanes + 3;
          const std::int64_t source_rows = 1 + (kRows + height) * step;
          GuardedArray<T> source(source_rows * pitch);
          GuardedArray<T> even_weights(height * even_width);
          GuardedArray<T> odd_weights(height * odd_width);
          fill_random(source, this->random_);
          fill_random(even_weights, this->random_);
          fill_random(odd_weights, this->random_);
          std::vector<const T*> rows;
          for (std::int64_t r = 0; r < source_rows; ++r) rows.push_back(source.data() + r * pitch);
          const RowTaps<T> even{rows.data(), even_weights.data(), even_offsets, step,
                                height,      even_width};
          const RowTaps<T> odd{rows.data(), odd_weights.data(), odd_offsets, step,
                               height,      odd_width};
          const RowTaps<T> evens[] = {even, even};
          const RowTaps<T> odds[] = {odd, odd};
          GuardedArray<T> out((kRows - 1) * (count + 2) + count);
          fill_random(out, this->random_);
          std::vector<T> expected(out.begin(), out.end());
          for (std::int64_t y = 0; y < kRows; ++y) {
            for (std::int64_t i = 0; i < count; ++i) {
              const RowTaps<T>& taps = i % 2 == 0 ? even : odd;
              T sum = T(2);
              for (int repeat = 0; repeat < 2; ++repeat) {
                for (std::int64_t a = 0; a < height; ++a) {
                  for (std::int64_t b = 0; b < taps.width; ++b) {
                    const T* row = rows[static_cast<std::size_t>(1 + (y + a) * step)];
                    sum = multiply_add(taps.weights[a * taps.width + b],
                                       row[taps.offsets[b] + i / 2], sum);
                  }
                }
              }
              expected[static_cast<std::size_t>(y * (count + 2) + i)] = sum;
            }
          }
          this->kernels_.depthwise.row_pairs({{evens, 2, 1, kRows, count, out.data(), count + 2,
                                               T(2), RowColumns::neighbours, kUnlimitedRow},
                                              odds});
          ASSERT_TRUE(std::ranges::equal(out, expected))
              << even_width << " and " << odd_width << " taps, " << height << " rows, step " << step
              << ", " << count << " results";
        }
      }
    }
  }
}

TYPED_TEST(DepthwiseKernelsTest, RowsEndAtTheirLimits) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  const auto& kernels = this->kernels_.depthwise;
  for (const auto& [height, width] : std::initializer_list<std::pair<std::int64_t, std::int64_t>>{
           {2, 3}, {2, 7}, {3, 1}, {3, 2}, {3, 3}, {3, 4}, {3, 5},  {3, 7},  {3, 9},  {5, 5},
           {7, 7}, {1, 1}, {1, 2}, {1, 7}, {1, 8}, {1, 9}, {1, 16}, {1, 17}, {1, 18}, {1, 40}}) {
    for (const std::int64_t step : {1, 2}) {
      if (step == 2 && (width > 7 || !kernels.slides[width] || !kernels.masks_loads)) continue;
      // Tall blocks end at each row of the turns that sums take in the registers.
      for (const std::int64_t rows : {1, 2, 3, 4, 7, 13, 15, 17, 21, 23, 25, 27, 29}) {
        if (rows > 7 && (height != width || step == 2)) continue;
        for (const std::int64_t count : {std::int64_t{1}, lanes / 2, lanes, 2 * lanes + lanes / 2,
                                         3 * lanes + 1, 4 * lanes, 9 * lanes + 3}) {
          if (count == 0) continue;
          const std::int64_t before = width / 2;
          const std::int64_t source_count = (count - 1) * step + 1;
          const std::int64_t source_rows = (rows - 1) * step + height;
          GuardedArray<T> source(source_rows * source_count);
          GuardedArray<T> weights(height * width);
          fill_random(source, this->random_);
          fill_random(weights, this->random_);
          // No pointers beyond those of the rows that may be fetched.
          GuardedArray<const T*> pointers(source_rows + step * kDepthwiseRowsAhead);
          for (std::int64_t r = 0; r < pointers.size(); ++r) {
            pointers[r] = source.data() + std::min(r, source_rows - 1) * source_count - before;
          }
          // Even distances first.
          std::vector<std::int64_t> offsets;
          std::vector<std::int64_t> tap_rows;
          for (std::int64_t first = 0; first < step; ++first) {
            for (std::int64_t b = first; b < width; b += step) offsets.push_back(b);
            for (std::int64_t a = first; a < height; a += step) tap_rows.push_back(a);
          }
          GuardedArray<T> out(rows * count);
          const RowTaps<T> taps{pointers.data(), weights.data(), offsets.data(), 1, height, width};
          kernels.rows({&taps,
                        1,
                        0,
                        rows,
                        count,
                        out.data(),
                        count,
                        T(2),
                        step == 2 ? RowColumns::every_second : RowColumns::neighbours,
                        {before, before + source_count},
                        rows % 2 == 0});
          for (std::int64_t y = 0; y < rows; ++y) {
            for (std::int64_t x = 0; x < count; ++x) {
              double sum = 2.0;
              for (std::int64_t a = 0; a < height; ++a) {
                for (std::int64_t b = 0; b < width; ++b) {
                  const std::int64_t at = x * step + offsets[static_cast<std::size_t>(b)] - before;
                  if (at < 0 || at >= source_count) continue;
                  sum +=
                      static_cast<double>(weights[a * width + b]) *
                      static_cast<double>(
                          source[(y * step + tap_rows[static_cast<std::size_t>(a)]) * source_count +
                                 at]);
                }
              }
              ASSERT_NEAR(static_cast<double>(out[y * count + x]), sum,
                          sizeof(T) == 4 ? 1e-3 : 1e-9)
                  << height << "x" << width << " taps, step " << step << ", " << rows << " rows of "
                  << count;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(DepthwiseKernelsTest, ChannelsAreThePlainSumOfWhatLiesInside) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  constexpr std::int64_t kHeight = 3;
  const std::int64_t most_rows = this->kernels_.depthwise.channel_rows;
  for (const std::int64_t channels : {std::int64_t{1}, lanes, 2 * lanes + 1}) {
    for (const std::int64_t pixels : {1, 2, 3, 5, 7, 8, 14, 19}) {
      for (const std::int64_t taps : {1, 2, 3, 4}) {
        for (std::int64_t rows = 1; rows <= most_rows; ++rows) {
          // Some taps lie outside on either side, and the first row is missing.
          const std::int64_t source_rows = kHeight + rows - 1;
          const std::int64_t pitch = pixels * channels;
          GuardedArray<T> source(source_rows * pitch);
          const std::int64_t vectors = (channels + lanes - 1) / lanes;
          GuardedArray<T> weights(vectors * kHeight * taps * lanes);
          GuardedArray<T> bias(channels);
          GuardedArray<T> out(rows * pitch);
          fill_random(source, this->random_);
          fill_random(weights, this->random_);
          fill_random(bias, this->random_);
          std::vector<const T*> pointers(static_cast<std::size_t>(source_rows + most_rows));
          for (std::int64_t r = 1; r < source_rows; ++r) {
            pointers[static_cast<std::size_t>(r)] = source.data() + r * pitch;
          }
          std::vector<ChannelTap> columns;
          for (std::int64_t t = 0; t < taps; ++t)
            columns.push_back({(t - 1) * channels, t * lanes});
          const ChannelRows<T> set{pointers.data(), weights.data(), taps * lanes, kHeight};
          this->kernels_.depthwise.channels({&set, 1, columns.data(), taps, 0, channels, pitch, 0,
                                             kHeight * taps * lanes, rows, pixels, channels,
                                             bias.data(), out.data(), pitch, channels});
          for (std::int64_t at = 0; at < rows * pitch; ++at) {
            const std::int64_t c = at % channels;
            const std::int64_t p = at / channels % pixels;
            T sum = bias[c];
            for (std::int64_t a = 0; a < kHeight; ++a) {
              for (std::int64_t t = 0; t < taps; ++t) {
                const std::int64_t row = at / pitch + a;
                const std::int64_t pixel = p + t - 1;
                if (row == 0 || pixel < 0 || pixel >= pixels) continue;
                sum = multiply_add(
                    source[row * pitch + pixel * channels + c],
                    weights[((c / lanes * kHeight + a) * taps + t) * lanes + c % lanes], sum);
              }
            }
            ASSERT_EQ(out[at], sum) << channels << " channels, " << rows << " rows of " << pixels
                                    << " pixels, " << taps << " taps";
          }
        }
      }
    }
  }
}

TYPED_TEST(DepthwiseKernelsTest, GradientsAddThePlainSum) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  for (const std::int64_t height : {1, 2, 3, 5, 7}) {
    for (const std::int64_t width : {1, 2, 3, 5, 9}) {
      for (const std::int64_t count : {std::int64_t{1}, lanes, 2 * lanes + 1}) {
        constexpr std::int64_t kRows = 6;
        const std::int64_t pitch = count + width - 1;
        GuardedArray<T> source((kRows + height - 1) * pitch);
        GuardedArray<T> gradient(kRows * count);
        GuardedArray<T> sums(height * width);
        fill_random(source, this->random_);
        fill_random(gradient, this->random_);
        fill_random(sums, this->random_);
        std::vector<T> expected(sums.begin(), sums.end());
        std::vector<const T*> source_rows;
        std::vector<const T*> gradient_rows;
        std::vector<std::int64_t> offsets;
        for (std::int64_t r = 0; r < kRows + height - 1; ++r) {
          source_rows.push_back(source.data() + r * pitch);
        }
        for (std::int64_t r = 0; r < kRows; ++r)
          gradient_rows.push_back(gradient.data() + r * count);
        for (std::int64_t b = 0; b < width; ++b) offsets.push_back(b);
        for (std::int64_t a = 0; a < height; ++a) {
          for (std::int64_t b = 0; b < width; ++b) {
            T& sum = expected[static_cast<std::size_t>(a * width + b)];
            for (std::int64_t y = 0; y < kRows; ++y) {
              for (std::int64_t p = 0; p < count; ++p) {
                sum = multiply_add(source[(y + a) * pitch + b + p], gradient[y * count + p], sum);
              }
            }
          }
        }
        this->kernels_.depthwise.row_gradient({source_rows.data(), gradient_rows.data(),
                                               offsets.data(), 1, kUnlimitedRow, 1, kRows, count,
                                               height, width, sums.data(), width});
        ASSERT_TRUE(std::ranges::equal(sums, expected))
            << height << "x" << width << " taps, rows of " << count;
      }
    }
  }
}

TYPED_TEST(DepthwiseKernelsTest, GradientsOfRowsEndAtTheirLimits) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  if (!this->kernels_.depthwise.masks_loads) GTEST_SKIP() << "loads are not masked";
  for (const std::int64_t width : {1, 3, 5}) {
    for (const std::int64_t step : {1, 2}) {
      for (const std::int64_t count :
           {std::int64_t{1}, lanes - 1, lanes, 3 * lanes, 5 * lanes + 1}) {
        for (const std::int64_t missing : {0, 1, 2}) {
          // Padding of 2 before the row, and `missing` elements that the last window lacks.
          constexpr std::int64_t kBefore = 2;
          constexpr std::int64_t kRows = 5;
          constexpr std::int64_t kHeight = 3;
          const std::int64_t source_count = (kRows - 1) * step + kHeight;
          const std::int64_t size = (count - 1) * step + width - kBefore - missing;
          if (size < 1) continue;
          GuardedArray<T> source(source_count * size);
          GuardedArray<T> gradient(kRows * count);
          GuardedArray<T> sums(kHeight * width);
          fill_random(source, this->random_);
          fill_random(gradient, this->random_);
          fill_random(sums, this->random_);
          std::vector<const T*> source_rows;
          std::vector<const T*> gradient_rows;
          std::vector<std::int64_t> offsets;
          for (std::int64_t r = 0; r < source_count; ++r) {
            source_rows.push_back(source.data() + r * size - kBefore);
          }
          for (std::int64_t r = 0; r < kRows; ++r) {
            gradient_rows.push_back(gradient.data() + r * count);
          }
          for (std::int64_t b = 0; b < width; ++b) offsets.push_back(b);
          std::vector<T> expected(sums.begin(), sums.end());
          for (std::int64_t a = 0; a < kHeight; ++a) {
            for (std::int64_t b = 0; b < width; ++b) {
              T& sum = expected[static_cast<std::size_t>(a * width + b)];
              for (std::int64_t y = 0; y < kRows; ++y) {
                for (std::int64_t p = 0; p < count; ++p) {
                  const std::int64_t at = p * step + b - kBefore;
                  if (at < 0 || at >= size) continue;
                  sum = multiply_add(source[(y * step + a) * size + at], gradient[y * count + p],
                                     sum);
                }
              }
            }
          }
          this->kernels_.depthwise.row_gradient({source_rows.data(), gradient_rows.data(),
                                                 offsets.data(), step,
                                                 RowLimits{kBefore, size + kBefore}, 1, kRows,
                                                 count, kHeight, width, sums.data(), width});
          ASSERT_TRUE(std::ranges::equal(sums, expected))
              << width << " taps, step " << step << ", rows of " << count << ", missing "
              << missing;
        }
      }
    }
  }
}

TYPED_TEST(DepthwiseKernelsTest, GradientsOfChannelsAddThePlainSum) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kPixels = 5;
  for (const std::int64_t channels : {std::int64_t{1}, lanes}) {
    for (const std::int64_t height : {1, 3, 5}) {
      for (const std::int64_t width : {1, 4, 9}) {
        const std::int64_t pitch = (kPixels + width - 1) * lanes;
        GuardedArray<T> source((kRows + height - 1) * pitch);
        GuardedArray<T> gradient(kRows * kPixels * channels);
        GuardedArray<T> sums(height * width * lanes);
        fill_random(source, this->random_);
        fill_random(gradient, this->random_);
        fill_random(sums, this->random_);
        std::vector<T> expected(sums.begin(), sums.end());
        std::vector<std::int64_t> rows;
        std::vector<std::int64_t> columns;
        for (std::int64_t a = 0; a < height; ++a) rows.push_back(a * pitch);
        for (std::int64_t b = 0; b < width; ++b) columns.push_back(b * lanes);
        for (std::int64_t a = 0; a < height; ++a) {
          for (std::int64_t b = 0; b < width; ++b) {
            for (std::int64_t c = 0; c < channels; ++c) {
              T& sum = expected[static_cast<std::size_t>((a * width + b) * lanes + c)];
              for (std::int64_t y = 0; y < kRows; ++y) {
                for (std::int64_t p = 0; p < kPixels; ++p) {
                  sum = multiply_add(source[(y + a) * pitch + (b + p) * lanes + c],
                                     gradient[(y * kPixels + p) * channels + c], sum);
                }
              }
            }
          }
        }
        this->kernels_.depthwise.channel_gradient(
            {source.data(), pitch, lanes, rows.data(), columns.data(), gradient.data(),
             kPixels * channels, channels, kRows, kPixels, channels, height, width, sums.data()});
        for (std::int64_t i = 0; i < height * width * lanes; ++i) {
          if (i % lanes < channels) {
            ASSERT_EQ(sums[i], expected[static_cast<std::size_t>(i)]);
          }
        }
      }
    }
  }
}

TYPED_TEST(DepthwiseKernelsTest, CopiesMoveEveryElement) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  for (const std::int64_t rows : {std::int64_t{1}, lanes - 1, lanes, 2 * lanes + 1}) {
    for (const std::int64_t count : {std::int64_t{1}, lanes, lanes + 1, 3 * lanes - 1}) {
      if (rows == 0) continue;
      GuardedArray<T> from(rows * count);
      fill_random(from, this->random_);
      GuardedArray<T> transposed(count * rows);
      this->kernels_.transpose_sums(transposed.data(), rows, from.data(), count, {rows, count}, 1,
                                    0);
      for (std::int64_t r = 0; r < rows; ++r) {
        for (std::int64_t i = 0; i < count; ++i) {
          ASSERT_EQ(transposed[i * rows + r], from[r * count + i]);
        }
      }
      for (const std::int64_t step : {1, 2}) {
        const std::int64_t taken = (count + step - 1) / step;
        const std::int64_t pitch = 2 + taken + 3;
        GuardedArray<T> padded(rows * pitch + lanes);
        this->kernels_.depthwise.pad_rows(
            {padded.data(), pitch, from.data(), count, step, rows, 2, taken, 3});
        for (std::int64_t r = 0; r < rows; ++r) {
          for (std::int64_t i = 0; i < pitch; ++i) {
            const bool inside = i >= 2 && i < 2 + taken;
            ASSERT_EQ(padded[r * pitch + i], inside ? from[r * count + (i - 2) * step] : T(0));
          }
        }
      }
      if (rows > lanes) continue;
      GuardedArray<T> pixels(count * lanes);
      this->kernels_.depthwise.pack_channels(pixels.data(), transposed.data(), rows, count, rows);
      for (std::int64_t i = 0; i < count; ++i) {
        for (std::int64_t c = 0; c < lanes; ++c) {
          ASSERT_EQ(pixels[i * lanes + c], c < rows ? transposed[i * rows + c] : T(0));
        }
      }
    }
  }
}

}  // namespace
}  // namespace fastconv::testing
