#include "algorithms/fft/source_spectra.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace fastconv::fft_convolution {

template <class T>
std::int64_t SourceSpectra<T>::batch(const RealView& view, std::int64_t channels,
                                     const fft::TileTransform<T>& transform) {
  constexpr std::int64_t kMostBytes = 1 << 18;
  const bool channels_last =
      view.parts() == 1 && std::abs(view.stride(1)) < std::abs(view.stride(4));
  if (!channels_last) return 1;
  const std::int64_t bytes = transform.plane_size() * static_cast<std::int64_t>(sizeof(T));
  return std::clamp<std::int64_t>(kMostBytes / bytes, 1, std::min(kMostBatch, channels));
}

template <class T>
void SourceSpectra<T>::pack(const Tile& tile, const Extent& origin, std::int64_t n,
                            std::int64_t first, std::int64_t count, T* planes) const {
  const Extent size = tile.size_at(origin);
  const fft::TileSize& transformed = transform_.size();
  const std::int64_t columns = transformed.sequence ? transformed.points() : transformed.columns;
  const auto fills = [&](std::size_t axis, std::int64_t length) {
    return size[axis] + tile.phases[axis]->reach == length;
  };
  if (!fills(0, tile.pitch[0]) || !fills(1, tile.pitch[1]) || !fills(2, columns)) {
    std::fill_n(planes, count * tile.channel_size(), T(0));
  } else if (columns < tile.pitch[2]) {
    for (T* row = planes; row < planes + count * tile.channel_size(); row += tile.pitch[2]) {
      std::fill(row + columns, row + tile.pitch[2], T(0));
    }
  }
  direct::pack_source<T>(tile, padding_, origin, view_, n, first, count,
                         kernels_.load_block[static_cast<int>(view_.type())], planes);
}

template <class T>
bool SourceSpectra<T>::transform(const Tile& tile, const Extent& origin, std::int64_t n,
                                 std::int64_t first, std::int64_t count, T* spectra,
                                 std::int64_t plane_step, std::int64_t layer_step,
                                 T* scratch) const {
  T* planes = scratch;
  T* work = planes + count * tile.channel_size();
  pack(tile, origin, n, first, count, planes);
  const auto transform_planes = [&] {
    bool finite = true;
    for (std::int64_t plane = 0; plane < count * tile.planes; ++plane) {
      T* spectrum = spectra + plane * plane_step;
      transform_.forward(planes + plane * tile.plane_size, transform_.size().columns, spectrum,
                         layer_step, work);
      // A number that is not finite leaves none of the frequencies finite.
      finite = finite && kernels_.all_finite(spectrum, transform_.number_size());
    }
    return finite;
  };
  if (transform_planes()) return true;
  const std::int64_t size = count * tile.channel_size();
  if (kernels_.all_finite(planes, size)) return true;  // the sums are too large
  std::replace_if(planes, planes + size, [](T value) { return !std::isfinite(value); }, T(0));
  transform_planes();
  return false;
}

template class SourceSpectra<float>;
template class SourceSpectra<double>;

}  // namespace fastconv::fft_convolution
