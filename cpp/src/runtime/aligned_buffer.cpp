#include "runtime/aligned_buffer.hpp"

#ifdef __linux__
#include <sys/mman.h>
#endif

namespace fastconv {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes >= 2 * kHugePage ? kHugePage : kAlignment};
}

thread_local AlignedBuffer kept_buffer;

}  // namespace

AlignedBuffer::AlignedBuffer(std::size_t bytes) : bytes_(bytes) {
  if (bytes == 0) return;
  data_ = ::operator new(bytes, alignment_of(bytes));
#ifdef __linux__
  // A wish: the memory serves as well without.
  if (bytes >= 2 * kHugePage) madvise(data_, bytes, MADV_HUGEPAGE);
#endif
}

AlignedBuffer::~AlignedBuffer() { ::operator delete(data_, alignment_of(bytes_)); }

ThreadScratch::ThreadScratch(std::size_t bytes) : buffer_(std::move(kept_buffer)) {
  if (buffer_.bytes() < bytes) {
    buffer_ = AlignedBuffer();  // release first: the two need not exist at once
    buffer_ = AlignedBuffer(bytes);
  }
}

ThreadScratch::~ThreadScratch() {
  if (buffer_.bytes() <= kMostKeptBytes) kept_buffer = std::move(buffer_);
}

}  // namespace fastconv
