#pragma once

#include <cstddef>
#include <cstdint>

namespace fastconv {

/// Rows of bytes that are fetched into the second-level cache a few cache lines at a time, while
/// something else is computed: memory and multipliers then work at the same time.
class LinesAhead {
 public:
  LinesAhead() = default;
  LinesAhead(const std::byte* first, std::int64_t rows, std::int64_t pitch, std::int64_t bytes)
      : row_(first), rows_(rows), pitch_(pitch), bytes_(bytes) {}

  /// Shares the lines out over this many calls of `fetch`.
  void share_out(std::int64_t calls) {
    const std::int64_t lines = rows_ * (bytes_ + kLine - 1) / kLine + rows_;
    lines_per_call_ = (lines + calls - 1) / calls;
  }

  void fetch() {
    for (std::int64_t line = 0; rows_ > 0 && line < lines_per_call_; ++line) {
      __builtin_prefetch(row_ + at_, 0, 2);
      at_ += kLine;
      // The last byte of a row may lie in one line more than the row has.
      if (at_ < bytes_ + kLine - 1) continue;
      at_ = 0;
      row_ += pitch_;
      --rows_;
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;

  const std::byte* row_ = nullptr;
  std::int64_t rows_ = 0;
  std::int64_t pitch_ = 0;
  std::int64_t bytes_ = 0;
  std::int64_t at_ = 0;
  std::int64_t lines_per_call_ = 0;
};

}  // namespace fastconv
