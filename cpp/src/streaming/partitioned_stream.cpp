/// A convolution of an endless signal, block by block: overlap-save with a kernel that is cut into
/// partitions as long as a block, and a delay line of spectra (Gardner, Efficient convolution
/// without input-output delay, Journal of the Audio Engineering Society 43, 1995; uniform
/// partitions and the delay line as in Wefers, Partitioned convolution algorithms for real-time
/// auralization, 2015, chapter 5).
///
///     once: U = transformed partitions of the kernels
///     for each block of samples
///       parallel for each input channel
///         transform the block and the one before it, append it to the delay line D      [L1, L2]
///       parallel for each group and some layers f
///         M_f += D_f * conjugate(U_f): sum over the first partitions and input channels [memory]
///       parallel for each group and layer f of the block's share of them
///         M'_f = D_f * conjugate(U_f), for several later blocks: the other partitions   [memory]
///       parallel for each output channel
///         transform M back, repair what is not finite, store
///
/// What limits many channels is reading U and D once for every block. But all partitions from
/// 2 * ahead_ on meet samples that were there `ahead_` blocks ago or earlier. Their products are
/// formed for `ahead_` blocks together, in one pass over D and U, and during the `ahead_` blocks
/// before these, a share of the layers in each: every block has the same work.
///
/// D is [group][f][slot][input channel], U is [group][f][output channel][partition, the last one
/// first][input channel], M is [parity][group][f][block][output channel]; an element is a vector
/// of real parts and one of imaginary parts. Every slot of D is there twice, `partitions_` apart,
/// so that slots that follow one another are always in one piece: sums have the same order for
/// every block.
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

#include "ceil_divide.hpp"
#include "fft/shared_transform.hpp"
#include "kernels/kernel_table.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::streaming {
namespace {

/// Blocks whose later partitions are computed together: reads of 2 * ahead + partitions / ahead
/// spectra for each block are fewest. A multiple of the rows of the product's largest kernel.
std::int64_t blocks_ahead(std::int64_t partitions) {
  constexpr std::int64_t kRows = 3;
  constexpr std::int64_t kMost = 24;
  if (partitions < 4 * kRows) return 0;
  const double best = std::sqrt(static_cast<double>(partitions) / 2.0);
  return std::clamp(kRows * std::llround(best / kRows), static_cast<long long>(kRows),
                    static_cast<long long>(kMost));
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
      ahead_(blocks_ahead(partitions_)),
      flip_(description.flip),
      kernels_(active_kernels().typed<T>()),
      transform_(
          fft::shared_transform<T>(transform_size(description.block, kernels_.lanes), kernels_)),
      product_(kernels_) {
  const std::int64_t number = transform_->number_size();
  delay_layer_step_ = fft_convolution::layer_step(2 * partitions_ * inputs_, number);
  kernel_layer_step_ = fft_convolution::layer_step(outputs_ * partitions_ * inputs_, number);
  result_layer_step_ =
      fft_convolution::layer_step(std::max<std::int64_t>(1, ahead_) * outputs_, number);
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
  results_ = take(2 * layers * result_layer_step_);
  threads_memory_ = take(threads_ * thread_size_);
  wide_ = arena.take<double>(static_cast<std::size_t>(threads_ * block_));
  history_ = SampleHistory<T>(arena, groups_ * inputs_, block_, partitions_ + 1);
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
  const std::int64_t layers = groups_ * transform_->layers();
  history_.clear();
  std::fill_n(delay_line_, layers * delay_layer_step_, T(0));
  std::fill_n(results_, 2 * layers * result_layer_step_, T(0));
  blocks_ = 0;
  pending_ = 0;
}

template <class T>
void PartitionedStream<T>::process(const TensorView& samples, const TensorView& outputs) noexcept {
  const std::int64_t count = samples.sizes[4];
  std::int64_t given = 0;
  for (std::int64_t taken = 0; taken < count;) {
    const std::int64_t now = std::min(count - taken, block_ - pending_);
    take({samples, taken, now});
    taken += now;
    if (pending_ < block_) break;
    finish_block(outputs, given, block_);
    given += block_;
  }
}

template <class T>
void PartitionedStream<T>::flush(const TensorView& outputs) noexcept {
  if (const std::int64_t count = pending_; count > 0) {
    // Zeros follow: a zero that is repeated.
    T zero = T(0);
    TensorView zeros;
    zeros.data = &zero;
    take({zeros, 0, block_ - count});
    finish_block(outputs, 0, count);
  }
  reset();
}

/// Gives `count` outputs of the block that is complete.
template <class T>
void PartitionedStream<T>::finish_block(const TensorView& outputs, std::int64_t first,
                                        std::int64_t count) noexcept {
  multiply();
  give(outputs, first, count);
  ++blocks_;
  pending_ = 0;
}

/// Takes samples of one block, and transforms it if it is complete.
template <class T>
void PartitionedStream<T>::take(const Piece& piece) noexcept {
  const std::int64_t stride = piece.samples.strides[4];
  const T* from = static_cast<const T*>(piece.samples.data) + piece.first * stride;
  const bool complete = pending_ + piece.count == block_;
  parallel_for(groups_ * inputs_, complete ? threads_ : 1, [&](std::int64_t channel, int thread) {
    const T* samples = from + channel * piece.samples.strides[1];
    T* to = history_.block(channel, blocks_) + pending_;
    for (std::int64_t i = 0; i < piece.count; ++i) to[i] = samples[i * stride];
    if (complete) transform_block(channel, scratch(thread));
  });
  pending_ += piece.count;
}

template <class T>
void PartitionedStream<T>::transform_block(std::int64_t channel, T* memory) noexcept {
  T* plane = memory;
  const T* samples = history_.block(channel, blocks_);
  std::copy_n(history_.block(channel, blocks_ - 1), block_, plane);
  std::copy_n(samples, block_, plane + block_);
  std::fill(plane + 2 * block_, plane + transform_->plane_size(), T(0));
  const bool finite = kernels_.all_finite(samples, block_);
  history_.non_finite(channel, blocks_) = !finite;
  if (!finite || history_.non_finite(channel, blocks_ - 1)) {
    std::replace_if(plane, plane + 2 * block_, [](T value) { return !std::isfinite(value); }, T(0));
  }
  const std::int64_t number = transform_->number_size();
  const std::int64_t copy = partitions_ * inputs_ * number;
  T* spectrum = delay_line_ + channel / inputs_ * transform_->layers() * delay_layer_step_ +
                (blocks_ % partitions_ * inputs_ + channel % inputs_) * number;
  transform_->forward(plane, transform_->size().columns, spectrum, delay_layer_step_,
                      plane + transform_->plane_size());
  for (std::int64_t layer = 0; layer < transform_->layers(); ++layer) {
    std::copy_n(spectrum, number, spectrum + copy);
    spectrum += delay_layer_step_;
  }
}

template <class T>
void PartitionedStream<T>::multiply() noexcept {
  const std::int64_t first = ahead_ == 0 ? partitions_ : 2 * ahead_;
  const std::int64_t row = blocks_ % std::max<std::int64_t>(1, ahead_);
  const std::int64_t first_step = product_.layers_per_step(first * inputs_);
  const std::int64_t first_steps = ceil_divide(transform_->layers(), first_step);
  // This block's share of what the blocks after this round of `ahead_` need.
  const std::int64_t later = partitions_ - first;
  const std::int64_t later_step =
      product_.layers_per_step(std::max<std::int64_t>(1, later) * inputs_);
  const std::int64_t later_steps = ceil_divide(transform_->layers(), later_step);
  const std::int64_t rounds = std::max<std::int64_t>(1, ahead_);
  const std::int64_t items = later == 0 ? 0 : groups_ * later_steps;
  const std::int64_t begin = items * row / rounds;
  const std::int64_t end = items * (row + 1) / rounds;
  const std::int64_t next = blocks_ - row + ahead_;
  parallel_for(groups_ * first_steps + end - begin, threads_, [&](std::int64_t index, int) {
    if (index < groups_ * first_steps) {
      multiply_layers({index / first_steps, index % first_steps * first_step, first_step},
                      {0, first}, blocks_, 1, ahead_ != 0);
    } else {
      const std::int64_t item = index - groups_ * first_steps + begin;
      multiply_layers({item / later_steps, item % later_steps * later_step, later_step},
                      {first, later}, next, ahead_, false);
    }
  });
}

/// Products of some partitions, for `count` blocks from `block` on.
template <class T>
void PartitionedStream<T>::multiply_layers(const Layers& range, const Partitions& part,
                                           std::int64_t block, std::int64_t count,
                                           bool adds) noexcept {
  const std::int64_t number = transform_->number_size();
  const std::int64_t before = range.group * transform_->layers();
  // The samples that the last of these partitions meets in the first of the blocks.
  const std::int64_t oldest = block - part.first - part.count + 1 + partitions_;
  const T* samples =
      delay_line_ + before * delay_layer_step_ + oldest % partitions_ * inputs_ * number;
  const T* kernels = kernel_spectra_ + before * kernel_layer_step_ +
                     (partitions_ - part.first - part.count) * inputs_ * number;
  product_.multiply(
      range.first, std::min(range.count, transform_->layers() - range.first), part.count * inputs_,
      {{samples, inputs_ * number, number, delay_layer_step_}, count},
      {{kernels, partitions_ * inputs_ * number, number, kernel_layer_step_}, outputs_},
      {results(range.group, block), outputs_ * number, number, result_layer_step_}, adds);
}

/// Sums of a block, of the channels of a group.
template <class T>
T* PartitionedStream<T>::results(std::int64_t group, std::int64_t block) const noexcept {
  const std::int64_t rows = std::max<std::int64_t>(1, ahead_);
  return results_ +
         (block / rows % 2 * groups_ + group) * transform_->layers() * result_layer_step_ +
         block % rows * outputs_ * transform_->number_size();
}

template <class T>
void PartitionedStream<T>::give(const TensorView& outputs, std::int64_t first,
                                std::int64_t count) noexcept {
  const std::int64_t number = transform_->number_size();
  const std::int64_t stride = outputs.strides[4];
  parallel_for(groups_ * outputs_, threads_, [&](std::int64_t channel, int thread) {
    const std::int64_t group = channel / outputs_;
    T* sums = scratch(thread);
    transform_->inverse(results(group, blocks_) + channel % outputs_ * number, result_layer_step_,
                        transform_->size().columns, sums, sums + transform_->plane_size());
    if (!finite_[channel] || !kernels_.all_finite(sums, block_) ||
        history_.any_non_finite(group * inputs_, inputs_)) {
      repair(channel, sums, wide_ + thread * block_);
    }
    T* to = static_cast<T*>(outputs.data) + channel * outputs.strides[1] + first * stride;
    for (std::int64_t i = 0; i < count; ++i) to[i * stride] = sums[i];
  });
}

/// Adds the products of samples that are not finite, which the spectra lack, and forms sums that
/// are not finite without them (overflow on the way, or weights) anew.
template <class T>
void PartitionedStream<T>::repair(std::int64_t channel, T* sums, double* wide) const noexcept {
  const T* impulses = impulses_ + channel * inputs_ * taps_;
  const std::int64_t first_input = channel / outputs_ * inputs_;
  const auto for_each_product = [&](std::int64_t input, std::int64_t from_block,
                                    const auto& is_wanted, std::int64_t begin, std::int64_t end) {
    const T* samples = history_.block(first_input + input, from_block);
    const T* lags = impulses + input * taps_;
    for (std::int64_t i = 0; i < block_; ++i) {
      if (!is_wanted(samples[i])) continue;
      const std::int64_t at = i - (blocks_ - from_block) * block_;
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
      for (std::int64_t b = blocks_ - partitions_; b <= blocks_; ++b) {
        for_each_product(input, b, is_finite, j, j + 1);
      }
    }
  }
  for (std::int64_t input = 0; input < inputs_; ++input) {
    for (std::int64_t b = blocks_ - partitions_; b <= blocks_; ++b) {
      if (!history_.non_finite(first_input + input, b)) continue;
      for_each_product(input, b, is_not_finite, 0, block_);
    }
  }
  for (std::int64_t j = 0; j < block_; ++j) sums[j] = static_cast<T>(wide[j]);
}

template class PartitionedStream<float>;
template class PartitionedStream<double>;

}  // namespace fastconv::streaming
