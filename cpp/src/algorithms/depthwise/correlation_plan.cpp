/// Forward and backward-input passes: reads weights and bias, and runs along channels where memory
/// holds them side by side, along rows of pixels otherwise.
#include <algorithm>

#include "algorithms/depthwise/correlation.hpp"
#include "algorithms/depthwise/depthwise.hpp"
#include "algorithms/direct/bias.hpp"
#include "algorithms/reference/reference.hpp"

namespace fastconv::depthwise {
namespace {

template <class T>
class CorrelationPlan final : public detail::AlgorithmPlan {
 public:
  CorrelationPlan(const Problem& problem, int threads)
      : problem_(problem),
        kernels_(active_kernels().typed<T>()),
        axes_(pass_taps(problem)),
        forward_(problem.pass == Pass::forward),
        pass_{problem_,
              kernels_,
              axes_,
              threads,
              forward_ ? 1 : problem.k / problem.g,
              forward_ ? problem.k / problem.g : 1},
        rows_(pass_),
        channels_(pass_) {
    if (!forward_) for_non_finite_weights_ = reference::make_plan(problem, 1);
  }

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  std::size_t packed_weight_bytes() const override {
    Arena arena(nullptr);
    lay_out_weights(arena);
    return arena.used();
  }

  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    Arena arena(packed);
    const PackedWeights weights = lay_out_weights(arena);
    rows_.pack_weights(weight, weights.rows);
    if (channels_.weight_count() > 0) channels_.pack_weights(weight, weights.channels);
    *weights.finite = kernels_.all_finite(weights.rows, rows_.weight_count());
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    if (problem_.n == 0) return;
    Arena arena(workspace);
    const Memory memory = lay_out(arena);
    const RealView source(forward_ ? arguments.input : arguments.output);
    const RealView destination(forward_ ? arguments.output : arguments.input);
    PassArrays<T> arrays{source, destination, nullptr,
                         direct::read_bias(problem_, arguments, 1, kernels_, memory.bias)};
    bool along_channels = channels_.mode(source, destination) != ChannelMode::none;
    bool finite = true;
    PackedWeights weights = memory.weights;
    if (packed_weights != nullptr) {
      Arena packed(const_cast<void*>(packed_weights));
      weights = lay_out_weights(packed);
      finite = *weights.finite;
    } else if (along_channels) {
      channels_.pack_weights(arguments.weight, weights.channels);
      finite = kernels_.all_finite(weights.channels, channels_.weight_count());
    } else {
      rows_.pack_weights(arguments.weight, weights.rows);
      if (!forward_) finite = kernels_.all_finite(weights.rows, rows_.weight_count());
    }
    if (!finite && !forward_) {
      for_non_finite_weights_->execute(arguments, nullptr, nullptr);
      return;
    }
    // Along channels taps in the padding are left out, but the formula multiplies zeros there.
    if (!finite && along_channels) {
      along_channels = false;
      if (packed_weights == nullptr) rows_.pack_weights(arguments.weight, weights.rows);
    }
    if (along_channels) {
      arrays.weights = weights.channels;
      channels_.run(arrays, memory.scratch);
    } else {
      arrays.weights = weights.rows;
      rows_.run(arrays, memory.scratch);
    }
  }

  std::string description() const override { return rows_.description(); }

 private:
  struct PackedWeights {
    bool* finite;
    T* rows;
    T* channels;
  };
  struct Memory {
    PackedWeights weights;
    T* bias;
    void* scratch;
  };

  PackedWeights lay_out_weights(Arena& arena) const {
    return {arena.take<bool>(1), arena.take<T>(static_cast<std::size_t>(rows_.weight_count())),
            arena.take<T>(static_cast<std::size_t>(channels_.weight_count()))};
  }

  Memory lay_out(Arena& arena) const {
    const std::int64_t written = forward_ ? problem_.k : problem_.c;
    return {lay_out_weights(arena),
            arena.take<T>(static_cast<std::size_t>(problem_.has_bias ? written : 0)),
            arena.take<std::byte>(std::max(rows_.workspace_bytes(), channels_.workspace_bytes()))};
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  std::array<AxisTaps, 3> axes_;
  bool forward_;
  PassDescription<T> pass_;
  RowCorrelation<T> rows_;
  ChannelCorrelation<T> channels_;
  /// Going backward, taps beyond the border meet zeros that the formula does not have, and an
  /// infinite weight would make NaN of them. The plain loops know no such taps.
  std::unique_ptr<const detail::AlgorithmPlan> for_non_finite_weights_;
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan(const Problem& problem,
                                                                   int threads) {
  return std::make_unique<CorrelationPlan<T>>(problem, threads);
}

template std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan<float>(const Problem&,
                                                                                   int);
template std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan<double>(const Problem&,
                                                                                    int);

}  // namespace fastconv::depthwise
