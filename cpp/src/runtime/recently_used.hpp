#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

namespace fastconv {

/// The values of the keys that were asked for last, shared by all threads.
template <class Key, class Value>
class RecentlyUsed {
 public:
  explicit RecentlyUsed(std::size_t most) : most_(most) {}

  /// Values are made outside of the lock: two threads may both make one.
  template <class Make>
  std::shared_ptr<const Value> find_or_make(const Key& key, const Make& make) {
    {
      const std::lock_guard lock(mutex_);
      const auto found =
          std::ranges::find_if(kept_, [&](const auto& entry) { return entry.first == key; });
      if (found != kept_.end()) {
        std::rotate(kept_.begin(), found, found + 1);
        return kept_.front().second;
      }
    }
    auto made = std::make_shared<const Value>(make());
    const std::lock_guard lock(mutex_);
    if (kept_.size() == most_) kept_.pop_back();
    kept_.insert(kept_.begin(), {key, made});
    return made;
  }

 private:
  std::size_t most_;
  std::mutex mutex_;
  std::vector<std::pair<Key, std::shared_ptr<const Value>>> kept_;
};

}  // namespace fastconv
