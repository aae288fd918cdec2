/// Pairs of 8-bit numbers: the correlation kernels that multiply them, and the rows and weights
/// that they are loaded from, against plain loops and guard pages; then whole convolutions of the
/// extreme values, whose sums the formula gives at once.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <memory>
#include <vector>

#include "convolution_case.hpp"
#include "forced_isa.hpp"
#include "guarded_buffer.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::testing {
namespace {

constexpr Side kSides[] = {Side::end, Side::start};

std::int32_t pair_of(std::int32_t first, std::int32_t second) {
  return static_cast<std::int32_t>((static_cast<std::uint32_t>(first) & 0xffffu) |
                                   static_cast<std::uint32_t>(second) << 16);
}
std::int32_t half_of(std::int32_t pair, int half) {
  return static_cast<std::int16_t>(static_cast<std::uint32_t>(pair) >> 16 * half & 0xffffu);
}
std::int32_t pair_product(std::int32_t a, std::int32_t b) {
  return half_of(a, 0) * half_of(b, 0) + half_of(a, 1) * half_of(b, 1);
}

class Pairs : public ::testing::Test {
 protected:
  const TypedKernels<std::int32_t>& kernels_ = active_kernels().int32_from_pairs;
  std::mt19937_64 random_{5};

  void SetUp() override {
    if (kernels_.channels_per_element != 2) GTEST_SKIP() << "no instruction multiplies pairs";
  }

  /// Anything that two 8-bit types can hold.
  std::int32_t random_pair() {
    const auto half = [&] { return static_cast<std::int32_t>(random_() % 384) - 128; };
    const std::int32_t first = half();
    return pair_of(first, half());
  }

  /// `rows` x `width` sums: weight(r, m, lane) and pixel(r, m, lane) are places in their arrays.
  template <class Weight, class Pixel>
  void check_kernel(CorrelationFunction<std::int32_t> run, std::int64_t rows, std::int64_t width,
                    std::int64_t weights_of_step, std::int64_t last_pixel, std::int64_t pixel_step,
                    Weight weight, Pixel pixel) {
    for (const std::int64_t depth : {0, 1, 2, 5, 33}) {
      for (const Side side : kSides) {
        const bool adds = depth % 2 == 1;
        GuardedArray<std::int32_t> weights(depth * weights_of_step, side);
        GuardedArray<std::int64_t> offsets(depth, side);
        for (std::int64_t r = 0; r < depth; ++r) offsets[r] = 7 * r % 37;
        const std::int64_t largest = depth == 0 ? -last_pixel - 1 : std::ranges::max(offsets);
        GuardedArray<std::int32_t> source(largest + last_pixel + 1, side);
        GuardedArray<std::int32_t> out(rows * width, side);
        for (std::int32_t& element : weights) element = random_pair();
        for (std::int32_t& element : source) element = random_pair();
        for (std::int32_t& element : out) element = random_pair();
        std::vector<std::int32_t> expected(out.begin(), out.end());
        for (std::int64_t m = 0; m < rows; ++m) {
          for (std::int64_t lane = 0; lane < width; ++lane) {
            std::int64_t sum = adds ? out[m * width + lane] : 0;
            for (std::int64_t r = 0; r < depth; ++r) {
              sum += pair_product(weights[r * weights_of_step + weight(m, lane)],
                                  source[offsets[r] + pixel(m, lane)]);
            }
            expected[static_cast<std::size_t>(m * width + lane)] = static_cast<std::int32_t>(sum);
          }
        }
        run(weights.data(), {source.data(), offsets.data(), pixel_step}, depth, out.data(), width,
            adds);
        ASSERT_TRUE(std::ranges::equal(out, expected)) << rows << " x " << width << ", " << depth;
      }
    }
  }

  template <class Storage>
  void check_load_pairs(DataType type) {
    const auto load = kernels_.load_pairs[static_cast<int>(type)];
    ASSERT_NE(load, nullptr);
    struct Places {
      std::int64_t pitch, stride, partner;
    };
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 8, 9, 16, 17, 33}) {
      for (const std::int64_t count : {0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 33, 70}) {
        const Places cases[] = {
            {count, 1, rows * count},          // planes
            {count, 1, kNoPartner},            // planes of a last channel
            {2, 2 * rows, 1},                  // pixels of pairs
            {2, 2 * rows + 3, 1},              // pixels with gaps
            {1, rows, kNoPartner},             // pixels of channels that have no partners
            {2 * count, 2, 1},                 // a stride
            {3 * count, 3, 3 * rows * count},  // strided planes
            {2, -2 * rows, 1},                 // mirrored pixels
            {-2, 2 * rows, -1},                // mirrored channels
            {0, 0, 0},                         // one element, repeated
        };
        for (const Places& places : cases) {
          for (const Side side : kSides) {
            const bool has_partner = places.partner != kNoPartner;
            const std::int64_t partner = has_partner ? places.partner : 0;
            const auto reach = [&](bool lowest) {
              std::int64_t sum = 0;
              for (const std::int64_t end :
                   {places.pitch * (rows - 1), places.stride * (count - 1), partner}) {
                sum += lowest ? std::min<std::int64_t>(end, 0) : std::max<std::int64_t>(end, 0);
              }
              return sum;
            };
            const std::int64_t first = count == 0 ? 0 : -reach(true);
            GuardedArray<Storage> from(count == 0 ? 0 : first + reach(false) + 1, side);
            for (Storage& element : from) element = static_cast<Storage>(random_());
            GuardedArray<std::int32_t> to(rows * count, side);
            load(to.data(), count, from.data() + first, places.pitch, places.stride, {rows, count},
                 places.partner);
            for (std::int64_t r = 0; r < rows; ++r) {
              for (std::int64_t i = 0; i < count; ++i) {
                const std::int64_t at = first + r * places.pitch + i * places.stride;
                ASSERT_EQ(to[r * count + i],
                          pair_of(from[at], has_partner ? from[at + partner] : Storage(0)))
                    << rows << " rows of " << count << ", pitch " << places.pitch << ", stride "
                    << places.stride << ", row " << r << ", element " << i;
              }
            }
          }
        }
      }
    }
  }

  template <class Storage>
  void check_load_weights(DataType type) {
    const auto load = kernels_.load_weights[static_cast<int>(type)];
    ASSERT_NE(load, nullptr);
    for (const std::int64_t rows : {1, 2, 4, 7, 8, 16, 32}) {
      for (const std::int64_t taps : {1, 3, 9}) {
        for (const bool has_partner : {true, false}) {
          const std::int64_t channels = has_partner ? 4 : 1;
          const WeightShape shape{.sources = has_partner ? 2 : 1,
                                  .taps = taps,
                                  .rows = rows,
                                  .source_stride = 2 * taps,
                                  .tap_stride = 1,
                                  .row_stride = channels * taps,
                                  .to_source_pitch = taps * rows,
                                  .to_tap_pitch = rows,
                                  .to_row_step = 1,
                                  .partner = has_partner ? taps : kNoPartner};
          GuardedArray<Storage> from(rows * channels * taps);
          GuardedArray<std::int32_t> to(shape.sources * taps * rows);
          for (Storage& element : from) element = static_cast<Storage>(random_());
          load(to.data(), from.data(), shape);
          for (std::int64_t s = 0; s < shape.sources; ++s) {
            for (std::int64_t t = 0; t < taps; ++t) {
              for (std::int64_t m = 0; m < rows; ++m) {
                const std::int64_t at = m * channels * taps + 2 * s * taps + t;
                ASSERT_EQ(to[(s * taps + t) * rows + m],
                          pair_of(from[at], has_partner ? from[at + taps] : Storage(0)))
                    << rows << " rows, " << taps << " taps";
              }
            }
          }
        }
      }
    }
  }
};

TEST_F(Pairs, CorrelationIsThePlainSum) {
  ASSERT_GT(kernels_.correlation.count, 0);
  for (const auto& kernel : kernels_.correlation) {
    const std::int64_t width = std::int64_t{kernel.vectors} * kernels_.lanes;
    check_kernel(
        kernel.run, kernel.rows, width, kernel.rows, width - 1, 1,
        [](std::int64_t m, std::int64_t) { return m; },
        [](std::int64_t, std::int64_t lane) { return lane; });
  }
}

TEST_F(Pairs, ChannelCorrelationIsThePlainSum) {
  ASSERT_GT(kernels_.channel_correlation.count, 0);
  for (const auto& kernel : kernels_.channel_correlation) {
    const std::int64_t channels = std::int64_t{kernel.vectors} * kernels_.lanes;
    for (const std::int64_t step : {1, 5}) {
      check_kernel(
          kernel.run, kernel.pixels, channels, channels, (kernel.pixels - 1) * step, step,
          [](std::int64_t, std::int64_t lane) { return lane; },
          [&](std::int64_t m, std::int64_t) { return m * step; });
    }
  }
}

/// As test_kernels.cpp asks of the other tables: blocks are halved down to one row, and every
/// number of rows or vectors has a kernel for the last vector or pixel.
TEST_F(Pairs, TableHoldsWhatPlansRelyOn) {
  std::vector<int> rows;
  for (const auto& kernel : kernels_.correlation) {
    if (kernel.vectors == 1) rows.push_back(kernel.rows);
  }
  std::ranges::sort(rows);
  for (std::size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i], 1 << i);
  for (const auto& kernel : kernels_.correlation) EXPECT_LE(kernel.rows, rows.back());
  for (const int vectors : {1, 2}) {
    EXPECT_TRUE(std::ranges::any_of(kernels_.channel_correlation, [&](const auto& kernel) {
      return kernel.pixels == 1 && kernel.vectors == vectors;
    }));
  }
}

TEST_F(Pairs, AreLoaded) {
  check_load_pairs<std::int8_t>(DataType::int8);
  check_load_pairs<std::uint8_t>(DataType::uint8);
}

TEST_F(Pairs, OfWeightsAreLoaded) {
  check_load_weights<std::int8_t>(DataType::int8);
  check_load_weights<std::uint8_t>(DataType::uint8);
}

/// All channel counts around a pair and a vector, both layouts, in every mix of signs.
TEST(Integers, OfEightBitsAreExact) {
  constexpr TypeCombination kMixes[] = {
      {DataType::int32, DataType::int8, DataType::int8},
      {DataType::int32, DataType::uint8, DataType::uint8},
      {DataType::int32, DataType::int8, DataType::uint8},
      {DataType::int32, DataType::uint8, DataType::int8},
  };
  std::mt19937_64 random(3);
  int next = 0;
  for (const std::int64_t channels : {1, 2, 3, 4, 5, 8, 15, 16, 17, 31, 32, 33}) {
    for (const std::int64_t groups : {1, 2, 3}) {
      for (const Pass pass : {Pass::forward, Pass::backward_input}) {
        for (const PaddingMode mode : kPaddingModes) {
          ProblemDescription d;
          d.n = 2;
          d.groups = groups;
          (pass == Pass::forward ? d.c : d.k) = channels * groups;
          (pass == Pass::forward ? d.k : d.c) = 9 * groups;
          d.c_per_group = d.c / groups;
          d.input = {1, 7, 9};
          d.kernel = {1, 3, 2};
          d.pad_before = {0, 1, 1};
          d.pad_after = {0, 2, 1};
          d.stride = {1, 1 + next % 2, 1 + next % 3};
          d.padding_mode = mode;
          d.padding_integer = next % 5 - 2;
          d.channels_last = next % 2 == 0;
          set_types(d, pass, kMixes[next++ % 4]);
          expect_equal_to_reference(describe(d), {.packed = next % 3 == 0}, random);
        }
      }
    }
  }
}

template <class Source, class Weight>
void expect_extreme_sum(Source source_value, Weight weight_value, DataType source_type,
                        DataType weight_type, std::int64_t channels) {
  ProblemDescription d;
  d.spatial_rank = 1;
  d.c = d.c_per_group = channels;
  d.k = 19;
  d.input[2] = 41;
  d.kernel[2] = 3;
  d.input_type = source_type;
  d.weight_type = weight_type;
  d.output_type = DataType::int32;
  const Problem problem = describe(d);
  const std::vector<Source> source(static_cast<std::size_t>(channels) * 41, source_value);
  const std::vector<Weight> weight(static_cast<std::size_t>(channels) * 19 * 3, weight_value);
  std::vector<std::int32_t> output(19 * 39);
  Arguments arguments;
  arguments.input =
      channels_first_view(const_cast<Source*>(source.data()), source_type, problem.input_sizes());
  arguments.weight =
      channels_first_view(const_cast<Weight*>(weight.data()), weight_type, problem.weight_sizes());
  arguments.output = channels_first_view(output.data(), DataType::int32, problem.output_sizes());
  const Plan plan(problem, {});
  std::vector<std::byte> workspace(plan.workspace_bytes() + 64);
  void* memory = workspace.data();
  std::size_t space = workspace.size();
  plan.execute(arguments, std::align(64, plan.workspace_bytes(), memory, space));
  const std::int32_t sum = static_cast<std::int32_t>(3 * channels) * source_value * weight_value;
  EXPECT_TRUE(std::ranges::all_of(output, [&](std::int32_t value) { return value == sum; }))
      << channels << " channels: " << output.front() << " instead of " << sum;
}

TEST(Integers, OfTheLargestMagnitudesAreExact) {
  constexpr std::int8_t kLowest = std::numeric_limits<std::int8_t>::min();
  constexpr std::uint8_t kHighest = std::numeric_limits<std::uint8_t>::max();
  for (const std::int64_t channels : {1, 2, 3, 64, 192}) {
    expect_extreme_sum(kLowest, kLowest, DataType::int8, DataType::int8, channels);
    expect_extreme_sum(kHighest, kHighest, DataType::uint8, DataType::uint8, channels);
    expect_extreme_sum(kLowest, kHighest, DataType::int8, DataType::uint8, channels);
    expect_extreme_sum(kHighest, kLowest, DataType::uint8, DataType::int8, channels);
  }
}

}  // namespace
}  // namespace fastconv::testing
