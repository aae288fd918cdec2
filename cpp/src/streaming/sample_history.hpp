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

 private:
  std::int64_t slot(std::int64_t index) const noexcept { return (index + slots_) % slots_; }

  std::int64_t channels_ = 0;
  std::int64_t block_ = 0;
  std::int64_t slots_ = 0;
  T* samples_ = nullptr;        ///< [channel][slot][sample]
  bool* non_finite_ = nullptr;  ///< [channel][slot]
};

}  // namespace fastconv::streaming
