#pragma once

#include <cstddef>
#include <vector>

namespace fastconv {

/// Name of the instruction set in use: "avx512vnni", "avx512", "avx2", "sse2", "neon" or "generic".
///
/// Chosen once, at the first call: the best that was built and that processor and operating
/// system support, or the one named by the environment variable FASTCONV_FORCE_ISA.
/// Throws ValueError if that name is unknown and UnsupportedError if this machine lacks it.
const char* active_isa();

/// Instruction sets that were built and that this machine can run, best first.
std::vector<const char*> supported_isas();

/// Instruction sets that this binary holds, best first.
std::vector<const char*> compiled_isas();

/// Bytes of the second-level data cache of one core; a cautious guess where it is unknown.
std::size_t second_level_cache_bytes();

}  // namespace fastconv
