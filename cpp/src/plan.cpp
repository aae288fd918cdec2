#include "fastconv/plan.hpp"

#include <algorithm>

#include "algorithms/algorithm.hpp"
#include "fastconv/error.hpp"
#include "runtime/aligned_buffer.hpp"

namespace fastconv {
namespace {

/// `threads`, or 1 for work that is over before a second thread has begun.
int worthwhile_threads(const Algorithm& algorithm, const Problem& problem, int threads) {
  constexpr double kSeconds = 30e-6;
  return threads > 1 && algorithm.estimate_cost(problem, 1) < kSeconds ? 1 : threads;
}

}  // namespace

Plan::Plan(const Problem& problem, const PlanOptions& options)
    : problem_(problem), threads_(thread_count(options)) {
  const Algorithm& algorithm = select(problem, options);
  algorithm_ = algorithm.name;
  implementation_ = algorithm.make_plan(problem, worthwhile_threads(algorithm, problem, threads_),
                                        options.max_workspace);
}

Plan::Plan(Plan&&) noexcept = default;
Plan& Plan::operator=(Plan&&) noexcept = default;
Plan::~Plan() = default;

std::size_t Plan::workspace_bytes() const { return implementation_->workspace_bytes(); }

std::size_t Plan::packed_weight_bytes() const { return implementation_->packed_weight_bytes(); }

void Plan::pack_weights(const TensorView& weight, void* packed) const noexcept {
  implementation_->pack_weights(weight, packed);
}

void Plan::execute(const Arguments& arguments, void* workspace,
                   const void* packed_weights) const noexcept {
  implementation_->execute(arguments, workspace, packed_weights);
}

std::string Plan::description(const void* packed_weights) const {
  return packed_weights == nullptr ? implementation_->description()
                                   : implementation_->description_with(packed_weights);
}

namespace {

void check_gradients(const Problem& input_gradient, const Problem& weight_gradient) {
  Problem same_sizes = weight_gradient;
  same_sizes.pass = input_gradient.pass;
  same_sizes.input_type = input_gradient.input_type;
  same_sizes.weight_type = input_gradient.weight_type;
  same_sizes.output_type = input_gradient.output_type;
  if (input_gradient.pass != Pass::backward_input ||
      weight_gradient.pass != Pass::backward_weight || !(same_sizes == input_gradient)) {
    throw ValueError("problems: got " + input_gradient.to_string() + " and " +
                     weight_gradient.to_string() +
                     ", needs backward_input and backward_weight of one convolution");
  }
  if (input_gradient.has_bias || input_gradient.accumulate ||
      input_gradient.activation != Activation::none) {
    throw ValueError("problems: got " + input_gradient.to_string() +
                     ", needs gradients without bias, activation and accumulate");
  }
}

}  // namespace

GradientsPlan::GradientsPlan(const Problem& input_gradient, const Problem& weight_gradient,
                             const PlanOptions& options) {
  check_gradients(input_gradient, weight_gradient);
  const Algorithm& algorithm = select(input_gradient, options);
  if (&algorithm == &select(weight_gradient, options) && algorithm.make_gradients_plan != nullptr) {
    const int threads = worthwhile_threads(algorithm, input_gradient, thread_count(options));
    shared_ = algorithm.make_gradients_plan(input_gradient, weight_gradient, threads,
                                            options.max_workspace);
  }
  if (shared_ != nullptr) return;
  separate_.emplace_back(input_gradient, options);
  separate_.emplace_back(weight_gradient, options);
}

GradientsPlan::GradientsPlan(GradientsPlan&&) noexcept = default;
GradientsPlan& GradientsPlan::operator=(GradientsPlan&&) noexcept = default;
GradientsPlan::~GradientsPlan() = default;

std::size_t GradientsPlan::workspace_bytes() const {
  if (shared_ != nullptr) return shared_->workspace_bytes();
  return std::max(separate_[0].workspace_bytes(), separate_[1].workspace_bytes());
}

void GradientsPlan::execute(const GradientArguments& arguments, void* workspace) const noexcept {
  if (shared_ != nullptr) {
    shared_->execute(arguments, workspace);
    return;
  }
  separate_[0].execute(arguments.of_input(), workspace);
  separate_[1].execute(arguments.of_weight(), workspace);
}

void execute(const Problem& problem, const Arguments& arguments, const PlanOptions& options) {
  const Plan plan(problem, options);
  const ThreadScratch workspace(plan.workspace_bytes());
  plan.execute(arguments, workspace.data());
}

}  // namespace fastconv
