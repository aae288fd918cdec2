#pragma once

#include "algorithms/algorithm.hpp"

/// Convolution by Fourier transforms of tiles (overlap-save): the spectrum of a correlation is the
/// product of one spectrum and the other's conjugate, so that a kernel costs the same whatever its
/// size, as long as it fits the tile. All three passes, float32 and float64, halves and complex.
///
///     regions.hpp               strides, dilation and direction as dense correlations of planes
///     schedule.hpp              the size of a tile, blocks of tiles, shares of channels
///     correlation_plan.cpp      forward and backward-input: the loops
///     weight_gradient_plan.cpp  backward-weight: the loops
///     gradients_plan.cpp        both gradients of one call: the loops
///     kernel_spectra.cpp        weights into spectra
///     source_spectra.cpp        tiles of a source into spectra, with what is not finite set aside
///     source_block.hpp          the tiles of a block, in pieces for threads
///     spectrum_product.cpp      a matrix product for every frequency
///     result_spectra.cpp        spectra of results into the destination
///     kernel_gradient.cpp       spectra of sums into the gradient of the weights
///     non_finite.cpp            puts back what was set aside, in the windows that hold it
///
/// The transforms themselves are in fft/.
namespace fastconv::fft_convolution {

std::optional<std::string> refuses(const Problem& problem);
double estimate_cost(const Problem& problem, int threads);
std::unique_ptr<const detail::AlgorithmPlan> make_plan(const Problem& problem, int threads,
                                                       std::size_t max_workspace);
/// Both gradients with shared transforms, or null where those cannot be shared.
std::unique_ptr<const detail::AlgorithmGradientsPlan> make_gradients_plan(
    const Problem& input_gradient, const Problem& weight_gradient, int threads,
    std::size_t max_workspace);

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_correlation_plan(const Problem& problem,
                                                                   int threads,
                                                                   std::size_t max_workspace);
template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_weight_gradient_plan(const Problem& problem,
                                                                       int threads,
                                                                       std::size_t max_workspace);

}  // namespace fastconv::fft_convolution
