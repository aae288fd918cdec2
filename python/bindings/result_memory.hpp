#pragma once

#include <cstddef>
#include <mutex>
#include <vector>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::python {

/// Memory of results, kept when an array is dropped and handed to the next result of about its
/// size: fresh pages cost as much time as a small convolution of what they hold. It begins on a
/// cache line, which NumPy's own does not: vectors that cross from one line into the next take
/// twice as long to store.
class ResultMemory {
 public:
  /// Never destroyed, since arrays may outlive everything else.
  static ResultMemory& instance();

  AlignedBuffer take(std::size_t bytes);
  void give_back(AlignedBuffer buffer) noexcept;

 private:
  ResultMemory();

  std::mutex mutex_;
  std::vector<AlignedBuffer> kept_;  ///< oldest first
  std::size_t kept_bytes_ = 0;
};

}  // namespace fastconv::python
