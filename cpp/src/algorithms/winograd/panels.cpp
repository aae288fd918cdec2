#include "algorithms/winograd/panels.hpp"

#include <algorithm>

namespace fastconv::winograd {

template <class T>
std::int64_t widest_panel(const TypedKernels<T>& kernels) {
  const auto intensity = [](const MatrixProductKernel<T>& kernel) {
    return static_cast<double>(kernel.rows * kernel.vectors) / (kernel.rows + kernel.vectors);
  };
  return std::ranges::max_element(kernels.matrix_product, {}, intensity)->vectors;
}

template <class T>
std::vector<Panel<T>> make_panels(const TypedKernels<T>& kernels, std::int64_t vectors,
                                  std::int64_t most) {
  const std::int64_t widest = std::min(widest_panel(kernels), most);
  std::vector<Panel<T>> panels;
  for (std::int64_t first = 0; first < vectors;) {
    // Two halves keep more accumulators busy than a full tile and a sliver.
    const std::int64_t left = vectors - first;
    const std::int64_t wanted =
        left > widest && left < 2 * widest ? (left + 1) / 2 : std::min(left, widest);
    Panel<T> panel{first, wanted, {}};
    for (std::size_t rows = 0; rows < panel.kernels.size(); ++rows) {
      // The most rows that are all needed, else the fewest.
      auto& chosen = panel.kernels[rows];
      for (const auto& kernel : kernels.matrix_product) {
        if (kernel.vectors != wanted) continue;
        const bool fits = kernel.rows <= static_cast<int>(rows);
        const bool chosen_fits = chosen != nullptr && chosen->rows <= static_cast<int>(rows);
        const bool better = fits
                                ? !chosen_fits || kernel.rows > chosen->rows
                                : !chosen_fits && (chosen == nullptr || kernel.rows < chosen->rows);
        if (better) chosen = &kernel;
      }
    }
    panels.push_back(panel);
    first += wanted;
  }
  return panels;
}

template std::int64_t widest_panel(const TypedKernels<float>&);
template std::int64_t widest_panel(const TypedKernels<double>&);
template std::vector<Panel<float>> make_panels(const TypedKernels<float>&, std::int64_t,
                                               std::int64_t);
template std::vector<Panel<double>> make_panels(const TypedKernels<double>&, std::int64_t,
                                                std::int64_t);

}  // namespace fastconv::winograd
