/// What quads of bytes need of an instruction set that multiplies them and is another one in all
/// else: that one's own unit (isa_unit.cpp) has the rest. The same rules hold here.
#include "kernels/kernel_table.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_ISA_NAMESPACE {
namespace {

// What the others build on comes first.
#include "kernels/arithmetic.inl"

#include "kernels/activation.inl"
#include "kernels/transpose.inl"

#include "kernels/runs.inl"

#include "kernels/rows.inl"

#include "kernels/correlation.inl"
#include "kernels/joined_channels.inl"

#include "kernels/correlation_tables.inl"

/// Sources of the same type as the weights get the other sign while they are loaded.
template <class V, class ChannelV>
constexpr TypedKernels<std::int32_t> make_quad_kernels(DataType weight, DataType other) {
  using T = std::int32_t;
  TypedKernels<T> kernels = make_joined_kernels<T, V, ChannelV>(4);
  // Bytes are the same with and without a sign.
  using Same = Joining<std::uint8_t, std::uint8_t>;
  using Flipped = Joining<std::uint8_t, std::uint8_t, true>;
  kernels.load_joined[static_cast<int>(other)] = load_joined<Same, T>;
  kernels.load_joined[static_cast<int>(weight)] = load_joined<Flipped, T>;
  kernels.load_weights[static_cast<int>(weight)] = load_joined_weights<Same, T>;
  return kernels;
}

// The first operand is the weights' with vectors along the pixels, the source's along the channels.
constexpr QuadKernels make_kernel_table() {
  using FirstUnsigned = QuadVec<UnsignedOperand::first>;
  using SecondUnsigned = QuadVec<UnsignedOperand::second>;
  return {make_quad_kernels<FirstUnsigned, SecondUnsigned>(DataType::uint8, DataType::int8),
          make_quad_kernels<SecondUnsigned, FirstUnsigned>(DataType::int8, DataType::uint8)};
}

}  // namespace

extern const QuadKernels kernel_table;
constinit const QuadKernels kernel_table = make_kernel_table();

}  // namespace fastconv::FASTCONV_ISA_NAMESPACE
