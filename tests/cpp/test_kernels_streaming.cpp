/// Streams against the formula: cuts, groups, blocks, numbers that are not finite, and that a block
/// allocates nothing. Runs once for each instruction set.
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <new>
#include <random>
#include <vector>

#include "fastconv/fastconv.hpp"
#include "forced_isa.hpp"
#include "guarded_buffer.hpp"

namespace {
std::atomic<long> allocations{0};

void* counted(std::size_t bytes, std::size_t alignment) {
  ++allocations;
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
}  // namespace

[[gnu::noinline]] void* operator new(std::size_t bytes) {
  return counted(bytes, alignof(std::max_align_t));
}
[[gnu::noinline]] void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return counted(bytes, static_cast<std::size_t>(alignment));
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
[[gnu::noinline]] void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace fastconv::testing {
namespace {

template <class T>
constexpr DataType kType = sizeof(T) == 4 ? DataType::float32 : DataType::float64;

/// Rows of a signal, with a view of a range of columns.
template <class T>
struct Rows {
  Rows(std::int64_t row_count, std::int64_t column_count)
      : rows(row_count), columns(column_count), numbers(row_count * column_count) {
    std::fill(numbers.begin(), numbers.end(), T(0));
  }
  T& at(std::int64_t row, std::int64_t column) { return numbers[row * columns + column]; }
  TensorView view(std::int64_t first, std::int64_t count) const {
    return {numbers.data() + first, kType<T>, {1, rows, 1, 1, count}, {0, columns, 0, 0, 1}};
  }

  std::int64_t rows;
  std::int64_t columns;
  GuardedArray<T> numbers;
};

struct Sizes {
  std::int64_t groups;
  std::int64_t inputs;   ///< of a group
  std::int64_t outputs;  ///< of a group
  std::int64_t taps;
  std::int64_t block;
};

template <class T>
struct Case {
  Case(const Sizes& s, std::int64_t count, unsigned seed, bool flipped = false, int threads = 1)
      : sizes(s),
        flip(flipped),
        weight(s.groups * s.outputs * s.inputs, s.taps),
        samples(s.groups * s.inputs, count) {
    std::mt19937 random(seed);
    std::normal_distribution<double> normal;
    for (T& number : weight.numbers) number = static_cast<T>(normal(random));
    for (T& number : samples.numbers) number = static_cast<T>(normal(random));
    description.type = kType<T>;
    description.groups = s.groups;
    description.c = s.groups * s.inputs;
    description.k = s.groups * s.outputs;
    description.c_per_group = s.inputs;
    description.taps = s.taps;
    description.block = s.block;
    description.flip = flipped;
    description.threads = threads;
  }

  StreamingConvolution stream() const {
    TensorView view{weight.numbers.data(),
                    kType<T>,
                    {description.k, sizes.inputs, 1, 1, sizes.taps},
                    {sizes.inputs * sizes.taps, sizes.taps, 0, 0, 1}};
    return StreamingConvolution(description, view);
  }

  /// The formula, in double. `magnitude` gets the sum of absolute values.
  double expected(std::int64_t k, std::int64_t t, double* magnitude) {
    double sum = 0.0;
    *magnitude = 0.0;
    for (std::int64_t c = 0; c < sizes.inputs; ++c) {
      for (std::int64_t a = 0; a < sizes.taps; ++a) {
        const std::int64_t from = t - sizes.taps + 1 + a;
        const std::int64_t tap = flip ? sizes.taps - 1 - a : a;
        const double factor = static_cast<double>(weight.at(k * sizes.inputs + c, tap));
        const double value =
            from < 0 ? 0.0
                     : static_cast<double>(samples.at(k / sizes.outputs * sizes.inputs + c, from));
        sum += factor * value;
        *magnitude += std::abs(factor * value);
      }
    }
    return sum;
  }

  Rows<T> outputs() const { return Rows<T>(description.k, samples.columns); }

  /// Pieces whose lengths come from `next`, until the signal ends.
  template <class Next>
  void run(StreamingConvolution& stream, Rows<T>& result, Next&& next) {
    std::int64_t given = 0;
    for (std::int64_t taken = 0; taken < samples.columns;) {
      const std::int64_t count = std::min<std::int64_t>(next(), samples.columns - taken);
      const std::int64_t ready = stream.ready(count);
      stream.process(samples.view(taken, count), result.view(given, ready));
      taken += count;
      given += ready;
      EXPECT_LT(stream.pending(), sizes.block);
      EXPECT_EQ(given + stream.pending(), taken);
    }
    stream.flush(result.view(given, stream.pending()));
    EXPECT_TRUE(result.numbers.intact());
  }

  void expect_right(Rows<T>& result) {
    const double tolerance = sizeof(T) == 4 ? 1e-5 : 1e-13;
    double largest = 1.0;
    std::vector<double> wanted;
    for (std::int64_t k = 0; k < description.k; ++k) {
      for (std::int64_t t = 0; t < samples.columns; ++t) {
        double magnitude = 0.0;
        wanted.push_back(expected(k, t, &magnitude));
        if (std::isfinite(wanted.back())) largest = std::max(largest, std::abs(wanted.back()));
      }
    }
    for (std::int64_t k = 0; k < description.k; ++k) {
      for (std::int64_t t = 0; t < samples.columns; ++t) {
        const double value = wanted[static_cast<std::size_t>(k * samples.columns + t)];
        const double got = static_cast<double>(result.at(k, t));
        if (std::isnan(value)) {
          ASSERT_TRUE(std::isnan(got)) << k << " " << t;
        } else if (std::isinf(value)) {
          ASSERT_EQ(got, value) << k << " " << t;
        } else {
          ASSERT_NEAR(got, value, tolerance * largest) << k << " " << t;
        }
      }
    }
  }

  Sizes sizes;
  bool flip;
  Rows<T> weight;
  Rows<T> samples;
  StreamDescription description;
};

/// Fewer partitions than are worth computing ahead, and more; not a multiple of the blocks ahead.
constexpr Sizes kSizes[] = {{1, 1, 1, 1, 1},    {1, 1, 1, 5, 16},   {1, 1, 1, 16, 16},
                            {1, 1, 1, 17, 16},  {1, 1, 1, 64, 16},  {3, 1, 1, 37, 8},
                            {2, 3, 2, 41, 12},  {1, 4, 5, 9, 33},   {1, 1, 1, 300, 50},
                            {2, 1, 3, 131, 64}, {1, 2, 1, 7, 1},    {1, 1, 1, 3, 1000},
                            {1, 1, 1, 96, 8},   {2, 2, 3, 300, 16}, {1, 1, 1, 1000, 3},
                            {3, 1, 1, 700, 8},  {1, 1, 1, 1300, 1}};

template <class T>
class Streaming : public ::testing::Test {};
using Types = ::testing::Types<float, double>;
TYPED_TEST_SUITE(Streaming, Types);

TYPED_TEST(Streaming, EqualsTheFormulaInPiecesOfAnySize) {
  unsigned seed = 0;
  for (const Sizes& sizes : kSizes) {
    for (const bool flip : {false, true}) {
      Case<TypeParam> test(sizes, 9 * sizes.block + sizes.taps + sizes.taps / 3 + 5, ++seed, flip);
      StreamingConvolution stream = test.stream();
      std::mt19937 random(seed);
      auto result = test.outputs();
      test.run(stream, result, [&] {
        const std::int64_t most[] = {2, sizes.block + 2, 5 * sizes.block};
        return static_cast<std::int64_t>(random()) % most[random() % 3];
      });
      test.expect_right(result);
    }
  }
}

TYPED_TEST(Streaming, CutsAndThreadsChangeNoBit) {
  for (const Sizes& sizes :
       {Sizes{2, 3, 2, 41, 12}, Sizes{1, 8, 8, 700, 128}, Sizes{1, 40, 40, 1000, 64}}) {
    std::vector<TypeParam> first;
    for (const int threads : {1, 2, 3}) {
      for (const std::int64_t piece :
           {std::int64_t{1}, std::int64_t{7}, sizes.block, 2 * sizes.block, std::int64_t{100000}}) {
        Case<TypeParam> test(sizes, 5 * sizes.block + sizes.taps, 1, false, threads);
        StreamingConvolution stream = test.stream();
        auto result = test.outputs();
        test.run(stream, result, [&] { return piece; });
        if (first.empty()) first.assign(result.numbers.begin(), result.numbers.end());
        ASSERT_TRUE(std::equal(first.begin(), first.end(), result.numbers.begin()))
            << threads << " " << piece;
      }
    }
  }
}

TYPED_TEST(Streaming, WhatIsNotFiniteStaysInItsWindows) {
  using Limits = std::numeric_limits<TypeParam>;
  for (const Sizes& sizes : {Sizes{1, 1, 1, 37, 8}, Sizes{2, 2, 2, 20, 16}, Sizes{1, 1, 1, 5, 64},
                             Sizes{1, 2, 1, 60, 4}}) {
    Case<TypeParam> test(sizes, 40 * sizes.block, 3);
    const std::int64_t last = test.samples.rows - 1;
    test.samples.at(0, 2 * sizes.block + 3) = Limits::quiet_NaN();
    test.samples.at(last, 9 * sizes.block) = Limits::infinity();
    test.samples.at(last, 9 * sizes.block + 1) = -Limits::infinity();
    // Sums that overflow in a transform, and not in the formula.
    test.samples.at(0, 25 * sizes.block + 1) = Limits::max() / 4;
    StreamingConvolution stream = test.stream();
    auto result = test.outputs();
    test.run(stream, result, [&] { return 2 * sizes.block + 1; });
    std::int64_t clean = 0;
    for (std::int64_t k = 0; k < test.description.k; ++k) {
      for (std::int64_t t = 0; t < test.samples.columns; ++t) {
        double magnitude = 0.0;
        const double wanted = test.expected(k, t, &magnitude);
        const double got = static_cast<double>(result.at(k, t));
        if (std::isnan(wanted)) {
          ASSERT_TRUE(std::isnan(got));
        } else if (std::isinf(static_cast<TypeParam>(wanted))) {
          ASSERT_EQ(got, wanted < 0 ? -Limits::infinity() : Limits::infinity());
        } else if (magnitude < 1e6) {
          ++clean;
          // Blocks whose transforms hold the huge number have lost the others.
          const bool beside = t > 24 * sizes.block && t < 28 * sizes.block + sizes.taps;
          if (!beside) {
            ASSERT_NEAR(got, wanted, (sizeof(TypeParam) == 4 ? 1e-5 : 1e-13) * 40.0);
          }
        }
      }
    }
    EXPECT_GE(clean, test.description.k * (test.samples.columns - 3 * sizes.taps - 1));
  }
}

TYPED_TEST(Streaming, WeightsThatAreNotFinite) {
  using Limits = std::numeric_limits<TypeParam>;
  Case<TypeParam> test({2, 1, 2, 21, 8}, 70, 4);
  test.weight.at(1, 3) = Limits::quiet_NaN();
  test.weight.at(2, 0) = Limits::infinity();
  StreamingConvolution stream = test.stream();
  auto result = test.outputs();
  test.run(stream, result, [] { return std::int64_t{9}; });
  test.expect_right(result);
}

TYPED_TEST(Streaming, ABlockAllocatesNothing) {
  for (const int threads : {1, 2}) {
    // Enough work to be shared.
    Case<TypeParam> test({1, 40, 40, 1000, 64}, 64 * 50, 5, false, threads);
    test.samples.at(0, 700) = std::numeric_limits<TypeParam>::quiet_NaN();
    StreamingConvolution stream = test.stream();
    Rows<TypeParam> result(40, 64 * 50);
    // The first parallel region may start threads.
    stream.process(test.samples.view(0, 64), result.view(0, 64));
    const long before = allocations;
    EXPECT_GT(before, 0);
    for (std::int64_t at = 64; at < 64 * 50 - 40; at += 37) {
      stream.process(test.samples.view(at, 37), result.view(0, stream.ready(37)));
    }
    stream.flush(result.view(0, stream.pending()));
    stream.reset();
    EXPECT_EQ(allocations, before);
  }
}

TYPED_TEST(Streaming, BeginsAnewAfterFlushAndReset) {
  Case<TypeParam> test({1, 1, 1, 400, 16}, 900, 6);
  StreamingConvolution stream = test.stream();
  auto first = test.outputs();
  test.run(stream, first, [] { return std::int64_t{30}; });
  EXPECT_EQ(stream.pending(), 0);
  Rows<TypeParam> some(1, 48);
  stream.process(test.samples.view(0, 50), some.view(0, 48));
  stream.reset();
  auto second = test.outputs();
  test.run(stream, second, [] { return std::int64_t{11}; });
  EXPECT_TRUE(std::equal(first.numbers.begin(), first.numbers.end(), second.numbers.begin()));
  StreamingConvolution moved = std::move(stream);
  EXPECT_EQ(moved.latency(), 15);
  EXPECT_GT(moved.workspace_bytes(), std::size_t{1000});
}

TEST(StreamingErrors, NameTheArgument) {
  const float weight = 1.0F;
  const auto message = [&](const StreamDescription& description) -> std::string {
    try {
      StreamingConvolution(description, channels_first_view(const_cast<float*>(&weight),
                                                            description.type, {1, 1, 1, 1, 1}));
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_EQ(message({}), "");
  EXPECT_NE(message({.type = DataType::complex64}).find("dtype: got complex64"), std::string::npos);
  EXPECT_NE(message({.k = 0}).find("weight: got 0"), std::string::npos);
  EXPECT_NE(message({.groups = 0}).find("groups: got 0"), std::string::npos);
  EXPECT_NE(message({.groups = 2}).find("groups: got 2"), std::string::npos);
  EXPECT_NE(message({.c = 2}).find("c: got 2"), std::string::npos);
  EXPECT_NE(message({.block = -1}).find("block: got -1"), std::string::npos);
  EXPECT_NE(message({.threads = -1}).find("threads: got -1"), std::string::npos);
}

}  // namespace
}  // namespace fastconv::testing
