#pragma once

#include <memory>
#include <optional>
#include <string>

#include "fastconv/plan.hpp"

namespace fastconv {

namespace detail {

/// A problem prepared by one algorithm. Immutable; `execute` neither allocates nor throws.
class AlgorithmPlan {
 public:
  virtual ~AlgorithmPlan() = default;
  virtual std::size_t workspace_bytes() const { return 0; }
  virtual std::size_t packed_weight_bytes() const { return 0; }
  virtual void pack_weights(const TensorView&, void*) const noexcept {}
  virtual void execute(const Arguments& arguments, void* workspace,
                       const void* packed_weights) const noexcept = 0;
  virtual std::string description() const = 0;
  /// How it goes about packed weights, where that depends on them.
  virtual std::string description_with(const void*) const { return description(); }
};

/// Both gradients of a convolution, prepared together. As immutable as the other.
class AlgorithmGradientsPlan {
 public:
  virtual ~AlgorithmGradientsPlan() = default;
  virtual std::size_t workspace_bytes() const = 0;
  virtual void execute(const GradientArguments& arguments, void* workspace) const noexcept = 0;
};

}  // namespace detail

/// One row of the list of algorithms.
struct Algorithm {
  const char* name;
  bool reassociates;  ///< transforms the sum, so that Precision::strict excludes it
  bool last_resort;   ///< taken by "auto" only when every other algorithm refuses
  /// Why the algorithm does not take the problem, if so.
  std::optional<std::string> (*refuses)(const Problem& problem);
  /// Seconds on `threads` threads, from a model with measured constants.
  double (*estimate_cost)(const Problem& problem, int threads);
  /// `max_workspace` as in PlanOptions.
  std::unique_ptr<const detail::AlgorithmPlan> (*make_plan)(const Problem& problem, int threads,
                                                            std::size_t max_workspace);
  /// Both gradients of a convolution; null, or returns null, where they have no work in common.
  std::unique_ptr<const detail::AlgorithmGradientsPlan> (*make_gradients_plan)(
      const Problem& input_gradient, const Problem& weight_gradient, int threads,
      std::size_t max_workspace) = nullptr;
};

struct AlgorithmSpan {
  const Algorithm* first;
  int count;
  const Algorithm* begin() const { return first; }
  const Algorithm* end() const { return first + count; }
};

/// Best first; the last one takes everything.
AlgorithmSpan algorithm_list();

/// The algorithm for a problem: the one that was named, else the cheapest that does not refuse. The
/// choice does not depend on the number of threads, so that results do not.
/// Throws ValueError for an unknown name and UnsupportedError for a refusal.
const Algorithm& select(const Problem& problem, const PlanOptions& options);

/// The number of threads that the options ask for, or the default.
int thread_count(const PlanOptions& options);

}  // namespace fastconv
