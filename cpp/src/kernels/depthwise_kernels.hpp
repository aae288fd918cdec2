#pragma once

#include <cstdint>
#include <limits>

/// Microkernels of depthwise convolution, where every channel is convolved with a kernel of its own
/// and nothing is added up over channels. Of each kind there is one; it chooses its register tiles
/// from the sizes that it is given.
namespace fastconv {

/// A block of `rows` rows of `count` elements. Pitches lead from row to row and strides from
/// element to element, in elements of their array.
struct BlockShape {
  std::int64_t rows;
  std::int64_t count;
};

/// Taps that read one set of source rows: tap (a, b) of output row y reads
/// rows[first_row + (y + a) * row_step][offsets[b] + pixel] and is multiplied by weights[a * width
/// + b].
template <class T>
struct RowTaps {
  const T* const* rows;
  const T* weights;
  const std::int64_t* offsets;
  std::int64_t row_step;
  std::int64_t height;
  std::int64_t width;
};

/// How the taps of a row lie in the source rows.
enum class RowColumns : std::uint8_t {
  apart,         ///< at any offsets
  neighbours,    ///< offsets[b] = offsets[0] + b
  every_second,  ///< neighbours, in rows and columns, of a source whose pixels are two rows and two
                 ///< elements apart: output row y meets rows[first_row + 2 * y + a], and both tap
                 ///< rows and their taps are ordered with even distances from the first before odd
};

/// Elements [first, end) of each source row exist; what lies outside counts as zeros and is not
/// read.
struct RowLimits {
  std::int64_t first;
  std::int64_t end;
};

/// Of packed rows, whose padding is there.
inline constexpr RowLimits kUnlimitedRow{std::numeric_limits<std::int64_t>::min() / 2,
                                         std::numeric_limits<std::int64_t>::max() / 2};

/// out[y * pitch + pixel] = initial + the sum over all sets of taps, for `rows` rows of `count`
/// pixels, vectors along the pixels. Output row y of the block is row y * row_step of the sets, so
/// all of them have the same step. Reads whole vectors between the limits and writes no more than
/// `count` pixels.
template <class T>
struct RowBlock {
  const RowTaps<T>* taps;
  std::int64_t set_count;
  std::int64_t first_row;  ///< in every set
  std::int64_t rows;
  std::int64_t count;
  T* out;
  std::int64_t pitch;
  T initial;
  RowColumns columns;
  RowLimits limits;
  /// `out` is so large that it should not go through the caches. Vectors then end less than one
  /// beyond the last pixel, wherever lines begin, in place of at a multiple of their size.
  bool streams = false;
};

/// Most rows that one register tile of `rows` has; no more than the kernel has either.
inline constexpr int kMostDepthwiseRows = 4;

/// Rows below the last that a block reads, to which there are pointers as well where rows have
/// limits, for `rows` to fetch.
inline constexpr std::int64_t kDepthwiseRowsAhead = 4;

template <class T>
using DepthwiseRowsFunction = void (*)(const RowBlock<T>& block);

/// Results in pairs, as a stride of two leaves them to a gradient: where `even.out` has pixel p of
/// a block, out[y * pitch + 2 * p] and out[y * pitch + 2 * p + 1] = initial + the sums of `even`
/// and of `odd` at pixel p, and `count` is that of both. The sets of both read the same rows, none
/// of them empty, at columns that are neighbours, without limits.
template <class T>
struct RowPairs {
  RowBlock<T> even;
  const RowTaps<T>* odd;
};

template <class T>
using DepthwiseRowPairsFunction = void (*)(const RowPairs<T>& block);

/// A tap of a row: output pixel p reads the source p * source_step + offset elements behind the
/// row's pointer, multiplied by the weights that lie `weight` behind those of the row.
struct ChannelTap {
  std::int64_t offset;
  std::int64_t weight;
};

/// Source rows that neighbouring rows of the kernel meet: row i meets output row r in kernel row
/// i - r, of `height`.
template <class T>
struct ChannelRows {
  /// height + rows - 1 of them, and channel_rows more that the rows below will read, to be fetched.
  /// Null for rows to leave out.
  const T* const* sources;
  const T* weights;  ///< of the first kernel row
  std::int64_t weight_step;
  std::int64_t height;
};

/// out[r * out_pitch + p * out_step + c] = bias[c] + the sum over rows and taps, for `rows` x
/// `pixels` pixels of `channels` channels that lie side by side, vectors along the channels. Reads
/// and writes no more than those. `rows` is at most DepthwiseKernels::channel_rows and every
/// height. Source pixels at an offset below 0, or of `source_limit` or more, are left out.
template <class T>
struct ChannelBlock {
  const ChannelRows<T>* sets;
  std::int64_t set_count;
  const ChannelTap* taps;
  std::int64_t tap_count;
  std::int64_t source_first;  ///< the first channel, from the rows' pointers
  std::int64_t source_step;   ///< from the source of an output pixel to that of the next
  std::int64_t source_limit;
  std::int64_t weight_first;  ///< the first channel, from the sets' weights
  std::int64_t weight_pitch;  ///< from one vector of channels to the next
  std::int64_t rows;
  std::int64_t pixels;
  std::int64_t channels;
  const T* bias;  ///< or null
  T* out;
  std::int64_t out_pitch;
  std::int64_t out_step;
};

template <class T>
using DepthwiseChannelsFunction = void (*)(const ChannelBlock<T>& block);

/// Gradient of the weight, vectors along the pixels.
/// sums[a * sums_pitch + b] += sum_{y, pixel} gradient[y][pixel] * rows[y * source_step +
/// a][offsets[b] + pixel * source_step] for `rows` rows of `count` pixels and `height` x `width`
/// taps. Reads nothing beyond the last pixel, so that nothing outside a window is multiplied.
template <class T>
struct RowGradient {
  const T* const* source;    ///< rows, `row_step` apart for neighbouring taps
  const T* const* gradient;  ///< rows, `row_step` apart
  const std::int64_t* offsets;
  std::int64_t source_step;  ///< 1, or 2 where loads are masked; then taps are neighbours
  RowLimits limits;          ///< of source rows; none where loads are not masked
  std::int64_t row_step;
  std::int64_t rows;
  std::int64_t count;
  std::int64_t height;
  std::int64_t width;
  T* sums;
  std::int64_t sums_pitch;
};

template <class T>
using DepthwiseRowGradientFunction = void (*)(const RowGradient<T>& gradient);

/// Gradient of the weight of one vector of channels: sums[(a * width + b) * lanes + lane] +=
/// sum_{y, p} gradient[y * gradient_pitch + p * gradient_step + lane] *
/// source[(y * row_step + a) * source_pitch + offsets[b] + p * source_step + lane],
/// of the first `channels` lanes; the source has whole vectors.
template <class T>
struct ChannelGradient {
  const T* source;
  std::int64_t source_pitch;
  std::int64_t source_step;
  const std::int64_t* row_offsets;  ///< of tap a from the row of the output
  const std::int64_t* offsets;
  const T* gradient;
  std::int64_t gradient_pitch;
  std::int64_t gradient_step;
  std::int64_t rows;
  std::int64_t pixels;
  std::int64_t channels;
  std::int64_t height;
  std::int64_t width;
  T* sums;
};

template <class T>
using DepthwiseChannelGradientFunction = void (*)(const ChannelGradient<T>& gradient);

/// to[p * lanes + c] = from[p * from_step + c] for `pixels` pixels of `channels` channels, at most
/// one vector; the lanes beyond are zero.
template <class T>
using PackChannelsFunction = void (*)(T* to, const T* from, std::int64_t from_step,
                                      std::int64_t pixels, std::int64_t channels);

/// Rows of `before` zeros, `count` elements and `after` zeros:
/// to[r * to_pitch + before + i] = from[r * from_pitch + i * from_step], with steps of 1 or 2.
/// Up to a vector behind each row is overwritten as well.
template <class T>
struct PaddedRows {
  T* to;
  std::int64_t to_pitch;
  const T* from;
  std::int64_t from_pitch;
  std::int64_t from_step;
  std::int64_t rows;
  std::int64_t before;
  std::int64_t count;
  std::int64_t after;
};

template <class T>
using PadRowsFunction = void (*)(const PaddedRows<T>& block);

template <class T>
struct DepthwiseKernels {
  DepthwiseRowsFunction<T> rows;
  DepthwiseRowPairsFunction<T> row_pairs;
  DepthwiseChannelsFunction<T> channels;
  DepthwiseRowGradientFunction<T> row_gradient;
  DepthwiseChannelGradientFunction<T> channel_gradient;
  PackChannelsFunction<T> pack_channels;
  PadRowsFunction<T> pad_rows;
  int channel_rows;  ///< output rows of `channels` at once
  bool masks_loads;  ///< so that short rows are read where they lie
  bool slides[8];    ///< widths of taps whose neighbours are shifted out of pairs of vectors
};

}  // namespace fastconv
