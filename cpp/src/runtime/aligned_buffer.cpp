#include "runtime/aligned_buffer.hpp"

namespace fastconv {
namespace {

/// More than this goes back to the system after the call.
constexpr std::size_t kKeptBytes = std::size_t{32} << 20;

thread_local AlignedBuffer kept_buffer;

}  // namespace

ThreadScratch::ThreadScratch(std::size_t bytes) : buffer_(std::move(kept_buffer)) {
  if (buffer_.bytes() < bytes) {
    buffer_ = AlignedBuffer();  // release first: the two need not exist at once
    buffer_ = AlignedBuffer(bytes);
  }
}

ThreadScratch::~ThreadScratch() {
  if (buffer_.bytes() <= kKeptBytes) kept_buffer = std::move(buffer_);
}

}  // namespace fastconv
