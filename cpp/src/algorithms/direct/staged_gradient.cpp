#include "algorithms/direct/staged_gradient.hpp"

#include <algorithm>

#include "algorithms/real_view.hpp"
#include "kernels/kernel_table.hpp"
#include "padding.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::direct {
namespace {

class StagedPlan final : public detail::AlgorithmPlan {
 public:
  StagedPlan(const Problem& problem, int threads, std::unique_ptr<const detail::AlgorithmPlan> plan)
      : problem_(problem), threads_(threads), plan_(std::move(plan)) {}

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }
  std::size_t packed_weight_bytes() const override { return plan_->packed_weight_bytes(); }
  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    plan_->pack_weights(weight, packed);
  }
  std::string description() const override {
    return plan_->description() + ", added up in float32";
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    Arena arena(workspace);
    const Memory memory = lay_out(arena);
    Arguments staged = arguments;
    staged.input = channels_first_view(memory.gradient, DataType::float32, arguments.input.sizes);
    plan_->execute(staged, memory.workspace, packed_weights);
    store(RealView(staged.input), RealView(arguments.input));
  }

 private:
  struct Memory {
    float* gradient;
    void* workspace;
  };

  Memory lay_out(Arena& arena) const {
    std::int64_t elements = 1;
    for (const std::int64_t size : problem_.input_sizes()) elements *= size;
    return {arena.take<float>(static_cast<std::size_t>(elements)),
            arena.take<std::byte>(plan_->workspace_bytes())};
  }

  void store(const RealView& from, const RealView& to) const {
    const TypedKernels<float>& kernels = active_kernels().typed<float>();
    const Epilogue<float> epilogue{nullptr, 0, Activation::none, problem_.accumulate};
    const auto store_rows = kernels.store_block[static_cast<int>(to.type())];
    const auto& [d, h, w] = problem_.axes;
    const std::int64_t channels = problem_.c;
    parallel_for(problem_.n * channels * d.input, threads_, [&](std::int64_t slice, int) {
      const auto offset = [&, &depth = d](const RealView& view) {
        return slice / depth.input / channels * view.stride(0) +
               slice / depth.input % channels * view.stride(1) +
               slice % depth.input * view.stride(2);
      };
      store_rows(to.at(offset(to)), to.stride(3), to.stride(4),
                 reinterpret_cast<float*>(from.at(offset(from))), from.stride(3),
                 {h.input, w.input}, epilogue);
    });
  }

  Problem problem_;
  int threads_;
  std::unique_ptr<const detail::AlgorithmPlan> plan_;
};

}  // namespace

bool is_staged(const Problem& problem) {
  return problem.pass == Pass::backward_input && is_half(problem.result_type()) &&
         repeats_input(problem.padding_mode) &&
         std::ranges::any_of(problem.axes, [](const Axis& axis) {
           return axis.pad_before > 0 || axis.pad_after > 0;
         });
}

Problem staged_problem(const Problem& problem) {
  Problem staged = problem;
  staged.input_type = DataType::float32;
  staged.accumulate = false;
  return staged;
}

std::unique_ptr<const detail::AlgorithmPlan> make_staged_plan(
    const Problem& problem, int threads, std::unique_ptr<const detail::AlgorithmPlan> plan) {
  return std::make_unique<StagedPlan>(problem, threads, std::move(plan));
}

}  // namespace fastconv::direct
