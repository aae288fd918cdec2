#pragma once

#include "algorithms/real_view.hpp"
#include "fastconv/plan.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::direct {

/// The bias of a call as real numbers of T: one for each channel of the written tensor's real view,
/// `parts` for an element. Null if the problem has none.
template <class T>
const T* read_bias(const Problem& problem, const Arguments& arguments, std::int64_t parts,
                   const TypedKernels<T>& kernels, T* bias) {
  if (!problem.has_bias) return nullptr;
  TensorView view;
  view.data = const_cast<void*>(arguments.bias);
  view.type = problem.result_type();
  view.strides[1] = arguments.bias_stride;
  const RealView real(view);
  const auto load = kernels.load_row[static_cast<int>(real.type())];
  const std::int64_t channels = problem.pass == Pass::forward ? problem.k : problem.c;
  for (std::int64_t c = 0; c < parts; ++c) {
    load(bias + c, parts, real.at(real.channel_offset(c)), real.stride(1), channels);
  }
  return bias;
}

}  // namespace fastconv::direct
