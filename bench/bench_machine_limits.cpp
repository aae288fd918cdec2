/// What one core of this machine can do at best, for comparison with everything else.
///
///     build/bench/bench/bench_machine_limits
///     build/bench/bench/bench_machine_limits --benchmark_format=json
///     FASTCONV_FORCE_ISA=avx2 build/bench/bench/bench_machine_limits --benchmark_filter=peak
///
/// peak_fma_float32, peak_fma_float64: multiply-adds of the active instruction set on registers
/// alone. copy_bandwidth: bytes read plus bytes written by a copy that no cache holds. The best of
/// the repetitions is the limit; bench/compare_peers.py reads it from the JSON.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "fastconv/cpu.hpp"
#include "run_benchmarks.hpp"
#include "runtime/aligned_buffer.hpp"

namespace {

constexpr std::int64_t kSteps = 4096;
constexpr int kMostAccumulators = 24;
constexpr int kRepetitions = 5;
constexpr std::size_t kLeastCopyBytes = std::size_t{256} << 20;

template <class T>
struct Seeds {
  std::array<T, kMostAccumulators> sums;  // all different, or the compiler would keep only one
  T factor;
  T term;
};

/// Defines `name`, which runs `accumulators` independent chains sum = sum * factor + term in
/// vectors of `bytes` bytes. A macro, because a vector type must appear in a function whose own
/// target has it. Two FMA units with a latency of four cycles want at least eight chains; a
/// multiplication and an addition one after the other take twelve.
#define FASTCONV_MULTIPLY_ADD_CHAINS(name, attributes, bytes, accumulators)           \
  template <class T>                                                                  \
  attributes double name(const Seeds<T>& seeds) {                                     \
    typedef T Vector __attribute__((vector_size(bytes)));                             \
    const Vector factor = Vector{} + seeds.factor;                                    \
    const Vector term = Vector{} + seeds.term;                                        \
    Vector sums[accumulators];                                                        \
    _Pragma("GCC unroll 24") for (int i = 0; i < accumulators; ++i) {                 \
      sums[i] = Vector{} + seeds.sums[i];                                             \
    }                                                                                 \
    for (std::int64_t step = 0; step < kSteps; ++step) {                              \
      _Pragma("GCC unroll 24") for (int i = 0; i < accumulators; ++i) {               \
        sums[i] = sums[i] * factor + term;                                            \
      }                                                                               \
    }                                                                                 \
    Vector total = sums[0];                                                           \
    _Pragma("GCC unroll 24") for (int i = 1; i < accumulators; ++i) total += sums[i]; \
    constexpr int kLanes = bytes / sizeof(T);                                         \
    T result = 0;                                                                     \
    for (int lane = 0; lane < kLanes; ++lane) result += total[lane];                  \
    benchmark::DoNotOptimize(result);                                                 \
    return 2.0 * static_cast<double>(kSteps) * accumulators * kLanes;                 \
  }

#if defined(__x86_64__)
FASTCONV_MULTIPLY_ADD_CHAINS(run_avx512, __attribute__((target("avx512f"))), 64, 24)
FASTCONV_MULTIPLY_ADD_CHAINS(run_avx2, __attribute__((target("avx2,fma"))), 32, 12)
FASTCONV_MULTIPLY_ADD_CHAINS(run_baseline, , 16, 12)
#else
FASTCONV_MULTIPLY_ADD_CHAINS(run_baseline, , 16, 24)
#endif

template <class T>
using ChainsFunction = double (*)(const Seeds<T>&);

/// SSE2, NEON and the generic instruction set are the compiler's own default for the processor.
template <class T>
ChainsFunction<T> active_chains() {
#if defined(__x86_64__)
  const std::string_view isa = fastconv::active_isa();
  if (isa.starts_with("avx512")) return run_avx512<T>;
  if (isa == "avx2") return run_avx2<T>;
#endif
  return run_baseline<T>;
}

template <class T>
void measure_peak(benchmark::State& state) {
  const ChainsFunction<T> run = active_chains<T>();
  Seeds<T> seeds{{}, T(0.999), T(0.001)};  // converges to 1: neither overflow nor subnormals
  for (int i = 0; i < kMostAccumulators; ++i) seeds.sums[i] = T(i);
  double operations = 0.0;
  for (auto _ : state) {
    benchmark::DoNotOptimize(seeds);
    operations = run(seeds);
  }
  state.SetLabel(fastconv::active_isa());
  state.counters["GFLOP/s"] = fastconv::bench::billions_per_second(operations);
}

std::size_t copy_bytes() {
  std::size_t largest_cache = 0;
  for (const auto& cache : benchmark::CPUInfo::Get().caches) {
    largest_cache = std::max(largest_cache, static_cast<std::size_t>(cache.size));
  }
  return std::max(kLeastCopyBytes, 4 * largest_cache);
}

void measure_copy(benchmark::State& state) {
  const fastconv::AlignedBuffer source(copy_bytes());
  const fastconv::AlignedBuffer target(source.bytes());
  std::memset(source.data(), 1, source.bytes());
  std::memset(target.data(), 0, target.bytes());
  for (auto _ : state) {
    std::memcpy(target.data(), source.data(), source.bytes());
    benchmark::ClobberMemory();
  }
  state.counters["GB/s"] =
      fastconv::bench::billions_per_second(2.0 * static_cast<double>(source.bytes()));
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::RegisterBenchmark("peak_fma_float32", measure_peak<float>)->Repetitions(kRepetitions);
  benchmark::RegisterBenchmark("peak_fma_float64", measure_peak<double>)->Repetitions(kRepetitions);
  benchmark::RegisterBenchmark("copy_bandwidth", measure_copy)
      ->Repetitions(kRepetitions)
      ->Unit(benchmark::kMillisecond);
  return fastconv::bench::run_benchmarks(argc, argv, "0.1");
}
