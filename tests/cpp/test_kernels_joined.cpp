/// 8-bit numbers in pairs and quads: the correlation kernels that multiply them, and the rows and
/// weights that they are loaded from, against plain loops and guard pages; then whole convolutions,
/// of the extreme values among others, whose sums the formula gives at once.
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

/// How elements hold channels, and the kernels that multiply them so.
struct Format {
  const char* name;
  const TypedKernels<std::int32_t>& (*kernels)();
  std::int64_t channels;
  DataType weight_types[2];
  bool signed_weights;  ///< as the kernels see the parts of elements
  bool signed_sources;
};

constexpr Format kFormats[] = {
    {"Pairs",
     []() -> const auto& { return active_kernels().int32_from_pairs; },
     2,
     {DataType::int8, DataType::uint8},
     true,
     true},
    {"QuadsOfSignedWeights",
     []() -> const auto& { return active_kernels().int32_from_quads.signed_weights; },
     4,
     {DataType::int8, DataType::int8},
     true,
     false},
    {"QuadsOfUnsignedWeights",
     []() -> const auto& { return active_kernels().int32_from_quads.unsigned_weights; },
     4,
     {DataType::uint8, DataType::uint8},
     false,
     true},
};

class JoinedChannelKernels : public ::testing::TestWithParam<Format> {
 protected:
  const Format& format_ = GetParam();
  const TypedKernels<std::int32_t>& kernels_ = format_.kernels();
  std::mt19937_64 random_{5};

  void SetUp() override {
    if (kernels_.channels_per_element == 0) GTEST_SKIP() << "no instruction multiplies them";
    ASSERT_EQ(kernels_.channels_per_element, format_.channels);
  }

  std::int64_t bits() const { return 32 / format_.channels; }

  std::int64_t part(std::int32_t element, std::int64_t channel, bool is_signed) const {
    const std::int64_t range = std::int64_t{1} << bits();
    const std::int64_t value =
        static_cast<std::int64_t>(static_cast<std::uint32_t>(element)) >> channel * bits() &
        (range - 1);
    return is_signed && value >= range / 2 ? value - range : value;
  }

  std::int64_t product(std::int32_t weights, std::int32_t sources) const {
    std::int64_t sum = 0;
    for (std::int64_t c = 0; c < format_.channels; ++c) {
      sum += part(weights, c, format_.signed_weights) * part(sources, c, format_.signed_sources);
    }
    return sum;
  }

  /// Anything that 8-bit types can hold; bytes are extreme every other time.
  std::int32_t random_element() {
    std::uint32_t element = 0;
    for (std::int64_t c = 0; c < format_.channels; ++c) {
      const auto half = static_cast<std::uint32_t>(random_() % 384 - 128) & 0xffffu;
      const std::uint32_t extremes[] = {0u, 127u, 128u, 255u};
      const auto byte = static_cast<std::uint32_t>(random_() & 0xffu);
      element = element << bits() | (bits() == 16         ? half
                                     : random_() % 2 == 0 ? byte
                                                          : extremes[random_() % 4]);
    }
    return static_cast<std::int32_t>(element);
  }

  /// `rows` x `width` sums: weight(r, m, lane) and pixel(r, m, lane) are places in their arrays.
  template <class Weight, class Pixel>
  void check_kernel(CorrelationFunction<std::int32_t> run, std::int64_t rows, std::int64_t width,
                    std::int64_t weights_of_step, std::int64_t last_pixel, std::int64_t pixel_step,
                    Weight weight, Pixel pixel) {
    for (const std::int64_t depth : {0, 1, 2, 5, 33, 34}) {
      for (const Side side : kSides) {
        const bool adds = depth % 2 == 1;
        GuardedArray<std::int32_t> weights(depth * weights_of_step, side);
        GuardedArray<std::int64_t> offsets(depth, side);
        for (std::int64_t r = 0; r < depth; ++r) offsets[r] = 7 * r % 37;
        const std::int64_t largest = depth == 0 ? -last_pixel - 1 : std::ranges::max(offsets);
        GuardedArray<std::int32_t> source(largest + last_pixel + 1, side);
        GuardedArray<std::int32_t> out(rows * width, side);
        GuardedArray<std::int32_t> start(weights_of_step, side);
        for (std::int32_t& element : weights) element = random_element();
        for (std::int32_t& element : source) element = random_element();
        for (std::int32_t& element : out) element = random_element();
        for (std::int32_t& element : start) element = random_element();
        const bool starts = format_.channels == 4 && depth % 4 == 2;
        std::vector<std::int32_t> expected(out.begin(), out.end());
        for (std::int64_t m = 0; m < rows; ++m) {
          for (std::int64_t lane = 0; lane < width; ++lane) {
            std::int64_t sum = adds ? out[m * width + lane] : starts ? start[weight(m, lane)] : 0;
            for (std::int64_t r = 0; r < depth; ++r) {
              sum += product(weights[r * weights_of_step + weight(m, lane)],
                             source[offsets[r] + pixel(m, lane)]);
            }
            expected[static_cast<std::size_t>(m * width + lane)] = static_cast<std::int32_t>(sum);
          }
        }
        run({weights.data(), weights_of_step},
            {source.data(), offsets.data(), pixel_step, starts ? start.data() : nullptr}, depth,
            {out.data(), width, adds});
        ASSERT_TRUE(std::ranges::equal(out, expected)) << rows << " x " << width << ", " << depth;
      }
    }
  }

  /// What is loaded for a channel: quads take sources of the weights' type as the other type.
  template <class Storage>
  std::int64_t loaded(Storage value, DataType type) const {
    const bool flips = format_.channels == 4 && type == format_.weight_types[0];
    return !flips ? value : value + (type == DataType::int8 ? 128 : -128);
  }

  template <class Storage>
  void check_load(DataType type) {
    const auto load = kernels_.load_joined[static_cast<int>(type)];
    ASSERT_NE(load, nullptr);
    struct Places {
      std::int64_t pitch, stride;
      JoinedChannels channels;
    };
    const std::int64_t all = format_.channels;
    for (const std::int64_t rows : {1, 2, 3, 4, 5, 8, 9, 16, 17, 33}) {
      for (const std::int64_t count : {0, 1, 2, 3, 4, 7, 8, 15, 16, 17, 31, 33, 70}) {
        const Places cases[] = {
            {count, 1, {all, rows * count}},            // planes
            {count, 1, {1, 0}},                         // planes of a last channel
            {count, 1, {all - 1, rows * count}},        // planes of the last channels
            {all, all * rows, {all, 1}},                // pixels of whole elements
            {all, all * rows + 3, {all, 1}},            // pixels with gaps
            {1, rows, {1, 0}},                          // pixels of groups of one channel
            {all - 1, (all - 1) * rows, {all - 1, 1}},  // pixels of groups of few channels
            {all, all * rows + 1, {all - 1, 1}},        // pixels with last channels
            {all * count, all, {all, 1}},               // a stride
            {3 * count, 3, {all, 3 * rows * count}},    // strided planes
            {all, -all * rows, {all, 1}},               // mirrored pixels
            {all - 1, (1 - all) * rows, {all - 1, 1}},  // mirrored pixels of few channels
            {-all, all * rows, {all, -1}},              // mirrored channels
            {0, 0, {all, 0}},                           // one element, repeated
        };
        for (const Places& places : cases) {
          for (const Side side : kSides) {
            const std::int64_t last_channel = (places.channels.count - 1) * places.channels.stride;
            const auto reach = [&](bool lowest) {
              std::int64_t sum = 0;
              for (const std::int64_t end :
                   {places.pitch * (rows - 1), places.stride * (count - 1), last_channel}) {
                sum += lowest ? std::min<std::int64_t>(end, 0) : std::max<std::int64_t>(end, 0);
              }
              return sum;
            };
            const std::int64_t first = count == 0 ? 0 : -reach(true);
            GuardedArray<Storage> from(count == 0 ? 0 : first + reach(false) + 1, side);
            for (Storage& element : from) element = static_cast<Storage>(random_());
            GuardedArray<std::int32_t> to(rows * count, side);
            load(to.data(), count, from.data() + first, places.pitch, places.stride, {rows, count},
                 places.channels);
            for (std::int64_t r = 0; r < rows; ++r) {
              for (std::int64_t i = 0; i < count; ++i) {
                const std::int64_t at = first + r * places.pitch + i * places.stride;
                for (std::int64_t c = 0; c < places.channels.count; ++c) {
                  ASSERT_EQ(part(to[r * count + i], c, format_.signed_sources),
                            loaded(from[at + c * places.channels.stride], type))
                      << rows << " rows of " << count << ", pitch " << places.pitch << ", stride "
                      << places.stride << ", row " << r << ", element " << i << ", channel " << c;
                }
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
        for (std::int64_t count = 1; count <= format_.channels; ++count) {
          const std::int64_t sources = count == format_.channels ? 2 : 1;
          const std::int64_t channels = sources * count;
          const WeightShape shape{.sources = sources,
                                  .taps = taps,
                                  .rows = rows,
                                  .source_stride = count * taps,
                                  .tap_stride = 1,
                                  .row_stride = channels * taps,
                                  .to_source_pitch = taps * rows,
                                  .to_tap_pitch = rows,
                                  .to_row_step = 1,
                                  .joined = {count, taps}};
          GuardedArray<Storage> from(rows * channels * taps);
          GuardedArray<std::int32_t> to(sources * taps * rows);
          for (Storage& element : from) element = static_cast<Storage>(random_());
          load(to.data(), from.data(), shape);
          for (std::int64_t s = 0; s < sources; ++s) {
            for (std::int64_t t = 0; t < taps; ++t) {
              for (std::int64_t m = 0; m < rows; ++m) {
                for (std::int64_t c = 0; c < format_.channels; ++c) {
                  const std::int64_t at = m * channels * taps + (s * count + c) * taps + t;
                  ASSERT_EQ(part(to[(s * taps + t) * rows + m], c, format_.signed_weights),
                            c < count ? from[at] : 0)
                      << rows << " rows, " << taps << " taps, " << count << " channels";
                }
              }
            }
          }
        }
      }
    }
  }
};
INSTANTIATE_TEST_SUITE_P(Formats, JoinedChannelKernels, ::testing::ValuesIn(kFormats),
                         [](const auto& format) { return format.param.name; });

TEST_P(JoinedChannelKernels, CorrelationIsThePlainSum) {
  ASSERT_GT(kernels_.correlation.count, 0);
  for (const auto& kernel : kernels_.correlation) {
    const std::int64_t width = std::int64_t{kernel.vectors} * kernels_.lanes;
    check_kernel(
        kernel.run, kernel.rows, width, kernel.rows, width - 1, 1,
        [](std::int64_t m, std::int64_t) { return m; },
        [](std::int64_t, std::int64_t lane) { return lane; });
  }
}

TEST_P(JoinedChannelKernels, ChannelCorrelationIsThePlainSum) {
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

/// As test_kernels.cpp asks of the other tables: there are blocks of any number of rows that may be
/// left, and every number of rows or vectors has a kernel for the last vector or pixel.
TEST_P(JoinedChannelKernels, TableHoldsWhatPlansRelyOn) {
  std::vector<int> rows;
  for (const auto& kernel : kernels_.correlation) {
    if (kernel.vectors == 1) rows.push_back(kernel.rows);
  }
  std::ranges::sort(rows);
  for (const int needed : {1, 2, 3, 4, 6}) {
    EXPECT_TRUE(std::ranges::binary_search(rows, needed)) << needed << " rows";
  }
  for (const auto& kernel : kernels_.correlation) EXPECT_LE(kernel.rows, rows.back());
  for (const int vectors : {1, 2}) {
    EXPECT_TRUE(std::ranges::any_of(kernels_.channel_correlation, [&](const auto& kernel) {
      return kernel.pixels == 1 && kernel.vectors == vectors;
    }));
  }
}

TEST_P(JoinedChannelKernels, LoadSources) {
  check_load<std::int8_t>(DataType::int8);
  check_load<std::uint8_t>(DataType::uint8);
}

TEST_P(JoinedChannelKernels, LoadWeights) {
  for (const DataType type : format_.weight_types) {
    if (type == DataType::int8) {
      check_load_weights<std::int8_t>(type);
    } else {
      check_load_weights<std::uint8_t>(type);
    }
  }
}

constexpr TypeCombination kMixes[] = {
    {DataType::int32, DataType::int8, DataType::int8},
    {DataType::int32, DataType::uint8, DataType::uint8},
    {DataType::int32, DataType::int8, DataType::uint8},
    {DataType::int32, DataType::uint8, DataType::int8},
};

/// All channel counts around a pair, a quad and a vector, both layouts, in every mix of signs.
TEST(Integers, OfEightBitsAreExact) {
  std::mt19937_64 random(3);
  int next = 0;
  for (const std::int64_t channels : {1, 2, 3, 4, 5, 6, 7, 8, 15, 16, 17, 31, 32, 33}) {
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
          d.has_bias = pass == Pass::forward && next % 7 < 3;
          d.channels_last = next % 2 == 0;
          set_types(d, pass, kMixes[next++ % 4]);
          expect_equal_to_reference(describe(d), {.packed = next % 3 == 0}, random);
        }
      }
    }
  }
}

/// Where only some positions meet a tap inside the image, a zero in the padding must stay one.
TEST(Integers, OfEightBitsAreExactWhereTapsMeetPaddingAlone) {
  std::mt19937_64 random(4);
  for (const TypeCombination& types : kMixes) {
    for (const bool channels_last : {false, true}) {
      for (const bool packed : {false, true}) {
        ProblemDescription d;
        d.c = d.c_per_group = 37;
        d.k = 33;
        d.input = {1, 7, 7};
        d.kernel = {1, 3, 3};
        d.dilation = {1, 5, 6};
        d.pad_before = d.pad_after = {0, 5, 6};
        d.channels_last = channels_last;
        set_types(d, Pass::forward, types);
        expect_equal_to_reference(describe(d), {.packed = packed}, random);
      }
    }
  }
}

/// Constants that some of the types cannot hold, and those that all can.
TEST(Integers, OfEightBitsAreExactAmongAnyPadding) {
  std::mt19937_64 random(5);
  for (const TypeCombination& types : kMixes) {
    for (const std::int64_t padding : {-129, -128, -1, 0, 127, 128, 255, 256, 40'000}) {
      ProblemDescription d;
      d.c = d.c_per_group = 6;
      d.k = 10;
      d.input = {1, 5, 9};
      d.kernel = {1, 3, 3};
      d.pad_before = d.pad_after = {0, 1, 2};
      d.padding_mode = PaddingMode::constant;
      d.padding_value = static_cast<double>(padding);
      d.padding_integer = padding;
      set_types(d, Pass::forward, types);
      expect_equal_to_reference(describe(d), {}, random);
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
  for (const std::int64_t channels : {1, 2, 3, 64, 192, 11'000}) {
    expect_extreme_sum(kLowest, kLowest, DataType::int8, DataType::int8, channels);
    expect_extreme_sum(kHighest, kHighest, DataType::uint8, DataType::uint8, channels);
    expect_extreme_sum(kLowest, kHighest, DataType::int8, DataType::uint8, channels);
    expect_extreme_sum(kHighest, kLowest, DataType::uint8, DataType::int8, channels);
  }
}

}  // namespace
}  // namespace fastconv::testing
