#pragma once

#include <cstdint>
#include <vector>

#include "kernels/kernel_table.hpp"

namespace fastconv::testing {

/// Stores values in another type, without a bias.
template <class Storage, class T>
std::vector<Storage> stored_values(std::vector<T> values, DataType type,
                                   Activation activation = Activation::none) {
  std::vector<Storage> result(values.size());
  const auto count = static_cast<std::int64_t>(values.size());
  active_kernels().typed<T>().store_block[static_cast<int>(type)](
      result.data(), count, 1, values.data(), count, {1, count}, {nullptr, 0, activation, false});
  return result;
}

}  // namespace fastconv::testing
