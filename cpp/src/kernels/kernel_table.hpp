#pragma once

#include <cstdint>

#include "fastconv/data_type.hpp"
#include "fastconv/problem.hpp"
#include "kernels/depthwise_kernels.hpp"
#include "kernels/fft_kernels.hpp"
#include "kernels/winograd_points.hpp"

/// What one instruction set offers to the algorithms: microkernels with their tile sizes beside
/// them, and the rows that carry data in and out of tiles. Kernels know nothing of threads,
/// allocation or Python.
namespace fastconv {

/// Pixels that a correlation kernel reads: number m of step r is data[offsets[r] + m * pixel_step].
template <class T>
struct CorrelationSource {
  const T* data;
  const std::int64_t* offsets;
  std::int64_t pixel_step;  ///< 1 where vectors lie along the pixels
  /// What the sums of each output channel of the tile begin with, by kernels of quads alone; null
  /// for zeros.
  const T* start = nullptr;
  /// Those of later steps are fetched meanwhile.
  bool fetches = false;

  /// Those from pixel `first` on.
  CorrelationSource at(std::int64_t first) const {
    CorrelationSource result = *this;
    result.data += first * pixel_step;
    return result;
  }
};

/// Weights that a correlation kernel reads, in the order of the reduction or where they lie:
/// number m of step r is data[r * step + m * row_step], or data[offsets[r] + m * row_step].
template <class T>
struct CorrelationWeights {
  const T* data;
  std::int64_t step;
  std::int64_t row_step = 1;              ///< 1 where vectors lie along the output channels
  const std::int64_t* offsets = nullptr;  ///< null where `step` leads from step to step

  /// Those from step `first` on.
  CorrelationWeights from(std::int64_t first) const {
    if (offsets != nullptr) return {data, step, row_step, offsets + first};
    return {data + first * step, step, row_step};
  }
};

/// Where a correlation kernel writes its tile of sums: rows `pitch` apart, in whole vectors.
/// Several tiles of neighbouring pixels follow one another.
template <class T>
struct CorrelationSums {
  T* data;
  std::int64_t pitch;
  bool adds = false;     ///< to what is there
  bool fetches = false;  ///< the memory of the next tile is fetched while one is computed
  std::int64_t tiles = 1;
};

/// Tiles of sums over r in [0, depth). Each begins at zero also if it is added to what is there, so
/// that a long reduction may be done in pieces whose rounding errors do not multiply. Reads whole
/// vectors.
template <class T>
using CorrelationFunction = void (*)(const CorrelationWeights<T>& weights,
                                     const CorrelationSource<T>& source, std::int64_t depth,
                                     const CorrelationSums<T>& sums);

/// out[m][pixel] = sum_r (weight m of step r) * (pixel of step r)
/// for `rows` output channels m and `vectors` vectors of pixels.
template <class T>
struct CorrelationKernel {
  int rows;     ///< output channels
  int vectors;  ///< vectors of pixels
  CorrelationFunction<T> run;
};

/// out[m][channel] = sum_r (weight number `channel` of step r) * (pixel m of step r)
/// for `pixels` neighbouring pixels m and `vectors` vectors of output channels.
template <class T>
struct ChannelCorrelationKernel {
  int pixels;
  int vectors;  ///< vectors of output channels
  CorrelationFunction<T> run;
};

/// Slices of rows of pixels that a weight-gradient kernel reduces over. Pitches lead from slice to
/// slice and from row to row, steps from pixel to pixel; they may have any sign.
template <class T>
struct PixelRows {
  std::int64_t slices;
  std::int64_t rows;    ///< in each slice
  std::int64_t pixels;  ///< in each row
  const T* source;      ///< input, at the first pixel
  std::int64_t source_slice_pitch;
  std::int64_t source_pitch;
  std::int64_t source_step;
  const T* gradient;  ///< of the output, at the first pixel
  std::int64_t gradient_slice_pitch;
  std::int64_t gradient_pitch;
  std::int64_t gradient_step;
  std::int64_t gradient_output_pitch;  ///< to the next output channel, for dot products
};

/// sums[m][lane] (+)= sum_pixels source[offsets[m] + pixel] * gradient[pixel][lane]
/// for `rows` (channel, tap) pairs m and `vectors` vectors of output channels, `sums` rows
/// `sums_pitch` apart. A pixel of the gradient is `vectors` whole vectors. Without `add` the sums
/// are overwritten.
template <class T>
using OuterProductFunction = void (*)(const PixelRows<T>& pixels, const std::int64_t* offsets,
                                      T* sums, std::int64_t sums_pitch, bool add);

template <class T>
struct OuterProductKernel {
  int rows;     ///< (channel, tap) pairs
  int vectors;  ///< vectors of output channels
  OuterProductFunction<T> run;
};

/// sums[m * sums_pitch + k] += sum_pixels source[offsets[m] + pixel] * gradient[k][pixel]
/// for `rows` (channel, tap) pairs m and `outputs` output channels k, with vectors along the
/// pixels: for problems with too few output channels to fill a vector, or too few pairs to make up
/// for arranging the gradient by pixels. Both steps are 1.
template <class T>
using DotProductFunction = void (*)(const PixelRows<T>& pixels, const std::int64_t* offsets,
                                    T* sums, std::int64_t sums_pitch);

template <class T>
struct DotProductKernel {
  int rows;
  int outputs;
  DotProductFunction<T> run;
};

/// out[m][column] = sum_r left[m * left_pitch + r] * right[r][column], then plus what `out` holds
/// if `adds`, for `rows` rows m and `vectors` vectors of columns. The right matrix is packed row by
/// row, `vectors` whole vectors each; `out` rows lie `out_pitch` apart.
template <class T>
using MatrixProductFunction = void (*)(const T* left, std::int64_t left_pitch, const T* right,
                                       std::int64_t depth, T* out, std::int64_t out_pitch,
                                       bool adds);

template <class T>
struct MatrixProductKernel {
  int rows;
  int vectors;  ///< vectors of columns
  MatrixProductFunction<T> run;
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

/// Source channels that share an element: how many there are of those that it could hold, and the
/// way from one to the next.
struct JoinedChannels {
  std::int64_t count;
  std::int64_t stride;
};

/// to[r * to_pitch + i] = an element that holds from[r * from_pitch + i * from_stride] and the
/// further channels in their order: two int16, or four bytes. Whatever stands in it for channels
/// that there are not, their weights are zero.
template <class T>
using LoadJoinedFunction = void (*)(T* to, std::int64_t to_pitch, const void* from,
                                    std::int64_t from_pitch, std::int64_t from_stride,
                                    BlockShape shape, JoinedChannels channels);

/// to[i * to_pitch + r] = sum over p < pieces of from[p * piece_pitch + r * from_pitch + i]
/// for r < shape.rows and i < shape.count: adds up sums in their order, and transposes them.
template <class T>
using TransposeSumsFunction = void (*)(T* to, std::int64_t to_pitch, const T* from,
                                       std::int64_t from_pitch, BlockShape shape,
                                       std::int64_t pieces, std::int64_t piece_pitch);

/// to[r * to_pitch + 2 * i] = even[r * from_pitch + i] for `shape.count` elements of each row, and
/// the same of `odd` between them; `odds` says how many those are, as many or one fewer.
template <class T>
using InterleaveRowsFunction = void (*)(T* to, std::int64_t to_pitch, const T* even, const T* odd,
                                        std::int64_t from_pitch, BlockShape shape,
                                        std::int64_t odds);

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
  JoinedChannels joined{1, 0};  ///< in each element, zeros for those that there are not
};

/// to[s * to_source_pitch + t * to_tap_pitch + m * to_row_step] =
/// from[s * source_stride + t * tap_stride + m * row_stride], converted.
template <class T>
using LoadWeightsFunction = void (*)(T* to, const void* from, const WeightShape& shape);

/// What happens to a sum on its way into the result.
template <class T>
struct Epilogue {
  const T* bias;           ///< of the first row and element, or null
  std::int64_t bias_step;  ///< 1 where every row is a channel, 0 where all are of one
  Activation activation;
  bool accumulate;
  std::int64_t bias_element_step = 0;  ///< 1 where every element of a row is a channel
};

/// to[r * to_pitch + i * to_stride] = activation(sums[r * sums_pitch + i] + bias of the channel
/// + to[r * to_pitch + i * to_stride] if accumulating), converted. Uses `sums` as scratch memory.
template <class T>
using StoreBlockFunction = void (*)(void* to, std::int64_t to_pitch, std::int64_t to_stride,
                                    T* sums, std::int64_t sums_pitch, BlockShape shape,
                                    const Epilogue<T>& epilogue);

/// Whether no element is an infinity or NaN; true for integers.
template <class T>
using AllFiniteFunction = bool (*)(const T* values, std::int64_t count);

/// Arranges pixels as whole vectors of channels, `to_pitch` apart, with zeros where channels are
/// missing. From planes: to[i * to_pitch + r] = from[r * from_pitch + i], the rows of the shape
/// being channels, at most `lanes`. From pixels: to[r * to_pitch + i] = from[r * from_pitch + i],
/// its count being channels; whole vectors are copied where it is `lanes`.
template <class T>
using VectorsFunction = void (*)(const T* from, std::int64_t from_pitch, BlockShape shape, T* to,
                                 std::int64_t to_pitch);

template <class T>
using ActivateFunction = void (*)(T* values, std::int64_t count, Activation activation);

/// The transforms of a tile (winograd_points.hpp), each for one vector of channels. Frequency f is
/// that of row f / columns.frequencies and column f % columns.frequencies.
template <class T>
struct WinogradKernels {
  winograd::TileAxis rows;
  winograd::TileAxis columns;
  /// to[f * frequency_pitch + tile * tile_pitch] = (B^T d B)_f for tiles side by side: the window
  /// of a tile is rows.inputs x columns.inputs pixels from
  /// source[columns.step * tile * pixel_pitch] on.
  void (*source)(const T* source, std::int64_t row_pitch, std::int64_t pixel_pitch,
                 std::int64_t tiles, T* to, std::int64_t tile_pitch, std::int64_t frequency_pitch);
  /// to[f * frequency_pitch + s * to_pitch] = (G g G^T)_f of the rows.taps x columns.taps taps
  /// `tap_pitch` apart from weights[s * source_pitch] on.
  void (*weights)(const T* weights, std::int64_t tap_pitch, std::int64_t source_pitch,
                  std::int64_t sources, T* to, std::int64_t to_pitch, std::int64_t frequency_pitch);
  /// to[i * row_pitch + (columns.outputs * tile + j) * pixel_pitch] = (A^T m A)_ij + bias, m the
  /// sums of a tile as `source` lays them out; false if a result before the bias is infinite or
  /// NaN. The bias of each lane, or null.
  bool (*sums)(const T* sums, std::int64_t tile_pitch, std::int64_t frequency_pitch,
               std::int64_t tiles, const T* bias, T* to, std::int64_t row_pitch,
               std::int64_t pixel_pitch);
};

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
  /// Source channels that an element of a packed tile or of packed weights holds: pairs of int16
  /// and quads of bytes are multiplied by instructions of their own.
  int channels_per_element;
  KernelSpan<CorrelationKernel<T>> correlation;
  KernelSpan<ChannelCorrelationKernel<T>> channel_correlation;
  KernelSpan<OuterProductKernel<T>> outer_product;
  KernelSpan<DotProductKernel<T>> dot_product;
  // Null, and none, for integers.
  InterleaveRowsFunction<T> interleave_rows;
  KernelSpan<MatrixProductKernel<T>> matrix_product;
  KernelSpan<WinogradKernels<T>> winograd;
  VectorsFunction<T> vectors_from_planes;
  VectorsFunction<T> vectors_from_pixels;
  ActivateFunction<T> activate;
  AllFiniteFunction<T> all_finite;
  TransposeSumsFunction<T> transpose_sums;
  DepthwiseKernels<T> depthwise;  ///< null for integers
  FftKernels<T> fft;              ///< likewise
  KernelSpan<ComplexProductKernel<T>> complex_product;
  // By storage type; null where T is not its compute type, and for types no result has.
  LoadRowFunction<T> load_row[kDataTypeCount];
  LoadBlockFunction<T> load_block[kDataTypeCount];
  LoadWeightsFunction<T> load_weights[kDataTypeCount];
  StoreBlockFunction<T> store_block[kDataTypeCount];
  LoadJoinedFunction<T> load_joined[kDataTypeCount];  ///< instead of load_block, for several
};

/// Quads of bytes are multiplied if either those of the weights or those of the source are signed.
/// A source of the type of the weights is loaded as the other type: 128 more, or less.
struct QuadKernels {
  TypedKernels<std::int32_t> unsigned_weights;
  TypedKernels<std::int32_t> signed_weights;
};

struct KernelTable {
  TypedKernels<float> float32;
  TypedKernels<double> float64;
  TypedKernels<std::int32_t> int32;
  TypedKernels<std::int64_t> int64;
  /// int32 from pairs of 8-bit elements: correlations alone, none where they would be slower.
  TypedKernels<std::int32_t> int32_from_pairs;
  QuadKernels int32_from_quads;  ///< likewise
  const char* isa;               ///< named where it is chosen

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

/// Pixels of the tallest channel-correlation tile.
inline constexpr int kMaxCorrelationPixels = 14;

/// Elements of the largest tile of any kernel, 28 vectors of 16; sizes scratch on stacks.
inline constexpr int kMaxTileElements = 28 * 16;

/// The kernels of the active instruction set.
const KernelTable& active_kernels();

}  // namespace fastconv
