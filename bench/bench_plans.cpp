/// Whole convolutions: every row of a file of problems in every pass.
///
///     build/bench/bench/bench_plans
///     build/bench/bench/bench_plans --rows=pains.txt --benchmark_filter='depthwise.*forward'
///     build/bench/bench/bench_plans --rows=smoke.txt --benchmark_filter='/planned/threads:1'
///
/// Files are those of tests/shapes (networks.txt unless --rows names another) or any path; the
/// format is in tests/shapes/README.md. Names: title / pass / how / threads, where "once" plans,
/// takes scratch memory and runs in every call, "planned" runs a plan that was made before, and
/// "packed" hands it weights that were packed before as well. Threads are 1 and fastconv's default.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>

#include "fastconv/fastconv.hpp"
#include "problem_lines.hpp"
#include "run_benchmarks.hpp"
#include "runtime/aligned_buffer.hpp"

namespace fastconv::bench {
namespace {

enum class Mode : std::uint8_t { once, planned, packed };

constexpr const char* kModeNames[] = {"once", "planned", "packed"};

/// Bit patterns of one, and the bits that may vary without leaving [1, 2) or, in integers, [1, 3].
template <class Bits>
void fill(void* data, std::size_t bytes, Bits one, Bits varying) {
  std::minstd_rand random;
  std::generate_n(static_cast<Bits*>(data), bytes / sizeof(Bits), [&] {
    const std::uint64_t bits = (std::uint64_t{random()} << 32) ^ random();
    return static_cast<Bits>(one | (bits & varying));
  });
}

void fill(void* data, std::size_t bytes, DataType type) {
  switch (type) {
    case DataType::float32:
    case DataType::complex64:
      return fill<std::uint32_t>(data, bytes, 0x3f800000, 0x7fffff);
    case DataType::float64:
    case DataType::complex128:
      return fill<std::uint64_t>(data, bytes, 0x3ff0000000000000, 0xfffffffffffff);
    case DataType::float16:
      return fill<std::uint16_t>(data, bytes, 0x3c00, 0x3ff);
    case DataType::bfloat16:
      return fill<std::uint16_t>(data, bytes, 0x3f80, 0x7f);
    default:
      break;
  }
  switch (size_of(type)) {
    case 1:
      return fill<std::uint8_t>(data, bytes, 1, 2);
    case 2:
      return fill<std::uint16_t>(data, bytes, 1, 2);
    case 4:
      return fill<std::uint32_t>(data, bytes, 1, 2);
    default:
      return fill<std::uint64_t>(data, bytes, 1, 2);
  }
}

/// A tensor with its memory, filled.
class Tensor {
 public:
  Tensor(DataType type, const std::array<std::int64_t, 5>& sizes, bool channels_last)
      : buffer_(byte_count(type, sizes)),
        view_(channels_last ? channels_last_view(buffer_.data(), type, sizes)
                            : channels_first_view(buffer_.data(), type, sizes)) {
    fill(buffer_.data(), buffer_.bytes(), type);
  }
  const TensorView& view() const { return view_; }

 private:
  static std::size_t byte_count(DataType type, const std::array<std::int64_t, 5>& sizes) {
    const TensorView view{nullptr, type, sizes, {}};
    return static_cast<std::size_t>(view.element_count()) * size_of(type);
  }

  AlignedBuffer buffer_;
  TensorView view_;
};

void measure(benchmark::State& state, const Plan& plan, Mode mode, bool channels_last) {
  const Problem& problem = plan.problem();
  const Tensor input(problem.input_type, problem.input_sizes(), channels_last);
  const Tensor weight(problem.weight_type, problem.weight_sizes(), false);
  const Tensor output(problem.output_type, problem.output_sizes(), channels_last);
  Arguments arguments;
  arguments.input = input.view();
  arguments.weight = weight.view();
  arguments.output = output.view();
  PlanOptions options;
  options.threads = plan.threads();
  const AlignedBuffer workspace(plan.workspace_bytes());
  const AlignedBuffer packed(mode == Mode::packed ? plan.packed_weight_bytes() : 0);
  if (mode == Mode::packed) plan.pack_weights(arguments.weight, packed.data());
  for (auto _ : state) {
    if (mode == Mode::once) {
      execute(problem, arguments, options);
    } else {
      plan.execute(arguments, workspace.data(), packed.data());
    }
    benchmark::ClobberMemory();
  }
  state.SetLabel(plan.algorithm());
  const char* unit = is_integer(problem.result_type()) ? "GOP/s" : "GFLOP/s";
  state.counters[unit] = billions_per_second(2.0 * problem.multiply_adds());
  state.counters["workspace_bytes"] = static_cast<double>(plan.workspace_bytes());
  state.counters["packed_bytes"] = static_cast<double>(packed.bytes());
}

void register_plan(const ProblemLine& line, Pass pass, int threads) {
  PlanOptions options;
  options.threads = threads;
  const auto plan = std::make_shared<const Plan>(problem_of(line, pass), options);
  for (const Mode mode : {Mode::once, Mode::planned, Mode::packed}) {
    if (mode == Mode::packed && plan->packed_weight_bytes() == 0) continue;
    const std::string name = line.title + "/" + name_of(pass) + "/" +
                             kModeNames[static_cast<int>(mode)] +
                             "/threads:" + std::to_string(threads);
    benchmark::RegisterBenchmark(
        name.c_str(), [plan, mode, channels_last = line.channels_last](
                          benchmark::State& state) { measure(state, *plan, mode, channels_last); })
        ->UseRealTime()
        ->Unit(benchmark::kMicrosecond);
  }
}

/// A path as given if there is such a file, else the file of that name in tests/shapes.
std::filesystem::path find_rows(const std::string& name) {
  if (std::filesystem::exists(name)) return name;
  return std::filesystem::path(FASTCONV_SHAPES_DIR) / name;
}

/// Takes --rows=FILE out of the command line.
std::string take_rows_option(int& argc, char** argv) {
  constexpr std::string_view kOption = "--rows=";
  std::string rows = "networks.txt";
  const auto is_rows = [&](std::string_view argument) {
    if (!argument.starts_with(kOption)) return false;
    rows = argument.substr(kOption.size());
    return true;
  };
  argc = static_cast<int>(std::remove_if(argv + 1, argv + argc, is_rows) - argv);
  return rows;
}

void register_file(const std::filesystem::path& path) {
  const std::set<int> thread_counts{1, num_threads()};
  for (const ProblemLine& line : read_problem_lines(path)) {
    for (const Pass pass : line.passes) {
      for (const int threads : thread_counts) register_plan(line, pass, threads);
    }
  }
}

}  // namespace
}  // namespace fastconv::bench

int main(int argc, char** argv) {
  try {
    const std::string rows = fastconv::bench::take_rows_option(argc, argv);
    fastconv::bench::register_file(fastconv::bench::find_rows(rows));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 2;
  }
  return fastconv::bench::run_benchmarks(argc, argv, "0.05");
}
