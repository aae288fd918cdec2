#include "algorithms/fft/result_spectra.hpp"

#include <algorithm>

#include "runtime/parallel.hpp"

namespace fastconv::fft_convolution {
namespace {

direct::SourcePadding source_padding(const Problem& problem) {
  if (problem.pass != Pass::backward_input) return direct::input_padding(problem);
  const auto& axes = problem.axes;
  return {.sizes = {axes[0].output, axes[1].output, axes[2].output}, .mode = PaddingMode::zeros};
}

}  // namespace

PassViews::PassViews(const Problem& problem, const Arguments& arguments)
    : source(problem.pass == Pass::backward_input ? arguments.output : arguments.input),
      destination(problem.pass == Pass::backward_input ? arguments.input : arguments.output),
      weight(arguments.weight),
      padding(source_padding(problem)) {}

template <class T>
std::int64_t ResultSpectra<T>::scratch_size() const {
  const fft::TileTransform<T>& transform = *schedule_.transform;
  const std::int64_t batch = std::min(kMostBatch, schedule_.share_channels);
  std::int64_t size = transform.scratch_size();
  for (const Tile& tile : schedule_.tiles) {
    size = std::max(size, NonFiniteRepair<T>::scratch_size(tile, kernel_spectra_));
  }
  return batch * transform.plane_size() + size;
}

template <class T>
void ResultSpectra<T>::store(const PassViews& views, const T* bias, const Block& block, int threads,
                             const ThreadMemory<T>& scratch) const {
  const fft::TileTransform<T>& transform = *schedule_.transform;
  const RealView view(views.destination);
  const direct::Destination<T> destination(views.destination, kernels_, bias, problem_.activation);
  const SourceSpectra<T> source(views.source, views.padding, transform, kernels_);
  const NonFiniteRepair<T> repair(source, kernel_spectra_, views.weight,
                                  schedule_.channels.sources);
  const Tile& tile = schedule_.tiles[block.tiles.region];
  const auto& all_runs = schedule_.runs[block.tiles.region];
  const auto run_count = static_cast<std::int64_t>(all_runs.size());
  const std::int64_t channels = schedule_.channels_of(block.share);
  const std::int64_t first_channel = schedule_.first_channel(block.share);
  const std::int64_t batch = SourceSpectra<T>::batch(view, channels, transform);
  const std::int64_t batches = ceil_divide(channels, batch);
  const std::int64_t number = transform.number_size();
  const std::int64_t in_tile = batches * run_count;
  parallel_for(block.tiles.count * in_tile, threads, [&](std::int64_t index, int thread) {
    const std::int64_t in_block = index / in_tile;
    const std::int64_t run = index % run_count;
    const std::int64_t first = index % in_tile / run_count * batch;
    const std::int64_t count = std::min(batch, channels - first);
    const Runs& runs = all_runs[static_cast<std::size_t>(run)];
    const std::int64_t at = block.tiles.first + in_block;
    const std::int64_t n = at / tile.tile_count();
    const Extent origin = tile.origin(at % tile.tile_count());
    const Extent size = tile.size_at(origin, runs);
    // Where the run's own positions begin in the tile.
    Extent skipped;
    Extent stored;
    for (std::size_t a = 0; a < 3; ++a) {
      skipped[a] = std::max<std::int64_t>(0, runs[a]->first - origin[a]);
      stored[a] = std::max<std::int64_t>(0, size[a] - skipped[a]);
    }
    if (direct::product(stored) == 0) return;
    T* planes = scratch.of(thread);
    T* work = planes + count * tile.plane_size;
    const std::int64_t columns = transform.size().sequence ? transform.size().columns : size[2];
    for (std::int64_t i = 0; i < count; ++i) {
      T* plane = planes + i * tile.plane_size;
      const std::int64_t result =
          (in_block * schedule_.share_channels + first + i) * run_count + run;
      transform.inverse(block.spectra + result * number, schedule_.result_layer_step, columns,
                        plane, work);
      if (block.non_finite[in_block] != 0 || !all_finite(tile, size, plane)) {
        repair.repair(tile, origin, runs, n, block.group, first_channel + first + i, plane, work);
      }
    }
    const Extent first_stored{origin[0] + skipped[0], origin[1] + skipped[1],
                              origin[2] + skipped[2]};
    destination.store_planes(
        {n, runs, first_stored, stored},
        block.group * schedule_.channels.destinations + first_channel + first, count,
        {planes + (skipped[0] * tile.pitch[1] + skipped[1]) * tile.pitch[2] + skipped[2],
         tile.pitch[2], tile.pitch[1] * tile.pitch[2], tile.plane_size},
        problem_.accumulate || block.adds);
  });
}

template <class T>
bool ResultSpectra<T>::all_finite(const Tile& tile, const Extent& size, const T* plane) const {
  for (std::int64_t row = 0; row < size[0] * size[1]; ++row) {
    const T* first = plane + (row / size[1] * tile.pitch[1] + row % size[1]) * tile.pitch[2];
    if (!kernels_.all_finite(first, size[2])) return false;
  }
  return true;
}

template class ResultSpectra<float>;
template class ResultSpectra<double>;

}  // namespace fastconv::fft_convolution
