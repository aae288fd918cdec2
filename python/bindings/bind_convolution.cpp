#include <algorithm>

#include "bindings.hpp"
#include "call.hpp"

namespace fastconv::python {
namespace {

/// Runs a problem with the plan options of the call.
auto runner(const CallOptions& options) {
  return [&options](const Problem& problem, const Arguments& arguments) {
    run(problem, options.plan, arguments);
  };
}

/// Refuses a batch of gradients for one item, and the reverse.
void check_same_batching(const char* name, int axes, const char* other, std::size_t other_axes) {
  if (static_cast<std::size_t>(axes) != other_axes) {
    throw ValueError(std::string(name) + ": got " + std::to_string(axes) + " axes with " + other +
                     " of " + std::to_string(other_axes) +
                     ", needs as many: both with a batch or " + "both without");
  }
}

py::array convolve(int rank, py::handle input, py::handle weight, py::handle bias,
                   py::handle stride, py::handle padding, py::handle dilation, py::handle groups,
                   py::handle layout, py::handle padding_mode, py::handle padding_value,
                   py::handle flip, py::handle activation, py::handle accumulate,
                   py::handle algorithm, py::handle precision, py::handle threads, py::handle out) {
  CallOptions options;
  read_options(rank,
               {stride, padding, dilation, groups, layout, padding_mode, padding_value, flip,
                activation, accumulate, algorithm, precision, threads},
               options);
  ArrayArgument x = to_array(input, "input");
  ArrayArgument w = to_array(weight, "weight");
  std::optional<ArrayArgument> b = to_bias(bias);
  const DataType type = b ? promote({&x, &w, &*b}) : promote({&x, &w});
  const ImageShape shape = to_image_shape(x.shape(), rank, options.layout, "input");
  set_input_shape(options, shape);
  set_weight_shape(options, w.shape(), "weight");
  set_types(options, Pass::forward, x.type, w.type, type);
  read_padding_value(options, x.type);
  options.description.has_bias = b.has_value();
  check_bias(b, options.description.k);
  const Problem problem = describe(options.description);
  return compute(options, problem, {&x, &w, nullptr, b ? &*b : nullptr},
                 output_shape(problem, rank, options.layout, shape.batched), shape.batched, out,
                 runner(options));
}

py::array convolve_transpose(int rank, py::handle input, py::handle weight, py::handle bias,
                             py::handle stride, py::handle padding, py::handle output_padding,
                             py::handle groups, py::handle dilation, py::handle layout,
                             py::handle flip, py::handle activation, py::handle accumulate,
                             py::handle algorithm, py::handle precision, py::handle threads,
                             py::handle out) {
  CallOptions options;
  const py::str zeros("zeros");
  const py::int_ zero(0);
  read_options(rank,
               {stride, padding, dilation, groups, layout, zeros, zero, flip, activation,
                accumulate, algorithm, precision, threads},
               options);
  ProblemDescription& description = options.description;
  if (description.padding_rule != PaddingRule::amounts) {
    throw ValueError("padding: got " + shown(padding) +
                     " for a transposed convolution, needs integers or pairs");
  }
  const auto extra = to_spatial(output_padding, rank, 0, "output_padding");
  ArrayArgument x = to_array(input, "input");
  ArrayArgument w = to_array(weight, "weight");
  std::optional<ArrayArgument> b = to_bias(bias);
  const DataType type = b ? promote({&x, &w, &*b}) : promote({&x, &w});
  // The result is the gradient of the input of the convolution that this one transposes.
  const ImageShape shape = to_image_shape(x.shape(), rank, options.layout, "input");
  set_weight_shape(options, w.shape(), "weight");
  if (shape.sizes[1] != description.k) {
    throw ValueError("weight: got shape " + shown(w.shape()) + " for an input of " +
                     std::to_string(shape.sizes[1]) +
                     " channels, needs (input channels, output channels / groups, kernel)");
  }
  if (description.groups < 1 || description.k % description.groups != 0) {
    throw ValueError("groups: got " + std::to_string(description.groups) +
                     ", needs a positive divisor of the input's " + std::to_string(description.k) +
                     " channels");
  }
  description.n = shape.sizes[0];
  if (__builtin_mul_overflow(description.c_per_group, description.groups, &description.c)) {
    throw ValueError("weight: got shape " + shown(w.shape()) +
                     ", whose output channels overflow 64 bits");
  }
  for (std::size_t a = static_cast<std::size_t>(3 - rank); a < 3; ++a) {
    const std::int64_t most = std::max(description.stride[a], description.dilation[a]);
    if (description.stride[a] < 1 || description.dilation[a] < 1 || shape.sizes[2 + a] < 1 ||
        description.kernel[a] < 1) {
      continue;  // describe() says so
    }
    if (extra[a] < 0 || extra[a] >= most) {
      throw ValueError("output_padding: got " + std::to_string(extra[a]) +
                       ", needs 0 or more and less than " + std::to_string(most) +
                       ", the larger of stride and dilation");
    }
    constexpr std::int64_t kMost = std::int64_t{1} << 40;
    for (const std::int64_t amount : {description.pad_before[a], description.pad_after[a]}) {
      if (amount < -kMost || amount > kMost) {
        throw ValueError("padding: got " + std::to_string(amount) +
                         ", needs at most 2^40 either way");
      }
    }
    const std::int64_t cropped = description.pad_before[a] + description.pad_after[a];
    const std::int64_t full =
        transposed_output_size(shape.sizes[2 + a], description.kernel[a], description.stride[a],
                               description.dilation[a], 0, extra[a]);
    description.input[a] = full - cropped;
    if (description.input[a] < 1) {
      throw ValueError("padding: got " + std::to_string(cropped) +
                       " in all along an axis whose result without it has " + std::to_string(full) +
                       " elements, needs at most " + std::to_string(full - 1));
    }
  }
  for (std::size_t a = 0; a < 3; ++a) {
    if (shape.sizes[2 + a] < 1) description.input[a] = shape.sizes[2 + a];
  }
  set_types(options, Pass::backward_input, type, w.type, x.type);
  description.has_bias = b.has_value();
  check_bias(b, description.c);
  Problem problem = describe(description);
  // Output padding may leave room for positions that the input does not have.
  for (std::size_t a = 0; a < 3; ++a) problem.axes[a].output = shape.sizes[2 + a];
  return compute(options, problem, {nullptr, &w, &x, b ? &*b : nullptr},
                 from_image_shape({problem.input_sizes(), shape.batched}, rank, options.layout),
                 shape.batched, out, runner(options));
}

py::array input_gradient(int rank, py::handle input_size, py::handle weight, py::handle grad_output,
                         py::handle stride, py::handle padding, py::handle dilation,
                         py::handle groups, py::handle layout, py::handle padding_mode,
                         py::handle padding_value, py::handle flip, py::handle algorithm,
                         py::handle precision, py::handle threads, py::handle out) {
  CallOptions options;
  read_options(rank,
               {stride, padding, dilation, groups, layout, padding_mode, padding_value, flip,
                py::none(), Py_False, algorithm, precision, threads},
               options);
  const std::vector<std::int64_t> size = to_shape(input_size, "input_size");
  ArrayArgument w = to_array(weight, "weight");
  ArrayArgument g = to_array(grad_output, "grad_output");
  const DataType type = promote({&w, &g});
  const ImageShape shape = to_image_shape(size, rank, options.layout, "input_size");
  check_same_batching("grad_output", g.rank(), "input_size", size.size());
  options.description.input_argument = "input_size";
  set_input_shape(options, shape);
  set_weight_shape(options, w.shape(), "weight");
  set_types(options, Pass::backward_input, type, w.type, g.type);
  read_padding_value(options, type);
  options.description.conjugate = true;
  const Problem problem = describe(options.description);
  check_grad_output(g, output_shape(problem, rank, options.layout, shape.batched));
  return compute(options, problem, {nullptr, &w, &g, nullptr}, size, shape.batched, out,
                 runner(options));
}

py::array weight_gradient(int rank, py::handle input, py::handle weight_size,
                          py::handle grad_output, py::handle stride, py::handle padding,
                          py::handle dilation, py::handle groups, py::handle layout,
                          py::handle padding_mode, py::handle padding_value, py::handle flip,
                          py::handle algorithm, py::handle precision, py::handle threads,
                          py::handle out) {
  CallOptions options;
  read_options(rank,
               {stride, padding, dilation, groups, layout, padding_mode, padding_value, flip,
                py::none(), Py_False, algorithm, precision, threads},
               options);
  ArrayArgument x = to_array(input, "input");
  const std::vector<std::int64_t> size = to_shape(weight_size, "weight_size");
  ArrayArgument g = to_array(grad_output, "grad_output");
  const DataType type = promote({&x, &g});
  const ImageShape shape = to_image_shape(x.shape(), rank, options.layout, "input");
  check_same_batching("grad_output", g.rank(), "input", x.shape().size());
  set_input_shape(options, shape);
  set_weight_shape(options, size, "weight_size");
  options.description.weight_argument = "weight_size";
  set_types(options, Pass::backward_weight, x.type, type, g.type);
  read_padding_value(options, x.type);
  options.description.conjugate = true;
  const Problem problem = describe(options.description);
  check_grad_output(g, output_shape(problem, rank, options.layout, shape.batched));
  return compute(options, problem, {&x, nullptr, &g, nullptr}, size, shape.batched, out,
                 runner(options));
}

/// Both gradients at once, of floating-point or complex arrays.
py::tuple both_gradients(int rank, py::handle input, py::handle weight, py::handle grad_output,
                         py::handle stride, py::handle padding, py::handle dilation,
                         py::handle groups, py::handle layout, py::handle padding_mode,
                         py::handle padding_value, py::handle flip, py::handle algorithm,
                         py::handle precision, py::handle threads) {
  CallOptions options;
  read_options(rank,
               {stride, padding, dilation, groups, layout, padding_mode, padding_value, flip,
                py::none(), Py_False, algorithm, precision, threads},
               options);
  ArrayArgument x = to_array(input, "input");
  ArrayArgument w = to_array(weight, "weight");
  ArrayArgument g = to_array(grad_output, "grad_output");
  const DataType type = promote({&x, &w, &g});
  const ImageShape shape = to_image_shape(x.shape(), rank, options.layout, "input");
  check_same_batching("grad_output", g.rank(), "input", x.shape().size());
  set_input_shape(options, shape);
  set_weight_shape(options, w.shape(), "weight");
  read_padding_value(options, x.type);
  options.description.conjugate = true;
  set_types(options, Pass::backward_input, type, w.type, g.type);
  const Problem of_input = describe(options.description);
  set_types(options, Pass::backward_weight, x.type, type, g.type);
  const Problem of_weight = describe(options.description);
  check_grad_output(g, output_shape(of_input, rank, options.layout, shape.batched));
  const ArrayArgument grad_input{"grad_input", new_array(type, x.shape()), type};
  const ArrayArgument grad_weight{"grad_weight", new_array(type, w.shape()), type};
  const auto image = [&](const ArrayArgument& array) {
    return image_view(array, rank, options.layout, shape.batched);
  };
  const GradientArguments arguments{image(x), weight_view(w, rank), image(g), image(grad_input),
                                    weight_view(grad_weight, rank)};
  run(of_input, of_weight, options.plan, arguments);
  return py::make_tuple(grad_input.array, grad_weight.array);
}

/// The other shapes and options are there to be checked, as for the other gradients.
py::array bias_gradient_of(int rank, py::handle grad_output, py::handle input_size,
                           py::handle weight_size, py::handle stride, py::handle padding,
                           py::handle dilation, py::handle groups, py::handle layout,
                           py::handle threads) {
  CallOptions options;
  const py::str zeros("zeros");
  const py::str automatic("auto");
  const py::str standard("default");
  const py::int_ zero(0);
  read_options(rank,
               {stride, padding, dilation, groups, layout, zeros, zero, Py_False, py::none(),
                Py_False, automatic, standard, threads},
               options);
  ArrayArgument g = to_array(grad_output, "grad_output");
  const DataType type = promote({&g});
  const ImageShape shape =
      to_image_shape(to_shape(input_size, "input"), rank, options.layout, "input");
  set_input_shape(options, shape);
  set_weight_shape(options, to_shape(weight_size, "weight"), "weight");
  set_types(options, Pass::backward_weight, g.type, type, g.type);
  const Problem problem = describe(options.description);
  check_grad_output(g, output_shape(problem, rank, options.layout, shape.batched));
  const std::vector<std::int64_t> channels{problem.k};
  py::array result(to_dtype(is_integer(type) ? DataType::int64 : type), channels);
  const TensorView view = image_view(g, rank, options.layout, shape.batched);
  {
    void* data = result.mutable_data();
    const py::gil_scoped_release release;
    bias_gradient(view, data, 1, options.plan.threads);
  }
  if (type != DataType::int32) return result;
  py::array narrow(to_dtype(type), channels);
  narrow_into(result, narrow);
  return narrow;
}

}  // namespace

void register_convolution(py::module_& module) {
  module.def("convolve", convolve);
  module.def("convolve_transpose", convolve_transpose);
  module.def("input_gradient", input_gradient);
  module.def("weight_gradient", weight_gradient);
  module.def("both_gradients", both_gradients);
  module.def("bias_gradient", bias_gradient_of);
}

}  // namespace fastconv::python
