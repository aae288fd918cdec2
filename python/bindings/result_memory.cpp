#include "result_memory.hpp"

#include <utility>

namespace fastconv::python {
namespace {

constexpr std::size_t kMostBuffers = 16;

}  // namespace

ResultMemory& ResultMemory::instance() {
  static auto* memory = new ResultMemory;
  return *memory;
}

ResultMemory::ResultMemory() { kept_.reserve(kMostBuffers + 1); }

AlignedBuffer ResultMemory::take(std::size_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    auto best = kept_.end();
    for (auto buffer = kept_.begin(); buffer != kept_.end(); ++buffer) {
      const bool fits = buffer->bytes() >= bytes && buffer->bytes() <= bytes + bytes / 4;
      if (fits && (best == kept_.end() || buffer->bytes() <= best->bytes())) best = buffer;
    }
    if (best != kept_.end()) {
      AlignedBuffer result = std::move(*best);
      kept_.erase(best);
      kept_bytes_ -= result.bytes();
      return result;
    }
  }
  return AlignedBuffer(bytes);
}

void ResultMemory::give_back(AlignedBuffer buffer) noexcept {
  if (buffer.bytes() > kMostKeptBytes) return;
  const std::lock_guard lock(mutex_);
  kept_bytes_ += buffer.bytes();
  kept_.push_back(std::move(buffer));
  while (kept_bytes_ > kMostKeptBytes || kept_.size() > kMostBuffers) {
    kept_bytes_ -= kept_.front().bytes();
    kept_.erase(kept_.begin());
  }
}

}  // namespace fastconv::python
