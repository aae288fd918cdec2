#pragma once

#include <cstdint>
#include <type_traits>

#include "runtime/aligned_buffer.hpp"

namespace fastconv {

namespace detail {
using RangeBody = void (*)(void* context, std::int64_t index, int thread);
void run_parallel(std::int64_t count, int threads, RangeBody body, void* context) noexcept;
}  // namespace detail

/// Calls body(index, thread) for every index in [0, count), on up to `threads` threads numbered
/// from 0. The only place that knows OpenMP. Serial when called from inside a parallel region, and
/// in a process forked from one that had started threads, where libgomp would hang.
template <class Body>
void parallel_for(std::int64_t count, int threads, Body&& body) noexcept {
  if (threads <= 1 || count <= 1) {
    for (std::int64_t index = 0; index < count; ++index) body(index, 0);
    return;
  }
  using Stored = std::remove_reference_t<Body>;
  detail::run_parallel(
      count, threads,
      [](void* context, std::int64_t index, int thread) {
        (*static_cast<Stored*>(context))(index, thread);
      },
      const_cast<void*>(static_cast<const void*>(&body)));
}

/// Likewise, calling body(index, arena) with `bytes` of the workspace for each thread.
template <class Body>
void parallel_for_in_arenas(std::int64_t count, int threads, void* workspace, std::size_t bytes,
                            Body&& body) noexcept {
  parallel_for(count, threads, [&](std::int64_t index, int thread) {
    Arena arena(static_cast<std::byte*>(workspace) + static_cast<std::size_t>(thread) * bytes);
    body(index, arena);
  });
}

}  // namespace fastconv
