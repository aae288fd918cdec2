#pragma once

#include <array>
#include <complex>
#include <cstdint>
#include <string>

#include "fastconv/data_type.hpp"

namespace fastconv {

/// Which of the three tensors of a convolution is computed from the other two.
enum class Pass : std::uint8_t {
  forward,         ///< output from input and weight
  backward_input,  ///< gradient of the input, and the transposed convolution
  backward_weight  ///< gradient of the weight
};

enum class PaddingMode : std::uint8_t { zeros, constant, reflect, symmetric, replicate, circular };

enum class Activation : std::uint8_t { none, relu, leaky_relu, relu6, silu, gelu, sigmoid, tanh };

/// How the amounts of padding are given.
enum class PaddingRule : std::uint8_t {
  amounts,     ///< `pad_before` and `pad_after` as given; negative ones crop
  valid,       ///< none
  same,        ///< output ceil(input / stride), the odd element after (ONNX SAME_UPPER)
  same_lower,  ///< output ceil(input / stride), the odd element before
  full         ///< dilation * (kernel - 1) on both sides
};

/// One spatial axis. Sizes and steps are in elements.
struct Axis {
  std::int64_t input = 1;
  std::int64_t kernel = 1;
  std::int64_t output = 1;
  std::int64_t stride = 1;
  std::int64_t dilation = 1;
  std::int64_t pad_before = 0;
  std::int64_t pad_after = 0;

  bool operator==(const Axis&) const = default;
};

/// A validated convolution, without its memory.
///
///     out[n, k, o] = activation(bias[k] + sum_{c, a} weight[k, c, a] *
///                               padded[n, group(k) * c / g + c, o * stride + a * dilation])
///
/// A backward pass has the same sizes as the forward pass that it belongs to; only `pass` says
/// which tensor is written. One- and two-dimensional problems have leading axes of size 1.
struct Problem {
  Pass pass = Pass::forward;
  DataType input_type = DataType::float32;
  DataType weight_type = DataType::float32;
  DataType output_type = DataType::float32;
  std::int64_t n = 1;        ///< batch
  std::int64_t g = 1;        ///< groups
  std::int64_t c = 1;        ///< input channels, all groups together
  std::int64_t k = 1;        ///< output channels, all groups together
  std::array<Axis, 3> axes;  ///< depth, height, width
  int spatial_rank = 2;      ///< how many of the axes, from the last, the caller named
  PaddingMode padding_mode = PaddingMode::zeros;
  std::complex<double> padding_value = 0.0;
  std::int64_t padding_integer = 0;  ///< the padding value of integer problems
  bool flip = false;                 ///< mirror the kernel: strict convolution
  bool conjugate = false;            ///< conjugate the complex factor that is not differentiated
  bool has_bias = false;             ///< add a bias per channel of the written tensor
  bool accumulate = false;           ///< add to what the written tensor holds
  Activation activation = Activation::none;
  /// A hint that the images lie channels last in memory; views with any strides stay right.
  bool channels_last = false;

  /// Type of the tensor that this pass writes.
  DataType result_type() const;
  /// Type that products and sums are formed in.
  ComputeType compute_type() const;
  bool is_complex() const { return fastconv::is_complex(result_type()); }
  /// Multiply-adds of the pass, each complex one counted as four.
  double multiply_adds() const;
  /// Sizes as (N, C, D, H, W) or (K, C / g, D, H, W).
  std::array<std::int64_t, 5> input_sizes() const;
  std::array<std::int64_t, 5> weight_sizes() const;
  std::array<std::int64_t, 5> output_sizes() const;
  /// Those of the tensor that this pass writes.
  std::array<std::int64_t, 5> result_sizes() const;
  /// One line such as "n1 c64 k64 ih56 iw56 kh3 kw3 oh56 ow56 ph1 pw1 forward float32".
  std::string to_string() const;

  bool operator==(const Problem&) const = default;
};

/// What a caller knows before the output exists; `describe` turns it into a Problem.
struct ProblemDescription {
  Pass pass = Pass::forward;
  DataType input_type = DataType::float32;
  DataType weight_type = DataType::float32;
  DataType output_type = DataType::float32;
  int spatial_rank = 2;
  std::int64_t n = 1;
  std::int64_t c = 1;
  std::int64_t k = 1;
  std::int64_t c_per_group = 1;  ///< second axis of the weight
  std::int64_t groups = 1;
  /// Depth, height, width; the leading ones keep their defaults below three dimensions.
  std::array<std::int64_t, 3> input{1, 1, 1};
  std::array<std::int64_t, 3> kernel{1, 1, 1};
  std::array<std::int64_t, 3> stride{1, 1, 1};
  std::array<std::int64_t, 3> dilation{1, 1, 1};
  std::array<std::int64_t, 3> pad_before{0, 0, 0};
  std::array<std::int64_t, 3> pad_after{0, 0, 0};
  PaddingRule padding_rule = PaddingRule::amounts;
  PaddingMode padding_mode = PaddingMode::zeros;
  std::complex<double> padding_value = 0.0;
  std::int64_t padding_integer = 0;
  bool flip = false;
  bool conjugate = false;
  bool has_bias = false;
  bool accumulate = false;
  Activation activation = Activation::none;
  bool channels_last = false;
  /// What messages call the arguments that the sizes come from.
  const char* input_argument = "input";
  const char* weight_argument = "weight";
};

/// Validates a description and computes the sizes that follow from it.
/// Throws ValueError, TypeError or UnsupportedError with a message that names the argument.
Problem describe(const ProblemDescription& description);

/// Input size of a transposed convolution's result along one axis:
/// (n - 1) * stride - padding + dilation * (kernel - 1) + output_padding + 1.
std::int64_t transposed_output_size(std::int64_t input, std::int64_t kernel, std::int64_t stride,
                                    std::int64_t dilation, std::int64_t padding,
                                    std::int64_t output_padding);

const char* name_of(Pass pass);
const char* name_of(PaddingMode mode);
const char* name_of(Activation activation);

}  // namespace fastconv
