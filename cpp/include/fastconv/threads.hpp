#pragma once

namespace fastconv {

/// Threads that a call uses when it does not say: this thread's override, else the number set for
/// the process, else OMP_NUM_THREADS, else the smallest of affinity mask, control-group quota and
/// physical cores.
int num_threads();

/// Sets the number for the process; 0 returns to the default.
void set_num_threads(int threads);

/// Sets the number for calls from the calling thread alone and returns what was set before;
/// 0 removes the override.
int set_thread_override(int threads);

}  // namespace fastconv
