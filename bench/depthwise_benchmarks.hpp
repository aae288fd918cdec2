#pragma once

#include <vector>

#include "kernel_operands.hpp"
#include "kernels/kernel_table.hpp"

/// The kernels of depthwise convolution: kernels of 3, 5 and 7 squared over 8 rows of 56 pixels.
namespace fastconv::bench {

inline constexpr std::int64_t kDepthwiseRows = 8;
inline constexpr std::int64_t kDepthwisePixels = 56;

/// Pointers to rows `pitch` apart.
template <class T>
std::vector<const T*> row_pointers(const T* first, std::int64_t rows, std::int64_t pitch) {
  std::vector<const T*> pointers;
  for (std::int64_t row = 0; row < rows; ++row) pointers.push_back(first + row * pitch);
  return pointers;
}

/// Rows of pixels with vectors along them, and the gradient of their weight.
template <class T>
void register_depthwise_rows(const DepthwiseKernels<T>& kernels, std::int64_t side) {
  const std::string name = type_name<T>() + "/" + tile_name(int(side), int(side));
  const std::int64_t pitch = 128;
  const std::int64_t source_rows = kDepthwiseRows + side - 1 + 4;
  benchmark::RegisterBenchmark(("depthwise_rows/" + name).c_str(), [=](benchmark::State& state) {
    const Ones<T> source(source_rows * pitch);
    const Ones<T> weights(side * side);
    const Ones<T> out(kDepthwiseRows * pitch);
    const std::vector<const T*> rows = row_pointers<T>(source.data(), source_rows, pitch);
    std::vector<std::int64_t> offsets;
    for (std::int64_t b = 0; b < side; ++b) offsets.push_back(b);
    const RowTaps<T> taps{rows.data(), weights.data(), offsets.data(), 1, side, side};
    const RowBlock<T> block{&taps,      1,     0,    kDepthwiseRows,         kDepthwisePixels,
                            out.data(), pitch, T(0), RowColumns::neighbours, kUnlimitedRow};
    for (auto _ : state) {
      kernels.rows(block);
      benchmark::ClobberMemory();
    }
    count_multiply_adds<T>(state, kDepthwiseRows * kDepthwisePixels * side * side);
  });
  benchmark::RegisterBenchmark(
      ("depthwise_row_gradient/" + name).c_str(), [=](benchmark::State& state) {
        const Ones<T> source(source_rows * pitch);
        const Ones<T> gradient(kDepthwiseRows * pitch);
        const Ones<T> sums(side * side);
        const std::vector<const T*> rows = row_pointers<T>(source.data(), source_rows, pitch);
        const std::vector<const T*> gradients =
            row_pointers<T>(gradient.data(), kDepthwiseRows, pitch);
        std::vector<std::int64_t> offsets;
        for (std::int64_t b = 0; b < side; ++b) offsets.push_back(b);
        const RowGradient<T> block{
            rows.data(),    gradients.data(), offsets.data(), 1,    kUnlimitedRow, 1,
            kDepthwiseRows, kDepthwisePixels, side,           side, sums.data(),   side};
        for (auto _ : state) {
          kernels.row_gradient(block);
          benchmark::ClobberMemory();
        }
        count_multiply_adds<T>(state, kDepthwiseRows * kDepthwisePixels * side * side);
      });
}

/// Pixels of one vector of channels, and the gradient of their weight.
template <class T>
void register_depthwise_channels(const DepthwiseKernels<T>& kernels, std::int64_t lanes,
                                 std::int64_t side) {
  const std::string name = type_name<T>() + "/" + tile_name(int(side), int(side));
  const std::int64_t pitch = (kDepthwisePixels + side - 1) * lanes;
  const std::int64_t rows = kernels.channel_rows;
  benchmark::RegisterBenchmark(
      ("depthwise_channels/" + name).c_str(), [=](benchmark::State& state) {
        const std::int64_t source_rows = 2 * rows + side - 1;
        const Ones<T> source(source_rows * pitch);
        const Ones<T> weights(side * side * lanes);
        const Ones<T> out(rows * pitch);
        const std::vector<const T*> sources = row_pointers<T>(source.data(), source_rows, pitch);
        std::vector<ChannelTap> taps;
        for (std::int64_t b = 0; b < side; ++b) taps.push_back({b * lanes, b * lanes});
        const ChannelRows<T> set{sources.data(), weights.data(), side * lanes, side};
        ChannelBlock<T> block{};
        block.sets = &set;
        block.set_count = 1;
        block.taps = taps.data();
        block.tap_count = side;
        block.source_step = lanes;
        block.source_limit = pitch;
        block.weight_pitch = side * side * lanes;
        block.rows = rows;
        block.pixels = kDepthwisePixels;
        block.channels = lanes;
        block.out = out.data();
        block.out_pitch = pitch;
        block.out_step = lanes;
        for (auto _ : state) {
          kernels.channels(block);
          benchmark::ClobberMemory();
        }
        count_multiply_adds<T>(state, rows * kDepthwisePixels * lanes * side * side);
      });
  benchmark::RegisterBenchmark(
      ("depthwise_channel_gradient/" + name).c_str(), [=](benchmark::State& state) {
        const Ones<T> source((rows + side - 1) * pitch);
        const Ones<T> gradient(rows * pitch);
        const Ones<T> sums(side * side * lanes);
        std::vector<std::int64_t> row_offsets;
        std::vector<std::int64_t> offsets;
        for (std::int64_t a = 0; a < side; ++a) {
          row_offsets.push_back(a);
          offsets.push_back(a * lanes);
        }
        ChannelGradient<T> block{};
        block.source = source.data();
        block.source_pitch = pitch;
        block.source_step = lanes;
        block.row_offsets = row_offsets.data();
        block.offsets = offsets.data();
        block.gradient = gradient.data();
        block.gradient_pitch = pitch;
        block.gradient_step = lanes;
        block.rows = rows;
        block.pixels = kDepthwisePixels;
        block.channels = lanes;
        block.height = side;
        block.width = side;
        block.sums = sums.data();
        for (auto _ : state) {
          kernels.channel_gradient(block);
          benchmark::ClobberMemory();
        }
        count_multiply_adds<T>(state, rows * kDepthwisePixels * lanes * side * side);
      });
}

template <class T>
void register_depthwise(const TypedKernels<T>& kernels) {
  for (const std::int64_t side : {3, 5, 7}) {
    register_depthwise_rows(kernels.depthwise, side);
    register_depthwise_channels(kernels.depthwise, kernels.lanes, side);
  }
}

}  // namespace fastconv::bench
