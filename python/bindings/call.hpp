#pragma once

#include "array_view.hpp"

/// The steps that every call shares: sizes into a Problem, a Problem into a result.
namespace fastconv::python {

/// Fills in the sizes of the input, checking its rank.
void set_input_shape(CallOptions& options, const ImageShape& shape);

/// Fills in the sizes of the weight; `shape` is (K, C / groups, *kernel).
void set_weight_shape(CallOptions& options, const std::vector<std::int64_t>& shape,
                      const char* name);

/// Fills in the types of the operands and of the result.
void set_types(CallOptions& options, Pass pass, const DataType& input, const DataType& weight,
               const DataType& output);

/// Reads a bias of `channels` elements, if there is one.
std::optional<ArrayArgument> to_bias(py::handle bias);
void check_bias(const std::optional<ArrayArgument>& bias, std::int64_t channels);

/// Whether the sums of a problem of 8-bit integers may leave int32, by the largest products that
/// the types allow.
bool may_overflow_int32(const Problem& problem);

/// The problem with int64 results, in which no sum of 8-bit products overflows.
Problem widened(const Problem& problem);

/// Copies int64 results into int32 ones. Throws OverflowError if one does not fit.
void narrow_into(const py::array& wide, const py::array& result);

/// The shape that the output of a problem has for the caller.
std::vector<std::int64_t> output_shape(const Problem& problem, int rank, Layout layout,
                                       bool batched);

/// Throws ValueError unless grad_output has the shape of the forward pass's output.
void check_grad_output(const ArrayArgument& grad_output, const std::vector<std::int64_t>& expected);

/// Plans and runs with the GIL released.
void run(const Problem& problem, const PlanOptions& options, const Arguments& arguments);
void run(const Problem& input_gradient, const Problem& weight_gradient, const PlanOptions& options,
         const GradientArguments& arguments);

/// Arrays of one call by their part in it; the written one has the type of the result.
struct CallArrays {
  const ArrayArgument* input = nullptr;
  const ArrayArgument* weight = nullptr;
  const ArrayArgument* output = nullptr;
  const ArrayArgument* bias = nullptr;
};

/// Allocates or checks the result, runs `execute(problem, arguments)` and returns the result.
/// The array of the written tensor is null in `arrays`.
template <class Execute>
py::array compute(const CallOptions& options, const Problem& problem, const CallArrays& arrays,
                  const std::vector<std::int64_t>& result_shape, bool batched, py::handle out,
                  Execute&& execute) {
  if (problem.accumulate && out.is_none()) {
    throw ValueError("accumulate: got True without out, needs out=, the array to add to");
  }
  const DataType type = problem.result_type();
  py::array result = result_array(out, result_shape, type,
                                  {arrays.input, arrays.weight, arrays.output, arrays.bias});
  const bool widen = type == DataType::int32 && (problem.accumulate || may_overflow_int32(problem));
  const Problem computed = widen ? widened(problem) : problem;
  ArrayArgument written{"out", result, computed.result_type()};
  if (widen) written.array = py::array(result.attr("astype")(to_dtype(DataType::int64)));

  const int rank = options.rank;
  const auto image = [&](const ArrayArgument* array) {
    return image_view(array != nullptr ? *array : written, rank, options.layout, batched);
  };
  Arguments arguments;
  arguments.input = image(arrays.input);
  arguments.output = image(arrays.output);
  arguments.weight = weight_view(arrays.weight != nullptr ? *arrays.weight : written, rank);
  std::optional<py::array> bias;
  if (arrays.bias != nullptr) {
    bias = arrays.bias->type == computed.result_type()
               ? arrays.bias->array
               : py::array(arrays.bias->array.attr("astype")(to_dtype(computed.result_type())));
    arguments.bias = bias->data();
    arguments.bias_stride = bias->strides(0) / bias->itemsize();
  }
  execute(computed, arguments);
  if (widen) narrow_into(written.array, result);
  return result;
}

}  // namespace fastconv::python
