#include <algorithm>
#include <array>

#include "algorithms/real_view.hpp"
#include "fastconv/plan.hpp"
#include "fastconv/threads.hpp"
#include "kernels/kernel_table.hpp"
#include "runtime/parallel.hpp"

namespace fastconv {
namespace {

/// Channels that share the cache lines of a channels-last gradient.
constexpr std::int64_t kChannelBlock = 16;
constexpr std::int64_t kRowChunk = 256;

/// Sums of a block of channels, each over all images and positions: in double precision (modulo
/// 2^64 for integers), every chunk of a row in eight interleaved partial sums.
template <class T, class Sum>
void add_channels(const RealView& gradient, const std::array<std::int64_t, 5>& sizes,
                  std::int64_t first, std::int64_t count, LoadRowFunction<T> load, Sum* sums) {
  T row[kRowChunk];
  for (std::int64_t n = 0; n < sizes[0]; ++n) {
    for (std::int64_t d = 0; d < sizes[2]; ++d) {
      for (std::int64_t h = 0; h < sizes[3]; ++h) {
        for (std::int64_t w = 0; w < sizes[4]; w += kRowChunk) {
          const std::int64_t length = std::min(kRowChunk, sizes[4] - w);
          for (std::int64_t c = 0; c < count; ++c) {
            load(row, 1,
                 gradient.at(n * gradient.stride(0) + gradient.channel_offset(first + c) +
                             d * gradient.stride(2) + h * gradient.stride(3) +
                             w * gradient.stride(4)),
                 gradient.stride(4), length);
            constexpr std::int64_t kPartials = 8;
            Sum partial[kPartials] = {};
            for (std::int64_t i = 0; i < length; ++i) {
              partial[i % kPartials] += static_cast<Sum>(row[i]);
            }
            for (const Sum value : partial) sums[c] += value;
          }
        }
      }
    }
  }
}

template <class T, class Sum>
void reduce(const TensorView& grad_output, const RealView& result, int threads) {
  const RealView gradient(grad_output);
  const auto& kernels = active_kernels().typed<T>();
  const auto load = kernels.load_row[static_cast<int>(gradient.type())];
  const auto store = kernels.store_block[static_cast<int>(result.type())];
  const std::int64_t channels = grad_output.sizes[1] * gradient.parts();
  const std::int64_t blocks = (channels + kChannelBlock - 1) / kChannelBlock;
  const int team = grad_output.element_count() < (1 << 16) ? 1 : threads;
  parallel_for(blocks, team, [&](std::int64_t block, int) {
    const std::int64_t first = block * kChannelBlock;
    const std::int64_t count = std::min(kChannelBlock, channels - first);
    Sum sums[kChannelBlock] = {};
    add_channels<T, Sum>(gradient, grad_output.sizes, first, count, load, sums);
    for (std::int64_t c = 0; c < count; ++c) {
      auto value = static_cast<T>(sums[c]);
      store(result.at(result.channel_offset(first + c)), 1, 1, &value, 1, {1, 1},
            {nullptr, 0, Activation::none, false});
    }
  });
}

}  // namespace

void bias_gradient(const TensorView& grad_output, void* result, std::int64_t result_stride,
                   int threads) {
  const int team = threads > 0 ? threads : num_threads();
  TensorView view;
  view.data = result;
  view.type = is_integer(grad_output.type) ? DataType::int64 : grad_output.type;
  view.strides[1] = result_stride;
  const RealView to(view);
  switch (to.type()) {
    case DataType::int64:
      return reduce<std::int64_t, std::uint64_t>(grad_output, to, team);
    case DataType::float64:
      return reduce<double, double>(grad_output, to, team);
    default:
      return reduce<float, double>(grad_output, to, team);
  }
}

}  // namespace fastconv
