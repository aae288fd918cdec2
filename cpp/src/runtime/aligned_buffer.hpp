#pragma once

#include <cstddef>
#include <new>
#include <utility>

namespace fastconv {

/// Alignment of every buffer: a cache line, and the widest vector.
inline constexpr std::size_t kAlignment = 64;

/// Memory that is kept for later calls, by each thread and for results; more goes back to the
/// system.
inline constexpr std::size_t kMostKeptBytes = std::size_t{64} << 20;

constexpr std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Uninitialised memory on a cache-line boundary; large blocks on huge pages where the system gives
/// them on request, since spectra are written at long strides. Throws std::bad_alloc.
class AlignedBuffer {
 public:
  AlignedBuffer() = default;
  explicit AlignedBuffer(std::size_t bytes);
  AlignedBuffer(AlignedBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  AlignedBuffer& operator=(AlignedBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~AlignedBuffer();

  void* data() const { return data_; }
  std::size_t bytes() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Hands out aligned pieces of one block of memory, first for sizing (with a null block), then for
/// use, so that the size of a workspace and its layout are written once.
class Arena {
 public:
  explicit Arena(void* block) : block_(static_cast<std::byte*>(block)) {}

  template <class T>
  T* take(std::size_t count) {
    std::byte* piece = block_ == nullptr ? nullptr : block_ + used_;
    used_ += round_up(count * sizeof(T), kAlignment);
    return reinterpret_cast<T*>(piece);
  }
  std::size_t used() const { return used_; }

 private:
  std::byte* block_;
  std::size_t used_ = 0;
};

/// Scratch memory of the calling thread, kept between calls up to a bound, so that a call does not
/// pay for fresh pages. Throws std::bad_alloc.
class ThreadScratch {
 public:
  explicit ThreadScratch(std::size_t bytes);
  ~ThreadScratch();
  ThreadScratch(const ThreadScratch&) = delete;
  ThreadScratch& operator=(const ThreadScratch&) = delete;
  void* data() const { return buffer_.data(); }

 private:
  AlignedBuffer buffer_;
};

}  // namespace fastconv
