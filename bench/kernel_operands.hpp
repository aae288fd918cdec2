#pragma once

#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <type_traits>

#include "run_benchmarks.hpp"
#include "runtime/aligned_buffer.hpp"

/// What the benchmarks of kernels share: operands, names, rates.
namespace fastconv::bench {

/// Elements that all hold one, on a cache-line boundary.
template <class T>
class Ones {
 public:
  explicit Ones(std::int64_t count) : buffer_(static_cast<std::size_t>(count) * sizeof(T)) {
    std::fill_n(data(), count, T(1));
  }
  T* data() const { return static_cast<T*>(buffer_.data()); }

 private:
  AlignedBuffer buffer_;
};

template <class T>
std::string type_name() {
  const char* kind = std::is_floating_point_v<T> ? "float" : "int";
  return kind + std::to_string(8 * sizeof(T));
}

template <class T>
void count_multiply_adds(benchmark::State& state, std::int64_t multiply_adds) {
  const char* unit = std::is_floating_point_v<T> ? "GFLOP/s" : "GOP/s";
  state.counters[unit] = billions_per_second(2.0 * static_cast<double>(multiply_adds));
}

inline std::string tile_name(int rows, int vectors) {
  return std::to_string(rows) + "x" + std::to_string(vectors);
}

}  // namespace fastconv::bench
