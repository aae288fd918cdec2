#pragma once

#include <cstdint>

/// Vectors from the compiler's own vector types: every element type at any width. They are the
/// whole of the generic instruction set, and the integers of all the others, whose
/// multiplications the compiler spells better than a table of intrinsics would.
namespace fastconv::FASTCONV_ISA_NAMESPACE {

/// Integers wrap around, which is defined for unsigned types alone.
template <class T>
struct Arithmetic {
  using Type = T;
};
template <>
struct Arithmetic<std::int32_t> {
  using Type = std::uint32_t;
};
template <>
struct Arithmetic<std::int64_t> {
  using Type = std::uint64_t;
};

/// Lanes [first, end) of a vector; with masked loads a mask takes its place.
struct LaneRange {
  int first;
  int end;

  /// Both may lie beyond the vector.
  static LaneRange clamped(std::int64_t first, std::int64_t end, int lanes) {
    const auto inside = [lanes](std::int64_t lane) {
      return lane < 0 ? 0 : lane > lanes ? lanes : static_cast<int>(lane);
    };
    return {inside(first), inside(end)};
  }
};

template <class T, int kBytes>
struct ExtensionVec {
  using Element = typename Arithmetic<T>::Type;
  typedef Element Native __attribute__((vector_size(kBytes)));
  typedef Element Unaligned __attribute__((vector_size(kBytes), aligned(alignof(T)), may_alias));
  static constexpr int kLanes = kBytes / int{sizeof(T)};

  Native value;

  static ExtensionVec zero() { return {Native{}}; }
  static ExtensionVec broadcast(T scalar) { return {static_cast<Element>(scalar) - Native{}}; }
  static ExtensionVec load(const T* from) { return {*reinterpret_cast<const Unaligned*>(from)}; }
  static ExtensionVec load_partial(const T* from, std::int64_t count) {
    alignas(kBytes) T lanes[kLanes] = {};
    for (std::int64_t i = 0; i < count; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  static LaneRange lanes_between(std::int64_t first, std::int64_t end) {
    return LaneRange::clamped(first, end, kLanes);
  }
  /// Zeros in all other lanes, of which nothing is read.
  static ExtensionVec load_lanes(const T* from, LaneRange range) {
    alignas(kBytes) T lanes[kLanes] = {};
    for (int i = range.first; i < range.end; ++i) lanes[i] = from[i];
    return load(lanes);
  }
  void store(T* to) const { *reinterpret_cast<Unaligned*>(to) = value; }
  /// Past the caches where there are instructions for it, to an address that the size of a vector
  /// divides.
  void stream(T* to) const { store(to); }
  void store_partial(T* to, std::int64_t count) const {
    alignas(kBytes) T lanes[kLanes];
    store(lanes);
    for (std::int64_t i = 0; i < count; ++i) to[i] = lanes[i];
  }
  /// a * b + c
  static ExtensionVec fma(ExtensionVec a, ExtensionVec b, ExtensionVec c) {
    return {a.value * b.value + c.value};
  }
  T reduce_add() const {
    Element sum = 0;
    for (int i = 0; i < kLanes; ++i) sum += value[i];
    return static_cast<T>(sum);
  }
};

/// to[2 * i] = lane i; nothing between is written.
template <class V, class T>
inline void store_every_second(const V& vector, T* to) {
  T lanes[V::kLanes];
  vector.store(lanes);
  for (int i = 0; i < V::kLanes; ++i) to[2 * i] = lanes[i];
}
/// Conversions between whole vectors of T and float16 in memory, in place of arithmetic on the
/// bits: specialised for instruction sets that have them.
template <class T>
struct HalfConversion {
  static constexpr bool kExists = false;
};

/// Vectors whose lanes are pairs of int16, except in sums: fma(a, b, c) adds both products of a
/// lane to c. There are none where no instruction multiplies and adds pairs; where one does, the
/// instruction set specialises this, with the registers that its product needs before it is added.
template <class T>
struct PairVec {
  static constexpr bool kExists = false;
};

}  // namespace fastconv::FASTCONV_ISA_NAMESPACE
