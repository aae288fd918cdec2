#pragma once

namespace fastconv {

/// What costs and sizes of blocks depend on besides the instruction set and the second-level cache.

/// How many times longer a multiply-add of a whole vector takes than where the processor's units
/// are as wide as the vectors: two where they are half as wide.
double halved_vector_factor();

/// Whether the last-level cache takes several times as long to answer as that of a desktop
/// processor: many cores share it over a mesh, and have 2 MiB of their own before it.
bool last_cache_is_far();

}  // namespace fastconv
