#include "algorithms/fft/kernel_gradient.hpp"

#include <algorithm>
#include <atomic>

#include "runtime/parallel.hpp"

namespace fastconv::fft_convolution {

template <class T>
KernelGradient<T>::KernelGradient(const Problem& problem, const Schedule<T>& schedule,
                                  const TypedKernels<T>& kernels)
    : problem_(problem),
      schedule_(schedule),
      kernels_(kernels),
      written_are_outputs_(schedule.channels.outputs_written) {
  for (const Runs& runs : schedule.runs.front()) {
    offsets_.push_back(schedule.tiles.front().tap_offsets(runs));
  }
}

template <class T>
std::int64_t KernelGradient<T>::stored_sums() const {
  std::size_t most_taps = 0;
  for (const auto& offsets : offsets_) most_taps = std::max(most_taps, offsets.size());
  return kStoredOutputs * schedule_.channels.parts * static_cast<std::int64_t>(most_taps);
}

template <class T>
std::int64_t KernelGradient<T>::scratch_size() const {
  return stored_sums() + schedule_.transform->plane_size() + schedule_.transform->scratch_size();
}

template <class T>
std::int64_t KernelGradient<T>::spectrum_index(const Position& at) const {
  const std::int64_t destination = written_are_outputs_ ? at.output : at.input;
  const std::int64_t source = written_are_outputs_ ? at.input : at.output;
  return (destination * schedule_.run_count + at.run) * schedule_.sources +
         source * schedule_.regions.planes() + at.plane;
}

template <class T>
bool KernelGradient<T>::store(const TensorView& weight, std::int64_t group, std::int64_t share,
                              const T* sums, int threads, const ThreadMemory<T>& scratch) const {
  const fft::TileTransform<T>& transform = *schedule_.transform;
  const RealView view(weight);
  const std::int64_t parts = schedule_.channels.parts;
  const std::int64_t planes = schedule_.regions.planes();
  const std::int64_t first_written = schedule_.first_channel(share);
  const std::int64_t written = schedule_.channels_of(share);
  const std::int64_t outputs = written_are_outputs_ ? written : schedule_.channels.sources;
  const std::int64_t inputs = written_are_outputs_ ? schedule_.channels.sources : written;
  const std::int64_t output_blocks = ceil_divide(outputs, kStoredOutputs);
  const std::int64_t columns =
      transform.size().sequence ? transform.size().columns : schedule_.regions.tap_columns();
  const std::int64_t items = inputs / parts * output_blocks;
  std::atomic<bool> finite{true};
  parallel_for(items * schedule_.run_count, threads, [&](std::int64_t index, int thread) {
    const std::int64_t run = index / items;
    const auto& offsets = offsets_[static_cast<std::size_t>(run)];
    const auto taps = static_cast<std::int64_t>(offsets.size());
    if (taps == 0) return;
    const std::int64_t input = index % items / output_blocks * parts;
    const std::int64_t first = index % output_blocks * kStoredOutputs;
    const std::int64_t count = std::min(kStoredOutputs, outputs - first);
    T* stored = scratch.of(thread);
    T* plane = stored + stored_sums();
    T* work = plane + transform.plane_size();
    for (std::int64_t part = 0; part < parts; ++part) {
      for (std::int64_t p = 0; p < planes; ++p) {
        for (std::int64_t k = 0; k < count; ++k) {
          const std::int64_t spectrum = spectrum_index({first + k, input + part, p, run});
          transform.inverse(sums + spectrum * transform.number_size(), schedule_.kernel_layer_step,
                            columns, plane, work);
          for (std::int64_t tap = 0; tap < taps; ++tap) {
            const std::int64_t at =
                offsets[static_cast<std::size_t>(tap)] - p * transform.plane_size();
            if (at >= 0 && at < transform.plane_size()) {
              stored[(part * taps + tap) * count + k] = plane[at];
            }
          }
        }
      }
    }
    if (!kernels_.all_finite(stored, parts * taps * count)) finite = false;
    const direct::WeightGradientStore<T> weights(
        problem_, kernels_, schedule_.runs.front()[static_cast<std::size_t>(run)], view,
        problem_.k / problem_.g * view.stride(0));
    weights.store({group, first + (written_are_outputs_ ? first_written : 0), count,
                   input + (written_are_outputs_ ? 0 : first_written), parts},
                  {stored, count, 1, 0});
  });
  return finite;
}

template class KernelGradient<float>;
template class KernelGradient<double>;

}  // namespace fastconv::fft_convolution
