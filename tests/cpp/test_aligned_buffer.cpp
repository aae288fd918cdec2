/// Scratch memory: alignment, the layout of an arena, and what a thread keeps between calls.
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <thread>
#include <tuple>
#include <utility>

#include "runtime/aligned_buffer.hpp"

namespace fastconv {
namespace {

bool is_aligned(const void* address) {
  return reinterpret_cast<std::uintptr_t>(address) % kAlignment == 0;
}

TEST(AlignedBuffer, BeginsOnACacheLine) {
  for (const std::size_t bytes : {1u, 63u, 64u, 1000u}) {
    const AlignedBuffer buffer(bytes);
    EXPECT_TRUE(is_aligned(buffer.data()));
    EXPECT_EQ(buffer.bytes(), bytes);
    std::memset(buffer.data(), 1, bytes);
  }
  EXPECT_EQ(AlignedBuffer(0).data(), nullptr);
}

TEST(AlignedBuffer, MovesItsMemory) {
  AlignedBuffer first(10);
  void* const memory = first.data();
  AlignedBuffer second(std::move(first));
  EXPECT_EQ(second.data(), memory);
  AlignedBuffer third;
  third = std::move(second);
  EXPECT_EQ(third.data(), memory);
  EXPECT_EQ(third.bytes(), 10u);
}

TEST(Arena, SizesAsItHandsOut) {
  const auto take_all = [](Arena& arena) {
    // Braces, because only they take the pieces in this order.
    return std::tuple{arena.take<char>(1), arena.take<double>(9), arena.take<float>(0),
                      arena.take<std::int64_t>(8)};
  };
  Arena sizing(nullptr);
  EXPECT_EQ(take_all(sizing), std::tuple(nullptr, nullptr, nullptr, nullptr));
  EXPECT_EQ(sizing.used(), 64u + 128u + 0u + 64u);

  const AlignedBuffer block(sizing.used());
  Arena arena(block.data());
  const auto [a, b, c, d] = take_all(arena);
  EXPECT_EQ(static_cast<void*>(a), block.data());
  EXPECT_TRUE(is_aligned(b) && is_aligned(d));
  EXPECT_EQ(reinterpret_cast<std::byte*>(b) - reinterpret_cast<std::byte*>(a), 64);
  EXPECT_EQ(reinterpret_cast<std::byte*>(d) - reinterpret_cast<std::byte*>(b), 128);
  EXPECT_EQ(arena.used(), sizing.used());
  static_cast<void>(c);
}

TEST(ThreadScratch, IsKeptForTheNextCallOfTheSameThread) {
  void* first = nullptr;
  {
    const ThreadScratch scratch(5000);
    first = scratch.data();
    EXPECT_TRUE(is_aligned(first));
    std::memset(first, 1, 5000);
  }
  const AlignedBuffer fresh(5000);  // what was freed would be handed out here
  const ThreadScratch again(4000);
  EXPECT_EQ(again.data(), first);
  std::thread([&] {
    const ThreadScratch other(4000);
    EXPECT_NE(other.data(), first);
  }).join();
}

TEST(ThreadScratch, IsNotSharedByCallsWithinOneAnother) {
  const ThreadScratch outer(1000);
  const ThreadScratch inner(1000);
  EXPECT_NE(outer.data(), inner.data());
}

TEST(ThreadScratch, GrowsWhenMoreIsAskedFor) {
  {
    const ThreadScratch small(100);
  }
  const ThreadScratch large(1 << 20);
  std::memset(large.data(), 1, 1 << 20);
}

}  // namespace
}  // namespace fastconv
