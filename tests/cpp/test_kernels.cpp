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
    rows.insert(kernel.rows);
    if (kernel.vectors == 1) rows_with_one_vector.insert(kernel.rows);
  }
  EXPECT_EQ(rows, rows_with_one_vector);
  for (const int left : {1, 2, 3, 4, 6}) EXPECT_TRUE(rows.contains(left)) << left << " rows";

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
                             [](const auto& a, const auto& b) {
                               return std::pair(a.outputs, a.rows) > std::pair(b.outputs, b.rows);
                             }));
  EXPECT_EQ((kernels.dot_product.end() - 1)->rows, 1);
  EXPECT_EQ((kernels.dot_product.end() - 1)->outputs, 1);
  // Any number of pairs, whatever the output channels.
  for (const auto& kernel : kernels.dot_product) {
    EXPECT_TRUE(std::ranges::any_of(kernels.dot_product, [&](const auto& other) {
      return other.outputs == kernel.outputs && other.rows == 1;
    }));
  }
}

/// out[m][lane] of a correlation kernel: `rows` sums m of `width` lanes, of all tiles.
struct CorrelationCase {
  std::int64_t rows;
  std::int64_t width;
  std::int64_t channels;    ///< weights of one step
  std::int64_t last_pixel;  ///< of one step, from its offset
  std::int64_t tiles;
};

/// How the weights of a step lie, and whether steps follow each other or have offsets.
struct WeightPlaces {
  std::int64_t row_step;
  bool offsets;
};

/// multiplied(weights of the step, pixels of the step, m, lane, sum) is the plain sum's next value.
template <class T, class Multiplied>
void expect_plain_sum(CorrelationFunction<T> run, const CorrelationCase& tile,
                      const WeightPlaces& places, const std::vector<std::int64_t>& offset_values,
                      std::int64_t pixel_step, bool adds, Side side, std::mt19937_64& random,
                      Multiplied multiplied) {
  const auto depth = static_cast<std::int64_t>(offset_values.size());
  const std::int64_t pitch = tile.width + 3;
  const std::int64_t largest = depth == 0 ? 0 : std::ranges::max(offset_values);
  const std::int64_t step_extent = (tile.channels - 1) * places.row_step + 1;
  GuardedArray<T> weights(depth * step_extent, side);
  GuardedArray<std::int64_t> weight_offsets(depth, side);
  GuardedArray<T> source(depth == 0 ? 0 : largest + tile.last_pixel + 1, side);
  GuardedArray<std::int64_t> offsets(depth, side);
  GuardedArray<T> out((tile.rows - 1) * pitch + tile.width, side);
  fill_random(weights, random);
  fill_random(source, random);
  fill_random(out, random);
  std::ranges::copy(offset_values, offsets.begin());
  for (std::int64_t r = 0; r < depth; ++r) {
    weight_offsets[r] = (places.offsets ? depth - 1 - r : r) * step_extent;
  }
  std::vector<T> expected(out.begin(), out.end());
  for (std::int64_t m = 0; m < tile.rows; ++m) {
    for (std::int64_t lane = 0; lane < tile.width; ++lane) {
      T sum = 0;
      for (std::int64_t r = 0; r < depth; ++r) {
        sum = multiplied(weights.data() + weight_offsets[r], source.data() + offsets[r], m, lane,
                         sum);
      }
      T& element = expected[static_cast<std::size_t>(m * pitch + lane)];
      element = adds ? multiply_add(T(1), sum, element) : sum;
    }
  }
  const std::vector<T> before(out.begin(), out.end());
  for (const bool fetches : {false, true}) {
    std::ranges::copy(before, out.begin());
    run({weights.data(), step_extent, places.row_step,
         places.offsets ? weight_offsets.data() : nullptr},
        {.data = source.data(),
         .offsets = offsets.data(),
         .pixel_step = pixel_step,
         .fetches = fetches},
        depth, {out.data(), pitch, adds, tile.tiles > 1, tile.tiles});
    ASSERT_TRUE(std::ranges::equal(out, expected));
  }
}

constexpr std::int64_t kDepths[] = {0, 1, 2, 3, 7, 8, 33, 200};

TYPED_TEST(Kernels, CorrelationIsThePlainSum) {
  using T = TypeParam;
  for (const CorrelationKernel<T>& kernel : this->kernels_.correlation) {
    const std::int64_t width = std::int64_t{kernel.vectors} * this->kernels_.lanes;
    for (const std::int64_t depth : kDepths) {
      for (const Side side : kSides) {
        for (const WeightPlaces& places : {WeightPlaces{1, false}, {5, false}, {9, true}}) {
          const bool adds = depth % 2 == 1;
          SCOPED_TRACE(::testing::Message()
                       << kernel.rows << " rows, " << kernel.vectors << " vectors, depth " << depth
                       << ", weights " << places.row_step << " apart");
          const std::int64_t tiles = 1 + depth % 3;
          expect_plain_sum<T>(
              kernel.run, {kernel.rows, tiles * width, kernel.rows, tiles * width - 1, tiles},
              places, this->random_offsets(depth, 37), 1, adds, side, this->random_,
              [&](const T* weights, const T* pixels, std::int64_t m, std::int64_t lane, T sum) {
                return multiply_add(weights[m * places.row_step], pixels[lane], sum);
              });
        }
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
          const std::int64_t tiles = 1 + depth % 3;
          const std::int64_t rows = tiles * kernel.pixels;
          expect_plain_sum<T>(
              kernel.run, {rows, channels, channels, (rows - 1) * step, tiles},
              {1, side == Side::end}, this->random_offsets(depth, 37), step, adds, side,
              this->random_,
              [&](const T* weights, const T* pixels, std::int64_t m, std::int64_t lane, T sum) {
                return multiply_add(weights[lane], pixels[m * step], sum);
              });
        }
      }
    }
  }
}

/// Sizes of the slices of rows of pixels that the weight-gradient kernels are tried with, and how
/// far apart pixels lie.
struct PixelCase {
  std::int64_t slices;
  std::int64_t rows;
  std::int64_t pixels;
  std::int64_t source_step = 1;
  std::int64_t gradient_gap = 0;  ///< between the vectors of one pixel and those of the next
};

std::vector<PixelCase> pixel_cases(std::int64_t lanes) {
  std::vector<PixelCase> cases{{0, 2, 5}, {1, 0, 5}, {2, 3, 0}};
  std::set<std::int64_t> widths{1, 2, 3, 7, lanes - 1, lanes, lanes + 1, 2 * lanes + 1, 61};
  widths.erase(0);
  for (const std::int64_t pixels : widths) {
    cases.push_back({1, 1, pixels});
    cases.push_back({1, 3, pixels});
    cases.push_back({2, 3, pixels});
  }
  return cases;
}

/// Source and gradient of a case in buffers no larger than it.
template <class T>
struct PixelBuffers {
  std::int64_t gradient_pixels;
  GuardedArray<T> source;
  GuardedArray<T> gradient;
  PixelRows<T> rows;

  static std::int64_t count(const PixelCase& size, std::int64_t row_pitch, std::int64_t slice_pitch,
                            std::int64_t step, std::int64_t of_pixel) {
    if (size.slices * size.rows * size.pixels == 0) return 0;
    return (size.slices - 1) * slice_pitch + (size.rows - 1) * row_pitch +
           (size.pixels - 1) * step + of_pixel;
  }

  PixelBuffers(const PixelCase& size, std::int64_t width, std::int64_t largest_offset, Side side)
      : gradient_pixels(width + size.gradient_gap),
        source(count(size, source_pitch(size), 4 * source_pitch(size), size.source_step,
                     1 + largest_offset),
               side),
        gradient(
            count(size, gradient_pitch(size), 4 * gradient_pitch(size), gradient_pixels, width),
            side),
        rows{size.slices,
             size.rows,
             size.pixels,
             source.data(),
             4 * source_pitch(size),
             source_pitch(size),
             size.source_step,
             gradient.data(),
             4 * gradient_pitch(size),
             gradient_pitch(size),
             gradient_pixels,
             0} {}

  std::int64_t source_pitch(const PixelCase& size) const {
    return size.pixels * size.source_step + 2;
  }
  std::int64_t gradient_pitch(const PixelCase& size) const {
    return size.pixels * gradient_pixels + 1;
  }

  /// sum + the plain sum of one (channel, tap) pair and one lane.
  T add(T sum, std::int64_t offset, std::int64_t lane) const {
    for (std::int64_t slice = 0; slice < rows.slices; ++slice) {
      for (std::int64_t row = 0; row < rows.rows; ++row) {
        for (std::int64_t p = 0; p < rows.pixels; ++p) {
          const T* from = rows.source + slice * rows.source_slice_pitch + row * rows.source_pitch;
          const T* gradients =
              rows.gradient + slice * rows.gradient_slice_pitch + row * rows.gradient_pitch;
          sum = multiply_add(from[offset + p * rows.source_step],
                             gradients[p * rows.gradient_step + lane], sum);
        }
      }
    }
    return sum;
  }
};

TYPED_TEST(Kernels, OuterProductIsOrAddsThePlainSum) {
  using T = TypeParam;
  constexpr std::int64_t kLargestOffset = 19;
  std::vector<PixelCase> cases = pixel_cases(this->kernels_.lanes);
  cases.insert(cases.end(), {{1, 1, 30, 3, 0}, {2, 2, 9, 1, 5}, {2, 3, 5, 40, 7}});
  for (const OuterProductKernel<T>& kernel : this->kernels_.outer_product) {
    const std::int64_t width = std::int64_t{kernel.vectors} * this->kernels_.lanes;
    for (const PixelCase& size : cases) {
      for (const Side side : kSides) {
        for (const bool add : {false, true}) {
          SCOPED_TRACE(::testing::Message()
                       << kernel.rows << " rows, " << kernel.vectors << " vectors, " << size.slices
                       << " x " << size.rows << " x " << size.pixels << " pixels, source step "
                       << size.source_step << ", gradient gap " << size.gradient_gap
                       << (add ? ", adding" : ""));
          const std::int64_t sums_pitch = width + 1;
          PixelBuffers<T> buffers(size, width, kLargestOffset, side);
          GuardedArray<std::int64_t> offsets(kernel.rows, side);
          GuardedArray<T> sums((kernel.rows - 1) * sums_pitch + width, side);
          fill_random(buffers.source, this->random_);
          fill_random(buffers.gradient, this->random_);
          fill_random(sums, this->random_);
          std::ranges::copy(this->random_offsets(kernel.rows, kLargestOffset), offsets.begin());
          std::vector<T> expected(sums.begin(), sums.end());
          for (std::int64_t m = 0; m < kernel.rows; ++m) {
            for (std::int64_t lane = 0; lane < width; ++lane) {
              T& sum = expected[static_cast<std::size_t>(m * sums_pitch + lane)];
              sum = buffers.add(add ? sum : T(0), offsets[m], lane);
            }
          }
          kernel.run(buffers.rows, offsets.data(), sums.data(), sums_pitch, add);
          ASSERT_TRUE(std::ranges::equal(sums, expected));
        }
      }
    }
  }
}

TYPED_TEST(Kernels, DotProductAddsThePlainSum) {
  using T = TypeParam;
  constexpr std::int64_t kLargestOffset = 19;
  constexpr std::int64_t kSumsPitch = 5;
  for (const DotProductKernel<T>& kernel : this->kernels_.dot_product) {
    for (const PixelCase& size : pixel_cases(this->kernels_.lanes)) {
      for (const Side side : kSides) {
        SCOPED_TRACE(::testing::Message()
                     << kernel.rows << " rows, " << kernel.outputs << " outputs, " << size.slices
                     << " x " << size.rows << " x " << size.pixels << " pixels");
        PixelBuffers<T> buffers(size, 1, kLargestOffset, side);
        const auto plane = static_cast<std::int64_t>(buffers.gradient.size());
        GuardedArray<T> gradient(kernel.outputs * plane, side);
        GuardedArray<std::int64_t> offsets(kernel.rows, side);
        GuardedArray<T> sums((kernel.rows - 1) * kSumsPitch + kernel.outputs, side);
        fill_random(buffers.source, this->random_);
        fill_random(gradient, this->random_);
        fill_random(sums, this->random_);
        std::ranges::copy(this->random_offsets(kernel.rows, kLargestOffset), offsets.begin());
        std::vector<T> expected(sums.begin(), sums.end());
        for (std::int64_t k = 0; k < kernel.outputs; ++k) {
          buffers.rows.gradient = gradient.data() + k * plane;
          for (std::int64_t m = 0; m < kernel.rows; ++m) {
            T& sum = expected[static_cast<std::size_t>(m * kSumsPitch + k)];
            sum = buffers.add(sum, offsets[m], 0);
          }
        }
        buffers.rows.gradient = gradient.data();
        buffers.rows.gradient_output_pitch = plane;
        kernel.run(buffers.rows, offsets.data(), sums.data(), kSumsPitch);
        ASSERT_TRUE(std::ranges::equal(sums, expected));
      }
    }
  }
}

TYPED_TEST(Kernels, InterleavedRowsTakeTurns) {
  using T = TypeParam;
  constexpr std::int64_t kRows = 3;
  if (this->kernels_.interleave_rows == nullptr) GTEST_SKIP() << "none for integers";
  for (const std::int64_t count : {1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 32, 33, 50}) {
    for (const std::int64_t odds : {count - 1, count}) {
      for (const Side side : kSides) {
        SCOPED_TRACE(::testing::Message() << count << " and " << odds);
        const std::int64_t pitch = count + 2;
        const std::int64_t to_pitch = count + odds + 1;
        GuardedArray<T> even((kRows - 1) * pitch + count, side);
        GuardedArray<T> odd((kRows - 1) * pitch + odds, side);
        GuardedArray<T> to((kRows - 1) * to_pitch + count + odds, side);
        fill_random(even, this->random_);
        fill_random(odd, this->random_);
        fill_random(to, this->random_);
        std::vector<T> expected(to.begin(), to.end());
        for (std::int64_t r = 0; r < kRows; ++r) {
          for (std::int64_t i = 0; i < count + odds; ++i) {
            expected[static_cast<std::size_t>(r * to_pitch + i)] =
                (i % 2 == 0 ? even : odd)[r * pitch + i / 2];
          }
        }
        this->kernels_.interleave_rows(to.data(), to_pitch, even.data(), odd.data(), pitch,
                                       {kRows, count}, odds);
        ASSERT_TRUE(std::ranges::equal(to, expected));
      }
    }
  }
}

TYPED_TEST(Kernels, TransposeSumsAddsUpPiecesAndTransposes) {
  using T = TypeParam;
  const std::int64_t lanes = this->kernels_.lanes;
  std::set<std::int64_t> lengths{0, 1, 2, lanes - 1, lanes, lanes + 1, 2 * lanes + 3};
  for (const std::int64_t rows : lengths) {
    for (const std::int64_t count : lengths) {
      for (const std::int64_t pieces : {1, 2, 5}) {
        for (const Side side : kSides) {
          SCOPED_TRACE(::testing::Message()
                       << rows << " rows of " << count << ", " << pieces << " pieces");
          const bool empty = rows == 0 || count == 0;
          const std::int64_t from_pitch = count + 2;
          const std::int64_t piece_pitch = rows * from_pitch + 1;
          const std::int64_t to_pitch = rows + 3;
          GuardedArray<T> from(
              empty ? 0 : (pieces - 1) * piece_pitch + (rows - 1) * from_pitch + count, side);
          GuardedArray<T> to(empty ? 0 : (count - 1) * to_pitch + rows, side);
          fill_random(from, this->random_);
          fill_random(to, this->random_);
          std::vector<T> expected(to.begin(), to.end());
          for (std::int64_t r = 0; r < rows; ++r) {
            for (std::int64_t i = 0; i < count; ++i) {
              T sum = from[r * from_pitch + i];
              for (std::int64_t piece = 1; piece < pieces; ++piece) {
                sum = multiply_add(T(1), from[piece * piece_pitch + r * from_pitch + i], sum);
              }
              expected[static_cast<std::size_t>(i * to_pitch + r)] = sum;
            }
          }
          this->kernels_.transpose_sums(to.data(), to_pitch, from.data(), from_pitch, {rows, count},
                                        pieces, piece_pitch);
          ASSERT_TRUE(std::ranges::equal(to, expected));
        }
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
      std::vector<T> gradient(static_cast<std::size_t>(kernel.outputs * kRows * pitch), infinity);
      for (std::int64_t row = 0; row < kRows; ++row) {
        std::fill_n(source.begin() + row * pitch, pixels, T(1));
      }
      for (std::int64_t row = 0; row < kernel.outputs * kRows; ++row) {
        std::fill_n(gradient.begin() + row * pitch, pixels, T(2));
      }
      const std::vector<std::int64_t> offsets(static_cast<std::size_t>(kernel.rows), 0);
      std::vector<T> sums(static_cast<std::size_t>(kernel.rows * kernel.outputs), T(0));
      kernel.run({1, kRows, pixels, source.data(), 0, pitch, 1, gradient.data(), 0, pitch, 1,
                  kRows * pitch},
                 offsets.data(), sums.data(), kernel.outputs);
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
