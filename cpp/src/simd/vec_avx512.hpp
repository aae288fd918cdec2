#pragma once

#include <immintrin.h>

#include "simd/vec_generic.hpp"

namespace fastconv::avx512 {

inline constexpr int kRegisters = 32;

template <class T>
struct Vec : ExtensionVec<T, 64> {
  Vec() = default;
  Vec(ExtensionVec<T, 64> base) : ExtensionVec<T, 64>(base) {}
};

/// The sum of the lanes, by halves.
template <class T, int kLanes>
inline T tree_sum(T (&lanes)[kLanes]) {
#pragma GCC unroll 4
  for (int half = kLanes / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

template <>
struct Vec<float> {
  static constexpr int kLanes = 16;
  __m512 value;

  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Vec broadcast(float scalar) { return {_mm512_set1_ps(scalar)}; }
  static Vec load(const float* from) { return {_mm512_loadu_ps(from)}; }
  static Vec load_partial(const float* from, std::int64_t count) {
    const auto mask = static_cast<__mmask16>((1u << count) - 1u);
    return {_mm512_maskz_loadu_ps(mask, from)};
  }
  void store(float* to) const { _mm512_storeu_ps(to, value); }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.value, b.value, c.value)}; }
  float reduce_add() const {
    alignas(64) float lanes[kLanes];
    _mm512_store_ps(lanes, value);
    return tree_sum(lanes);
  }
};

template <>
struct Vec<double> {
  static constexpr int kLanes = 8;
  __m512d value;

  static Vec zero() { return {_mm512_setzero_pd()}; }
  static Vec broadcast(double scalar) { return {_mm512_set1_pd(scalar)}; }
  static Vec load(const double* from) { return {_mm512_loadu_pd(from)}; }
  static Vec load_partial(const double* from, std::int64_t count) {
    const auto mask = static_cast<__mmask8>((1u << count) - 1u);
    return {_mm512_maskz_loadu_pd(mask, from)};
  }
  void store(double* to) const { _mm512_storeu_pd(to, value); }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_pd(a.value, b.value, c.value)}; }
  double reduce_add() const {
    alignas(64) double lanes[kLanes];
    _mm512_store_pd(lanes, value);
    return tree_sum(lanes);
  }
};

}  // namespace fastconv::avx512
