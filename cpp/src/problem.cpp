#include "fastconv/problem.hpp"

#include <algorithm>
#include <cstdlib>
#include <initializer_list>
#include <sstream>

#include "fastconv/error.hpp"
#include "padding.hpp"

namespace fastconv {
namespace {

constexpr std::array<const char*, 3> kAxisNames{"depth", "height", "width"};

/// Sizes at which no sum or product of a few of them can overflow 64 bits.
constexpr std::int64_t kLargestSize = std::int64_t{1} << 40;

template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream stream;
  (stream << ... << parts);
  return stream.str();
}

std::string axis_name(const ProblemDescription& d, int axis) {
  return d.spatial_rank == 1 ? "its spatial axis" : text("its ", kAxisNames[axis], " axis");
}

/// `what` is called for its text only when there is something to complain of.
template <class What>
void require_size(const char* argument, const What& what, std::int64_t got, std::int64_t least) {
  if (got < least || got > kLargestSize) {
    throw ValueError(text(argument, ": got ", got, " for ", what(), ", needs ", least, " to 2^40"));
  }
}

/// The number of bytes of the largest type must fit 63 bits.
void require_countable(const char* argument, std::initializer_list<std::int64_t> sizes) {
  std::int64_t count = 16;
  bool overflow = false;
  for (const std::int64_t size : sizes) {
    if (size == 0) return;
    overflow = overflow || __builtin_mul_overflow(count, size, &count);
  }
  if (overflow) {
    std::string shape;
    for (const std::int64_t size : sizes) shape += (shape.empty() ? "" : ", ") + text(size);
    throw ValueError(
        text(argument, ": sizes (", shape,
             ") have a product that overflows 64 bits; needs an array that fits memory"));
  }
}

/// Amounts of padding along an axis, from the rule.
std::array<std::int64_t, 2> padding_amounts(const ProblemDescription& d, int a) {
  const std::int64_t reach = d.dilation[a] * (d.kernel[a] - 1);
  switch (d.padding_rule) {
    case PaddingRule::amounts:
      return {d.pad_before[a], d.pad_after[a]};
    case PaddingRule::valid:
      return {0, 0};
    case PaddingRule::full:
      return {reach, reach};
    default:
      break;
  }
  const std::int64_t output = (d.input[a] + d.stride[a] - 1) / d.stride[a];
  const std::int64_t total =
      std::max<std::int64_t>(0, (output - 1) * d.stride[a] + reach + 1 - d.input[a]);
  const std::int64_t smaller = total / 2;
  return d.padding_rule == PaddingRule::same ? std::array{smaller, total - smaller}
                                             : std::array{total - smaller, smaller};
}

Axis describe_axis(const ProblemDescription& d, int a) {
  const auto name = [&] { return axis_name(d, a); };
  require_size(d.input_argument, name, d.input[a], 1);
  require_size(d.weight_argument, name, d.kernel[a], 1);
  require_size("stride", name, d.stride[a], 1);
  require_size("dilation", name, d.dilation[a], 1);
  std::int64_t reach = 0;
  if (__builtin_mul_overflow(d.dilation[a], d.kernel[a] - 1, &reach) || reach > kLargestSize) {
    throw ValueError(text("dilation: got ", d.dilation[a], " with a kernel of ", d.kernel[a],
                          " along ", axis_name(d, a), ", which reaches over more than 2^40"));
  }
  const auto [before, after] = padding_amounts(d, a);
  if (std::min(before, after) < -kLargestSize || std::max(before, after) > kLargestSize) {
    throw ValueError(text("padding: got (", before, ", ", after, ") along ", axis_name(d, a),
                          ", needs at most 2^40 either way"));
  }
  const std::int64_t padded = d.input[a] + before + after;
  if (padded < reach + 1) {
    throw ValueError(text(
        d.weight_argument, ": its kernel of ", d.kernel[a],
        d.dilation[a] > 1 ? text(" (", reach + 1, " with dilation ", d.dilation[a], ")")
                          : std::string(),
        " is larger than the padded input of ", padded, " along ", axis_name(d, a),
        "; needs padding of at least ", reach + 1 - d.input[a], " in all, or a smaller kernel"));
  }
  Axis axis;
  axis.input = d.input[a];
  axis.kernel = d.kernel[a];
  axis.stride = d.stride[a];
  axis.dilation = d.dilation[a];
  axis.pad_before = before;
  axis.pad_after = after;
  axis.output = (padded - reach - 1) / d.stride[a] + 1;
  return axis;
}

void check_rank(const ProblemDescription& d) {
  if (d.spatial_rank < 1 || d.spatial_rank > 3) {
    throw ValueError(text("spatial_rank: got ", d.spatial_rank, ", needs 1, 2 or 3"));
  }
  for (std::size_t a = 0; a < static_cast<std::size_t>(3 - d.spatial_rank); ++a) {
    if (d.input[a] != 1 || d.kernel[a] != 1) {
      throw ValueError(text("spatial_rank: got ", d.spatial_rank, " with a ", kAxisNames[a], " of ",
                            d.input[a], " by ", d.kernel[a], ", needs 1 by 1"));
    }
  }
}

void check_channels(const ProblemDescription& d) {
  require_size("groups", [] { return "the number of groups"; }, d.groups, 1);
  require_size(d.input_argument, [] { return "the batch"; }, d.n, 0);
  require_size(d.input_argument, [] { return "its channels"; }, d.c, 0);
  require_size(d.weight_argument, [] { return "output channels"; }, d.k, 0);
  require_size(d.weight_argument, [] { return "channels of a group"; }, d.c_per_group, 0);
  if (d.c % d.groups != 0) {
    throw ValueError(
        text("groups: got ", d.groups, ", needs a divisor of the input's ", d.c, " channels"));
  }
  if (d.k % d.groups != 0) {
    throw ValueError(text("groups: got ", d.groups, ", needs a divisor of the weight's ", d.k,
                          " output channels"));
  }
  if (d.c_per_group != d.c / d.groups) {
    throw ValueError(text(d.weight_argument, ": got ", d.c_per_group,
                          " channels (axis 1) for an input of ", d.c, " channels in ", d.groups,
                          d.groups == 1 ? " group" : " groups", ", needs ", d.c / d.groups,
                          d.c_per_group != 0 && d.c % d.c_per_group == 0
                              ? text("; groups=", d.c / d.c_per_group, " would fit")
                              : std::string()));
  }
}

DataType result_type_of(const ProblemDescription& d) {
  return d.pass == Pass::forward          ? d.output_type
         : d.pass == Pass::backward_input ? d.input_type
                                          : d.weight_type;
}

/// Floating and complex tensors have one type; integers of 8 bits give int32 or int64, any
/// integers int64.
void check_types(const ProblemDescription& d) {
  const DataType result = result_type_of(d);
  for (const DataType type : {d.input_type, d.weight_type, d.output_type}) {
    const bool narrow = is_integer(type) && size_of(type) == 1;
    const bool fits = is_integer(result) ? type == result || narrow ||
                                               (result == DataType::int64 && is_integer(type))
                                         : type == result;
    if (!fits || (is_integer(result) && result != DataType::int32 && result != DataType::int64)) {
      throw TypeError(text("input, weight, output: got ", name_of(d.input_type), ", ",
                           name_of(d.weight_type), ", ", name_of(d.output_type),
                           ", needs one floating or complex type, or integers with a result of "
                           "int64 (int32 if all others have 8 bits)"));
    }
  }
}

/// The epilogue belongs to the forward pass and to its transpose.
void check_epilogue(const ProblemDescription& d) {
  const DataType type = result_type_of(d);
  if (d.activation != Activation::none) {
    if (is_complex(type)) {
      throw TypeError(text("activation: got '", name_of(d.activation), "' for ", name_of(type),
                           ", needs None: activations are defined for real numbers"));
    }
    if (is_integer(type) && d.activation != Activation::relu && d.activation != Activation::relu6) {
      throw TypeError(text("activation: got '", name_of(d.activation), "' for ", name_of(type),
                           ", needs None, 'relu' or 'relu6': the others have no integer values"));
    }
  }
  if (!d.has_bias && d.activation == Activation::none) return;
  if (d.pass == Pass::backward_weight) {
    throw UnsupportedError("bias, activation: the gradient of the weight has neither");
  }
  if (d.pass == Pass::backward_input && repeats_input(d.padding_mode)) {
    throw UnsupportedError(text("bias, activation: got padding mode '", name_of(d.padding_mode),
                                "' going backward, needs 'zeros' for a transposed convolution"));
  }
}

/// Extents that algorithms reckon with: the input with all its padding, and windows that reach
/// beyond it.
void check_padded_extents(const ProblemDescription& d, const std::array<Axis, 3>& axes) {
  std::array<std::int64_t, 3> extents{};
  for (std::size_t a = 0; a < 3; ++a) {
    const Axis& axis = axes[a];
    extents[a] = axis.input + std::abs(axis.pad_before) + std::abs(axis.pad_after) + axis.stride +
                 axis.dilation * (axis.kernel - 1);
  }
  require_countable("padding, dilation", {std::max(d.c, d.k), extents[0], extents[1], extents[2]});
}

}  // namespace

const char* name_of(DataType type) {
  constexpr const char* kNames[] = {"float32",  "float64", "complex64", "complex128", "float16",
                                    "bfloat16", "int8",    "uint8",     "int16",      "uint16",
                                    "int32",    "uint32",  "int64",     "uint64"};
  return kNames[static_cast<int>(type)];
}

const char* name_of(Pass pass) {
  constexpr const char* kNames[] = {"forward", "backward_input", "backward_weight"};
  return kNames[static_cast<int>(pass)];
}

const char* name_of(PaddingMode mode) {
  constexpr const char* kNames[] = {"zeros",     "constant",  "reflect",
                                    "symmetric", "replicate", "circular"};
  return kNames[static_cast<int>(mode)];
}

const char* name_of(Activation activation) {
  constexpr const char* kNames[] = {"none", "relu", "leaky_relu", "relu6",
                                    "silu", "gelu", "sigmoid",    "tanh"};
  return kNames[static_cast<int>(activation)];
}

DataType Problem::result_type() const {
  switch (pass) {
    case Pass::backward_input:
      return input_type;
    case Pass::backward_weight:
      return weight_type;
    default:
      return output_type;
  }
}

ComputeType Problem::compute_type() const {
  switch (result_type()) {
    case DataType::float64:
    case DataType::complex128:
      return ComputeType::float64;
    case DataType::int32:
      return ComputeType::int32;
    case DataType::int64:
      return ComputeType::int64;
    default:
      return ComputeType::float32;
  }
}

double Problem::multiply_adds() const {
  double count = static_cast<double>(n) * static_cast<double>(k) * static_cast<double>(c / g);
  for (const Axis& axis : axes) {
    count *= static_cast<double>(axis.output) * static_cast<double>(axis.kernel);
  }
  return is_complex() ? 4.0 * count : count;
}

std::array<std::int64_t, 5> Problem::input_sizes() const {
  return {n, c, axes[0].input, axes[1].input, axes[2].input};
}

std::array<std::int64_t, 5> Problem::weight_sizes() const {
  return {k, c / g, axes[0].kernel, axes[1].kernel, axes[2].kernel};
}

std::array<std::int64_t, 5> Problem::output_sizes() const {
  return {n, k, axes[0].output, axes[1].output, axes[2].output};
}

std::array<std::int64_t, 5> Problem::result_sizes() const {
  switch (pass) {
    case Pass::backward_input:
      return input_sizes();
    case Pass::backward_weight:
      return weight_sizes();
    default:
      return output_sizes();
  }
}

std::string Problem::to_string() const {
  std::ostringstream line;
  line << "n" << n;
  if (g != 1) line << " g" << g;
  line << " c" << c << " k" << k;
  const auto each = [&](const char* prefix, std::int64_t Axis::* field, std::int64_t implied) {
    for (int a = 3 - spatial_rank; a < 3; ++a) {
      if (axes[a].*field != implied) line << ' ' << prefix << "dhw"[a] << axes[a].*field;
    }
  };
  constexpr std::int64_t kAlways = -1;
  each("i", &Axis::input, kAlways);
  each("k", &Axis::kernel, kAlways);
  each("o", &Axis::output, kAlways);
  each("s", &Axis::stride, 1);
  each("d", &Axis::dilation, 1);
  for (int a = 3 - spatial_rank; a < 3; ++a) {
    const Axis& axis = axes[a];
    if (axis.pad_before == 0 && axis.pad_after == 0) continue;
    line << " p" << "dhw"[a] << axis.pad_before;
    if (axis.pad_after != axis.pad_before) line << '/' << axis.pad_after;
  }
  if (padding_mode != PaddingMode::zeros) line << " padding_mode=" << name_of(padding_mode);
  if (flip) line << " flip";
  if (activation != Activation::none) line << " activation=" << name_of(activation);
  if (accumulate) line << " accumulate";
  line << ' ' << name_of(pass) << ' ' << name_of(result_type());
  return line.str();
}

Problem describe(const ProblemDescription& d) {
  check_rank(d);
  check_channels(d);
  Problem problem;
  for (int a = 0; a < 3; ++a) problem.axes[a] = describe_axis(d, a);
  check_types(d);
  check_epilogue(d);
  problem.pass = d.pass;
  problem.input_type = d.input_type;
  problem.weight_type = d.weight_type;
  problem.output_type = d.output_type;
  problem.n = d.n;
  problem.g = d.groups;
  problem.c = d.c;
  problem.k = d.k;
  problem.spatial_rank = d.spatial_rank;
  problem.padding_mode = d.padding_mode;
  problem.padding_value = d.padding_value;
  problem.padding_integer = d.padding_integer;
  problem.flip = d.flip;
  problem.conjugate = d.conjugate && d.pass != Pass::forward && problem.is_complex();
  problem.has_bias = d.has_bias;
  problem.accumulate = d.accumulate;
  problem.activation = d.activation;
  problem.channels_last = d.channels_last;
  const auto& axes = problem.axes;
  require_countable(d.input_argument, {d.n, d.c, axes[0].input, axes[1].input, axes[2].input});
  require_countable(d.weight_argument,
                    {d.k, d.c_per_group, axes[0].kernel, axes[1].kernel, axes[2].kernel});
  require_countable("output", {d.n, d.k, axes[0].output, axes[1].output, axes[2].output});
  check_padded_extents(d, axes);
  return problem;
}

std::int64_t transposed_output_size(std::int64_t input, std::int64_t kernel, std::int64_t stride,
                                    std::int64_t dilation, std::int64_t padding,
                                    std::int64_t output_padding) {
  std::int64_t spread = 0;
  std::int64_t reach = 0;
  if (__builtin_mul_overflow(input - 1, stride, &spread) ||
      __builtin_mul_overflow(dilation, kernel - 1, &reach) || spread > kLargestSize ||
      reach > kLargestSize || output_padding > kLargestSize ||
      std::max(padding, std::abs(padding + 1)) > kLargestSize) {
    throw ValueError(text("stride: got ", stride, " for ", input, " elements, dilation ", dilation,
                          " for a kernel of ", kernel, ", padding ", padding,
                          " and output_padding ", output_padding,
                          ", needs a result of at most 2^40"));
  }
  return spread - padding + reach + output_padding + 1;
}

}  // namespace fastconv
