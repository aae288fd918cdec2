#pragma once

#include <cstdint>

#include "fastconv/data_type.hpp"
#include "fastconv/problem.hpp"
#include "kernels/depthwise_kernels.hpp"

/// What one instruction set offers to the algorithms: microkernels with their tile sizes beside
/// them, and the rows that carry data in and out of tiles. Kernels know nothing of threads,
/// allocation or Python.
namespace fastconv {

/// out[m][pixel] = sum_r weights[r * rows + m] * source[offsets[r] + pixel]
/// for `rows` output channels m and `vectors` vectors of pixels. `out` rows lie `out_pitch` apart.
/// Reads and writes whole vectors.
template <class T>
using CorrelationFunction = void (*)(const T* weights, const T* source, const std::int64_t* offsets,
                                     std::int64_t depth, T* out, std::int64_t out_pitch);

template <class T>
struct CorrelationKernel {
  int rows;     ///< output channels
  int vectors;  ///< vectors of pixels
  CorrelationFunction<T> run;
};

/// Rows of pixels that a weight-gradient kernel reduces over.
template <class T>
struct PixelRows {
  std::int64_t rows;
  std::int64_t pixels;        ///< in each row
  const T* source;            ///< packed input, at the first pixel
  std::int64_t source_pitch;  ///< from row to row
  const T* gradient;          ///< packed output gradient, at the first pixel
  std::int64_t gradient_pitch;
};

/// sums[m][lane] += sum_pixels source[offsets[m] + pixel] * gradient[pixel][lane]
/// for `rows` (channel, tap) pairs m and `vectors` vectors of output channels, `sums` rows
/// `sums_pitch` apart. The gradient is packed pixel by pixel, `vectors` whole vectors each.
template <class T>
using OuterProductFunction = void (*)(const PixelRows<T>& pixels, const std::int64_t* offsets,
                                      T* sums, std::int64_t sums_pitch);

template <class T>
struct OuterProductKernel {
  int rows;     ///< (channel, tap) pairs
  int vectors;  ///< vectors of output channels
  OuterProductFunction<T> run;
};

/// sums[m * sums_pitch] += sum_pixels source[offsets[m] + pixel] * gradient[pixel]
/// for `rows` (channel, tap) pairs m and one output channel, with vectors along the pixels: for
/// problems with too few output channels to fill a vector.
template <class T>
using DotProductFunction = void (*)(const PixelRows<T>& pixels, const std::int64_t* offsets,
                                    T* sums, std::int64_t sums_pitch);

template <class T>
struct DotProductKernel {
  int rows;
  DotProductFunction<T> run;
};

/// to[i * to_stride] = from[i * from_stride], converted. Strides count elements.
template <class T>
using LoadRowFunction = void (*)(T* to, std::int64_t to_stride, const void* from,
                                 std::int64_t from_stride, std::int64_t count);

/// to[r * to_pitch + i] = from[r * from_pitch + i * from_stride], converted. The rows may be the
/// channels of channels-last memory: then the block is transposed while it is read.
template <class T>
using LoadBlockFunction = void (*)(T* to, std::int64_t to_pitch, const void* from,
                                   std::int64_t from_pitch, std::int64_t from_stride,
                                   BlockShape shape);

/// Weights of one block of rows (destination channels): which of them, and where they go.
struct WeightShape {
  std::int64_t sources;  ///< source channels
  std::int64_t taps;
  std::int64_t rows;
  std::int64_t source_stride;
  std::int64_t tap_stride;
  std::int64_t row_stride;
  std::int64_t to_source_pitch;
  std::int64_t to_tap_pitch;
  std::int64_t to_row_step;
};

/// to[s * to_source_pitch + t * to_tap_pitch + m * to_row_step] =
/// from[s * source_stride + t * tap_stride + m * row_stride], converted.
template <class T>
using LoadWeightsFunction = void (*)(T* to, const void* from, const WeightShape& shape);

/// What happens to a sum on its way into the result.
template <class T>
struct Epilogue {
  const T* bias;           ///< of the first row, or null
  std::int64_t bias_step;  ///< 1 where every row is a channel, 0 where all are of one
  Activation activation;
  bool accumulate;
};

/// to[r * to_pitch + i * to_stride] = activation(sums[r * sums_pitch + i] + bias of the row
/// + to[r * to_pitch + i * to_stride] if accumulating), converted. Uses `sums` as scratch memory.
template <class T>
using StoreBlockFunction = void (*)(void* to, std::int64_t to_pitch, std::int64_t to_stride,
                                    T* sums, std::int64_t sums_pitch, BlockShape shape,
                                    const Epilogue<T>& epilogue);

/// Whether no element is an infinity or NaN; true for integers.
template <class T>
using AllFiniteFunction = bool (*)(const T* values, std::int64_t count);

template <class Kernel>
struct KernelSpan {
  const Kernel* first;
  int count;
  const Kernel* begin() const { return first; }
  const Kernel* end() const { return first + count; }
};

template <class T>
struct TypedKernels {
  int lanes;  ///< elements of one vector
  KernelSpan<CorrelationKernel<T>> correlation;
  KernelSpan<OuterProductKernel<T>> outer_product;
  KernelSpan<DotProductKernel<T>> dot_product;
  AllFiniteFunction<T> all_finite;
  DepthwiseKernels<T> depthwise;  ///< null for integers
  // By storage type; null where T is not its compute type, and for types no result has.
  LoadRowFunction<T> load_row[kDataTypeCount];
  LoadBlockFunction<T> load_block[kDataTypeCount];
  LoadWeightsFunction<T> load_weights[kDataTypeCount];
  StoreBlockFunction<T> store_block[kDataTypeCount];
};

struct KernelTable {
  const char* isa;
  TypedKernels<float> float32;
  TypedKernels<double> float64;
  TypedKernels<std::int32_t> int32;
  TypedKernels<std::int64_t> int64;

  template <class T>
  const TypedKernels<T>& typed() const {
    if constexpr (sizeof(T) == 4) {
      if constexpr (T(0.5) != T(0)) {
        return float32;
      } else {
        return int32;
      }
    } else {
      if constexpr (T(0.5) != T(0)) {
        return float64;
      } else {
        return int64;
      }
    }
  }
};

/// Vectors of the widest correlation tile.
inline constexpr int kMaxCorrelationVectors = 8;

/// Elements of the largest tile of any kernel, 24 vectors of 16; sizes scratch on stacks.
inline constexpr int kMaxTileElements = 24 * 16;

/// The kernels of the active instruction set.
const KernelTable& active_kernels();

}  // namespace fastconv
