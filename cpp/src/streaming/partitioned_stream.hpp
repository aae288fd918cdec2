#pragma once

#include <memory>

#include "algorithms/fft/spectrum_product.hpp"
#include "fastconv/streaming.hpp"
#include "fft/tile_transform.hpp"
#include "runtime/aligned_buffer.hpp"
#include "streaming/sample_history.hpp"

namespace fastconv {

namespace detail {

/// What StreamingConvolution does, for one element type.
class Stream {
 public:
  virtual ~Stream() = default;
  virtual std::size_t workspace_bytes() const noexcept = 0;
  virtual std::int64_t pending() const noexcept = 0;
  virtual void process(const TensorView& samples, const TensorView& outputs) noexcept = 0;
  virtual void flush(const TensorView& outputs) noexcept = 0;
  virtual void reset() noexcept = 0;
};

}  // namespace detail

namespace streaming {

/// The block where none is asked for.
std::int64_t default_block(std::int64_t taps);

/// The transform of two blocks.
fft::TileSize transform_size(std::int64_t block, std::int64_t lanes);

template <class T>
class PartitionedStream final : public detail::Stream {
 public:
  PartitionedStream(const StreamDescription& description, const TensorView& weight, int threads);

  std::size_t workspace_bytes() const noexcept override { return memory_.bytes(); }
  std::int64_t pending() const noexcept override { return pending_; }
  void process(const TensorView& samples, const TensorView& outputs) noexcept override;
  void flush(const TensorView& outputs) noexcept override;
  void reset() noexcept override;

 private:
  /// A range of the samples of a call.
  struct Piece {
    const TensorView& samples;
    std::int64_t first;
    std::int64_t count;
  };
  /// Some layers of the spectra of a group.
  struct Layers {
    std::int64_t group;
    std::int64_t first;
    std::int64_t count;  ///< or fewer, where they end
  };
  struct Partitions {
    std::int64_t first;
    std::int64_t count;
  };

  void lay_out(Arena& arena);
  void transform_kernel(const TensorView& weight, std::int64_t channel, T* scratch);
  void take(const Piece& piece) noexcept;
  void transform_block(std::int64_t channel, T* scratch) noexcept;
  void multiply() noexcept;
  void multiply_layers(const Layers& range, const Partitions& part, std::int64_t block,
                       std::int64_t count, bool adds) noexcept;
  T* results(std::int64_t group, std::int64_t block) const noexcept;
  void finish_block(const TensorView& outputs, std::int64_t first, std::int64_t count) noexcept;
  void give(const TensorView& outputs, std::int64_t first, std::int64_t count) noexcept;
  void repair(std::int64_t channel, T* sums, double* wide) const noexcept;
  T* scratch(int thread) const noexcept { return threads_memory_ + thread * thread_size_; }

  /// Sizes of one group.
  std::int64_t inputs_;
  std::int64_t outputs_;
  std::int64_t groups_;
  std::int64_t taps_;
  std::int64_t block_;
  std::int64_t partitions_;
  std::int64_t ahead_;  ///< blocks whose later partitions are computed together, or 0
  bool flip_;
  int threads_;

  const TypedKernels<T>& kernels_;
  std::shared_ptr<const fft::TileTransform<T>> transform_;
  fft_convolution::SpectrumProduct<T> product_;
  std::int64_t delay_layer_step_;
  std::int64_t kernel_layer_step_;
  std::int64_t result_layer_step_;
  std::int64_t thread_size_;

  AlignedBuffer memory_;
  T* impulses_ = nullptr;   ///< [output channel][input channel of the group][lag]
  bool* finite_ = nullptr;  ///< whether all weights of an output channel are
  T* kernel_spectra_ = nullptr;
  T* delay_line_ = nullptr;
  T* results_ = nullptr;
  T* threads_memory_ = nullptr;
  double* wide_ = nullptr;  ///< sums of a block, for each thread
  SampleHistory<T> history_;

  std::int64_t blocks_ = 0;   ///< before the one that is filled
  std::int64_t pending_ = 0;  ///< samples in it
};

}  // namespace streaming
}  // namespace fastconv
