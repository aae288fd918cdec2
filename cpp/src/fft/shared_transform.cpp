#include "fft/shared_transform.hpp"

#include "runtime/recently_used.hpp"

namespace fastconv::fft {

template <class T>
std::shared_ptr<const TileTransform<T>> shared_transform(const TileSize& size,
                                                         const TypedKernels<T>& kernels) {
  constexpr std::size_t kMostKept = 32;
  static RecentlyUsed<TileSize, TileTransform<T>> recent(kMostKept);
  return recent.find_or_make(size, [&] { return TileTransform<T>(size, kernels); });
}

template std::shared_ptr<const TileTransform<float>> shared_transform(const TileSize&,
                                                                      const TypedKernels<float>&);
template std::shared_ptr<const TileTransform<double>> shared_transform(const TileSize&,
                                                                       const TypedKernels<double>&);

}  // namespace fastconv::fft
