#include "algorithms/direct/weight_gradient_reduction.hpp"

#include <algorithm>

#include "runtime/aligned_buffer.hpp"

namespace fastconv::direct {
namespace {

/// As few parts of at most `most`, about equally long, as there can be.
std::int64_t balanced(std::int64_t total, std::int64_t most) {
  return ceil_divide(total, ceil_divide(total, std::max<std::int64_t>(1, most)));
}

/// Whole slices where at least one about fits a chunk, else whole rows, else pieces of a row.
template <class Body>
void for_each_chunk(const Extent& size, std::int64_t chunk, Body&& body) {
  const std::int64_t slice = size[1] * size[2];
  const bool whole_slices = slice <= chunk + chunk / 4;
  const bool whole_rows = size[2] <= chunk;
  const Extent step{whole_slices ? balanced(size[0], chunk / slice) : 1,
                    whole_slices ? size[1]
                    : whole_rows ? balanced(size[1], chunk / size[2])
                                 : 1,
                    whole_rows || whole_slices ? size[2] : balanced(size[2], chunk)};
  PixelBox box{};
  for (box.first[0] = 0; box.first[0] < size[0]; box.first[0] += step[0]) {
    for (box.first[1] = 0; box.first[1] < size[1]; box.first[1] += step[1]) {
      for (box.first[2] = 0; box.first[2] < size[2]; box.first[2] += step[2]) {
        for (std::size_t a = 0; a < 3; ++a) {
          box.size[a] = std::min(step[a], size[a] - box.first[a]);
        }
        body(box);
      }
    }
  }
}

/// The rows of a box.
template <class T>
PixelRows<T> rows_of(const PixelRows<T>& rows, const PixelBox& box) {
  PixelRows<T> result = rows;
  result.slices = box.size[0];
  result.rows = box.size[1];
  result.pixels = box.size[2];
  result.source += box.first[0] * rows.source_slice_pitch + box.first[1] * rows.source_pitch +
                   box.first[2] * rows.source_step;
  result.gradient += box.first[0] * rows.gradient_slice_pitch + box.first[1] * rows.gradient_pitch +
                     box.first[2] * rows.gradient_step;
  return result;
}

/// Rows that follow one another at the pixels' own step are one longer row.
template <class T>
void join_rows(PixelRows<T>& rows) {
  if (rows.source_pitch == rows.pixels * rows.source_step &&
      rows.gradient_pitch == rows.pixels * rows.gradient_step) {
    rows.pixels *= rows.rows;
    rows.rows = 1;
  }
  if (rows.rows == 1) {
    rows.rows = rows.slices;
    rows.source_pitch = rows.source_slice_pitch;
    rows.gradient_pitch = rows.gradient_slice_pitch;
    rows.slices = 1;
  }
}

/// A partly filled tile would add into the sums that follow.
template <class T>
void add_last_pairs(const OuterProductKernel<T>& kernel, std::int64_t width,
                    const PixelRows<T>& pixels, const std::int64_t* offsets, std::int64_t pairs,
                    bool add, T* sums, std::int64_t pitch) {
  if (kernel.rows == pairs) {
    kernel.run(pixels, offsets, sums, pitch, add);
    return;
  }
  alignas(kAlignment) T tile[kMaxTileElements];
  kernel.run(pixels, offsets, tile, width, false);
  for (std::int64_t pair = 0; pair < pairs; ++pair) {
    for (std::int64_t i = 0; i < width; ++i) {
      T& sum = sums[pair * pitch + i];
      const T value = tile[pair * width + i];
      sum = add ? wrapping_sum(sum, value) : value;
    }
  }
}

template <class T>
void add_outer_products(const WeightGradientSchedule<T>& schedule,
                        const typename WeightGradientSchedule<T>::Block& block,
                        const PixelRows<T>& rows, const std::int64_t* offsets, std::int64_t pairs,
                        bool overwrite, const SumRows<T>& sums) {
  const OuterProductKernel<T>& most = block.most_rows();
  for_each_chunk(
      {rows.slices, rows.rows, rows.pixels}, schedule.chunk_pixels(block),
      [&](const PixelBox& box) {
        PixelRows<T> chunk = rows_of(rows, box);
        join_rows(chunk);
        const bool add = !overwrite || box.first != Extent{0, 0, 0};
        std::int64_t pair = 0;
        for (; pairs - pair >= most.rows; pair += most.rows) {
          most.run(chunk, offsets + pair, sums.data + pair * sums.pitch, sums.pitch, add);
        }
        if (pair < pairs) {
          add_last_pairs(block.at_least(pairs - pair), block.width, chunk, offsets + pair,
                         pairs - pair, add, sums.data + pair * sums.pitch, sums.pitch);
        }
      });
}

template <class T>
void add_dot_products(const KernelSpan<DotProductKernel<T>>& kernels, std::int64_t outputs,
                      const PixelRows<T>& rows, const std::int64_t* offsets, std::int64_t pairs,
                      const SumRows<T>& sums) {
  PixelRows<T> planes = rows;
  for (std::int64_t k = 0; k < outputs;) {
    planes.gradient = rows.gradient + k * rows.gradient_output_pitch;
    int together = 0;
    for (std::int64_t pair = 0; pair < pairs;) {
      const DotProductKernel<T>* kernel = kernels.begin();  // most outputs first, then most rows
      while (kernel->outputs > outputs - k || kernel->rows > pairs - pair) ++kernel;
      kernel->run(planes, offsets + pair, sums.data + pair * sums.pitch + k, sums.pitch);
      pair += kernel->rows;
      together = kernel->outputs;
    }
    k += together;
  }
}

}  // namespace

template <class T>
void reduce(const WeightGradientSchedule<T>& schedule,
            const typename WeightGradientSchedule<T>::Block& block, const TypedKernels<T>& kernels,
            const PixelRows<T>& rows, const std::int64_t* offsets, std::int64_t pairs,
            bool overwrite, const SumRows<T>& sums) {
  if (schedule.outer_products) {
    add_outer_products(schedule, block, rows, offsets, pairs, overwrite, sums);
    return;
  }
  if (overwrite) std::fill_n(sums.data, pairs * sums.pitch, T(0));
  add_dot_products(kernels.dot_product, schedule.outputs, rows, offsets, pairs, sums);
}

template <class T>
void reduce_box(const WeightGradientSchedule<T>& schedule,
                const typename WeightGradientSchedule<T>::Block& block, PixelRows<T> rows,
                const PixelBox& box, const std::int64_t* offsets, std::int64_t channels,
                bool overwrite, const SumRows<T>& sums) {
  if (product(box.size) == 0) {
    for (std::int64_t c = 0; overwrite && c < channels; ++c) {
      std::fill_n(sums.data + c * sums.pitch, block.width, T(0));
    }
    return;
  }
  add_outer_products(schedule, block, rows_of(rows, box), offsets, channels, overwrite, sums);
}

template void reduce_box(const WeightGradientSchedule<float>&,
                         const WeightGradientSchedule<float>::Block&, PixelRows<float>,
                         const PixelBox&, const std::int64_t*, std::int64_t, bool,
                         const SumRows<float>&);
template void reduce_box(const WeightGradientSchedule<double>&,
                         const WeightGradientSchedule<double>::Block&, PixelRows<double>,
                         const PixelBox&, const std::int64_t*, std::int64_t, bool,
                         const SumRows<double>&);
template void reduce_box(const WeightGradientSchedule<std::int32_t>&,
                         const WeightGradientSchedule<std::int32_t>::Block&,
                         PixelRows<std::int32_t>, const PixelBox&, const std::int64_t*,
                         std::int64_t, bool, const SumRows<std::int32_t>&);
template void reduce_box(const WeightGradientSchedule<std::int64_t>&,
                         const WeightGradientSchedule<std::int64_t>::Block&,
                         PixelRows<std::int64_t>, const PixelBox&, const std::int64_t*,
                         std::int64_t, bool, const SumRows<std::int64_t>&);
template void reduce(const WeightGradientSchedule<float>&,
                     const WeightGradientSchedule<float>::Block&, const TypedKernels<float>&,
                     const PixelRows<float>&, const std::int64_t*, std::int64_t, bool,
                     const SumRows<float>&);
template void reduce(const WeightGradientSchedule<double>&,
                     const WeightGradientSchedule<double>::Block&, const TypedKernels<double>&,
                     const PixelRows<double>&, const std::int64_t*, std::int64_t, bool,
                     const SumRows<double>&);
template void reduce(const WeightGradientSchedule<std::int32_t>&,
                     const WeightGradientSchedule<std::int32_t>::Block&,
                     const TypedKernels<std::int32_t>&, const PixelRows<std::int32_t>&,
                     const std::int64_t*, std::int64_t, bool, const SumRows<std::int32_t>&);
template void reduce(const WeightGradientSchedule<std::int64_t>&,
                     const WeightGradientSchedule<std::int64_t>::Block&,
                     const TypedKernels<std::int64_t>&, const PixelRows<std::int64_t>&,
                     const std::int64_t*, std::int64_t, bool, const SumRows<std::int64_t>&);

}  // namespace fastconv::direct
