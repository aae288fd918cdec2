/// Every kernel of the active instruction set by itself, with its data in the first-level cache.
///
///     build/bench/bench/bench_kernels
///     build/bench/bench/bench_kernels --benchmark_filter='correlation/float32'
///     FASTCONV_FORCE_ISA=avx2 build/bench/bench/bench_kernels
///     --benchmark_filter='_block/.*float16'
///
/// Names: correlation, channel_correlation, matrix_product, outer_product and dot_product / compute
/// type / tile, as rows (pixels) x vectors; load_row, load_block and store_block / compute type /
/// storage type / variant; complex_product, transform, depthwise_* and the like / compute type /
/// tile, length or size of the convolution's kernel. The tiles of pairs and quads are those of
/// int32 under int16_pairs and int8_quads. Compare the GFLOP/s (GOP/s of integers) with
/// bench_machine_limits. GB/s count what is read and what is written.
#include "kernels/kernel_table.hpp"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <type_traits>
#include <vector>

#include "depthwise_benchmarks.hpp"
#include "kernel_operands.hpp"
#include "run_benchmarks.hpp"
#include "runtime/aligned_buffer.hpp"
#include "transform_kernels.hpp"

namespace fastconv::bench {
namespace {

constexpr std::int64_t kDepth = 128;
constexpr std::size_t kSourceBytes = 8192;
constexpr std::int64_t kPixelRows = 2;
constexpr std::int64_t kOuterProductPixels = 32;
constexpr std::int64_t kDotProductPixels = 128;
constexpr std::int64_t kBlockRows = 8;
constexpr std::int64_t kBlockPixels = 64;
constexpr std::int64_t kImageChannels = 16;

/// `rows` x `width` sums. The source is read vector by vector on vector boundaries, the best case.
template <class T>
void measure_correlation(benchmark::State& state, CorrelationFunction<T> run,
                         std::int64_t packed_channels, std::int64_t rows, std::int64_t width,
                         int step_products) {
  constexpr std::int64_t kSourceElements = kSourceBytes / sizeof(T);
  const Ones<T> weights(kDepth * packed_channels);
  const Ones<T> source(kSourceElements + width);
  const Ones<T> out(rows * width);
  std::vector<std::int64_t> offsets(kDepth);
  for (std::int64_t r = 0; r < kDepth; ++r) offsets[r] = r * 16 % kSourceElements;
  for (auto _ : state) {
    run({weights.data(), packed_channels}, {source.data(), offsets.data(), 1}, kDepth,
        {out.data(), width});
    benchmark::ClobberMemory();
  }
  count_multiply_adds<T>(state, kDepth * rows * width * step_products);
}

template <class T>
void measure_matrix_product(benchmark::State& state, const MatrixProductKernel<T>& kernel,
                            int lanes) {
  const std::int64_t width = kernel.vectors * lanes;
  const Ones<T> left(kernel.rows * kDepth);
  const Ones<T> right(kDepth * width);
  const Ones<T> out(kernel.rows * width);
  for (auto _ : state) {
    kernel.run(left.data(), kDepth, right.data(), kDepth, out.data(), width, false);
    benchmark::ClobberMemory();
  }
  count_multiply_adds<T>(state, kDepth * kernel.rows * width);
}

/// Pixel rows of which every (channel, tap) pair has its own.
template <class T, class Run>
void measure_pixel_rows(benchmark::State& state, int pairs, std::int64_t pixels,
                        std::int64_t channels, Run run) {
  const std::int64_t area = kPixelRows * pixels;
  const Ones<T> source(pairs * area);
  const Ones<T> gradient(area * channels);
  const Ones<T> sums(pairs * channels);
  std::vector<std::int64_t> offsets(pairs);
  for (int m = 0; m < pairs; ++m) offsets[m] = m * area;
  const PixelRows<T> rows{1, kPixelRows,      pixels, source.data(),     0,        pixels,
                          1, gradient.data(), 0,      pixels * channels, channels, 0};
  for (auto _ : state) {
    run(rows, offsets.data(), sums.data());
    benchmark::ClobberMemory();
  }
  count_multiply_adds<T>(state, pairs * area * channels);
}

/// A step multiplies as many numbers as a packed element holds channels.
template <class T>
void register_correlations(const TypedKernels<T>& kernels, const std::string& type) {
  const int lanes = kernels.lanes;
  const int products = kernels.channels_per_element;
  for (const CorrelationKernel<T>& kernel : kernels.correlation) {
    const std::string tile = tile_name(kernel.rows, kernel.vectors);
    benchmark::RegisterBenchmark(("correlation/" + type + "/" + tile).c_str(),
                                 [kernel, lanes, products](benchmark::State& state) {
                                   measure_correlation<T>(state, kernel.run, kernel.rows,
                                                          kernel.rows, kernel.vectors * lanes,
                                                          products);
                                 });
  }
  for (const ChannelCorrelationKernel<T>& kernel : kernels.channel_correlation) {
    const std::string tile = tile_name(kernel.pixels, kernel.vectors);
    benchmark::RegisterBenchmark(("channel_correlation/" + type + "/" + tile).c_str(),
                                 [kernel, lanes, products](benchmark::State& state) {
                                   const std::int64_t channels = kernel.vectors * lanes;
                                   measure_correlation<T>(state, kernel.run, channels,
                                                          kernel.pixels, channels, products);
                                 });
  }
}

template <class T>
void register_tiles(const TypedKernels<T>& kernels) {
  register_correlations(kernels, type_name<T>());
  const int lanes = kernels.lanes;
  for (const OuterProductKernel<T>& kernel : kernels.outer_product) {
    const std::string tile = tile_name(kernel.rows, kernel.vectors);
    benchmark::RegisterBenchmark(("outer_product/" + type_name<T>() + "/" + tile).c_str(),
                                 [kernel, lanes](benchmark::State& state) {
                                   const std::int64_t width = kernel.vectors * lanes;
                                   measure_pixel_rows<T>(
                                       state, kernel.rows, kOuterProductPixels, width,
                                       [&](const auto& rows, const auto* offsets, T* sums) {
                                         kernel.run(rows, offsets, sums, width, true);
                                       });
                                 });
  }
  for (const MatrixProductKernel<T>& kernel : kernels.matrix_product) {
    const std::string tile = tile_name(kernel.rows, kernel.vectors);
    benchmark::RegisterBenchmark(
        ("matrix_product/" + type_name<T>() + "/" + tile).c_str(),
        [kernel, lanes](benchmark::State& state) { measure_matrix_product(state, kernel, lanes); });
  }
  for (const DotProductKernel<T>& kernel : kernels.dot_product) {
    benchmark::RegisterBenchmark(
        ("dot_product/" + type_name<T>() + "/" + tile_name(kernel.rows, kernel.outputs)).c_str(),
        [kernel](benchmark::State& state) {
          measure_pixel_rows<T>(state, kernel.rows, kDotProductPixels, kernel.outputs,
                                [&](PixelRows<T> rows, const auto* offsets, T* sums) {
                                  rows.gradient_pitch = rows.pixels;
                                  rows.gradient_step = 1;
                                  rows.gradient_output_pitch = rows.rows * rows.pixels;
                                  kernel.run(rows, offsets, sums, kernel.outputs);
                                });
        });
  }
}

/// Where the elements of a block lie in an image, in elements.
struct MemoryOrder {
  const char* name;
  std::int64_t pitch;
  std::int64_t stride;
};

constexpr MemoryOrder kChannelsFirst{"channels_first", kBlockPixels, 1};
constexpr MemoryOrder kEverySecond{"every_second", 2 * kBlockPixels, 2};
constexpr MemoryOrder kChannelsLast{"channels_last", 1, kImageChannels};

/// The memory of a block in any order. Its bytes are zero, which every type reads as zeros.
AlignedBuffer zeroed_image(DataType type) {
  AlignedBuffer buffer(kImageChannels * kBlockPixels * size_of(type));
  std::fill_n(static_cast<std::byte*>(buffer.data()), buffer.bytes(), std::byte{0});
  return buffer;
}

template <class T>
void count_bytes(benchmark::State& state, DataType type, std::int64_t elements, int image_passes) {
  const std::size_t bytes = sizeof(T) + static_cast<std::size_t>(image_passes) * size_of(type);
  state.counters["GB/s"] =
      billions_per_second(static_cast<double>(elements) * static_cast<double>(bytes));
}

template <class T>
void register_load_row(LoadRowFunction<T> load, DataType type) {
  for (const MemoryOrder& order : {kChannelsFirst, kEverySecond, kChannelsLast}) {
    const std::string stride = "stride_" + std::to_string(order.stride);
    benchmark::RegisterBenchmark(
        ("load_row/" + type_name<T>() + "/" + name_of(type) + "/" + stride).c_str(),
        [=](benchmark::State& state) {
          const AlignedBuffer from = zeroed_image(type);
          const Ones<T> to(kBlockPixels);
          for (auto _ : state) {
            load(to.data(), 1, from.data(), order.stride, kBlockPixels);
            benchmark::ClobberMemory();
          }
          count_bytes<T>(state, type, kBlockPixels, 1);
        });
  }
}

template <class T>
void register_load_block(LoadBlockFunction<T> load, DataType type) {
  for (const MemoryOrder& order : {kChannelsFirst, kEverySecond, kChannelsLast}) {
    benchmark::RegisterBenchmark(
        ("load_block/" + type_name<T>() + "/" + name_of(type) + "/" + order.name).c_str(),
        [=](benchmark::State& state) {
          const AlignedBuffer from = zeroed_image(type);
          const Ones<T> to(kBlockRows * kBlockPixels);
          for (auto _ : state) {
            load(to.data(), kBlockPixels, from.data(), order.pitch, order.stride,
                 {kBlockRows, kBlockPixels});
            benchmark::ClobberMemory();
          }
          count_bytes<T>(state, type, kBlockRows * kBlockPixels, 1);
        });
  }
}

/// The kernel leaves its results in the sums. A bias of a half below zero takes every activation
/// that is applied again and again to ordinary numbers instead of subnormal ones.
template <class T>
void measure_store_block(benchmark::State& state, StoreBlockFunction<T> store, DataType type,
                         const MemoryOrder& order, Epilogue<T> epilogue) {
  const AlignedBuffer to = zeroed_image(type);
  const Ones<T> sums(kBlockRows * kBlockPixels);
  const std::vector<T> bias(kBlockRows, T(-0.5));
  epilogue.bias = bias.data();
  epilogue.bias_step = 1;
  for (auto _ : state) {
    store(to.data(), order.pitch, order.stride, sums.data(), kBlockPixels,
          {kBlockRows, kBlockPixels}, epilogue);
    benchmark::ClobberMemory();
  }
  count_bytes<T>(state, type, kBlockRows * kBlockPixels, epilogue.accumulate ? 2 : 1);
}

template <class T>
void register_store_block(StoreBlockFunction<T> store, DataType type) {
  const auto add = [&](const std::string& variant, const MemoryOrder& order, Activation activation,
                       bool accumulate) {
    benchmark::RegisterBenchmark(
        ("store_block/" + type_name<T>() + "/" + name_of(type) + "/" + variant).c_str(),
        [=](benchmark::State& state) {
          measure_store_block<T>(state, store, type, order, {nullptr, 0, activation, accumulate});
        });
  };
  for (const MemoryOrder& order : {kChannelsFirst, kEverySecond, kChannelsLast}) {
    add(order.name, order, Activation::none, false);
  }
  add("accumulate", kChannelsFirst, Activation::none, true);
  for (const Activation activation :
       {Activation::relu, Activation::leaky_relu, Activation::relu6, Activation::silu,
        Activation::gelu, Activation::sigmoid, Activation::tanh}) {
    const bool exact = activation == Activation::relu || activation == Activation::relu6;
    if (exact || std::is_floating_point_v<T>) {
      add(name_of(activation), kChannelsFirst, activation, false);
    }
  }
}

template <class T>
void register_rows(const TypedKernels<T>& kernels) {
  for (int index = 0; index < kDataTypeCount; ++index) {
    const auto type = static_cast<DataType>(index);
    if (kernels.load_row[index] != nullptr) register_load_row(kernels.load_row[index], type);
    if (kernels.load_block[index] != nullptr) register_load_block(kernels.load_block[index], type);
    if (kernels.store_block[index] != nullptr) {
      register_store_block(kernels.store_block[index], type);
    }
  }
}

template <class T>
void register_kernels(const TypedKernels<T>& kernels) {
  register_tiles(kernels);
  register_rows(kernels);
  if constexpr (std::is_floating_point_v<T>) {
    register_fft(kernels);
    register_depthwise(kernels);
  }
}

}  // namespace
}  // namespace fastconv::bench

int main(int argc, char** argv) {
  const fastconv::KernelTable& table = fastconv::active_kernels();
  benchmark::AddCustomContext("isa", table.isa);
  fastconv::bench::register_kernels(table.float32);
  fastconv::bench::register_kernels(table.float64);
  fastconv::bench::register_kernels(table.int32);
  fastconv::bench::register_kernels(table.int64);
  fastconv::bench::register_correlations(table.int32_from_pairs, "int16_pairs");
  fastconv::bench::register_correlations(table.int32_from_quads.signed_weights, "int8_quads");
  return fastconv::bench::run_benchmarks(argc, argv, "0.05");
}
