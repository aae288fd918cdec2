/// A convolution of an endless signal, block by block: overlap-save with a kernel that is cut into
/// partitions as long as a block, and a delay line of spectra (Gardner, Efficient convolution
/// without input-output delay, Journal of the Audio Engineering Society 43, 1995; uniform
/// partitions and the delay line as in Wefers, Partitioned convolution algorithms for real-time
/// auralization, 2015, chapter 5).
///
///     once: U = transformed partitions of the kernels
///     for each block of samples, or several that arrive together
///       parallel for each input channel
///         transform the block and the one before it, append it to the delay line D      [L1, L2]
///       parallel for each group and some layers f
///         M_f = D_f * conjugate(U_f): sum over partitions and input channels            [memory]
///       parallel for each output channel and block
///         transform M back, repair what is not finite, store
///
/// D is [group][f][slot][input channel], U is [group][f][output channel][partition, the last one
/// first][input channel], M is [group][f][block][output channel]; an element is a vector of real
/// parts and one of imaginary parts. Every slot of D is there twice, `slots_` apart, so that the
/// last partitions_ slots always follow one another: sums have the same order for every block.
///
/// A transform has N >= 2 * block points. Its tile begins one block before the outputs, and tap a
/// of a partition lies at block - a:
///
///     output[j] = sum_a partition[a] * tile[block + j - a] = sum_i kernel[i] * tile[j + i]
///
/// What is not finite is left out of the spectra, so that it does not stay in the delay line, and
/// put back tap by tap into the outputs whose window holds it.
#include "streaming/partitioned_stream.hpp"

#include <cmath>

#include "fft/shared_transform.hpp"
#include "kernels/kernel_table.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::streaming {
namespace {

/// Blocks that share a pass over the spectra, where samples for several arrive together: the rows
/// of the product's largest kernel.
constexpr std::int64_t kMostBlocks = 3;

std::int64_t ceil_divide(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Layers a power of two apart would fall into few sets of a cache.
std::int64_t layer_step(std::int64_t numbers, std::int64_t number_size) {
  return (numbers + 1) * number_size;
}

}  // namespace

template <class T>
PartitionedStream<T>::PartitionedStream(const StreamDescription& description,
                                        const TensorView& weight, int threads)
    : inputs_(description.c_per_group),
      outputs_(description.k / description.groups),
      groups_(description.groups),
      taps_(description.taps),
      block_(description.block),
      partitions_(ceil_divide(description.taps, description.block)),
      slots_(partitions_ + kMostBlocks - 1),
      flip_(description.flip),
      kernels_(active_kernels().typed<T>()),
      transform_(
          fft::shared_transform<T>(transform_size(description.block, kernels_.lanes), kernels_)),
      product_(kernels_) {
  const std::int64_t number = transform_->number_size();
  delay_layer_step_ = layer_step(2 * slots_ * inputs_, number);
  kernel_layer_step_ = layer_step(outputs_ * partitions_ * inputs_, number);
  result_layer_step_ = layer_step(kMostBlocks * outputs_, number);
  thread_size_ = static_cast<std::int64_t>(
      round_up(static_cast<std::size_t>(transform_->plane_size() + transform_->scratch_size()),
               kAlignment / sizeof(T)));
  // Work that is over before a second thread has begun.
  constexpr double kLeastSeconds = 30e-6;
  constexpr double kSecondsOfNumber = 0.65e-9;
  const double numbers =
      static_cast<double>(transform_->layers() * groups_) *
      static_cast<double>(outputs_ * inputs_ * partitions_ + 10 * (outputs_ + inputs_));
  threads_ = numbers * kSecondsOfNumber < kLeastSeconds ? 1 : threads;

  Arena sizes(nullptr);
  lay_out(sizes);
  memory_ = AlignedBuffer(sizes.used());
  Arena arena(memory_.data());
  lay_out(arena);
  parallel_for(groups_ * outputs_, threads_, [&](std::int64_t channel, int thread) {
    transform_kernel(weight, channel, scratch(thread));
  });
  reset();
}

template <class T>
void PartitionedStream<T>::lay_out(Arena& arena) {
  const auto take = [&](std::int64_t count) {
    return arena.take<T>(static_cast<std::size_t>(count));
  };
  const std::int64_t layers = transform_->layers() * groups_;
  impulses_ = take(groups_ * outputs_ * inputs_ * taps_);
  finite_ = arena.take<bool>(static_cast<std::size_t>(groups_ * outputs_));
  kernel_spectra_ = take(layers * kernel_layer_step_);
  delay_line_ = take(layers * delay_layer_step_);
  results_ = take(layers * result_layer_step_);
  threads_memory_ = take(threads_ * thread_size_);
  wide_ = arena.take<double>(static_cast<std::size_t>(threads_ * block_));
  history_ = SampleHistory<T>(arena, groups_ * inputs_, block_, partitions_ + kMostBlocks);
}

template <class T>
void PartitionedStream<T>::transform_kernel(const TensorView& weight, std::int64_t channel,
                                            T* memory) {
  T* impulses = impulses_ + channel * inputs_ * taps_;
  const T* from = static_cast<const T*>(weight.data) + channel * weight.strides[0];
  for (std::int64_t c = 0; c < inputs_; ++c) {
    for (std::int64_t lag = 0; lag < taps_; ++lag) {
      const std::int64_t tap = flip_ ? lag : taps_ - 1 - lag;
      impulses[c * taps_ + lag] = from[c * weight.strides[1] + tap * weight.strides[4]];
    }
  }
  finite_[channel] = kernels_.all_finite(impulses, inputs_ * taps_);
  const std::int64_t number = transform_->number_size();
  const std::int64_t group = channel / outputs_;
  T* spectra = kernel_spectra_ + group * transform_->layers() * kernel_layer_step_ +
               channel % outputs_ * partitions_ * inputs_ * number;
  T* plane = memory;
  for (std::int64_t partition = 0; partition < partitions_; ++partition) {
    for (std::int64_t c = 0; c < inputs_; ++c) {
      std::fill_n(plane, transform_->plane_size(), T(0));
      const T* lags = impulses + c * taps_ + partition * block_;
      const std::int64_t count = std::min(block_, taps_ - partition * block_);
      for (std::int64_t lag = 0; lag < count; ++lag) plane[block_ - lag] = lags[lag];
      transform_->forward(plane, transform_->size().columns,
                          spectra + ((partitions_ - 1 - partition) * inputs_ + c) * number,
                          kernel_layer_step_, plane + transform_->plane_size());
    }
  }
}

template <class T>
void PartitionedStream<T>::reset() noexcept {
  history_.clear();
  std::fill_n(delay_line_, groups_ * transform_->layers() * delay_layer_step_, T(0));
  blocks_ = 0;
  pending_ = 0;
}

template <class T>
void PartitionedStream<T>::process(const TensorView& samples, const TensorView& outputs) noexcept {
  const std::int64_t count = samples.sizes[4];
  std::int64_t given = 0;
  for (std::int64_t taken = 0; taken < count;) {
    const std::int64_t blocks = std::min(kMostBlocks, (pending_ + count - taken) / block_);
    const std::int64_t now = blocks == 0 ? count - taken : blocks * block_ - pending_;
    compute({samples, taken, now}, blocks, outputs, given, blocks * block_);
    taken += now;
    given += blocks * block_;
  }
}

template <class T>
void PartitionedStream<T>::flush(const TensorView& outputs) noexcept {
  if (pending_ > 0) {
    // Zeros follow: a zero that is repeated.
    T zero = T(0);
    TensorView zeros;
    zeros.data = &zero;
    compute({zeros, 0, block_ - pending_}, 1, outputs, 0, pending_);
  }
  reset();
}

/// Takes a piece that fills so many blocks, or stays within one, and gives `count` outputs.
template <class T>
void PartitionedStream<T>::compute(const Piece& piece, std::int64_t blocks,
                                   const TensorView& outputs, std::int64_t first,
                                   std::int64_t count) noexcept {
  take(piece, blocks);
  if (blocks == 0) {
    pending_ += piece.count;
    return;
  }
  multiply(blocks);
  give(blocks, outputs, first, count);
  blocks_ += blocks;
  pending_ = 0;
}

template <class T>
void PartitionedStream<T>::take(const Piece& piece, std::int64_t blocks) noexcept {
  const std::int64_t stride = piece.samples.strides[4];
  const T* from = static_cast<const T*>(piece.samples.data) + piece.first * stride;
  parallel_for(groups_ * inputs_, blocks == 0 ? 1 : threads_,
               [&](std::int64_t channel, int thread) {
                 history_.write(channel, blocks_, pending_,
                                from + channel * piece.samples.strides[1], stride, piece.count);
                 for (std::int64_t i = 0; i < blocks; ++i) {
                   transform_block(channel, blocks_ + i, scratch(thread));
                 }
               });
}

template <class T>
void PartitionedStream<T>::transform_block(std::int64_t channel, std::int64_t block,
                                           T* memory) noexcept {
  T* plane = memory;
  const T* before = history_.block(channel, block - 1);
  const T* samples = history_.block(channel, block);
  std::copy_n(before, block_, plane);
  std::copy_n(samples, block_, plane + block_);
  std::fill(plane + 2 * block_, plane + transform_->plane_size(), T(0));
  const bool finite = kernels_.all_finite(samples, block_);
  history_.non_finite(channel, block) = !finite;
  if (!finite || history_.non_finite(channel, block - 1)) {
    std::replace_if(plane, plane + 2 * block_, [](T value) { return !std::isfinite(value); }, T(0));
  }
  const std::int64_t number = transform_->number_size();
  const std::int64_t copy = slots_ * inputs_ * number;
  T* spectrum = delay_line_ + channel / inputs_ * transform_->layers() * delay_layer_step_ +
                (block % slots_ * inputs_ + channel % inputs_) * number;
  transform_->forward(plane, transform_->size().columns, spectrum, delay_layer_step_,
                      plane + transform_->plane_size());
  for (std::int64_t layer = 0; layer < transform_->layers(); ++layer) {
    std::copy_n(spectrum, number, spectrum + copy);
    spectrum += delay_layer_step_;
  }
}

template <class T>
void PartitionedStream<T>::multiply(std::int64_t blocks) noexcept {
  const std::int64_t number = transform_->number_size();
  const std::int64_t layers = transform_->layers();
  const std::int64_t depth = partitions_ * inputs_;
  // The second copy of the newest slot ends the windows.
  const std::int64_t newest = (blocks_ + blocks - 1) % slots_ + slots_;
  const std::int64_t oldest = newest - (blocks - 1) - (partitions_ - 1);
  const std::int64_t step = product_.layers_per_step(depth);
  const std::int64_t steps = ceil_divide(layers, step);
  parallel_for(groups_ * steps, threads_, [&](std::int64_t index, int) {
    const std::int64_t first = index % steps * step;
    const std::int64_t before = index / steps * layers;
    product_.multiply(
        first, std::min(step, layers - first), depth,
        {{delay_line_ + before * delay_layer_step_ + oldest * inputs_ * number, inputs_ * number,
          number, delay_layer_step_},
         blocks},
        {{kernel_spectra_ + before * kernel_layer_step_, depth * number, number,
          kernel_layer_step_},
         outputs_},
        {results_ + before * result_layer_step_, outputs_ * number, number, result_layer_step_},
        false);
  });
}

/// Of the outputs of all blocks the first `count`.
template <class T>
void PartitionedStream<T>::give(std::int64_t blocks, const TensorView& outputs, std::int64_t first,
                                std::int64_t count) noexcept {
  const std::int64_t number = transform_->number_size();
  const std::int64_t stride = outputs.strides[4];
  parallel_for(groups_ * outputs_ * blocks, threads_, [&](std::int64_t index, int thread) {
    const std::int64_t channel = index / blocks;
    const std::int64_t block = index % blocks;
    const std::int64_t group = channel / outputs_;
    T* sums = scratch(thread);
    T* work = sums + transform_->plane_size();
    const T* spectrum = results_ + group * transform_->layers() * result_layer_step_ +
                        (block * outputs_ + channel % outputs_) * number;
    transform_->inverse(spectrum, result_layer_step_, transform_->size().columns, sums, work);
    if (!finite_[channel] || !kernels_.all_finite(sums, block_) ||
        history_.any_non_finite(group * inputs_, inputs_)) {
      repair(channel, blocks_ + block, sums, wide_ + thread * block_);
    }
    T* to = static_cast<T*>(outputs.data) + channel * outputs.strides[1] +
            (first + block * block_) * stride;
    const std::int64_t wanted = std::min(block_, count - block * block_);
    for (std::int64_t i = 0; i < wanted; ++i) to[i * stride] = sums[i];
  });
}

/// Adds the products of samples that are not finite, which the spectra lack, and forms sums that
/// are not finite without them (overflow on the way, or weights) anew.
template <class T>
void PartitionedStream<T>::repair(std::int64_t channel, std::int64_t block, T* sums,
                                  double* wide) const noexcept {
  const T* impulses = impulses_ + channel * inputs_ * taps_;
  const std::int64_t first_input = channel / outputs_ * inputs_;
  /// Calls body(output, sample, weight) for the pairs of an output and a sample of one block.
  const auto for_each_product = [&](std::int64_t input, std::int64_t from_block,
                                    const auto& is_wanted, std::int64_t begin, std::int64_t end) {
    const T* samples = history_.block(first_input + input, from_block);
    const T* lags = impulses + input * taps_;
    for (std::int64_t i = 0; i < block_; ++i) {
      if (!is_wanted(samples[i])) continue;
      const std::int64_t at = i - (block - from_block) * block_;
      const std::int64_t last = std::min(end, at + taps_);
      for (std::int64_t j = std::max(begin, at); j < last; ++j) {
        wide[j] += static_cast<double>(samples[i]) * static_cast<double>(lags[j - at]);
      }
    }
  };
  const auto is_finite = [](T value) { return std::isfinite(value); };
  const auto is_not_finite = [](T value) { return !std::isfinite(value); };
  for (std::int64_t j = 0; j < block_; ++j) {
    const bool valid = finite_[channel] && std::isfinite(sums[j]);
    wide[j] = valid ? static_cast<double>(sums[j]) : 0.0;
    if (valid) continue;
    for (std::int64_t input = 0; input < inputs_; ++input) {
      for (std::int64_t b = block - partitions_; b <= block; ++b) {
        for_each_product(input, b, is_finite, j, j + 1);
      }
    }
  }
  for (std::int64_t input = 0; input < inputs_; ++input) {
    for (std::int64_t b = block - partitions_; b <= block; ++b) {
      if (!history_.non_finite(first_input + input, b)) continue;
      for_each_product(input, b, is_not_finite, 0, block_);
    }
  }
  for (std::int64_t j = 0; j < block_; ++j) sums[j] = static_cast<T>(wide[j]);
}

template class PartitionedStream<float>;
template class PartitionedStream<double>;

}  // namespace fastconv::streaming
