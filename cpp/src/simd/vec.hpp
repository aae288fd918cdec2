#pragma once

/// The one place that maps an instruction set to its vectors. A kernel translation unit is
/// compiled with exactly one FASTCONV_ISA_<NAME> defined (see cmake/isa.cmake); everything that it
/// instantiates lives in the namespace fastconv::<name>, so that code of a newer instruction set
/// never meets the rest of the program under the same symbol.
#if defined(FASTCONV_ISA_AVX512VNNI)
#define FASTCONV_ISA_NAMESPACE avx512vnni
#include "simd/vec_avx512vnni.hpp"
#elif defined(FASTCONV_ISA_AVX512)
#define FASTCONV_ISA_NAMESPACE avx512
#include "simd/vec_avx512.hpp"
#elif defined(FASTCONV_ISA_AVX2)
#define FASTCONV_ISA_NAMESPACE avx2
#include "simd/vec_avx2.hpp"
#elif defined(FASTCONV_ISA_SSE2)
#define FASTCONV_ISA_NAMESPACE sse2
#include "simd/vec_sse2.hpp"
#elif defined(FASTCONV_ISA_NEON)
#define FASTCONV_ISA_NAMESPACE neon
#include "simd/vec_neon.hpp"
#elif defined(FASTCONV_ISA_GENERIC)
#define FASTCONV_ISA_NAMESPACE generic
#include "simd/vec_generic.hpp"
namespace fastconv::generic {
/// Of a cautious 16, one holds the product before it is added.
inline constexpr int kRegisters = 15;
inline constexpr bool kMaskedLoads = false;
inline void finish_streams() {}
template <class T>
using Vec = ExtensionVec<T, 16>;
}  // namespace fastconv::generic
#else
#error "a kernel unit needs one FASTCONV_ISA_<NAME>"
#endif
