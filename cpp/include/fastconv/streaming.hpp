#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "fastconv/data_type.hpp"
#include "fastconv/tensor_view.hpp"

namespace fastconv {

/// A convolution of signals that never end.
struct StreamDescription {
  DataType type = DataType::float32;  ///< of weights, samples and outputs: float32 or float64
  std::int64_t c = 1;                 ///< input channels, all groups together
  std::int64_t k = 1;                 ///< output channels, all groups together
  std::int64_t c_per_group = 1;       ///< second axis of the weight
  std::int64_t groups = 1;
  std::int64_t taps = 1;
  std::int64_t block = 0;  ///< samples that are computed together; 0: by the number of taps
  bool flip = false;       ///< mirror the kernel: strict convolution
  int threads = 0;         ///< 0: the current default, see threads.hpp
};

namespace detail {
class Stream;
}

/// Takes samples in pieces of any sizes and gives, piece by piece, what the convolution of the
/// whole signal with padding (taps - 1, 0) is:
///
///     output[k, t] = sum_{c, a} weight[k, c, a] * input[group(k) * c / g + c, t - taps + 1 + a]
///
/// Outputs do not depend on how the signal was cut, in no bit. They come in blocks. All memory is
/// allocated by the constructor, and every block takes the same work, as long as samples are
/// finite. One thread at a time may use a stream.
class StreamingConvolution {
 public:
  /// The weight's view is (K, C / groups, 1, 1, taps) with any strides; it is read here alone.
  /// Throws ValueError or UnsupportedError with a message that names the argument.
  StreamingConvolution(const StreamDescription& description, const TensorView& weight);
  StreamingConvolution(StreamingConvolution&&) noexcept;
  StreamingConvolution& operator=(StreamingConvolution&&) noexcept;
  ~StreamingConvolution();

  /// With the block that was chosen.
  const StreamDescription& description() const { return description_; }
  /// The most samples that must follow one before its output is given.
  std::int64_t latency() const { return description_.block - 1; }
  /// All memory of the stream.
  std::size_t workspace_bytes() const noexcept;

  /// Samples taken whose outputs were not given yet.
  std::int64_t pending() const noexcept;
  /// Outputs that so many more samples complete.
  std::int64_t ready(std::int64_t samples) const noexcept;

  /// Takes samples (1, C, 1, 1, n) and writes outputs (1, K, 1, 1, ready(n)). The two must not
  /// overlap.
  void process(const TensorView& samples, const TensorView& outputs) noexcept;
  /// Writes the last outputs (1, K, 1, 1, pending()); the next sample begins a new signal.
  void flush(const TensorView& outputs) noexcept;
  /// Forgets all samples.
  void reset() noexcept;

 private:
  StreamDescription description_;
  std::unique_ptr<detail::Stream> stream_;
};

}  // namespace fastconv
