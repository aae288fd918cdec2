#pragma once

/// The interpolation points of F(4x4, 3x3): 0, +-kInnerPoint, +-kOuterPoint and infinity.
///
/// For points 0, +-a, +-b, infinity with p = a^2, q = b^2 (Toom-Cook; Lavin and Gray, Fast
/// Algorithms for Convolutional Neural Networks, 2015):
///
///     B^T = [pq  0  -(p+q)   0    1  0]   G = [1/pq     0     0 ]   A^T = [1 1   1  1   1  0]
///           [0 -aq    -q     a    1  0]       [1/Na   a/Na  p/Na]         [0 a  -a  b  -b  0]
///           [0  aq    -q    -a    1  0]       [1/Na  -a/Na  p/Na]         [0 p   p  q   q  0]
///           [0 -bp    -p     b    1  0]       [1/Nb   b/Nb  q/Nb]         [0 a^3 .. .. -b^3 1]
///           [0  bp    -p    -b    1  0]       [1/Nb  -b/Nb  q/Nb]
///           [0  pq     0  -(p+q)  0  1]       [0       0     1  ]
///
/// with Na = 2p(p - q), Nb = 2q(q - p). The usual points 1 and 2 lose four times the accuracy of
/// 3/4 and 3/2, whose powers are short binary fractions too (compare Barabasz et al., Error
/// Analysis and Improving the Accuracy of Winograd Convolution, 2018).
namespace fastconv::winograd {

inline constexpr double kInnerPoint = 0.75;
inline constexpr double kOuterPoint = 1.5;

/// Outputs and inputs of a tile along an axis, and its frequencies in two dimensions.
inline constexpr int kTileOutputs = 4;
inline constexpr int kTileInputs = 6;
inline constexpr int kFrequencies = kTileInputs * kTileInputs;

}  // namespace fastconv::winograd
