#pragma once

#include "simd/vec_avx512.hpp"

namespace fastconv::avx512vnni {

/// Which operand of a product of bytes has no sign; the other one has.
enum class UnsignedOperand { first, second };

/// Vectors whose lanes are quads of bytes, except in sums: fma(a, b, c) adds all four products of a
/// lane to c, modulo 2^32.
template <UnsignedOperand kUnsigned>
struct QuadVec : ExtensionVec<std::int32_t, 64> {
  using Base = ExtensionVec<std::int32_t, 64>;
  static constexpr bool kStarts = true;
  QuadVec() = default;
  QuadVec(Base base) : Base(base) {}
  static QuadVec fma(QuadVec a, QuadVec b, QuadVec c) {
    const auto first = reinterpret_cast<__m512i>(a.value);
    const auto second = reinterpret_cast<__m512i>(b.value);
    const auto sum = reinterpret_cast<__m512i>(c.value);
    const __m512i result = kUnsigned == UnsignedOperand::first
                               ? _mm512_dpbusd_epi32(sum, first, second)
                               : _mm512_dpbusd_epi32(sum, second, first);
    return Base{reinterpret_cast<Base::Native>(result)};
  }
};

}  // namespace fastconv::avx512vnni
