#include "algorithms/direct/joined_products.hpp"

#include <algorithm>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::direct {
namespace {

bool is_byte(DataType type) { return size_of(type) == 1; }

/// Source channels of a group.
std::int64_t channels_of(const Problem& problem) {
  return (problem.pass == Pass::forward ? problem.c : problem.k) / problem.g;
}

/// One or two channels make no more pairs than quads, and pairs take less to pack. Flipped signs
/// are made good in each sum, which has to have met every tap for that, in the padding as well.
bool should_multiply_quads(const Problem& problem) {
  if (channels_of(problem) <= 2) return false;
  if (problem.pass == Pass::backward_input) return problem.output_type != problem.weight_type;
  const std::int64_t padding = problem.padding_integer;
  return problem.input_type == DataType::uint8 ? padding == std::uint8_t(padding)
                                               : padding == std::int8_t(padding);
}

bool should_multiply_pairs(const Problem& problem) {
  const bool forward = problem.pass == Pass::forward;
  const std::int64_t channels = channels_of(problem);
  double products = static_cast<double>((forward ? problem.k : problem.c) / problem.g);
  for (const Axis& axis : problem.axes) products *= static_cast<double>(axis.kernel);
  // Few channels, or an odd one, are taken out of pixels one by one.
  constexpr double kWorthwhileProducts = 32.0;
  const bool one_by_one = problem.channels_last && (channels < 8 || channels % 2 == 1);
  if (one_by_one && products < kWorthwhileProducts) return false;
  return problem.padding_integer == std::int16_t(problem.padding_integer);
}

}  // namespace

const TypedKernels<std::int32_t>& int32_kernels(const Problem& problem) {
  const KernelTable& table = active_kernels();
  const bool forward = problem.pass == Pass::forward;
  if (problem.pass == Pass::backward_weight || !is_byte(problem.weight_type) ||
      !is_byte(forward ? problem.input_type : problem.output_type)) {
    return table.int32;
  }
  const TypedKernels<std::int32_t>& quads = problem.weight_type == DataType::int8
                                                ? table.int32_from_quads.signed_weights
                                                : table.int32_from_quads.unsigned_weights;
  if (quads.channels_per_element > 0 && should_multiply_quads(problem)) return quads;
  const TypedKernels<std::int32_t>& pairs = table.int32_from_pairs;
  return pairs.channels_per_element > 0 && should_multiply_pairs(problem) ? pairs : table.int32;
}

std::int32_t source_shift(const Problem& problem, const TypedKernels<std::int32_t>& kernels) {
  if (kernels.channels_per_element != 4 || problem.input_type != problem.weight_type) return 0;
  return problem.input_type == DataType::uint8 ? 128 : -128;
}

std::int64_t joined_value(std::int64_t value, const TypedKernels<std::int32_t>& kernels,
                          std::int32_t shift) {
  const std::int64_t mask = (std::int64_t{1} << 32 / kernels.channels_per_element) - 1;
  constexpr std::int64_t kAllBits = 0xffffffff;
  return ((value - shift) & mask) * (kAllBits / mask);
}

void sum_shifted_weights(const Block<std::int32_t>& block, const std::int32_t* weights,
                         std::int64_t depth, std::int64_t lanes, std::int32_t shift,
                         std::int32_t* to) {
  // The kernels multiply the weights by 64, which is a byte with and without a sign.
  constexpr std::int32_t kSource = 64;
  alignas(kAlignment) std::int32_t source[kMaxTileElements];
  alignas(kAlignment) std::int32_t sums[kMaxTileElements];
  constexpr std::int64_t kDepth = 256;
  static constexpr std::int64_t kOffsets[kDepth] = {};
  std::fill_n(source, lanes, kSource * 0x01010101);
  const bool along_pixels = block.kernels[1] != nullptr;
  const auto run = along_pixels ? block.kernels[1]->run : block.channel_kernels[1]->run;
  for (std::int64_t first = 0; first < depth; first += kDepth) {
    run({weights + first * block.rows, block.rows}, {source, kOffsets, 1},
        std::min(kDepth, depth - first), {sums, lanes, first > 0});
  }
  for (std::int64_t i = 0; i < block.rows; ++i) {
    // In unsigned numbers, which may wrap around.
    const auto sum = static_cast<std::uint32_t>(sums[along_pixels ? i * lanes : i]);
    to[i] = static_cast<std::int32_t>(sum * static_cast<std::uint32_t>(shift / kSource));
  }
}

}  // namespace fastconv::direct
