#pragma once

#include <arm_neon.h>

#include "simd/vec_generic.hpp"

namespace fastconv::neon {

inline constexpr int kRegisters = 32;
inline constexpr bool kMaskedLoads = false;

inline void finish_streams() {}

template <class T>
struct Vec : ExtensionVec<T, 16> {
  Vec() = default;
  Vec(ExtensionVec<T, 16> base) : ExtensionVec<T, 16>(base) {}
};

template <>
struct Vec<float> {
  static constexpr int kLanes = 4;
  float32x4_t value;

  static Vec zero() { return {vdupq_n_f32(0.0f)}; }
  static Vec broadcast(float scalar) { return {vdupq_n_f32(scalar)}; }
  static Vec load(const float* from) { return {vld1q_f32(from)}; }
  static Vec load_partial(const float* from, std::int64_t count) {
    float lanes[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = from[i];
    return {vld1q_f32(lanes)};
  }
  /// Lanes from kFirst on of two vectors that follow each other.
  template <int kFirst>
  static Vec slide(Vec low, Vec high) {
    if constexpr (kFirst == kLanes) return high;
    return {vextq_f32(low.value, high.value, kFirst % kLanes)};
  }
  static LaneRange lanes_between(std::int64_t first, std::int64_t end) {
    return LaneRange::clamped(first, end, kLanes);
  }
  static Vec load_lanes(const float* from, LaneRange range) {
    float lanes[kLanes] = {};
    for (int i = range.first; i < range.end; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  void store(float* to) const { vst1q_f32(to, value); }
  void stream(float* to) const { store(to); }
  void store_partial(float* to, std::int64_t count) const {
    alignas(16) float lanes[kLanes];
    store(lanes);
    for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
  static Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f32(c.value, a.value, b.value)}; }
  float reduce_add() const { return vaddvq_f32(value); }
};

template <>
struct Vec<double> {
  static constexpr int kLanes = 2;
  float64x2_t value;

  static Vec zero() { return {vdupq_n_f64(0.0)}; }
  static Vec broadcast(double scalar) { return {vdupq_n_f64(scalar)}; }
  static Vec load(const double* from) { return {vld1q_f64(from)}; }
  static Vec load_partial(const double* from, std::int64_t count) {
    double lanes[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = from[i];
    return {vld1q_f64(lanes)};
  }
  /// Lanes from kFirst on of two vectors that follow each other.
  template <int kFirst>
  static Vec slide(Vec low, Vec high) {
    if constexpr (kFirst == kLanes) return high;
    return {vextq_f64(low.value, high.value, kFirst % kLanes)};
  }
  static LaneRange lanes_between(std::int64_t first, std::int64_t end) {
    return LaneRange::clamped(first, end, kLanes);
  }
  static Vec load_lanes(const double* from, LaneRange range) {
    double lanes[kLanes] = {};
    for (int i = range.first; i < range.end; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  void store(double* to) const { vst1q_f64(to, value); }
  void stream(double* to) const { store(to); }
  void store_partial(double* to, std::int64_t count) const {
    alignas(16) double lanes[kLanes];
    store(lanes);
    for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
  static Vec fma(Vec a, Vec b, Vec c) { return {vfmaq_f64(c.value, a.value, b.value)}; }
  double reduce_add() const { return vaddvq_f64(value); }
};

}  // namespace fastconv::neon
