#pragma once

/// The interpolation points of F(4, 3): 0, +-kInnerPoint, +-kOuterPoint and infinity.
///
/// For points 0, +-a, +-b, infinity with p = a^2, q = b^2 (Toom-Cook; Lavin and Gray, Fast
/// Algorithms for Convolutional Neural Networks, 2015):
///
///     B^T = [pq  0  -(p+q)   0    1  0]   G = [1  0  0]   A^T = [r  s    s    t    t   0]
///           [0 -aq    -q     a    1  0]       [1  a  p]         [0  sa  -sa   tb  -tb  0]
///           [0  aq    -q    -a    1  0]       [1 -a  p]         [0  sp   sp   tq   tq  0]
///           [0 -bp    -p     b    1  0]       [1  b  q]         [0  sap -sap  tbq -tbq 1]
///           [0  bp    -p    -b    1  0]       [1 -b  q]
///           [0  pq     0  -(p+q)  0  1]       [0  0  1]
///
/// with r = 1/pq, s = 1/(2p(p - q)), t = 1/(2q(q - p)). These factors usually stand in G; here they
/// do not, for weights are transformed more often than sums where images are small. The usual
/// points 1 and 2 lose four times the accuracy of 3/4 and 3/2, whose powers are short binary
/// fractions too (compare Barabasz et al., Error Analysis and Improving the Accuracy of Winograd
/// Convolution, 2018).
///
/// Without infinity, the last row of B^T and G and the last column of each, what is left is
/// F(4, 2): four outputs of two taps, by five multiplications instead of eight. A stride of 2 is
/// made of those. Every second tap meets every second input (forward), or makes every second output
/// (backward), so three taps are two and one, four taps are two and two:
///
///     stride 2            9 multiplications instead of 12 for four outputs of three taps
///                        10                        16                     four
///     stride 2, backward  9                        12 for eight           three
///                        10                        16                     four
///
/// The one tap has no transform: its multiplications are those of the definition.
namespace fastconv::winograd {

inline constexpr double kInnerPoint = 0.75;
inline constexpr double kOuterPoint = 1.5;

/// How an axis of a tile is computed.
struct TileAxis {
  int taps;
  int outputs;
  int inputs;       ///< that the outputs read
  int step;         ///< inputs from a tile to the next
  int frequencies;  ///< multiplications

  bool operator==(const TileAxis&) const = default;
};

/// An axis of one tap: nothing to transform.
inline constexpr TileAxis kPlainAxis{1, 1, 1, 1, 1};
inline constexpr TileAxis kTwoTapsAxis{2, 4, 5, 4, 5};
inline constexpr TileAxis kThreeTapsAxis{3, 4, 6, 4, 6};
inline constexpr TileAxis kStridedThreeAxis{3, 4, 9, 8, 9};
inline constexpr TileAxis kStridedFourAxis{4, 4, 10, 8, 10};
/// Backward, where the outputs are further apart than the inputs: the first output is one that
/// every second tap makes, beginning with the second tap (of three) or the first (of four).
inline constexpr TileAxis kSpreadThreeAxis{3, 8, 5, 4, 9};
inline constexpr TileAxis kSpreadFourAxis{4, 8, 6, 4, 10};

}  // namespace fastconv::winograd
