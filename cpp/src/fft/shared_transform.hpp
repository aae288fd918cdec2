#pragma once

#include <memory>

#include "fft/tile_transform.hpp"

namespace fastconv::fft {

/// The tables of a transform, kept for the next call that asks for the same: computing roots of
/// unity takes longer than a small transform. Safe to call from several threads.
template <class T>
std::shared_ptr<const TileTransform<T>> shared_transform(const TileSize& size,
                                                         const TypedKernels<T>& kernels);

}  // namespace fastconv::fft
