#pragma once

#include <immintrin.h>

#include "simd/vec_generic.hpp"

namespace fastconv::avx2 {

inline constexpr int kRegisters = 16;
inline constexpr bool kMaskedLoads = true;

/// Orders what `stream` has written before everything that follows.
inline void finish_streams() { _mm_sfence(); }

template <class T>
struct Vec : ExtensionVec<T, 32> {
  Vec() = default;
  Vec(ExtensionVec<T, 32> base) : ExtensionVec<T, 32>(base) {}
};

template <>
struct Vec<float> {
  static constexpr int kLanes = 8;
  __m256 value;

  static Vec zero() { return {_mm256_setzero_ps()}; }
  static Vec broadcast(float scalar) { return {_mm256_set1_ps(scalar)}; }
  static Vec load(const float* from) { return {_mm256_loadu_ps(from)}; }
  static Vec load_partial(const float* from, std::int64_t count) {
    return {_mm256_maskload_ps(from, mask(count))};
  }
  static __m256i lanes_between(std::int64_t first, std::int64_t end) {
    const LaneRange range = LaneRange::clamped(first, end, kLanes);
    return _mm256_andnot_si256(mask(range.first), mask(range.end));
  }
  static Vec load_lanes(const float* from, __m256i lanes) {
    return {_mm256_maskload_ps(from, lanes)};
  }
  void store(float* to) const { _mm256_storeu_ps(to, value); }
  void stream(float* to) const { _mm256_stream_ps(to, value); }
  void store_partial(float* to, std::int64_t count) const {
    _mm256_maskstore_ps(to, mask(count), value);
  }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_ps(a.value, b.value, c.value)}; }
  float reduce_add() const {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(value), _mm256_extractf128_ps(value, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
  }

 private:
  static __m256i mask(std::int64_t count) {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), lane);
  }
};

template <>
struct Vec<double> {
  static constexpr int kLanes = 4;
  __m256d value;

  static Vec zero() { return {_mm256_setzero_pd()}; }
  static Vec broadcast(double scalar) { return {_mm256_set1_pd(scalar)}; }
  static Vec load(const double* from) { return {_mm256_loadu_pd(from)}; }
  static Vec load_partial(const double* from, std::int64_t count) {
    return {_mm256_maskload_pd(from, mask(count))};
  }
  static __m256i lanes_between(std::int64_t first, std::int64_t end) {
    const LaneRange range = LaneRange::clamped(first, end, kLanes);
    return _mm256_andnot_si256(mask(range.first), mask(range.end));
  }
  static Vec load_lanes(const double* from, __m256i lanes) {
    return {_mm256_maskload_pd(from, lanes)};
  }
  void store(double* to) const { _mm256_storeu_pd(to, value); }
  void stream(double* to) const { _mm256_stream_pd(to, value); }
  void store_partial(double* to, std::int64_t count) const {
    _mm256_maskstore_pd(to, mask(count), value);
  }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm256_fmadd_pd(a.value, b.value, c.value)}; }
  double reduce_add() const {
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(value), _mm256_extractf128_pd(value, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }

 private:
  static __m256i mask(std::int64_t count) {
    const __m256i lane = _mm256_setr_epi64x(0, 1, 2, 3);
    return _mm256_cmpgt_epi64(_mm256_set1_epi64x(count), lane);
  }
};

template <>
struct PairVec<std::int32_t> : ExtensionVec<std::int32_t, 32> {
  using Base = ExtensionVec<std::int32_t, 32>;
  static constexpr bool kExists = true;
  static constexpr int kProductRegisters = 1;
  PairVec() = default;
  PairVec(Base base) : Base(base) {}
  static PairVec fma(PairVec a, PairVec b, PairVec c) {
    const auto products =
        _mm256_madd_epi16(reinterpret_cast<__m256i>(a.value), reinterpret_cast<__m256i>(b.value));
    return Base{reinterpret_cast<Base::Native>(products) + c.value};
  }
};

}  // namespace fastconv::avx2
