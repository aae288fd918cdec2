#pragma once

#include <cstddef>
#include <cstdint>

namespace fastconv {

/// Blocks of rows of bytes that are fetched into the second-level cache a few cache lines at a
/// time, while something else is computed: memory and multipliers then work at the same time.
class LinesAhead {
 public:
  LinesAhead() = default;
  LinesAhead(const std::byte* first, std::int64_t rows, std::int64_t pitch, std::int64_t bytes)
      : LinesAhead(first, 1, 0, rows, pitch, bytes) {}
  LinesAhead(const std::byte* first, std::int64_t blocks, std::int64_t block_pitch,
             std::int64_t rows, std::int64_t pitch, std::int64_t bytes)
      : block_(first),
        block_pitch_(block_pitch),
        rows_of_block_(rows),
        rows_(blocks * rows),
        pitch_(pitch),
        bytes_(bytes) {}

  bool empty() const { return rows_ == 0; }

  /// Shares the lines that are left out over this many calls of `fetch`.
  void share_out(std::int64_t calls) {
    lines_per_call_ = (rows_ * lines_of_row() + calls - 1) / calls;
  }

  void fetch(std::int64_t calls = 1) {
    for (std::int64_t wanted = lines_per_call_ * calls; wanted > 0 && rows_ > 0;) {
      const std::int64_t left = lines_of_row() - line_;
      const std::int64_t lines = wanted < left ? wanted : left;
      const std::byte* at = block_ + row_ * pitch_ + line_ * kLine;
      for (std::int64_t i = 0; i < lines; ++i) __builtin_prefetch(at + i * kLine, 0, 2);
      wanted -= lines;
      line_ += lines;
      if (lines < left) continue;
      line_ = 0;
      --rows_;
      if (++row_ < rows_of_block_) continue;
      row_ = 0;
      block_ += block_pitch_;
    }
  }

 private:
  static constexpr std::int64_t kLine = 64;

  /// The last byte of a row may lie in one line more than the row has.
  std::int64_t lines_of_row() const { return (bytes_ + 2 * kLine - 2) / kLine; }

  const std::byte* block_ = nullptr;
  std::int64_t block_pitch_ = 0;
  std::int64_t rows_of_block_ = 0;
  std::int64_t row_ = 0;   ///< of the block
  std::int64_t rows_ = 0;  ///< left, in all blocks
  std::int64_t pitch_ = 0;
  std::int64_t bytes_ = 0;
  std::int64_t line_ = 0;  ///< of the row
  std::int64_t lines_per_call_ = 0;
};

}  // namespace fastconv
