#include "runtime/parallel.hpp"

#include <omp.h>
#include <pthread.h>
#include <sched.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <utility>

#include "fastconv/error.hpp"
#include "fastconv/threads.hpp"

namespace fastconv {
namespace {

std::atomic<bool> team_started{false};
std::atomic<bool> forked_after_team{false};
std::atomic<int> process_threads{0};
thread_local int thread_override = 0;

constexpr int kMostThreads = 4096;

/// libgomp's threads do not survive fork, and its locks may be held by them.
void note_fork() {
  if (team_started.load(std::memory_order_relaxed)) forked_after_team = true;
}

int affinity_cores() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) return omp_get_num_procs();
  return std::max(1, CPU_COUNT(&allowed));
}

/// The control group's share of processor time in whole cores, rounded up; a large number if
/// there is none. Both versions of the interface are read.
int quota_cores() {
  constexpr int kUnlimited = 1 << 20;
  double quota = -1.0;
  double period = 0.0;
  std::string text;
  if (std::ifstream file("/sys/fs/cgroup/cpu.max"); file >> text >> period) {
    quota = text == "max" ? -1.0 : std::atof(text.c_str());
  } else {
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_quota_us") >> quota;
    std::ifstream("/sys/fs/cgroup/cpu/cpu.cfs_period_us") >> period;
  }
  if (quota <= 0.0 || period <= 0.0) return kUnlimited;
  return std::max(1, static_cast<int>((quota + period - 1.0) / period));
}

/// Hyper-threads of one core share its multipliers, so only one of them is counted.
int physical_cores() {
  std::set<std::pair<std::string, std::string>> cores;
  for (int cpu = 0; cpu < 4096; ++cpu) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    std::string package;
    std::string core;
    if (!(std::ifstream(folder + "physical_package_id") >> package)) break;
    std::ifstream(folder + "core_id") >> core;
    cores.emplace(package, core);
  }
  return cores.empty() ? omp_get_num_procs() : static_cast<int>(cores.size());
}

int default_threads() {
  static const int threads = [] {
    if (const char* text = std::getenv("OMP_NUM_THREADS")) {
      const int asked = std::atoi(text);  // a list "4,2" gives its first level
      if (asked > 0) return std::min(asked, kMostThreads);
    }
    return std::min({affinity_cores(), quota_cores(), physical_cores()});
  }();
  return threads;
}

/// Neighbouring indices for each thread, as far as there are not too many threads, and then those
/// that others have not come to. What a thread wrote in one call is in its cache in the next:
/// memory that changes from one core to another costs more than what is computed, where their
/// caches are far apart.
class Shares {
 public:
  Shares(std::int64_t count, int team) : shares_(std::min(team, kMostShares)), team_(team) {
    for (int s = 0; s < shares_; ++s) {
      all_[static_cast<std::size_t>(s)].next = s * count / shares_;
      all_[static_cast<std::size_t>(s)].end = (s + 1) * count / shares_;
    }
  }

  template <class Body>
  void take_from(int thread, Body&& body) {
    const int first = thread * shares_ / team_;
    for (int s = 0; s < shares_; ++s) {
      Share& share = all_[static_cast<std::size_t>((first + s) % shares_)];
      for (;;) {
        const std::int64_t index = share.next.fetch_add(1, std::memory_order_relaxed);
        if (index >= share.end) break;
        body(index);
      }
    }
  }

 private:
  static constexpr int kMostShares = 64;
  struct alignas(kAlignment) Share {
    std::atomic<std::int64_t> next;
    std::int64_t end;
  };
  std::array<Share, kMostShares> all_;
  int shares_;
  int team_;
};

}  // namespace

namespace detail {

void run_parallel(std::int64_t count, int threads, RangeBody body, void* context) noexcept {
  if (omp_in_parallel() || forked_after_team.load(std::memory_order_relaxed)) {
    for (std::int64_t index = 0; index < count; ++index) body(context, index, 0);
    return;
  }
  static const int registered = pthread_atfork(nullptr, nullptr, note_fork);
  static_cast<void>(registered);
  team_started.store(true, std::memory_order_relaxed);
  const int team = static_cast<int>(std::min<std::int64_t>(threads, count));
  Shares shares(count, team);
#pragma omp parallel num_threads(team)
  {
    const int thread = omp_get_thread_num();
    shares.take_from(thread, [&](std::int64_t index) { body(context, index, thread); });
  }
}

}  // namespace detail

int num_threads() {
  if (thread_override > 0) return thread_override;
  const int set = process_threads.load(std::memory_order_relaxed);
  return set > 0 ? set : default_threads();
}

void set_num_threads(int threads) {
  if (threads < 0) {
    throw ValueError("threads: got " + std::to_string(threads) +
                     ", needs a positive number, or 0 for the default");
  }
  process_threads = threads;
}

int set_thread_override(int threads) { return std::exchange(thread_override, threads); }

}  // namespace fastconv
