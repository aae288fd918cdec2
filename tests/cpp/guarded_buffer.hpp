#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>

namespace fastconv::testing {

/// Which end of a buffer touches the page that must not be touched.
enum class Side { end, start };

/// Memory between two inaccessible pages: one element too far is a segmentation fault. The bytes
/// that alignment leaves between the buffer and its guard hold a pattern, see `intact`.
class GuardedBuffer {
 public:
  /// Every byte begins as `fill`; 0xff makes NaN of floating-point numbers.
  explicit GuardedBuffer(std::size_t bytes, Side side = Side::end, std::size_t alignment = 64,
                         unsigned char fill = 0xff)
      : bytes_(bytes), fill_(fill) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t inside = (bytes + page - 1) / page * page;
    mapped_bytes_ = inside + 2 * page;
    mapping_ = mmap(nullptr, mapped_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapping_ == MAP_FAILED) throw std::bad_alloc();
    inside_first_ = static_cast<std::byte*>(mapping_) + page;
    inside_bytes_ = inside;
    if (inside > 0 && mprotect(inside_first_, inside, PROT_READ | PROT_WRITE) != 0) {
      munmap(mapping_, mapped_bytes_);
      throw std::bad_alloc();
    }
    const std::size_t offset = side == Side::start ? 0 : (inside - bytes) / alignment * alignment;
    data_ = inside_first_ + offset;
    if (inside > 0) std::memset(inside_first_, fill, inside);
  }
  ~GuardedBuffer() { munmap(mapping_, mapped_bytes_); }
  GuardedBuffer(const GuardedBuffer&) = delete;
  GuardedBuffer& operator=(const GuardedBuffer&) = delete;

  void* data() const { return data_; }
  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }
  std::size_t bytes() const { return bytes_; }

  /// Whether nothing was written between the buffer and its guards.
  bool intact() const {
    for (const std::byte* at = inside_first_; at < inside_first_ + inside_bytes_; ++at) {
      if ((at < data_ || at >= data_ + bytes_) && *at != std::byte{fill_}) return false;
    }
    return true;
  }

 private:
  std::size_t bytes_;
  unsigned char fill_;
  void* mapping_;
  std::size_t mapped_bytes_;
  std::byte* inside_first_;
  std::size_t inside_bytes_;
  std::byte* data_;
};

/// `count` elements that begin and end where a T may.
template <class T>
class GuardedArray {
 public:
  explicit GuardedArray(std::int64_t count, Side side = Side::end)
      : buffer_(static_cast<std::size_t>(count) * sizeof(T), side, alignof(T)), count_(count) {}

  T* data() const { return buffer_.as<T>(); }
  T& operator[](std::int64_t index) const { return data()[index]; }
  std::int64_t size() const { return count_; }
  T* begin() const { return data(); }
  T* end() const { return data() + count_; }
  bool intact() const { return buffer_.intact(); }

 private:
  GuardedBuffer buffer_;
  std::int64_t count_;
};

}  // namespace fastconv::testing
