#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "fastconv/problem.hpp"
#include "fastconv/tensor_view.hpp"

namespace fastconv {

enum class Precision : std::uint8_t {
  standard,  ///< Python's "default": every algorithm within the documented error
  strict,    ///< direct algorithms alone
  fast       ///< anything the hardware offers
};

struct PlanOptions {
  std::string_view algorithm = "auto";
  Precision precision = Precision::standard;
  int threads = 0;  ///< 0: the current default, see threads.hpp
  /// Bytes of scratch memory that algorithms which could use more keep to, by working in blocks, as
  /// far as one block of the smallest size allows.
  std::size_t max_workspace = std::size_t{256} << 20;
};

/// The tensors of one execution. Every pass uses the same three; the pass says which is written.
struct Arguments {
  TensorView input;   ///< read by forward and backward_weight, written by backward_input
  TensorView weight;  ///< read by forward and backward_input, written by backward_weight
  TensorView output;  ///< written by forward; the backward passes read the output's gradient here
  const void* bias = nullptr;    ///< one element of the result's type for each written channel
  std::int64_t bias_stride = 1;  ///< in elements
};

/// The tensors of both gradients of a convolution, computed at once.
struct GradientArguments {
  TensorView input;
  TensorView weight;
  TensorView grad_output;
  TensorView grad_input;   ///< written
  TensorView grad_weight;  ///< written

  Arguments of_input() const { return {grad_input, weight, grad_output}; }
  Arguments of_weight() const { return {input, grad_weight, grad_output}; }
};

namespace detail {
class AlgorithmPlan;
class AlgorithmGradientsPlan;
}  // namespace detail

/// A problem made ready to run: the algorithm chosen, its tiles and tables computed.
///
/// Immutable, and safe to execute from several threads at once, each with a workspace of its own.
/// Strides belong to the views handed to `execute`, so one plan serves every memory layout.
class Plan {
 public:
  explicit Plan(const Problem& problem, const PlanOptions& options = {});
  Plan(Plan&&) noexcept;
  Plan& operator=(Plan&&) noexcept;
  ~Plan();

  const Problem& problem() const { return problem_; }
  const char* algorithm() const { return algorithm_; }
  int threads() const { return threads_; }

  /// Bytes of scratch memory that `execute` needs, aligned to 64 bytes.
  std::size_t workspace_bytes() const;

  /// Bytes that `pack_weights` writes; 0 where this plan has nothing to gain from it.
  std::size_t packed_weight_bytes() const;

  /// Arranges the weights once, for many calls of `execute`. `packed` is aligned to 64 bytes.
  void pack_weights(const TensorView& weight, void* packed) const noexcept;

  /// Runs the pass. `packed_weights` is what `pack_weights` wrote, or null to pack within the call.
  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights = nullptr) const noexcept;

  /// Tiles and kernels in a sentence; what `pack_weights` wrote may have decided on them.
  std::string description(const void* packed_weights = nullptr) const;

 private:
  Problem problem_;
  const char* algorithm_ = "";
  int threads_ = 1;
  std::unique_ptr<const detail::AlgorithmPlan> implementation_;
};

/// Both gradients of one convolution made ready to run. Where the same algorithm computes both by
/// transforms, the gradient of the output is transformed once; elsewhere this is two plans.
class GradientsPlan {
 public:
  /// Two problems of the same sizes, one of each backward pass, that neither add to what is there
  /// nor have a bias or an activation. Throws ValueError if they are not.
  GradientsPlan(const Problem& input_gradient, const Problem& weight_gradient,
                const PlanOptions& options = {});
  GradientsPlan(GradientsPlan&&) noexcept;
  GradientsPlan& operator=(GradientsPlan&&) noexcept;
  ~GradientsPlan();

  /// Whether the two have transforms in common.
  bool shares_transforms() const { return shared_ != nullptr; }
  std::size_t workspace_bytes() const;
  void execute(const GradientArguments& arguments, void* workspace) const noexcept;

 private:
  std::unique_ptr<const detail::AlgorithmGradientsPlan> shared_;
  std::vector<Plan> separate_;  ///< of the input and of the weight, where nothing is shared
};

/// Plans and runs in one step, with scratch memory of its own.
void execute(const Problem& problem, const Arguments& arguments, const PlanOptions& options = {});

/// Adds up a gradient over every axis but the channels: the gradient of the bias.
/// `result` has one element per channel, of the type of `grad_output`, or int64 for any integers.
void bias_gradient(const TensorView& grad_output, void* result, std::int64_t result_stride,
                   int threads = 0);

/// One row of `explain`.
struct AlgorithmReport {
  const char* name;
  std::string refusal;       ///< empty when the algorithm takes the problem
  double estimated_seconds;  ///< meaningful when it does
  bool chosen;
};

/// Every algorithm in order of preference, with its estimated cost or why it refused.
std::vector<AlgorithmReport> explain(const Problem& problem, const PlanOptions& options = {});

/// Names usable as PlanOptions::algorithm, besides "auto".
std::vector<const char*> algorithm_names();

}  // namespace fastconv
