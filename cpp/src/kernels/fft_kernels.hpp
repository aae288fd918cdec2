#pragma once

#include <cstdint>

namespace fastconv {

/// Complex numbers, one to a lane: number i is the vector of real parts at re + i * step and that
/// of imaginary parts at im + i * step.
template <class T>
struct ComplexVectors {
  T* re;
  T* im;
  std::int64_t step;
};

/// One pass over the numbers of a transform, in the order of Stockham's algorithm: butterflies of
/// `radix` numbers turn transforms of `before` numbers into ones of radix * before, of which
/// `after` lie side by side.
template <class T>
struct TransformStage {
  int radix;
  std::int64_t before;
  std::int64_t after;
  const T* twiddles;  ///< [before][radix - 1] complex numbers
};

inline constexpr int kTransformRadices[] = {1, 2, 3, 4, 5, 7, 8, 11};
inline constexpr int kMostTransformStages = 12;

/// A discrete Fourier transform with the exponent -2 pi i / length, of one number in each lane.
/// The twists, complex numbers in natural order, multiply what goes in and what comes out.
template <class T>
struct LaneTransform {
  std::int64_t length;
  int stages;
  TransformStage<T> stage[kMostTransformStages];
  const T* twist_in;   ///< or null
  const T* twist_out;  ///< or null
  /// Whether the first stage has twiddle factors as well: the frequencies are shifted.
  bool shifted;
  /// Factors of each lane: those of number k of transform i are the vectors of real and of
  /// imaginary parts at re + k * step + i * factor_step. Null, or they multiply what comes out
  /// in place of twist_out, or what goes in in place of twist_in.
  ComplexVectors<const T> factors_in;
  ComplexVectors<const T> factors_out;
  std::int64_t factor_step;
};

/// Several transforms, `in_step` and `out_step` elements apart. `in` and `out` may be the same.
/// `scratch` holds 4 * length vectors.
template <class T>
using TransformFunction = void (*)(const LaneTransform<T>& transform, std::int64_t count,
                                   ComplexVectors<const T> in, std::int64_t in_step,
                                   ComplexVectors<T> out, std::int64_t out_step, T* scratch);

/// A dense matrix of complex vectors, each with its imaginary parts behind the real ones.
template <class T>
struct ComplexMatrix {
  T* data;
  std::int64_t row_step;
  std::int64_t column_step;
  std::int64_t layer_step;  ///< from one frequency to the next
};

/// out[i][j] = sum_r left[i][r] * conjugate(right[j][r]), lane by lane, in each of `layers`, for
/// `rows` rows i and `columns` columns j; plus what `out` holds if `adds`. The columns of `left`
/// and `right` are r.
template <class T>
using ComplexProductFunction = void (*)(std::int64_t layers, std::int64_t depth,
                                        const ComplexMatrix<const T>& left,
                                        const ComplexMatrix<const T>& right,
                                        const ComplexMatrix<T>& out, bool adds);

template <class T>
struct ComplexProductKernel {
  int rows;
  int columns;
  ComplexProductFunction<T> run;
};

/// values[i] *= factors[i] for rows of complex vectors.
template <class T>
using MultiplyComplexFunction = void (*)(ComplexVectors<T> values, ComplexVectors<const T> factors,
                                         std::int64_t count);

/// Columns of a matrix of complex numbers in NumPy's order, as vectors: of each row `columns`
/// numbers, at most `lanes`, become number `row` of `to`, with zeros where columns are missing.
template <class T>
using SplitColumnsFunction = void (*)(const T* from, std::int64_t from_step, std::int64_t rows,
                                      std::int64_t columns, ComplexVectors<T> to);
/// And back.
template <class T>
using JoinColumnsFunction = void (*)(ComplexVectors<const T> from, std::int64_t rows,
                                     std::int64_t columns, T* to, std::int64_t to_step);

/// From the transform of `length` complex numbers, made of the even and odd ones of 2 * length real
/// numbers, to frequencies 0 ... length of the latter. `factors` holds -i / 2 w^k, w = exp(-pi i /
/// length), for the frequencies up to half. `half` and `out` may be the same.
template <class T>
using RealSpectrumFunction = void (*)(ComplexVectors<const T> half, std::int64_t length,
                                      const T* factors, ComplexVectors<T> out);
/// And back, times 2 * scale; `factors` holds i * scale w^-k. The imaginary parts of the first and
/// of the last frequency are taken for zeros.
template <class T>
using HalfSpectrumFunction = void (*)(ComplexVectors<const T> spectrum, std::int64_t length,
                                      T scale, const T* factors, ComplexVectors<T> out);

/// One transform: real parts and imaginary parts of the frequencies.
template <class T>
struct SplitRow {
  T* re;
  T* im;
};
/// The last two for one transform. Going forward, `scale` is 1/2.
template <class T>
using ExchangeRowFunction = void (*)(SplitRow<const T> in, std::int64_t length, T scale,
                                     const T* factors, SplitRow<T> out);

template <class T>
struct FftKernels {
  TransformFunction<T> transform;
  MultiplyComplexFunction<T> multiply;
  SplitColumnsFunction<T> split_columns;
  JoinColumnsFunction<T> join_columns;
  RealSpectrumFunction<T> real_spectrum;
  HalfSpectrumFunction<T> half_spectrum;
  ExchangeRowFunction<T> real_spectrum_row;
  ExchangeRowFunction<T> half_spectrum_row;
};

}  // namespace fastconv
