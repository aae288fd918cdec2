#include "algorithms/fft/kernel_spectra.hpp"

#include <algorithm>

namespace fastconv::fft_convolution {

template <class T>
KernelSpectra<T>::KernelSpectra(const Problem& problem, const Regions& regions,
                                const fft::TileTransform<T>& transform,
                                const TypedKernels<T>& kernels)
    : problem_(problem),
      transform_(transform),
      kernels_(kernels),
      channels_(problem),
      planes_(regions.planes()),
      columns_(transform.size().sequence ? transform.size().columns : regions.tap_columns()),
      runs_(regions.runs(0)) {
  const Tile tile = make_tile(regions.phases(0), transform.size(), transform.pitch());
  for (const Runs& runs : runs_) {
    offsets_.push_back(tile.tap_offsets(runs));
    most_taps_ = std::max(most_taps_, direct::tap_count(runs));
  }
}

/// Source channels whose weights are read together.
template <class T>
std::int64_t KernelSpectra<T>::chunk() const {
  constexpr std::int64_t kElements = 4096;
  const std::int64_t elements = std::max<std::int64_t>(1, most_taps_ * parts() * parts());
  const std::int64_t whole = std::max<std::int64_t>(1, kElements / elements) * parts();
  return std::min(whole, channels_.sources);
}

template <class T>
std::int64_t KernelSpectra<T>::scratch_size() const {
  return taps_size(chunk()) + planes_ * transform_.plane_size() + transform_.scratch_size();
}

template <class T>
void KernelSpectra<T>::pack_taps(const TensorView& weight, const Runs& runs, std::int64_t group,
                                 std::int64_t channel, const direct::ChannelRange& sources,
                                 T* taps) const {
  // Going backward a stride leaves elements that no tap meets.
  if (direct::tap_count(runs) == 0) return;
  const direct::WeightPacker<T> packer(problem_, weight, kernels_);
  packer.pack_block(runs, group, channel - channel % parts(), parts(), static_cast<int>(parts()),
                    sources, direct::WeightOrder::sources, taps);
}

template <class T>
bool KernelSpectra<T>::transform(const TensorView& weight, std::int64_t group, std::int64_t channel,
                                 T* spectra, std::int64_t layer_step, T* scratch) const {
  T* taps = scratch;
  T* planes = taps + taps_size(chunk());
  T* work = planes + planes_ * transform_.plane_size();
  const std::int64_t number = transform_.number_size();
  bool finite = true;
  for (std::size_t q = 0; q < runs_.size(); ++q) {
    const auto& offsets = offsets_[q];
    const auto tap_count = static_cast<std::int64_t>(offsets.size());
    std::fill_n(planes, planes_ * transform_.plane_size(), T(0));
    T* to = spectra + static_cast<std::int64_t>(q) * sources() * number;
    for (std::int64_t c = 0; c < channels_.sources; c += chunk()) {
      const std::int64_t count = std::min(chunk(), channels_.sources - c);
      pack_taps(weight, runs_[q], group, channel, {c, count}, taps);
      finite = finite && kernels_.all_finite(taps, count * tap_count * parts());
      for (std::int64_t i = 0; i < count; ++i) {
        const T* channel_taps = taps + i * tap_count * parts() + channel % parts();
        for (std::int64_t tap = 0; tap < tap_count; ++tap) {
          planes[offsets[static_cast<std::size_t>(tap)]] = channel_taps[tap * parts()];
        }
        for (std::int64_t plane = 0; plane < planes_; ++plane) {
          transform_.forward(planes + plane * transform_.plane_size(), columns_, to, layer_step,
                             work);
          to += number;
        }
      }
    }
  }
  return finite;
}

template <class T>
bool KernelSpectra<T>::all_finite(const TensorView& weight, std::int64_t group, T* taps) const {
  for (const Runs& runs : runs_) {
    for (std::int64_t k = 0; k < channels_.destinations; k += parts()) {
      for (std::int64_t c = 0; c < channels_.sources; c += chunk()) {
        const std::int64_t count = std::min(chunk(), channels_.sources - c);
        pack_taps(weight, runs, group, k, {c, count}, taps);
        if (!kernels_.all_finite(taps, count * direct::tap_count(runs) * parts())) return false;
      }
    }
  }
  return true;
}

template class KernelSpectra<float>;
template class KernelSpectra<double>;

}  // namespace fastconv::fft_convolution
