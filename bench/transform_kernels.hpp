#pragma once

#include <cmath>

#include "fft/lane_transform.hpp"
#include "kernel_operands.hpp"
#include "kernels/kernel_table.hpp"

/// The kernels of the transform engine. A transform counts 5 n log2 n operations in each lane, as
/// is usual, and a product of complex numbers eight.
namespace fastconv::bench {

template <class T>
void register_complex_products(const TypedKernels<T>& kernels) {
  constexpr std::int64_t kDepth = 32;
  for (const ComplexProductKernel<T>& kernel : kernels.complex_product) {
    const std::int64_t number = 2 * kernels.lanes;
    benchmark::RegisterBenchmark(
        ("complex_product/" + type_name<T>() + "/" + tile_name(kernel.rows, kernel.columns))
            .c_str(),
        [kernel, number](benchmark::State& state) {
          const Ones<T> left(kernel.rows * kDepth * number);
          const Ones<T> right(kernel.columns * kDepth * number);
          const Ones<T> out(kernel.rows * kernel.columns * number);
          for (auto _ : state) {
            kernel.run(1, kDepth, {left.data(), kDepth * number, number, 0},
                       {right.data(), kDepth * number, number, 0},
                       {out.data(), kernel.columns * number, number, 0}, false);
            benchmark::ClobberMemory();
          }
          count_multiply_adds<T>(state, 2 * kDepth * kernel.rows * kernel.columns * number);
        });
  }
}

/// Of lengths that are one stage each, and of longer ones.
template <class T>
void register_transforms(const TypedKernels<T>& kernels) {
  for (const std::int64_t length : {2, 3, 4, 5, 7, 8, 11, 16, 32, 60, 64, 128, 256}) {
    benchmark::RegisterBenchmark(
        ("transform/" + type_name<T>() + "/" + std::to_string(length)).c_str(),
        [&kernels, length](benchmark::State& state) {
          const std::int64_t lanes = kernels.lanes;
          const fft::LaneTransformTables<T> tables(length);
          const LaneTransform<T> transform = tables.transform();
          const std::int64_t count = std::max<std::int64_t>(1, 32 / length);
          const std::int64_t size = 2 * lanes * length;
          const Ones<T> in(count * size);
          const Ones<T> out(count * size);
          const Ones<T> scratch(tables.scratch_size(lanes));
          for (auto _ : state) {
            kernels.fft.transform(transform, count, {in.data(), in.data() + lanes, 2 * lanes}, size,
                                  {out.data(), out.data() + lanes, 2 * lanes}, size,
                                  scratch.data());
            benchmark::ClobberMemory();
          }
          const auto points = static_cast<double>(length);
          state.counters["GFLOP/s"] = billions_per_second(5.0 * points * std::log2(points) *
                                                          static_cast<double>(count * lanes));
        });
  }
}

/// What surrounds transforms, for 64 numbers: bytes that are read and written.
template <class T>
void register_transform_rows(const TypedKernels<T>& kernels) {
  constexpr std::int64_t kNumbers = 64;
  const auto add = [&](const std::string& name, auto run) {
    benchmark::RegisterBenchmark(
        (name + "/" + type_name<T>()).c_str(), [&kernels, run](benchmark::State& state) {
          const std::int64_t lanes = kernels.lanes;
          const Ones<T> a(2 * lanes * (kNumbers + 1));
          const Ones<T> b(2 * lanes * (kNumbers + 1));
          const Ones<T> factors(2 * kNumbers + 2 * lanes);
          for (auto _ : state) {
            run(kernels.fft, ComplexVectors<T>{a.data(), a.data() + lanes, 2 * lanes}, b.data(),
                factors.data(), lanes);
            benchmark::ClobberMemory();
          }
          state.counters["GB/s"] =
              billions_per_second(4.0 * kNumbers * static_cast<double>(lanes * sizeof(T)));
        });
  };
  using Parts = ComplexVectors<T>;
  const auto readable = [](const Parts& parts) {
    return ComplexVectors<const T>{parts.re, parts.im, parts.step};
  };
  add("multiply_complex", [readable](const FftKernels<T>& fft, const Parts& parts, T* matrix,
                                     const T*, std::int64_t l) {
    fft.multiply(parts, readable({matrix, matrix + l, 2 * l}), kNumbers);
  });
  add("split_columns",
      [](const FftKernels<T>& fft, const Parts& parts, T* matrix, const T*, std::int64_t l) {
        fft.split_columns(matrix, 2 * l, kNumbers, l, parts);
      });
  add("join_columns", [readable](const FftKernels<T>& fft, const Parts& parts, T* matrix, const T*,
                                 std::int64_t l) {
    fft.join_columns(readable(parts), kNumbers, l, matrix, 2 * l);
  });
  add("real_spectrum", [readable](const FftKernels<T>& fft, const Parts& parts, T* matrix,
                                  const T* factors, std::int64_t l) {
    fft.real_spectrum(readable(parts), kNumbers, factors, {matrix, matrix + l, 2 * l});
  });
  add("half_spectrum", [readable](const FftKernels<T>& fft, const Parts& parts, T* matrix,
                                  const T* factors, std::int64_t l) {
    fft.half_spectrum(readable(parts), kNumbers, T(0.5), factors, {matrix, matrix + l, 2 * l});
  });
}

template <class T>
void register_fft(const TypedKernels<T>& kernels) {
  register_complex_products(kernels);
  register_transforms(kernels);
  register_transform_rows(kernels);
}

}  // namespace fastconv::bench
