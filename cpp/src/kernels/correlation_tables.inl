/// The tables of correlation kernels: rows of kernels.def for which an instruction set has the
/// registers, and what else kernels of joined channels come with.

/// An entry for a tile that the instruction set has no registers for would be slower than none:
/// it is left out of the table.
template <class Kernel, int kCapacity>
struct KernelArray {
  Kernel entries[kCapacity] = {};
  int count = 0;
};

/// Registers that products of V need besides those of a multiplication and addition in one.
template <class V>
constexpr int product_registers() {
  if constexpr (requires { V::kProductRegisters; }) return V::kProductRegisters;
  return 0;
}

template <class T, class V>
constexpr auto make_correlation_kernels() {
  KernelArray<CorrelationKernel<T>, 32> kernels;
#define FASTCONV_CORRELATION(registers, rows, vectors)                             \
  static_assert(vectors <= kMaxCorrelationVectors);                                \
  if constexpr (registers + product_registers<V>() <= kRegisters) {                \
    static_assert(rows * vectors * V::kLanes <= kMaxTileElements);                 \
    kernels.entries[kernels.count++] = {                                           \
        rows, vectors, correlation_tile<T, LanesAlong::pixels, rows, vectors, V>}; \
  }
#include "kernels/kernels.def"
  return kernels;
}

template <class T, class V>
constexpr auto make_channel_correlation_kernels() {
  KernelArray<ChannelCorrelationKernel<T>, 32> kernels;
#define FASTCONV_CHANNEL_CORRELATION(registers, pixels, vectors)                         \
  static_assert(pixels <= kMaxCorrelationPixels);                                        \
  if constexpr (registers + product_registers<V>() <= kRegisters) {                      \
    static_assert(pixels * vectors * V::kLanes <= kMaxTileElements);                     \
    kernels.entries[kernels.count++] = {                                                 \
        pixels, vectors, correlation_tile<T, LanesAlong::channels, pixels, vectors, V>}; \
  }
#include "kernels/kernels.def"
  return kernels;
}

template <class T, class V = Vec<T>>
constexpr auto kCorrelation = make_correlation_kernels<T, V>();
template <class T, class V = Vec<T>>
constexpr auto kChannelCorrelation = make_channel_correlation_kernels<T, V>();

/// Sums of elements of T that hold `channels` channels each, which V (ChannelV, with vectors along
/// the channels) multiplies; without the types of operands.
template <class T, class V, class ChannelV = V>
constexpr TypedKernels<T> make_joined_kernels(int channels) {
  TypedKernels<T> kernels{};
  kernels.lanes = V::kLanes;
  kernels.channels_per_element = channels;
  kernels.correlation = {kCorrelation<T, V>.entries, kCorrelation<T, V>.count};
  kernels.channel_correlation = {kChannelCorrelation<T, ChannelV>.entries,
                                 kChannelCorrelation<T, ChannelV>.count};
  kernels.all_finite = all_finite<T>;
  kernels.transpose_sums = transpose_sums<T>;
  kernels.load_row[static_cast<int>(DataType::int32)] = load_row<T, std::int32_t>;
  kernels.store_block[static_cast<int>(DataType::int32)] = store_block<T, std::int32_t>;
  return kernels;
}
