/// Weights of a forward or backward-input pass and the way that they decide on:
///
///     for each kernel: copy it, taps in the order in which they meet the source; factor it
///     if half of them have rank 1 and all are finite
///       two passes for those, all taps at once for the others (row_passes.cpp, channel_passes.cpp)
///     else
///       what would have been chosen without this algorithm
#include <algorithm>
#include <utility>

#include "algorithms/direct/bias.hpp"
#include "algorithms/separable/passes.hpp"
#include "algorithms/separable/rank_one.hpp"
#include "algorithms/separable/separable.hpp"

namespace fastconv::separable {
namespace {

template <class T>
class SeparablePlan final : public detail::AlgorithmPlan {
 public:
  SeparablePlan(const Problem& problem, int threads, const char* otherwise_name,
                std::unique_ptr<const detail::AlgorithmPlan> otherwise)
      : problem_(problem),
        kernels_(active_kernels().typed<T>()),
        axes_(depthwise::pass_taps(problem)),
        forward_(problem.pass == Pass::forward),
        pass_{problem_, kernels_, axes_, threads, forward_ ? problem.k / problem.g : 1},
        rows_(pass_),
        channels_(pass_),
        otherwise_name_(otherwise_name),
        otherwise_(std::move(otherwise)) {}

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return std::max(arena.used(), otherwise_->workspace_bytes());
  }

  std::size_t packed_weight_bytes() const override {
    Arena arena(nullptr);
    lay_out_weights(arena);
    arena.take<std::byte>(otherwise_->packed_weight_bytes());
    return arena.used();
  }

  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    Arena arena(packed);
    const PackedWeights weights = lay_out_weights(arena);
    *weights.rank_one = factor(weight, weights.kernels);
    if (runs_otherwise(*weights.rank_one)) {
      otherwise_->pack_weights(weight, arena.take<std::byte>(otherwise_->packed_weight_bytes()));
    }
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    if (problem_.n == 0) return;
    Arena arena(workspace);
    const Memory memory = lay_out(arena);
    PackedWeights weights = memory.weights;
    const void* otherwise_weights = nullptr;
    if (packed_weights != nullptr) {
      Arena packed(const_cast<void*>(packed_weights));
      weights = lay_out_weights(packed);
      if (const std::size_t bytes = otherwise_->packed_weight_bytes(); bytes > 0) {
        otherwise_weights = packed.take<std::byte>(bytes);
      }
    } else {
      *weights.rank_one = factor(arguments.weight, weights.kernels);
    }
    if (runs_otherwise(*weights.rank_one)) {
      otherwise_->execute(arguments, workspace, otherwise_weights);
      return;
    }
    const PassArrays<T> arrays{RealView(forward_ ? arguments.input : arguments.output),
                               RealView(forward_ ? arguments.output : arguments.input),
                               weights.kernels,
                               direct::read_bias(problem_, arguments, 1, kernels_, memory.bias)};
    if (channels_.suits(arrays.source, arrays.destination)) {
      channels_.run(arrays, memory.scratch);
    } else {
      rows_.run(arrays, memory.scratch);
    }
  }

  std::string description() const override {
    return passes() + " where kernels have rank 1, else " + otherwise();
  }

  std::string description_with(const void* packed_weights) const override {
    Arena packed(const_cast<void*>(packed_weights));
    const std::int64_t rank_one = *lay_out_weights(packed).rank_one;
    if (rank_one < 0) return "weights are not finite: " + otherwise();
    if (runs_otherwise(rank_one)) return "most kernels do not have rank 1: " + otherwise();
    return std::to_string(rank_one) + " of " + std::to_string(problem_.k) +
           " kernels have rank 1: " + passes();
  }

 private:
  struct PackedWeights {
    std::int64_t* rank_one;  ///< kernels, or less than none if a weight is not finite
    SeparableWeights<T> kernels;
  };
  struct Memory {
    PackedWeights weights;
    T* bias;
    void* scratch;
  };

  PackedWeights lay_out_weights(Arena& arena) const {
    const auto count = [&](std::int64_t each) {
      return static_cast<std::size_t>(problem_.k * each);
    };
    return {arena.take<std::int64_t>(1),
            {arena.take<T>(count(pass_.taps())), arena.take<T>(count(pass_.height())),
             arena.take<T>(count(pass_.width())), arena.take<bool>(count(1))}};
  }

  Memory lay_out(Arena& arena) const {
    const std::int64_t written = forward_ ? problem_.k : problem_.c;
    return {lay_out_weights(arena),
            arena.take<T>(static_cast<std::size_t>(problem_.has_bias ? written : 0)),
            arena.take<std::byte>(std::max(rows_.workspace_bytes(), channels_.workspace_bytes()))};
  }

  std::string passes() const {
    return "two passes of " + std::to_string(pass_.height()) + " + " +
           std::to_string(pass_.width()) + " taps";
  }
  std::string otherwise() const {
    return std::string(otherwise_name_) + " (" + otherwise_->description() + ")";
  }

  bool runs_otherwise(std::int64_t rank_one) const { return 2 * rank_one < problem_.k; }

  /// Copies the kernels and factors them; returns how many have rank 1.
  std::int64_t factor(const TensorView& weight, const SeparableWeights<T>& to) const {
    const depthwise::TapGroup& h = axes_[1].runs[0].groups[0];
    const depthwise::TapGroup& w = axes_[2].runs[0].groups[0];
    const std::int64_t height = pass_.height();
    const std::int64_t width = pass_.width();
    const std::int64_t step = w.kernel_step * weight.strides[4];
    std::int64_t rank_one = 0;
    for (std::int64_t k = 0; k < problem_.k; ++k) {
      const T* from = static_cast<const T*>(weight.data) + k * weight.strides[0] +
                      h.kernel * weight.strides[3] + w.kernel * weight.strides[4];
      T* kernel = to.kernels + k * pass_.taps();
      for (std::int64_t a = 0; a < height; ++a) {
        const T* row = from + a * h.kernel_step * weight.strides[3];
        if (step == 1) {
          std::copy_n(row, width, kernel + a * width);
          continue;
        }
        for (std::int64_t b = 0; b < width; ++b) {
          kernel[a * width + b] = row[b * step];
        }
      }
      to.rank_one[k] =
          factor_rank_one(kernel, height, width, to.columns + k * height, to.rows + k * width);
      rank_one += to.rank_one[k] ? 1 : 0;
      // So many have another rank that it does not matter what the rest is.
      if (runs_otherwise(rank_one + problem_.k - 1 - k)) return rank_one;
    }
    return kernels_.all_finite(to.kernels, problem_.k * pass_.taps()) ? rank_one : -1;
  }

  Problem problem_;
  const TypedKernels<T>& kernels_;
  std::array<depthwise::AxisTaps, 3> axes_;
  bool forward_;
  PassDescription<T> pass_;
  RowPasses<T> rows_;
  ChannelPasses<T> channels_;
  const char* otherwise_name_;
  std::unique_ptr<const detail::AlgorithmPlan> otherwise_;
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_typed_plan(
    const Problem& problem, int threads, const char* otherwise_name,
    std::unique_ptr<const detail::AlgorithmPlan> otherwise) {
  return std::make_unique<SeparablePlan<T>>(problem, threads, otherwise_name, std::move(otherwise));
}

template std::unique_ptr<const detail::AlgorithmPlan> make_typed_plan<float>(
    const Problem&, int, const char*, std::unique_ptr<const detail::AlgorithmPlan>);
template std::unique_ptr<const detail::AlgorithmPlan> make_typed_plan<double>(
    const Problem&, int, const char*, std::unique_ptr<const detail::AlgorithmPlan>);

}  // namespace fastconv::separable
