/// Compiled once for each instruction set (cmake/isa.cmake). Exports one constant table and holds
/// no dynamic initialiser, and nothing of the standard library that has code: whatever leaked out
/// of here under a shared name could replace baseline code with instructions that an older
/// processor lacks.
#include <iterator>
#include <utility>

#include "kernels/kernel_table.hpp"
#include "simd/vec.hpp"

namespace fastconv::FASTCONV_ISA_NAMESPACE {
namespace {

// What the others build on comes first.
#include "kernels/arithmetic.inl"

#include "kernels/activation.inl"
#include "kernels/depthwise_row_copies.inl"
#include "kernels/depthwise_row_gradient.inl"
#include "kernels/depthwise_source_rows.inl"
#include "kernels/transpose.inl"

#include "kernels/runs.inl"

#include "kernels/rows.inl"

#include "kernels/channel_vectors.inl"
#include "kernels/correlation.inl"
#include "kernels/depthwise_channels.inl"
#include "kernels/depthwise_rows.inl"

#include "kernels/depthwise_half_rows.inl"
#include "kernels/depthwise_rolling_rows.inl"
#include "kernels/depthwise_row_pairs.inl"
#include "kernels/depthwise_strided_rows.inl"
#include "kernels/fft.inl"
#include "kernels/fft_rows.inl"
#include "kernels/joined_channels.inl"
#include "kernels/matrix_product.inl"
#include "kernels/weight_gradient.inl"
#include "kernels/winograd.inl"

#include "kernels/correlation_tables.inl"

template <class T>
constexpr auto make_outer_product_kernels() {
  KernelArray<OuterProductKernel<T>, 16> kernels;
#define FASTCONV_OUTER_PRODUCT(registers, rows, vectors)                                      \
  if constexpr (registers <= kRegisters) {                                                    \
    static_assert(rows * vectors * Vec<T>::kLanes <= kMaxTileElements);                       \
    kernels.entries[kernels.count++] = {rows, vectors, outer_product_tile<T, rows, vectors>}; \
  }
#include "kernels/kernels.def"
  return kernels;
}

template <class T>
constexpr auto make_dot_product_kernels() {
  KernelArray<DotProductKernel<T>, 16> kernels;
  // Tiles of four output channels leave too few pairs where registers are few.
  constexpr int kMostOutputs = kRegisters >= 32 ? 4 : 2;
#define FASTCONV_DOT_PRODUCT(registers, rows, outputs)              \
  if constexpr (registers <= kRegisters && outputs <= kMostOutputs) \
    kernels.entries[kernels.count++] = {rows, outputs, dot_product_tile<T, rows, outputs>};
#define FASTCONV_MATRIX_PRODUCT(registers, rows, vectors)
#include "kernels/kernels.def"
  return kernels;
}

template <class T>
constexpr auto make_matrix_product_kernels() {
  KernelArray<MatrixProductKernel<T>, 16> kernels;
#define FASTCONV_MATRIX_PRODUCT(registers, rows, vectors) \
  if constexpr (registers <= kRegisters)                  \
    kernels.entries[kernels.count++] = {rows, vectors, matrix_product_tile<T, rows, vectors>};
#include "kernels/kernels.def"
  return kernels;
}

template <class T>
constexpr auto make_complex_product_kernels() {
  KernelArray<ComplexProductKernel<T>, 16> kernels;
#define FASTCONV_COMPLEX_PRODUCT(registers, rows, columns) \
  if constexpr (registers <= kRegisters)                   \
    kernels.entries[kernels.count++] = {rows, columns, complex_product_tile<T, rows, columns>};
#include "kernels/kernels.def"
  return kernels;
}

template <class T>
constexpr auto kComplexProduct = make_complex_product_kernels<T>();
template <class T>
constexpr auto kMatrixProduct = make_matrix_product_kernels<T>();
template <class T>
constexpr auto kOuterProduct = make_outer_product_kernels<T>();
template <class T>
constexpr auto kDotProduct = make_dot_product_kernels<T>();

template <class T, class Storage>
constexpr void add_operand_type(TypedKernels<T>& kernels, DataType type) {
  kernels.load_row[static_cast<int>(type)] = load_row<T, Storage>;
  kernels.load_block[static_cast<int>(type)] = load_block<T, Storage>;
  kernels.load_weights[static_cast<int>(type)] = load_weights<T, Storage>;
}

template <class T, class Storage>
constexpr void add_result_type(TypedKernels<T>& kernels, DataType type) {
  add_operand_type<T, Storage>(kernels, type);
  kernels.store_block[static_cast<int>(type)] = store_block<T, Storage>;
}

template <class T>
constexpr TypedKernels<T> make_typed_kernels() {
  TypedKernels<T> kernels{};
  kernels.lanes = Vec<T>::kLanes;
  kernels.channels_per_element = 1;
  kernels.correlation = {kCorrelation<T>.entries, kCorrelation<T>.count};
  kernels.channel_correlation = {kChannelCorrelation<T>.entries, kChannelCorrelation<T>.count};
  kernels.outer_product = {kOuterProduct<T>.entries, kOuterProduct<T>.count};
  kernels.dot_product = {kDotProduct<T>.entries, kDotProduct<T>.count};
  kernels.all_finite = all_finite<T>;
  kernels.transpose_sums = transpose_sums<T>;
  if constexpr (kIsFloating<T>) {
    kernels.interleave_rows = interleave_rows<T>;
    kernels.matrix_product = {kMatrixProduct<T>.entries, kMatrixProduct<T>.count};
    kernels.winograd = {kWinograd<T>, static_cast<int>(std::size(kWinograd<T>))};
    kernels.vectors_from_planes = vectors_from_planes<T>;
    kernels.vectors_from_pixels = vectors_from_pixels<T>;
    kernels.activate = activate<T>;
    kernels.fft = {transform<T>,          multiply_complex<T>,   split_columns<T>,
                   join_columns<T>,       real_spectrum<T>,      half_spectrum<T>,
                   exchange_row<T, true>, exchange_row<T, false>};
    kernels.complex_product = {kComplexProduct<T>.entries, kComplexProduct<T>.count};
    kernels.depthwise = {depthwise_rows<T>,
                         depthwise_row_pairs<T>,
                         depthwise_channels<T>,
                         depthwise_row_gradient<T>,
                         depthwise_channel_gradient<T>,
                         pack_channels<T>,
                         pad_rows<T>,
                         kChannelRows,
                         kMaskedLoads,
                         {}};
    for (int width = 0; width < 8; ++width) {
      kernels.depthwise.slides[width] = slides<T>(width);
    }
  }
  return kernels;
}

template <class T, class Storage>
constexpr void add_pair_type(TypedKernels<T>& kernels, DataType type) {
  using How = Joining<Storage, std::int16_t>;
  kernels.load_joined[static_cast<int>(type)] = load_joined<How, T>;
  kernels.load_weights[static_cast<int>(type)] = load_joined_weights<How, T>;
}

/// Of T, with sums of pairs.
template <class T>
constexpr TypedKernels<T> make_pair_kernels() {
  TypedKernels<T> kernels{};
  if constexpr (PairVec<T>::kExists) {
    kernels = make_joined_kernels<T, PairVec<T>>(2);
    add_pair_type<T, std::int8_t>(kernels, DataType::int8);
    add_pair_type<T, std::uint8_t>(kernels, DataType::uint8);
  }
  return kernels;
}

constexpr KernelTable make_kernel_table() {
  KernelTable table{make_typed_kernels<float>(),
                    make_typed_kernels<double>(),
                    make_typed_kernels<std::int32_t>(),
                    make_typed_kernels<std::int64_t>(),
                    make_pair_kernels<std::int32_t>(),
                    {},
                    nullptr};
  add_result_type<float, float>(table.float32, DataType::float32);
  add_result_type<float, Float16>(table.float32, DataType::float16);
  add_result_type<float, BFloat16>(table.float32, DataType::bfloat16);
  add_result_type<double, double>(table.float64, DataType::float64);
  add_operand_type<std::int32_t, std::int8_t>(table.int32, DataType::int8);
  add_operand_type<std::int32_t, std::uint8_t>(table.int32, DataType::uint8);
  add_result_type<std::int32_t, std::int32_t>(table.int32, DataType::int32);
  add_operand_type<std::int64_t, std::int8_t>(table.int64, DataType::int8);
  add_operand_type<std::int64_t, std::uint8_t>(table.int64, DataType::uint8);
  add_operand_type<std::int64_t, std::int16_t>(table.int64, DataType::int16);
  add_operand_type<std::int64_t, std::uint16_t>(table.int64, DataType::uint16);
  add_operand_type<std::int64_t, std::int32_t>(table.int64, DataType::int32);
  add_operand_type<std::int64_t, std::uint32_t>(table.int64, DataType::uint32);
  add_result_type<std::int64_t, std::int64_t>(table.int64, DataType::int64);
  add_operand_type<std::int64_t, std::uint64_t>(table.int64, DataType::uint64);
  return table;
}

}  // namespace

extern const KernelTable kernel_table;
constinit const KernelTable kernel_table = make_kernel_table();

}  // namespace fastconv::FASTCONV_ISA_NAMESPACE
