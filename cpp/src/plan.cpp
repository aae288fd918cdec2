#include "fastconv/plan.hpp"

#include "algorithms/algorithm.hpp"
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

void execute(const Problem& problem, const Arguments& arguments, const PlanOptions& options) {
  const Plan plan(problem, options);
  const ThreadScratch workspace(plan.workspace_bytes());
  plan.execute(arguments, workspace.data());
}

}  // namespace fastconv
