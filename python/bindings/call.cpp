#include "call.hpp"

#include <array>
#include <concepts>
#include <limits>
#include <memory>
#include <tuple>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::python {
namespace {

/// The plans of the last few small problems, or pairs of them, of this Python thread. Making one
/// takes about as long as a small convolution itself; the tables of large ones are not worth
/// keeping.
template <class Plan, std::same_as<Problem>... Problems>
class RecentPlans {
 public:
  std::shared_ptr<const Plan> find_or_make(const PlanOptions& options,
                                           const Problems&... problems) {
    if (!(is_small(problems) && ...)) return std::make_shared<const Plan>(problems..., options);
    Key key{{problems...},
            std::string(options.algorithm),
            options.precision,
            options.threads > 0 ? options.threads : num_threads()};
    for (const Entry& entry : entries_) {
      if (entry.plan != nullptr && entry.key == key) return entry.plan;
    }
    auto plan = std::make_shared<const Plan>(problems..., options);
    entries_[oldest_] = {std::move(key), plan};
    oldest_ = (oldest_ + 1) % entries_.size();
    return plan;
  }

 private:
  static bool is_small(const Problem& problem) {
    constexpr double kMostMultiplyAdds = 1e6;
    constexpr double kMostElements = 1e5;
    double results = 1.0;
    double weights = 1.0;
    for (const std::int64_t size : problem.result_sizes()) results *= static_cast<double>(size);
    for (const std::int64_t size : problem.weight_sizes()) weights *= static_cast<double>(size);
    return problem.multiply_adds() < kMostMultiplyAdds && results < kMostElements &&
           weights < kMostElements;
  }

  struct Key {
    std::tuple<Problems...> problems;
    std::string algorithm;
    Precision precision = Precision::standard;
    int threads = 0;
    bool operator==(const Key&) const = default;
  };
  struct Entry {
    Key key;
    std::shared_ptr<const Plan> plan;
  };

  std::array<Entry, 8> entries_;
  std::size_t oldest_ = 0;
};

template <class Plan, class Tensors>
void execute(const Plan& plan, const Tensors& tensors) {
  const ThreadScratch workspace(plan.workspace_bytes());
  const py::gil_scoped_release release;
  plan.execute(tensors, workspace.data());
}

}  // namespace

void set_input_shape(CallOptions& options, const ImageShape& shape) {
  ProblemDescription& description = options.description;
  description.n = shape.sizes[0];
  description.c = shape.sizes[1];
  description.input = {shape.sizes[2], shape.sizes[3], shape.sizes[4]};
}

void set_weight_shape(CallOptions& options, const std::vector<std::int64_t>& shape,
                      const char* name) {
  ProblemDescription& description = options.description;
  const auto rank = static_cast<std::size_t>(options.rank);
  if (shape.size() != rank + 2) {
    throw ValueError(
        std::string(name) + ": got shape " + shown(shape) + " with " +
        std::to_string(shape.size()) + (shape.size() == 1 ? " axis" : " axes") + ", needs " +
        std::to_string(rank + 2) + " (output channels, input channels / groups, kernel)" +
        (shape.size() >= 3 && shape.size() <= 5
             ? "; the functions of conv" + std::to_string(shape.size() - 2) + "d take such a weight"
             : ""));
  }
  description.k = shape[0];
  description.c_per_group = shape[1];
  for (std::size_t a = 0; a < rank; ++a) description.kernel[3 - rank + a] = shape[2 + a];
}

void set_types(CallOptions& options, Pass pass, const DataType& input, const DataType& weight,
               const DataType& output) {
  options.description.pass = pass;
  options.description.input_type = input;
  options.description.weight_type = weight;
  options.description.output_type = output;
}

std::optional<ArrayArgument> to_bias(py::handle bias) {
  if (bias.is_none()) return std::nullopt;
  return to_array(bias, "bias");
}

void check_bias(const std::optional<ArrayArgument>& bias, std::int64_t channels) {
  if (bias && (bias->rank() != 1 || bias->array.shape(0) != channels)) {
    throw ValueError("bias: got shape " + shown(bias->shape()) + ", needs (" +
                     std::to_string(channels) + ",), one element for each output channel");
  }
}

bool may_overflow_int32(const Problem& problem) {
  const auto largest = [](DataType type) { return type == DataType::uint8 ? 255.0 : 128.0; };
  double terms = 1.0;
  double factor = 1.0;
  const auto add_axes = [&](std::int64_t Axis::* field) {
    for (const Axis& axis : problem.axes) terms *= static_cast<double>(axis.*field);
  };
  switch (problem.pass) {
    case Pass::forward:
      terms = static_cast<double>(problem.c / problem.g);
      add_axes(&Axis::kernel);
      factor = largest(problem.input_type) * largest(problem.weight_type);
      break;
    case Pass::backward_input:
      // A mode of padding that repeats elements hands each the gradients of its copies.
      terms = static_cast<double>(problem.k / problem.g);
      add_axes(&Axis::kernel);
      if (problem.padding_mode != PaddingMode::zeros) add_axes(&Axis::output);
      factor = largest(problem.output_type) * largest(problem.weight_type);
      break;
    case Pass::backward_weight:
      terms = static_cast<double>(problem.n);
      add_axes(&Axis::output);
      factor = largest(problem.input_type) * largest(problem.output_type);
      break;
  }
  const double bias = problem.has_bias ? 255.0 : 0.0;
  return terms * factor + bias > static_cast<double>(std::numeric_limits<std::int32_t>::max());
}

Problem widened(const Problem& problem) {
  Problem wide = problem;
  switch (problem.pass) {
    case Pass::forward:
      wide.output_type = DataType::int64;
      break;
    case Pass::backward_input:
      wide.input_type = DataType::int64;
      break;
    case Pass::backward_weight:
      wide.weight_type = DataType::int64;
      break;
  }
  return wide;
}

void narrow_into(const py::array& wide, const py::array& result) {
  if (wide.size() > 0) {
    const auto low = wide.attr("min")().cast<std::int64_t>();
    const auto high = wide.attr("max")().cast<std::int64_t>();
    if (low < std::numeric_limits<std::int32_t>::min() ||
        high > std::numeric_limits<std::int32_t>::max()) {
      const std::string message =
          "input: sums of 8-bit products reach " + std::to_string(high > -low ? high : low) +
          ", which int32 cannot hold; convert the input to int16 for an int64 result";
      PyErr_SetString(PyExc_OverflowError, message.c_str());
      throw py::error_already_set();
    }
  }
  result[py::ellipsis()] = wide.attr("astype")(to_dtype(DataType::int32));
}

std::vector<std::int64_t> output_shape(const Problem& problem, int rank, Layout layout,
                                       bool batched) {
  return from_image_shape({problem.output_sizes(), batched}, rank, layout);
}

void check_grad_output(const ArrayArgument& grad_output,
                       const std::vector<std::int64_t>& expected) {
  if (grad_output.shape() != expected) {
    throw ValueError("grad_output: got shape " + shown(grad_output.shape()) + ", needs " +
                     shown(expected) + ", the shape of the convolution's output");
  }
}

void run(const Problem& problem, const PlanOptions& options, const Arguments& arguments) {
  thread_local RecentPlans<Plan, Problem> recent_plans;
  execute(*recent_plans.find_or_make(options, problem), arguments);
}

void run(const Problem& input_gradient, const Problem& weight_gradient, const PlanOptions& options,
         const GradientArguments& arguments) {
  thread_local RecentPlans<GradientsPlan, Problem, Problem> recent_plans;
  execute(*recent_plans.find_or_make(options, input_gradient, weight_gradient), arguments);
}

}  // namespace fastconv::python
