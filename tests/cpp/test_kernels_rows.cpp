/// Rows and blocks of rows on their way into and out of tiles: every storage type, stride and
/// epilogue, against a plain loop. Halves carry values that they hold exactly; how they round is
/// tested in test_kernels_halves.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

#include "forced_isa.hpp"
#include "guarded_buffer.hpp"
#include "kernels/kernel_table.hpp"
#include "storage_elements.hpp"
#include "typed_numbers.hpp"

namespace fastconv::testing {
namespace {

constexpr std::int64_t kCounts[] = {0, 1, 2, 3, 7, 8, 15, 16, 17, 33, 257};
constexpr std::int64_t kRowCounts[] = {1, 3, 4, 5, 8, 9, 13, 16};

/// Elements [r * pitch + i * stride] in the least memory that holds them.
struct BlockPlaces {
  BlockShape shape;
  std::int64_t pitch;
  std::int64_t stride;

  std::int64_t first() const { return lowest(pitch, shape.rows) + lowest(stride, shape.count); }
  std::int64_t span() const {
    if (shape.rows == 0 || shape.count == 0) return 0;
    return std::abs(pitch) * (shape.rows - 1) + std::abs(stride) * (shape.count - 1) + 1;
  }
  std::size_t at(std::int64_t r, std::int64_t i) const {
    return static_cast<std::size_t>(first() + r * pitch + i * stride);
  }
  template <class Body>
  void for_each(Body&& body) const {
    for (std::int64_t r = 0; r < shape.rows; ++r) {
      for (std::int64_t i = 0; i < shape.count; ++i) body(r, i);
    }
  }

 private:
  static std::int64_t lowest(std::int64_t step, std::int64_t count) {
    return step < 0 && count > 0 ? -step * (count - 1) : 0;
  }
};

/// Rows side by side, spread, backward, and channels that alternate, dense and with gaps.
std::vector<BlockPlaces> places_without_overlap(BlockShape shape) {
  return {{shape, shape.count, 1},     {shape, shape.count + 3, 1},  {shape, -shape.count - 1, 1},
          {shape, 2 * shape.count, 2}, {shape, 5 * shape.count, -3}, {shape, 1, shape.rows},
          {shape, 1, shape.rows + 2},  {shape, -1, -shape.rows - 1}, {shape, 1, -shape.rows}};
}

template <class T>
class Rows : public ::testing::Test {
 protected:
  const TypedKernels<T>& kernels_ = active_kernels().typed<T>();
  std::mt19937_64 random_{42};

  template <class Storage>
  void check_load_row(DataType type) {
    const LoadRowFunction<T> load = kernels_.load_row[static_cast<int>(type)];
    ASSERT_NE(load, nullptr) << name_of(type);
    for (const std::int64_t count : kCounts) {
      for (const std::int64_t from_stride : {1, 2, 3, 7, -1, -2, 0}) {
        for (const std::int64_t to_stride : {1, 2, 5, -1}) {
          for (const Side side : {Side::end, Side::start}) {
            SCOPED_TRACE(::testing::Message() << name_of(type) << ", count " << count << ", from "
                                              << from_stride << ", to " << to_stride);
            const BlockPlaces source{{1, count}, 0, from_stride};
            const BlockPlaces target{{1, count}, 0, to_stride};
            GuardedArray<Storage> from(source.span(), side);
            GuardedArray<T> to(target.span(), side);
            for (Storage& element : from) element = random_storage<Storage>(random_);
            fill_random(to, random_);
            std::vector<T> expected(to.begin(), to.end());
            source.for_each([&](std::int64_t r, std::int64_t i) {
              expected[target.at(r, i)] = widened<T>(from.data()[source.at(r, i)]);
            });
            load(to.data() + target.first(), to_stride, from.data() + source.first(), from_stride,
                 count);
            ASSERT_TRUE(std::ranges::equal(to, expected));
          }
        }
      }
    }
  }

  template <class Storage>
  void check_load_block(DataType type) {
    const LoadBlockFunction<T> load = kernels_.load_block[static_cast<int>(type)];
    ASSERT_NE(load, nullptr) << name_of(type);
    for (const std::int64_t rows : kRowCounts) {
      for (const std::int64_t count : kCounts) {
        const BlockShape shape{rows, count};
        std::vector<BlockPlaces> sources = places_without_overlap(shape);
        // Repeated rows and elements, and rows that overlap.
        sources.insert(sources.end(), {{shape, 0, 1}, {shape, 4, 0}, {shape, 1, 1}});
        for (const BlockPlaces& source : sources) {
          for (const Side side : {Side::end, Side::start}) {
            SCOPED_TRACE(::testing::Message()
                         << name_of(type) << ", " << rows << " rows of " << count << ", pitch "
                         << source.pitch << ", stride " << source.stride);
            const BlockPlaces target{shape, count + rows % 3, 1};
            GuardedArray<Storage> from(source.span(), side);
            GuardedArray<T> to(target.span(), side);
            for (Storage& element : from) element = random_storage<Storage>(random_);
            fill_random(to, random_);
            std::vector<T> expected(to.begin(), to.end());
            source.for_each([&](std::int64_t r, std::int64_t i) {
              expected[target.at(r, i)] = widened<T>(from.data()[source.at(r, i)]);
            });
            load(to.data(), target.pitch, from.data() + source.first(), source.pitch, source.stride,
                 shape);
            ASSERT_TRUE(std::ranges::equal(to, expected));
          }
        }
      }
    }
  }

  template <class Storage>
  void check_store_block(DataType type) {
    ASSERT_NE(kernels_.store_block[static_cast<int>(type)], nullptr) << name_of(type);
    constexpr Activation kExact[] = {Activation::none, Activation::relu, Activation::relu6};
    constexpr std::int64_t kNoBias = -1;
    int next = 0;
    for (const std::int64_t rows : kRowCounts) {
      for (const std::int64_t count : kCounts) {
        for (const BlockPlaces& target : places_without_overlap({rows, count})) {
          for (const bool accumulate : {false, true}) {
            for (const std::int64_t bias_step : {kNoBias, std::int64_t{0}, std::int64_t{1}}) {
              const std::vector<T> bias = random_bias(bias_step == 1 ? rows : 1);
              check_stored_block<Storage>(type, target,
                                          {bias_step == kNoBias ? nullptr : bias.data(), bias_step,
                                           kExact[next++ % 3], accumulate});
              if (HasFatalFailure()) return;
            }
            const std::vector<T> bias = random_bias(count);
            check_stored_block<Storage>(type, target,
                                        {bias.data(), 0, kExact[next++ % 3], accumulate, 1});
            if (HasFatalFailure()) return;
          }
        }
      }
    }
  }

  std::vector<T> random_bias(std::int64_t count) {
    std::vector<T> bias(static_cast<std::size_t>(count));
    fill_random(bias, random_);
    return bias;
  }

  template <class Storage>
  void check_stored_block(DataType type, const BlockPlaces& target, const Epilogue<T>& epilogue) {
    SCOPED_TRACE(::testing::Message()
                 << name_of(type) << ", " << target.shape.rows << " rows of " << target.shape.count
                 << ", pitch " << target.pitch << ", stride " << target.stride << ", "
                 << name_of(epilogue.activation) << (epilogue.accumulate ? ", accumulate" : ""));
    const Side side = random_() % 2 == 0 ? Side::end : Side::start;
    const BlockPlaces source{target.shape, target.shape.count + 2, 1};
    GuardedArray<Storage> to(target.span(), side);
    GuardedArray<T> sums(source.span(), side);
    for (Storage& element : to) element = random_storage<Storage>(random_);
    fill_random(sums, random_);
    std::vector<Storage> expected(to.begin(), to.end());
    target.for_each([&](std::int64_t r, std::int64_t i) {
      Storage& element = expected[target.at(r, i)];
      T value = sums.data()[source.at(r, i)];
      if (epilogue.bias != nullptr) {
        value = multiply_add(
            T(1), value, epilogue.bias[r * epilogue.bias_step + i * epilogue.bias_element_step]);
      }
      if (epilogue.accumulate) value = multiply_add(T(1), value, widened<T>(element));
      if (epilogue.activation != Activation::none) value = std::max(value, T(0));
      if (epilogue.activation == Activation::relu6) value = std::min(value, T(6));
      element = narrowed<Storage>(value);
    });
    kernels_.store_block[static_cast<int>(type)](to.data() + target.first(), target.pitch,
                                                 target.stride, sums.data(), source.pitch,
                                                 target.shape, epilogue);
    ASSERT_TRUE(std::ranges::equal(to, expected, same_value<Storage>));
  }

  template <class Function>
  static std::set<DataType> types_with(Function* const (&functions)[kDataTypeCount]) {
    std::set<DataType> types;
    for (int type = 0; type < kDataTypeCount; ++type) {
      if (functions[type] != nullptr) types.insert(static_cast<DataType>(type));
    }
    return types;
  }
};
TYPED_TEST_SUITE(Rows, ComputeTypes, ComputeTypeName);

TYPED_TEST(Rows, LoadFromEveryStorageType) {
  using T = TypeParam;
  std::set<DataType> types;
  for_each_storage_type<T>([&]<class Storage>(Storage, DataType type) {
    types.insert(type);
    this->template check_load_row<Storage>(type);
  });
  EXPECT_EQ(this->types_with(this->kernels_.load_row), types);
}

TYPED_TEST(Rows, LoadInBlocksFromEveryStorageType) {
  using T = TypeParam;
  std::set<DataType> types;
  for_each_storage_type<T>([&]<class Storage>(Storage, DataType type) {
    types.insert(type);
    this->template check_load_block<Storage>(type);
  });
  EXPECT_EQ(this->types_with(this->kernels_.load_block), types);
}

TYPED_TEST(Rows, StoreInBlocksToEveryResultType) {
  using T = TypeParam;
  std::set<DataType> types;
  for_each_storage_type<T>([&]<class Storage>(Storage, DataType type) {
    if constexpr (std::is_floating_point_v<T> || std::is_same_v<T, Storage>) {
      types.insert(type);
      this->template check_store_block<Storage>(type);
    }
  });
  EXPECT_EQ(this->types_with(this->kernels_.store_block), types);
}

}  // namespace
}  // namespace fastconv::testing
