#pragma once

#include <benchmark/benchmark.h>

#include <string>
#include <vector>

namespace fastconv::bench {

/// Runs what was registered. `seconds` is the sampling time of a benchmark where the command line
/// does not give --benchmark_min_time. Returns the exit status.
inline int run_benchmarks(int argc, char** argv, const char* seconds) {
  std::string shortest = std::string("--benchmark_min_time=") + seconds;
  // Of an option that is given twice Google Benchmark takes the last.
  std::vector<char*> arguments{argv[0], shortest.data()};
  arguments.insert(arguments.end(), argv + 1, argv + argc);
  int count = static_cast<int>(arguments.size());
  arguments.push_back(nullptr);
  benchmark::Initialize(&count, arguments.data());
  if (benchmark::ReportUnrecognizedArguments(count, arguments.data())) return 2;
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

/// A counter of `amount` for each iteration, shown as billions in a second.
inline benchmark::Counter billions_per_second(double amount) {
  return {amount / 1e9, benchmark::Counter::kIsIterationInvariantRate};
}

}  // namespace fastconv::bench
