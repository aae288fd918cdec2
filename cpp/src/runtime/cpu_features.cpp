/// Which kernels this machine can run, and which it does run.
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "fastconv/cpu.hpp"
#include "fastconv/error.hpp"
#include "kernels/kernel_table.hpp"
#include "runtime/vector_units.hpp"

namespace fastconv {

#define FASTCONV_DECLARE_ISA(isa)        \
  namespace isa {                        \
  extern const KernelTable kernel_table; \
  }
#if defined(FASTCONV_HAVE_AVX512)
FASTCONV_DECLARE_ISA(avx512)
#endif
#if defined(FASTCONV_HAVE_AVX512VNNI)
namespace avx512vnni {
extern const QuadKernels kernel_table;
}
#endif
#if defined(FASTCONV_HAVE_AVX2)
FASTCONV_DECLARE_ISA(avx2)
#endif
#if defined(FASTCONV_HAVE_SSE2)
FASTCONV_DECLARE_ISA(sse2)
#endif
#if defined(FASTCONV_HAVE_NEON)
FASTCONV_DECLARE_ISA(neon)
#endif
FASTCONV_DECLARE_ISA(generic)
#undef FASTCONV_DECLARE_ISA

namespace {

struct IsaEntry {
  const char* name;
  const KernelTable* table;
  const QuadKernels* quads;  ///< what takes the place of the table's, or null
  bool (*supported)();
};

bool always() { return true; }

// The compiler's built-in checks ask the operating system (XGETBV) as well as the processor.
#if defined(FASTCONV_HAVE_AVX512)
bool has_avx512() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
         __builtin_cpu_supports("fma");
}
#endif
#if defined(FASTCONV_HAVE_AVX512VNNI)
bool has_avx512vnni() { return has_avx512() && __builtin_cpu_supports("avx512vnni"); }
#endif
#if defined(FASTCONV_HAVE_AVX2)
bool has_avx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
#endif

/// Best first.
constexpr IsaEntry kEntries[] = {
#if defined(FASTCONV_HAVE_AVX512VNNI)
    {"avx512vnni", &avx512::kernel_table, &avx512vnni::kernel_table, has_avx512vnni},
#endif
#if defined(FASTCONV_HAVE_AVX512)
    {"avx512", &avx512::kernel_table, nullptr, has_avx512},
#endif
#if defined(FASTCONV_HAVE_AVX2)
    {"avx2", &avx2::kernel_table, nullptr, has_avx2},
#endif
#if defined(FASTCONV_HAVE_SSE2)
    {"sse2", &sse2::kernel_table, nullptr, always},
#endif
#if defined(FASTCONV_HAVE_NEON)
    {"neon", &neon::kernel_table, nullptr, always},
#endif
    {"generic", &generic::kernel_table, nullptr, always},
};

/// All that there are, built or not.
constexpr const char* kNames[] = {"avx512vnni", "avx512", "avx2", "sse2", "neon", "generic"};

std::string joined(const std::vector<const char*>& names) {
  std::string text;
  for (const char* name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

const IsaEntry& choose_isa() {
  const char* forced = std::getenv("FASTCONV_FORCE_ISA");
  if (forced == nullptr || *forced == '\0') {
    for (const IsaEntry& entry : kEntries) {
      if (entry.supported()) return entry;
    }
  }
  for (const IsaEntry& entry : kEntries) {
    if (std::string(entry.name) != forced) continue;
    if (entry.supported()) return entry;
    throw UnsupportedError("FASTCONV_FORCE_ISA: got '" + std::string(forced) +
                           "', which this machine cannot run; it can run " +
                           joined(supported_isas()));
  }
  for (const char* name : kNames) {
    if (std::string(name) == forced) {
      throw UnsupportedError("FASTCONV_FORCE_ISA: got '" + std::string(forced) +
                             "', which this build lacks; it has " + joined(compiled_isas()));
    }
  }
  throw ValueError("FASTCONV_FORCE_ISA: got '" + std::string(forced) + "', needs one of " +
                   joined(compiled_isas()));
}

}  // namespace

const KernelTable& active_kernels() {
  static const KernelTable table = [] {
    const IsaEntry& entry = choose_isa();
    KernelTable kernels = *entry.table;
    kernels.isa = entry.name;
    if (entry.quads != nullptr) kernels.int32_from_quads = *entry.quads;
    return kernels;
  }();
  return table;
}

double halved_vector_factor() {
#if defined(FASTCONV_HAVE_AVX512)
  // Zen 4 takes the halves of a 512-bit vector one after the other.
  static const bool halved = active_kernels().float32.lanes == 16 && __builtin_cpu_is("amdfam19h");
  return halved ? 2.0 : 1.0;
#else
  return 1.0;
#endif
}

bool last_cache_is_far() {
  constexpr std::size_t kLargeCache = std::size_t{2} << 20;
  return second_level_cache_bytes() >= kLargeCache;
}

const char* active_isa() { return active_kernels().isa; }

std::vector<const char*> compiled_isas() {
  std::vector<const char*> names;
  for (const IsaEntry& entry : kEntries) names.push_back(entry.name);
  return names;
}

std::vector<const char*> supported_isas() {
  std::vector<const char*> names;
  for (const IsaEntry& entry : kEntries) {
    if (entry.supported()) names.push_back(entry.name);
  }
  return names;
}

std::size_t second_level_cache_bytes() {
  static const std::size_t bytes = [] {
    constexpr long kGuess = 512 * 1024;
    const long reported = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return static_cast<std::size_t>(reported > 0 ? reported : kGuess);
  }();
  return bytes;
}

}  // namespace fastconv
