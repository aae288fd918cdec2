#pragma once

#include <immintrin.h>

#include "simd/vec_generic.hpp"

namespace fastconv::FASTCONV_ISA_NAMESPACE {

inline constexpr int kRegisters = 32;
inline constexpr bool kMaskedLoads = true;

/// Orders what `stream` has written before everything that follows.
inline void finish_streams() { _mm_sfence(); }

/// Bits [first, end) of `lanes`.
inline unsigned lane_bits(std::int64_t first, std::int64_t end, int lanes) {
  const LaneRange range = LaneRange::clamped(first, end, lanes);
  return ((1u << range.end) - 1u) & ~((1u << range.first) - 1u);
}

template <class T>
struct Vec : ExtensionVec<T, 64> {
  using Base = ExtensionVec<T, 64>;
  Vec() = default;
  Vec(Base base) : Base(base) {}
  static Vec load_partial(const T* from, std::int64_t count) {
    const auto mask = (1u << count) - 1u;
    const __m512i loaded = sizeof(T) == 4
                               ? _mm512_maskz_loadu_epi32(static_cast<__mmask16>(mask), from)
                               : _mm512_maskz_loadu_epi64(static_cast<__mmask8>(mask), from);
    return Base{reinterpret_cast<typename Base::Native>(loaded)};
  }
  void store_partial(T* to, std::int64_t count) const {
    const auto mask = (1u << count) - 1u;
    const auto bits = reinterpret_cast<__m512i>(this->value);
    if constexpr (sizeof(T) == 4) {
      _mm512_mask_storeu_epi32(to, static_cast<__mmask16>(mask), bits);
    } else {
      _mm512_mask_storeu_epi64(to, static_cast<__mmask8>(mask), bits);
    }
  }
};

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
  static __mmask16 lanes_between(std::int64_t first, std::int64_t end) {
    return static_cast<__mmask16>(lane_bits(first, end, kLanes));
  }
  /// Lanes from kFirst on of two vectors that follow each other.
  template <int kFirst>
  static Vec slide(Vec low, Vec high) {
    return {_mm512_castsi512_ps(_mm512_alignr_epi32(_mm512_castps_si512(high.value),
                                                    _mm512_castps_si512(low.value), kFirst))};
  }
  static Vec load_lanes(const float* from, __mmask16 lanes) {
    return {_mm512_maskz_loadu_ps(lanes, from)};
  }
  void store(float* to) const { _mm512_storeu_ps(to, value); }
  void stream(float* to) const { _mm512_stream_ps(to, value); }
  void store_partial(float* to, std::int64_t count) const {
    _mm512_mask_storeu_ps(to, static_cast<__mmask16>((1u << count) - 1u), value);
  }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.value, b.value, c.value)}; }
  /// The built-in shuffle: the intrinsics for halves make GCC 12 warn of its own header.
  float reduce_add() const {
    const __m256 high = __builtin_shufflevector(value, value, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m256 low = __builtin_shufflevector(value, value, 0, 1, 2, 3, 4, 5, 6, 7);
    const __m256 eight = _mm256_add_ps(low, high);
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
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
  static __mmask8 lanes_between(std::int64_t first, std::int64_t end) {
    return static_cast<__mmask8>(lane_bits(first, end, kLanes));
  }
  /// Lanes from kFirst on of two vectors that follow each other.
  template <int kFirst>
  static Vec slide(Vec low, Vec high) {
    return {_mm512_castsi512_pd(_mm512_alignr_epi64(_mm512_castpd_si512(high.value),
                                                    _mm512_castpd_si512(low.value), kFirst))};
  }
  static Vec load_lanes(const double* from, __mmask8 lanes) {
    return {_mm512_maskz_loadu_pd(lanes, from)};
  }
  void store(double* to) const { _mm512_storeu_pd(to, value); }
  void stream(double* to) const { _mm512_stream_pd(to, value); }
  void store_partial(double* to, std::int64_t count) const {
    _mm512_mask_storeu_pd(to, static_cast<__mmask8>((1u << count) - 1u), value);
  }
  static Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_pd(a.value, b.value, c.value)}; }
  double reduce_add() const {
    const __m256d high = __builtin_shufflevector(value, value, 4, 5, 6, 7);
    const __m256d low = __builtin_shufflevector(value, value, 0, 1, 2, 3);
    const __m256d four = _mm256_add_pd(low, high);
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
  }
};

inline void store_every_second(const Vec<float>& vector, float* to) {
  constexpr __mmask16 kEven = 0x5555;
  const __m512 upper = _mm512_shuffle_f32x4(vector.value, vector.value, 0xee);
  _mm512_mask_storeu_ps(to, kEven, _mm512_maskz_expand_ps(kEven, vector.value));
  _mm512_mask_storeu_ps(to + 16, kEven, _mm512_maskz_expand_ps(kEven, upper));
}

inline void store_every_second(const Vec<double>& vector, double* to) {
  constexpr __mmask8 kEven = 0x55;
  const __m512d upper = _mm512_shuffle_f64x2(vector.value, vector.value, 0xee);
  _mm512_mask_storeu_pd(to, kEven, _mm512_maskz_expand_pd(kEven, vector.value));
  _mm512_mask_storeu_pd(to + 8, kEven, _mm512_maskz_expand_pd(kEven, upper));
}
template <>
struct HalfConversion<float> {
  static constexpr bool kExists = true;
  static void load(float* to, const void* from) {
    _mm512_storeu_ps(to, _mm512_cvtph_ps(_mm256_loadu_si256(static_cast<const __m256i*>(from))));
  }
  /// Rounds to nearest, ties to even.
  static void store(void* to, const float* from) {
    constexpr int kNearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    _mm256_storeu_si256(static_cast<__m256i*>(to),
                        _mm512_cvtps_ph(_mm512_loadu_ps(from), kNearest));
  }
};

template <>
struct PairVec<std::int32_t> : ExtensionVec<std::int32_t, 64> {
  using Base = ExtensionVec<std::int32_t, 64>;
  static constexpr bool kExists = true;
  static constexpr int kProductRegisters = 1;
  PairVec() = default;
  PairVec(Base base) : Base(base) {}
  static PairVec fma(PairVec a, PairVec b, PairVec c) {
    const auto products =
        _mm512_madd_epi16(reinterpret_cast<__m512i>(a.value), reinterpret_cast<__m512i>(b.value));
    return Base{reinterpret_cast<Base::Native>(products) + c.value};
  }
};

}  // namespace fastconv::FASTCONV_ISA_NAMESPACE
