#include "fft/shared_transform.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

namespace fastconv::fft {

/// The most recently used ones.
template <class T>
std::shared_ptr<const TileTransform<T>> shared_transform(const TileSize& size,
                                                         const TypedKernels<T>& kernels) {
  constexpr std::size_t kMostKept = 32;
  static std::mutex mutex;
  static std::vector<std::shared_ptr<const TileTransform<T>>> kept;
  {
    const std::lock_guard lock(mutex);
    const auto found = std::ranges::find_if(
        kept, [&](const auto& transform) { return transform->size() == size; });
    if (found != kept.end()) {
      std::rotate(kept.begin(), found, found + 1);
      return kept.front();
    }
  }
  auto made = std::make_shared<const TileTransform<T>>(size, kernels);
  const std::lock_guard lock(mutex);
  if (kept.size() == kMostKept) kept.pop_back();
  kept.insert(kept.begin(), made);
  return made;
}

template std::shared_ptr<const TileTransform<float>> shared_transform(const TileSize&,
                                                                      const TypedKernels<float>&);
template std::shared_ptr<const TileTransform<double>> shared_transform(const TileSize&,
                                                                       const TypedKernels<double>&);

}  // namespace fastconv::fft
