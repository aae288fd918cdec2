/// parallel_for, the number of threads, and what remains of both in a forked process.
#include <gtest/gtest.h>
#include <omp.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include "convolution_case.hpp"
#include "fastconv/error.hpp"
#include "fastconv/threads.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::testing {
namespace {

/// Runs body in a forked process that kills itself if it hangs; true if body returned true.
template <class Body>
bool holds_in_child(Body&& body) {
  const pid_t child = fork();
  if (child == 0) {
    constexpr unsigned kSecondsToHang = 20;
    alarm(kSecondsToHang);
    _exit(body() ? 0 : 1);
  }
  int status = 0;
  return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) &&
         WEXITSTATUS(status) == 0;
}

// The default is read once in each process: suites with this ending run before all others, so that
// it has not been read when they fork.
TEST(NumThreadsDeathTest, FollowsTheEnvironmentOfTheProcess) {
  const auto gives = [](const char* value, int expected) {
    return holds_in_child([&] {
      setenv("OMP_NUM_THREADS", value, 1);
      return num_threads() == expected;
    });
  };
  EXPECT_TRUE(gives("3", 3));
  EXPECT_TRUE(gives("4,2", 4)) << "a list gives its first level";
  EXPECT_TRUE(holds_in_child([] {
    unsetenv("OMP_NUM_THREADS");
    return num_threads() >= 1;
  }));
}

TEST(ParallelFor, CoversEveryIndexOnce) {
  for (const std::int64_t count : {0, 1, 2, 3, 17, 1000}) {
    for (const int threads : {1, 2, 3, 8, 40, 100, 300}) {
      const auto size = static_cast<std::size_t>(count);
      const auto visits = std::make_unique<std::atomic<int>[]>(size);
      std::atomic<int> highest{-1};
      std::atomic<bool> negative{false};
      parallel_for(count, threads, [&](std::int64_t index, int thread) {
        visits[static_cast<std::size_t>(index)].fetch_add(1);
        if (thread < 0) negative = true;
        for (int seen = highest; seen < thread && !highest.compare_exchange_weak(seen, thread);) {
        }
      });
      for (std::size_t i = 0; i < size; ++i) ASSERT_EQ(visits[i], 1) << "index " << i;
      EXPECT_FALSE(negative);
      EXPECT_LT(highest, threads) << "workspaces have room for so many";
    }
  }
}

TEST(ParallelFor, TakesWhatAnotherThreadHasNotComeTo) {
  constexpr int kItems = 8;
  std::atomic<int> done{0};
  std::atomic<bool> others_done{false};
  parallel_for(kItems, 2, [&](std::int64_t index, int) {
    // The rest of this thread's range is left to the other one.
    for (int i = 0; index == 0 && i < 2000 && done < kItems - 1; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (index == 0) others_done = done == kItems - 1;
    ++done;
  });
  EXPECT_TRUE(others_done);
}

TEST(ParallelFor, UsesSeveralThreads) {
  std::atomic<int> inside{0};
  std::atomic<bool> met{false};
  // Two bodies that wait for one another finish early only if they run at the same time.
  parallel_for(2, 2, [&](std::int64_t, int) {
    ++inside;
    for (int i = 0; i < 2000 && inside < 2; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    if (inside == 2) met = true;
  });
  EXPECT_TRUE(met);
}

TEST(ParallelFor, IsSerialAndInOrderInsideAnother) {
  omp_set_max_active_levels(3);  // so that OpenMP itself would allow more
  std::atomic<int> wrong{0};
  std::atomic<int> finished{0};
  parallel_for(6, 3, [&](std::int64_t, int) {
    const std::thread::id outer = std::this_thread::get_id();
    std::int64_t expected = 0;
    parallel_for(50, 4, [&](std::int64_t index, int thread) {
      if (index != expected++ || thread != 0 || std::this_thread::get_id() != outer) ++wrong;
    });
    if (expected == 50) ++finished;
  });
  omp_set_max_active_levels(1);
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(finished, 6);
}

TEST(NumThreads, IsTheOverrideElseTheProcessElseTheDefault) {
  const int initial = num_threads();
  EXPECT_GE(initial, 1);
  set_num_threads(3);
  EXPECT_EQ(num_threads(), 3);
  EXPECT_EQ(set_thread_override(6), 0);
  EXPECT_EQ(num_threads(), 6);
  std::thread([] {
    EXPECT_EQ(num_threads(), 3) << "an override belongs to its thread";
    set_thread_override(2);
    EXPECT_EQ(num_threads(), 2);
  }).join();
  EXPECT_EQ(set_thread_override(0), 6);
  EXPECT_EQ(num_threads(), 3);
  set_num_threads(0);
  EXPECT_EQ(num_threads(), initial);
}

TEST(NumThreads, RejectsNegativeNumbers) {
  try {
    set_num_threads(-2);
    FAIL() << "took -2";
  } catch (const ValueError& error) {
    EXPECT_EQ(std::string(error.what()).find("threads: got -2"), 0u) << error.what();
  }
}

TEST(Fork, TheChildComputesWhatItsParentComputes) {
  ProblemDescription d;
  d.c = d.c_per_group = 8;
  d.k = 16;
  d.input = {1, 97, 99};
  d.kernel = {1, 3, 3};
  const Problem problem = describe(d);
  ASSERT_NE(Plan(problem, {.threads = 2}).workspace_bytes(),
            Plan(problem, {.threads = 1}).workspace_bytes())
      << "too small to be shared";
  const ProblemTensors tensors(problem, {}, Side::end);
  const ProblemTensors expected(problem, {}, Side::end);
  std::mt19937_64 random(11);
  tensors.fill_with_integers(random);
  expected.copy_memory_from(tensors);
  const Plan plan(problem, {.threads = 2});
  execute_guarded(plan, expected.arguments());  // starts threads that the child will not have
  const auto computes_the_same = [&] {
    tensors.output().fill_with_integers(random);
    execute_guarded(plan, tensors.arguments());
    execute(problem, tensors.arguments(), {.threads = 3});
    return static_cast<bool>(same_memory(tensors.output(), expected.output()));
  };
  EXPECT_TRUE(holds_in_child(computes_the_same));
  EXPECT_TRUE(
      holds_in_child([&] { return computes_the_same() && holds_in_child(computes_the_same); }));
  EXPECT_TRUE(computes_the_same()) << "the parent goes on";
}

}  // namespace
}  // namespace fastconv::testing
