#include "bindings.hpp"
#include "call.hpp"
#include "runtime/aligned_buffer.hpp"

namespace fastconv::python {
namespace {

Pass to_pass(const std::string& name) {
  for (const Pass pass : {Pass::forward, Pass::backward_input, Pass::backward_weight}) {
    if (name == fastconv::name_of(pass)) return pass;
  }
  throw ValueError("passes: got '" + name +
                   "', needs 'forward', 'backward_input' or 'backward_weight'");
}

/// Sizes and types of a pass from shapes alone.
ImageShape describe_shapes(CallOptions& options, Pass pass,
                           const std::vector<std::int64_t>& input_shape,
                           const std::vector<std::int64_t>& weight_shape,
                           const char* weight_argument, DataType type, bool has_bias) {
  const ImageShape shape = to_image_shape(input_shape, options.rank, options.layout, "input_shape");
  set_input_shape(options, shape);
  set_weight_shape(options, weight_shape, weight_argument);
  options.description.input_argument = "input_shape";
  options.description.weight_argument = weight_argument;
  const bool integer = is_integer(type);
  const DataType result = !integer ? type : size_of(type) == 1 ? DataType::int32 : DataType::int64;
  set_types(options, pass, pass == Pass::backward_input ? result : type,
            pass == Pass::backward_weight ? result : type, pass == Pass::forward ? result : type);
  read_padding_value(options, type);
  options.description.conjugate = pass != Pass::forward;
  options.description.has_bias = has_bias && pass == Pass::forward;
  if (pass != Pass::forward) options.description.activation = Activation::none;
  return shape;
}

std::size_t to_bytes(py::handle max_workspace) {
  const std::int64_t bytes = to_integer(max_workspace, "max_workspace");
  if (bytes < 1) {
    throw ValueError("max_workspace: got " + std::to_string(bytes) +
                     ", needs a positive number of bytes, or None for 256 MiB");
  }
  return static_cast<std::size_t>(bytes);
}

/// One pass of a ConvPlan: the weights packed, the algorithm chosen.
class PlannedPass {
 public:
  PlannedPass(const std::string& pass, int rank, py::handle weight, py::handle weight_shape,
              py::handle input_shape, py::handle dtype, py::handle bias, py::handle stride,
              py::handle padding, py::handle dilation, py::handle groups, py::handle layout,
              py::handle padding_mode, py::handle padding_value, py::handle flip,
              py::handle activation, py::handle algorithm, py::handle precision, py::handle threads,
              py::handle max_workspace)
      : type_(
            to_data_type(py::dtype::from_args(py::reinterpret_borrow<py::object>(dtype)), "dtype")),
        bias_(to_bias(bias)) {
    read_options(rank,
                 {stride, padding, dilation, groups, layout, padding_mode, padding_value, flip,
                  activation, Py_False, algorithm, precision, threads},
                 options_);
    shape_ = describe_shapes(options_, to_pass(pass), to_shape(input_shape, "input_shape"),
                             to_shape(weight_shape, "weight_or_shape"), "weight_or_shape", type_,
                             bias_.has_value());
    check_bias(bias_, options_.description.k);
    if (bias_) convert_bias();
    Problem problem = describe(options_.description);
    if (problem.result_type() == DataType::int32 && may_overflow_int32(problem)) {
      problem = widened(problem);
      narrows_ = true;
    }
    if (!max_workspace.is_none()) options_.plan.max_workspace = to_bytes(max_workspace);
    plan_ = std::make_unique<Plan>(problem, options_.plan);
    if (!weight.is_none()) {
      weight_ = to_array(weight, "weight");
      if (problem.pass != Pass::backward_weight) {
        packed_ = AlignedBuffer(plan_->packed_weight_bytes());
        plan_->pack_weights(weight_view(*weight_, options_.rank), packed_.data());
      }
    }
  }

  py::array forward(py::handle input, py::handle out) const {
    const ArrayArgument x = operand(input, "input", input_shape());
    return compute_pass({&x, &weight(), nullptr, bias_ ? &*bias_ : nullptr}, output_shape(), out);
  }

  py::array backward_input(py::handle grad_output, py::handle out) const {
    const ArrayArgument g = operand(grad_output, "grad_output", output_shape());
    return compute_pass({nullptr, &weight(), &g, nullptr}, input_shape(), out);
  }

  py::array backward_weight(py::handle input, py::handle grad_output, py::handle out) const {
    const ArrayArgument x = operand(input, "input", input_shape());
    const ArrayArgument g = operand(grad_output, "grad_output", output_shape());
    const auto sizes = plan_->problem().weight_sizes();
    std::vector<std::int64_t> shape{sizes[0], sizes[1]};
    shape.insert(shape.end(), sizes.end() - options_.rank, sizes.end());
    return compute_pass({&x, nullptr, &g, nullptr}, shape, out);
  }

  std::string algorithm() const { return plan_->algorithm(); }
  std::string description() const { return plan_->description(packed_.data()); }
  std::string problem() const { return unwidened().to_string(); }
  std::size_t workspace_bytes() const { return plan_->workspace_bytes(); }
  std::size_t packed_bytes() const { return packed_.bytes(); }

 private:
  /// To the plan's dtype; a bias that would make the result wider is refused.
  void convert_bias() {
    ArrayArgument operand{"dtype", py::array(to_dtype(type_), std::vector<std::int64_t>{0}), type_};
    const DataType alone = promote({&operand});
    const DataType with_bias = promote({&operand, &*bias_});
    if (with_bias != alone) {
      throw TypeError(std::string("bias: got a dtype that makes results ") +
                      fastconv::name_of(with_bias) + ", needs one that keeps them " +
                      fastconv::name_of(alone) +
                      ", or a plan with dtype=" + fastconv::name_of(with_bias));
    }
  }

  std::vector<std::int64_t> input_shape() const {
    return from_image_shape(shape_, options_.rank, options_.layout);
  }
  std::vector<std::int64_t> output_shape() const {
    return python::output_shape(plan_->problem(), options_.rank, options_.layout, shape_.batched);
  }

  const ArrayArgument& weight() const {
    if (weight_) return *weight_;
    throw ValueError(
        "weight_or_shape: this plan was made from a shape and has no weights, needs the weight "
        "array for every pass but backward_weight");
  }

  ArrayArgument operand(py::handle value, const char* name,
                        const std::vector<std::int64_t>& expected) const {
    ArrayArgument argument = to_array(value, name);
    if (argument.type != type_) {
      throw TypeError(std::string(name) + ": got dtype " + fastconv::name_of(argument.type) +
                      ", needs " + fastconv::name_of(type_) + ", which the plan was made for");
    }
    if (argument.shape() != expected) {
      throw ValueError(std::string(name) + ": got shape " + shown(argument.shape()) + ", needs " +
                       shown(expected) + ", which the plan was made for");
    }
    return argument;
  }

  py::array compute_pass(const CallArrays& arrays, const std::vector<std::int64_t>& shape,
                         py::handle out) const {
    // `compute` decides on widening as the constructor did, from the unwidened problem.
    return compute(options_, unwidened(), arrays, shape, shape_.batched, out,
                   [&](const Problem&, const Arguments& arguments) {
                     const ThreadScratch workspace(plan_->workspace_bytes());
                     const py::gil_scoped_release release;
                     plan_->execute(arguments, workspace.data(), packed_.data());
                   });
  }

  Problem unwidened() const {
    Problem problem = plan_->problem();
    if (narrows_) {
      (problem.pass == Pass::forward          ? problem.output_type
       : problem.pass == Pass::backward_input ? problem.input_type
                                              : problem.weight_type) = DataType::int32;
    }
    return problem;
  }

  DataType type_;
  std::optional<ArrayArgument> bias_;
  CallOptions options_;
  ImageShape shape_;
  bool narrows_ = false;
  std::unique_ptr<Plan> plan_;
  std::optional<ArrayArgument> weight_;
  AlignedBuffer packed_;
};

/// Rows (name, refusal or None, estimated seconds or None, chosen) for a pass, and its text form.
py::tuple explain_pass(const std::string& pass, int rank, py::handle input_shape,
                       py::handle weight_shape, py::handle dtype, py::handle stride,
                       py::handle padding, py::handle dilation, py::handle groups,
                       py::handle layout, py::handle padding_mode, py::handle padding_value,
                       py::handle flip, py::handle activation, py::handle algorithm,
                       py::handle precision, py::handle threads) {
  CallOptions options;
  read_options(rank,
               {stride, padding, dilation, groups, layout, padding_mode, padding_value, flip,
                activation, Py_False, algorithm, precision, threads},
               options);
  const DataType type =
      to_data_type(py::dtype::from_args(py::reinterpret_borrow<py::object>(dtype)), "dtype");
  describe_shapes(options, to_pass(pass), to_shape(input_shape, "input_shape"),
                  to_shape(weight_shape, "weight_shape"), "weight_shape", type, false);
  const Problem problem = describe(options.description);
  py::list rows;
  for (const AlgorithmReport& report : explain(problem, options.plan)) {
    const bool refused = !report.refusal.empty();
    rows.append(py::make_tuple(
        report.name, refused ? py::object(py::str(report.refusal)) : py::object(py::none()),
        refused ? py::object(py::none()) : py::object(py::float_(report.estimated_seconds)),
        report.chosen));
  }
  const Plan plan(problem, options.plan);
  return py::make_tuple(problem.to_string(), problem.multiply_adds(), rows, plan.description(),
                        plan.workspace_bytes());
}

/// Estimated seconds on one thread of each algorithm that takes a forward pass with a mirrored
/// kernel, without a plan.
py::dict estimate_convolution(int rank, py::handle input_shape, py::handle weight_shape,
                              py::handle dtype, py::handle padding, py::handle groups) {
  CallOptions options;
  read_options(
      rank,
      {py::int_(1), padding, py::int_(1), groups, py::none(), py::str("zeros"), py::int_(0),
       Py_True, py::none(), Py_False, py::str("auto"), py::str("default"), py::int_(1)},
      options);
  const DataType type =
      to_data_type(py::dtype::from_args(py::reinterpret_borrow<py::object>(dtype)), "dtype");
  describe_shapes(options, Pass::forward, to_shape(input_shape, "input_shape"),
                  to_shape(weight_shape, "weight_shape"), "weight_shape", type, false);
  py::dict seconds;
  for (const AlgorithmReport& report : explain(describe(options.description), options.plan)) {
    if (report.refusal.empty()) seconds[report.name] = report.estimated_seconds;
  }
  return seconds;
}

}  // namespace

void register_plan(py::module_& module) {
  using Handle = py::handle;
  py::class_<PlannedPass>(module, "PlannedPass")
      .def(py::init<const std::string&, int, Handle, Handle, Handle, Handle, Handle, Handle, Handle,
                    Handle, Handle, Handle, Handle, Handle, Handle, Handle, Handle, Handle, Handle,
                    Handle>())
      .def("forward", &PlannedPass::forward)
      .def("backward_input", &PlannedPass::backward_input)
      .def("backward_weight", &PlannedPass::backward_weight)
      .def_property_readonly("algorithm", &PlannedPass::algorithm)
      .def_property_readonly("description", &PlannedPass::description)
      .def_property_readonly("problem", &PlannedPass::problem)
      .def_property_readonly("workspace_bytes", &PlannedPass::workspace_bytes)
      .def_property_readonly("packed_bytes", &PlannedPass::packed_bytes);
  module.def("explain_pass", explain_pass);
  module.def("estimate_convolution", estimate_convolution);
}

}  // namespace fastconv::python
