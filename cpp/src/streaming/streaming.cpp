#include "fastconv/streaming.hpp"

#include <string>

#include "algorithms/algorithm.hpp"
#include "fastconv/error.hpp"
#include "streaming/partitioned_stream.hpp"

namespace fastconv {
namespace {

/// Transforms of two blocks have to exist and their tables to be small.
constexpr std::int64_t kMostBlock = std::int64_t{1} << 20;

void check(const StreamDescription& description) {
  if (description.type != DataType::float32 && description.type != DataType::float64) {
    throw UnsupportedError(std::string("dtype: got ") + name_of(description.type) +
                           ", needs float32 or float64: a stream transforms its samples");
  }
  if (description.k < 1 || description.c_per_group < 1 || description.taps < 1) {
    throw ValueError("weight: got " + std::to_string(description.k) + " output channels, " +
                     std::to_string(description.c_per_group) + " input channels and " +
                     std::to_string(description.taps) +
                     " taps, needs (K, C / groups, taps) with one or more of each");
  }
  if (description.groups < 1) {
    throw ValueError("groups: got " + std::to_string(description.groups) + ", needs 1 or more");
  }
  if (description.k % description.groups != 0) {
    throw ValueError("groups: got " + std::to_string(description.groups) +
                     ", needs a divisor of the output channels, of which weight has " +
                     std::to_string(description.k));
  }
  if (description.c != description.c_per_group * description.groups) {
    throw ValueError("c: got " + std::to_string(description.c) +
                     " input channels, needs groups * C / groups = " +
                     std::to_string(description.c_per_group * description.groups));
  }
  if (description.block < 0 || description.block > kMostBlock) {
    throw ValueError("block: got " + std::to_string(description.block) + ", needs 1 to " +
                     std::to_string(kMostBlock) + " samples");
  }
}

std::unique_ptr<detail::Stream> make_stream(const StreamDescription& description,
                                            const TensorView& weight) {
  const int threads = thread_count(PlanOptions{.threads = description.threads});
  if (description.type == DataType::float32) {
    return std::make_unique<streaming::PartitionedStream<float>>(description, weight, threads);
  }
  return std::make_unique<streaming::PartitionedStream<double>>(description, weight, threads);
}

}  // namespace

StreamingConvolution::StreamingConvolution(const StreamDescription& description,
                                           const TensorView& weight)
    : description_(description) {
  check(description_);
  if (description_.block == 0) description_.block = streaming::default_block(description_.taps);
  stream_ = make_stream(description_, weight);
}

StreamingConvolution::StreamingConvolution(StreamingConvolution&&) noexcept = default;
StreamingConvolution& StreamingConvolution::operator=(StreamingConvolution&&) noexcept = default;
StreamingConvolution::~StreamingConvolution() = default;

std::size_t StreamingConvolution::workspace_bytes() const noexcept {
  return stream_->workspace_bytes();
}

std::int64_t StreamingConvolution::pending() const noexcept { return stream_->pending(); }

std::int64_t StreamingConvolution::ready(std::int64_t samples) const noexcept {
  return (stream_->pending() + samples) / description_.block * description_.block;
}

void StreamingConvolution::process(const TensorView& samples, const TensorView& outputs) noexcept {
  stream_->process(samples, outputs);
}

void StreamingConvolution::flush(const TensorView& outputs) noexcept { stream_->flush(outputs); }

void StreamingConvolution::reset() noexcept { stream_->reset(); }

}  // namespace fastconv
