#pragma once

#include <cstdint>

#include "fastconv/problem.hpp"

namespace fastconv {

/// The element of an axis of `size` elements that stands at `position` of the axis extended
/// without end, or -1 where the padding value stands. What numpy.pad does, however wide the
/// padding is.
inline std::int64_t padded_source(std::int64_t position, std::int64_t size, PaddingMode mode) {
  if (position >= 0 && position < size) return position;
  const auto modulo = [](std::int64_t value, std::int64_t period) {
    const std::int64_t rest = value % period;
    return rest < 0 ? rest + period : rest;
  };
  switch (mode) {
    case PaddingMode::zeros:
    case PaddingMode::constant:
      return -1;
    case PaddingMode::replicate:
      return position < 0 ? 0 : size - 1;
    case PaddingMode::circular:
      return modulo(position, size);
    case PaddingMode::symmetric: {
      const std::int64_t folded = modulo(position, 2 * size);
      return folded < size ? folded : 2 * size - 1 - folded;
    }
    case PaddingMode::reflect: {
      if (size == 1) return 0;
      const std::int64_t folded = modulo(position, 2 * (size - 1));
      return folded < size ? folded : 2 * (size - 1) - folded;
    }
  }
  return -1;
}

/// Modes that repeat elements of the input, so that an element has a gradient from each of its
/// copies.
constexpr bool repeats_input(PaddingMode mode) {
  return mode != PaddingMode::zeros && mode != PaddingMode::constant;
}

}  // namespace fastconv
