#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::streaming {

/// The latest samples of every channel, as blocks in a ring, and which blocks hold what is not
/// finite.
template <class T>
class SampleHistory {
 public:
  SampleHistory() = default;
  SampleHistory(Arena& arena, std::int64_t channels, std::int64_t block, std::int64_t slots)
      : channels_(channels), block_(block), slots_(slots) {
    samples_ = arena.take<T>(static_cast<std::size_t>(channels * slots * block));
    non_finite_ = arena.take<bool>(static_cast<std::size_t>(channels * slots));
  }

  void clear() noexcept {
    std::fill_n(samples_, channels_ * slots_ * block_, T(0));
    std::fill_n(non_finite_, channels_ * slots_, false);
  }

  /// Blocks count from the beginning of the signal; the one before it is there as well.
  T* block(std::int64_t channel, std::int64_t index) noexcept {
    return samples_ + (channel * slots_ + slot(index)) * block_;
  }
  const T* block(std::int64_t channel, std::int64_t index) const noexcept {
    return samples_ + (channel * slots_ + slot(index)) * block_;
  }
  bool& non_finite(std::int64_t channel, std::int64_t index) noexcept {
    return non_finite_[channel * slots_ + slot(index)];
  }
  bool non_finite(std::int64_t channel, std::int64_t index) const noexcept {
    return non_finite_[channel * slots_ + slot(index)];
  }
  bool any_non_finite(std::int64_t first_channel, std::int64_t channels) const noexcept {
    const bool* flags = non_finite_ + first_channel * slots_;
    return std::find(flags, flags + channels * slots_, true) != flags + channels * slots_;
  }

  /// `count` samples, `step` elements apart, to a block and those after it, from `offset` on.
  void write(std::int64_t channel, std::int64_t index, std::int64_t offset, const T* from,
             std::int64_t step, std::int64_t count) noexcept {
    for (std::int64_t done = 0; done < count; ++index, offset = 0) {
      const std::int64_t now = std::min(count - done, block_ - offset);
      T* to = block(channel, index) + offset;
      for (std::int64_t i = 0; i < now; ++i) to[i] = from[(done + i) * step];
      done += now;
    }
  }

 private:
  std::int64_t slot(std::int64_t index) const noexcept { return (index + slots_) % slots_; }

  std::int64_t channels_ = 0;
  std::int64_t block_ = 0;
  std::int64_t slots_ = 0;
  T* samples_ = nullptr;        ///< [channel][slot][sample]
  bool* non_finite_ = nullptr;  ///< [channel][slot]
};

}  // namespace fastconv::streaming
