#pragma once

namespace fastconv {

/// How many times longer a multiply-add of a whole vector takes than where the processor's units
/// are as wide as the vectors: costs are fitted to such a one. Two where they are half as wide.
double halved_vector_factor();

}  // namespace fastconv
