#pragma once

#include <emmintrin.h>

#include "simd/vec_generic.hpp"

namespace fastconv::sse2 {

/// Of 16, one holds the product before it is added.
inline constexpr int kRegisters = 15;
inline constexpr bool kMaskedLoads = false;

/// Orders what `stream` has written before everything that follows.
inline void finish_streams() { _mm_sfence(); }

template <class T>
struct Vec : ExtensionVec<T, 16> {
  Vec() = default;
  Vec(ExtensionVec<T, 16> base) : ExtensionVec<T, 16>(base) {}
};

/// SSE2 has no fused multiply-add: the product is rounded before the sum.
template <>
struct Vec<float> {
  static constexpr int kLanes = 4;
  __m128 value;

  static Vec zero() { return {_mm_setzero_ps()}; }
  static Vec broadcast(float scalar) { return {_mm_set1_ps(scalar)}; }
  static Vec load(const float* from) { return {_mm_loadu_ps(from)}; }
  static Vec load_partial(const float* from, std::int64_t count) {
    alignas(16) float lanes[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = from[i];
    return {_mm_load_ps(lanes)};
  }
  static LaneRange lanes_between(std::int64_t first, std::int64_t end) {
    return LaneRange::clamped(first, end, kLanes);
  }
  static Vec load_lanes(const float* from, LaneRange range) {
    float lanes[kLanes] = {};
    for (int i = range.first; i < range.end; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  void store(float* to) const { _mm_storeu_ps(to, value); }
  void stream(float* to) const { _mm_stream_ps(to, value); }
  void store_partial(float* to, std::int64_t count) const {
    alignas(16) float lanes[kLanes];
    store(lanes);
    for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
  static Vec fma(Vec a, Vec b, Vec c) {
    return {_mm_add_ps(_mm_mul_ps(a.value, b.value), c.value)};
  }
  float reduce_add() const {
    const __m128 pairs = _mm_add_ps(value, _mm_movehl_ps(value, value));
    return _mm_cvtss_f32(_mm_add_ss(pairs, _mm_shuffle_ps(pairs, pairs, 1)));
  }
};

template <>
struct Vec<double> {
  static constexpr int kLanes = 2;
  __m128d value;

  static Vec zero() { return {_mm_setzero_pd()}; }
  static Vec broadcast(double scalar) { return {_mm_set1_pd(scalar)}; }
  static Vec load(const double* from) { return {_mm_loadu_pd(from)}; }
  static Vec load_partial(const double* from, std::int64_t count) {
    return {count >= 2 ? _mm_loadu_pd(from) : count == 1 ? _mm_load_sd(from) : _mm_setzero_pd()};
  }
  static LaneRange lanes_between(std::int64_t first, std::int64_t end) {
    return LaneRange::clamped(first, end, kLanes);
  }
  static Vec load_lanes(const double* from, LaneRange range) {
    double lanes[kLanes] = {};
    for (int i = range.first; i < range.end; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  void store(double* to) const { _mm_storeu_pd(to, value); }
  void stream(double* to) const { _mm_stream_pd(to, value); }
  void store_partial(double* to, std::int64_t count) const {
    alignas(16) double lanes[kLanes];
    store(lanes);
    for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
  static Vec fma(Vec a, Vec b, Vec c) {
    return {_mm_add_pd(_mm_mul_pd(a.value, b.value), c.value)};
  }
  double reduce_add() const {
    return _mm_cvtsd_f64(_mm_add_sd(value, _mm_unpackhi_pd(value, value)));
  }
};

template <>
struct PairVec<std::int32_t> : ExtensionVec<std::int32_t, 16> {
  using Base = ExtensionVec<std::int32_t, 16>;
  static constexpr bool kExists = true;
  static constexpr int kProductRegisters = 0;
  PairVec() = default;
  PairVec(Base base) : Base(base) {}
  static PairVec fma(PairVec a, PairVec b, PairVec c) {
    const auto products =
        _mm_madd_epi16(reinterpret_cast<__m128i>(a.value), reinterpret_cast<__m128i>(b.value));
    return Base{reinterpret_cast<Base::Native>(products) + c.value};
  }
};

}  // namespace fastconv::sse2
