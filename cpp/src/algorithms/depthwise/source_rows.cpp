#include "algorithms/depthwise/source_rows.hpp"

#include <algorithm>

namespace fastconv::depthwise {

template <class T>
const T** find_rows(const RealView& source, const direct::Extent& sizes, const RowsInPlace& of,
                    const T* zeros, const T** rows) {
  const bool outside = of.slice < 0 || of.slice >= sizes[0];
  const std::int64_t base = of.n * source.stride(0) + of.channel * source.stride(1) +
                            of.slice * source.stride(2) + of.column;
  std::int64_t row = of.first;
  const std::int64_t end = of.first + of.count * of.spacing;
  const std::int64_t end_inside = outside ? row : std::min(end, sizes[1]);
  for (; row < std::min<std::int64_t>(end, 0); row += of.spacing) *rows++ = zeros;
  if (row < end_inside) {
    const auto* at = reinterpret_cast<const T*>(source.at(base + row * source.stride(3)));
    const std::int64_t step = of.spacing * source.stride(3);
    for (; row < end_inside; row += of.spacing, at += step) *rows++ = at;
  }
  for (; row < end; row += of.spacing) *rows++ = zeros;
  return rows;
}

template <class T>
void pack_rows(const direct::Tile& tile, const std::array<AxisTaps, 3>& axes,
               const RealView& source, const direct::Extent& sizes, const TileChannels& of,
               PadRowsFunction<T> pad_rows, T* packed) {
  const auto& [d_axis, h_axis, w_axis] = axes;
  const direct::Extent size = tile.size_at(of.origin);
  const std::int64_t slices = size[0] + d_axis.phases.reach;
  const std::int64_t rows = size[1] + h_axis.phases.reach;
  const std::int64_t columns = size[2] + w_axis.phases.reach;
  T* plane = packed;
  for (std::int64_t channel = of.first; channel < of.first + of.channels; ++channel) {
    const std::int64_t base = of.n * source.stride(0) + channel * source.stride(1);
    for (std::int64_t qd = 0; qd < d_axis.phases.plane_count(); ++qd) {
      for (std::int64_t qh = 0; qh < h_axis.phases.plane_count(); ++qh) {
        const InsideRange inside_rows = inside_range(h_axis, qh, of.origin[1], rows, sizes[1]);
        for (std::int64_t qw = 0; qw < w_axis.phases.plane_count();
             ++qw, plane += tile.plane_size) {
          const InsideRange inside = inside_range(w_axis, qw, of.origin[2], columns, sizes[2]);
          for (std::int64_t d = 0; d < slices; ++d) {
            T* slice = plane + d * tile.pitch[1] * tile.pitch[2];
            const std::int64_t sd = d_axis.source(qd, of.origin[0] + d);
            const bool none = sd < 0 || sd >= sizes[0];
            const std::int64_t first = none ? rows : inside_rows.first;
            const std::int64_t end = none ? rows : inside_rows.end;
            std::fill_n(slice, first * tile.pitch[2], T(0));
            if (first < end) {
              const std::int64_t at = base + sd * source.stride(2) +
                                      h_axis.source(qh, of.origin[1] + first) * source.stride(3) +
                                      w_axis.source(qw, of.origin[2] + inside.first);
              pad_rows({slice + first * tile.pitch[2], tile.pitch[2],
                        reinterpret_cast<const T*>(source.at(at)),
                        h_axis.phases.source_step * source.stride(3), w_axis.phases.source_step,
                        end - first, inside.first, inside.end - inside.first,
                        columns - inside.end});
            }
            std::fill_n(slice + end * tile.pitch[2], (rows - end) * tile.pitch[2], T(0));
          }
        }
      }
    }
  }
}

#define FASTCONV_INSTANTIATE(T)                                                                 \
  template const T** find_rows(const RealView&, const direct::Extent&, const RowsInPlace&,      \
                               const T*, const T**);                                            \
  template void pack_rows(const direct::Tile&, const std::array<AxisTaps, 3>&, const RealView&, \
                          const direct::Extent&, const TileChannels&, PadRowsFunction<T>, T*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv::depthwise
