#include "algorithms/algorithm.hpp"
#include "fastconv/error.hpp"
#include "fastconv/threads.hpp"

namespace fastconv {
namespace {

std::optional<std::string> refusal(const Algorithm& algorithm, const Problem& problem,
                                   Precision precision) {
  if (precision == Precision::strict && algorithm.reassociates) {
    return "precision 'strict' excludes algorithms that reassociate sums";
  }
  return algorithm.refuses(problem);
}

}  // namespace

int thread_count(const PlanOptions& options) {
  if (options.threads < 0) {
    throw ValueError("threads: got " + std::to_string(options.threads) +
                     ", needs a positive number, or 0 for the default");
  }
  return options.threads > 0 ? options.threads : num_threads();
}

const Algorithm& select(const Problem& problem, const PlanOptions& options) {
  const Algorithm* best = nullptr;
  double best_cost = 0.0;
  std::string names;
  for (const Algorithm& algorithm : algorithm_list()) {
    if (options.algorithm != "auto" && options.algorithm != algorithm.name) {
      names += std::string("'") + algorithm.name + "', ";
      continue;
    }
    const std::optional<std::string> reason = refusal(algorithm, problem, options.precision);
    if (options.algorithm == algorithm.name) {
      if (!reason) return algorithm;
      throw UnsupportedError("algorithm: '" + std::string(algorithm.name) + "' refuses " +
                             problem.to_string() + ": " + *reason +
                             "; 'auto' finds one that takes it");
    }
    if (reason || (algorithm.last_resort && best != nullptr)) continue;
    const double cost = algorithm.estimate_cost(problem, 1);
    if (best == nullptr || cost < best_cost) {
      best = &algorithm;
      best_cost = cost;
    }
  }
  if (best != nullptr) return *best;
  throw ValueError("algorithm: got '" + std::string(options.algorithm) + "', needs " + names +
                   "or 'auto'");
}

std::vector<AlgorithmReport> explain(const Problem& problem, const PlanOptions& options) {
  const int threads = thread_count(options);
  const Algorithm& chosen = select(problem, options);
  std::vector<AlgorithmReport> reports;
  for (const Algorithm& algorithm : algorithm_list()) {
    const std::optional<std::string> reason = refusal(algorithm, problem, options.precision);
    reports.push_back({algorithm.name, reason.value_or(""),
                       reason ? 0.0 : algorithm.estimate_cost(problem, threads),
                       &algorithm == &chosen});
  }
  return reports;
}

std::vector<const char*> algorithm_names() {
  std::vector<const char*> names;
  for (const Algorithm& algorithm : algorithm_list()) names.push_back(algorithm.name);
  return names;
}

}  // namespace fastconv
