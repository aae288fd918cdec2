#pragma once

#include <cmath>
#include <complex>
#include <cstdint>
#include <type_traits>

#include "fastconv/data_type.hpp"
#include "fastconv/problem.hpp"
#include "kernels/kernel_table.hpp"

/// One element at a time, of any type, as the reference needs it.
namespace fastconv::reference {

/// Halves are converted by the same rows that every algorithm uses.
inline double load_half(const void* data, DataType type, std::int64_t at) {
  float value = 0.0f;
  const auto* from = static_cast<const std::uint16_t*>(data) + at;
  active_kernels().float32.load_row[static_cast<int>(type)](&value, 1, from, 1, 1);
  return value;
}

inline void store_half(void* data, DataType type, std::int64_t at, double value) {
  auto rounded = static_cast<float>(value);
  auto* to = static_cast<std::uint16_t*>(data) + at;
  const Epilogue<float> plain{nullptr, 0, Activation::none, false};
  active_kernels().float32.store_block[static_cast<int>(type)](to, 1, 1, &rounded, 1, {1, 1},
                                                               plain);
}

template <class Value>
Value load(const void* data, DataType type, std::int64_t at) {
  const auto element = [&]<class T>(T) { return static_cast<const T*>(data)[at]; };
  if constexpr (std::is_same_v<Value, std::complex<double>>) {
    return type == DataType::complex64 ? Value(element(std::complex<float>()))
                                       : element(std::complex<double>());
  } else if constexpr (std::is_same_v<Value, double>) {
    switch (type) {
      case DataType::float32:
        return element(float());
      case DataType::float64:
        return element(double());
      default:
        return load_half(data, type, at);
    }
  } else {
    switch (type) {
      case DataType::int8:
        return static_cast<Value>(element(std::int8_t()));
      case DataType::uint8:
        return element(std::uint8_t());
      case DataType::int16:
        return static_cast<Value>(element(std::int16_t()));
      case DataType::uint16:
        return element(std::uint16_t());
      case DataType::int32:
        return static_cast<Value>(element(std::int32_t()));
      case DataType::uint32:
        return element(std::uint32_t());
      default:
        return element(std::uint64_t());
    }
  }
}

template <class Value>
void store(void* data, DataType type, std::int64_t at, Value value) {
  const auto put = [&]<class T>(T element) { static_cast<T*>(data)[at] = element; };
  if constexpr (std::is_same_v<Value, std::complex<double>>) {
    if (type == DataType::complex64) {
      put(std::complex<float>(value));
    } else {
      put(value);
    }
  } else if constexpr (std::is_same_v<Value, double>) {
    switch (type) {
      case DataType::float32:
        return put(static_cast<float>(value));
      case DataType::float64:
        return put(value);
      default:
        return store_half(data, type, at, value);
    }
  } else if (type == DataType::int32) {
    put(static_cast<std::uint32_t>(value));
  } else {
    put(value);
  }
}

template <class Value>
Value activated(Value value, Activation activation) {
  if constexpr (std::is_same_v<Value, std::complex<double>>) {
    return value;
  } else if constexpr (std::is_same_v<Value, std::uint64_t>) {
    const auto x = static_cast<std::int64_t>(value);
    if (activation == Activation::none) return value;
    if (x < 0) return 0;
    return activation == Activation::relu6 && x > 6 ? 6 : value;
  } else {
    const Value x = value;
    switch (activation) {
      case Activation::none:
        return x;
      case Activation::relu:
        return x < 0.0 ? 0.0 : x;
      case Activation::leaky_relu:
        return x < 0.0 ? 0.01 * x : x;
      case Activation::relu6:
        return x < 0.0 ? 0.0 : x > 6.0 ? 6.0 : x;
      case Activation::silu:
        return x < -800.0 ? 0.0 : x / (1.0 + std::exp(-x));
      case Activation::gelu:
        return x < -40.0 ? 0.0 : 0.5 * x * std::erfc(-x / std::sqrt(2.0));
      case Activation::sigmoid:
        return 1.0 / (1.0 + std::exp(-x));
      case Activation::tanh:
        return std::tanh(x);
    }
    return x;
  }
}

}  // namespace fastconv::reference
