#include "algorithms/direct/direct.hpp"

#include "algorithms/direct/geometry.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

std::optional<std::string> refuses(const Problem&) { return std::nullopt; }

/// Multiply-adds at the rate of the microkernels, plus moving every tensor once, plus the call.
double estimate_cost(const Problem& problem, int threads) {
  constexpr double kCallSeconds = 2e-6;
  constexpr double kVectorMultiplyAddsPerSecond = 6e9;
  constexpr double kBytesPerSecond = 8e9;
  const KernelTable& kernels = active_kernels();
  const ComputeType type = problem.compute_type();
  const int lanes = type == ComputeType::float32   ? kernels.float32.lanes
                    : type == ComputeType::float64 ? kernels.float64.lanes
                    : type == ComputeType::int32   ? kernels.int32.lanes
                                                   : kernels.int64.lanes;
  double bytes = 0.0;
  const auto add = [&](const std::array<std::int64_t, 5>& sizes, DataType element) {
    double count = static_cast<double>(size_of(element));
    for (const std::int64_t size : sizes) count *= static_cast<double>(size);
    bytes += count;
  };
  add(problem.input_sizes(), problem.input_type);
  add(problem.weight_sizes(), problem.weight_type);
  add(problem.output_sizes(), problem.output_type);
  return kCallSeconds + (problem.multiply_adds() / (kVectorMultiplyAddsPerSecond * lanes) +
                         bytes / kBytesPerSecond) /
                            threads;
}

int worthwhile_threads(const Problem& problem, int threads) {
  constexpr double kSeconds = 30e-6;
  return estimate_cost(problem, 1) < kSeconds ? 1 : threads;
}

std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads) {
  const auto make = [&]<class T>(T) {
    return problem.pass == Pass::backward_weight ? make_weight_gradient_plan<T>(problem, threads)
                                                 : make_correlation_plan<T>(problem, threads);
  };
  switch (problem.compute_type()) {
    case ComputeType::float32:
      return make(float());
    case ComputeType::float64:
      return make(double());
    case ComputeType::int32:
      return make(std::int32_t());
    case ComputeType::int64:
      return make(std::int64_t());
  }
  return nullptr;
}

}  // namespace fastconv::direct
