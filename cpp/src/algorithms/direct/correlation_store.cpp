#include "algorithms/direct/correlation_store.hpp"

namespace fastconv::direct {

template <class T>
std::int64_t Destination<T>::slice_offset(const PositionBox& box, std::int64_t d) const {
  return box.n * view_.stride(0) + box.runs[0]->destination(box.first[0] + d) * view_.stride(2) +
         box.runs[1]->destination(box.first[1]) * view_.stride(3) +
         box.runs[2]->destination(box.first[2]) * view_.stride(4);
}

template <class T>
std::optional<BoxSums<T>> Destination<T>::planes_in_place(const PositionBox& box,
                                                          std::int64_t first,
                                                          bool accumulate) const {
  const std::int64_t step_w = box.runs[2]->destination_step * view_.stride(4);
  if (accumulate || view_.type() != stored_type<T>() || view_.parts() != 1 || step_w != 1) {
    return std::nullopt;
  }
  const std::int64_t offset = slice_offset(box, 0) + view_.channel_offset(first);
  return BoxSums<T>{reinterpret_cast<T*>(view_.at(offset)),
                    box.runs[1]->destination_step * view_.stride(3),
                    box.runs[0]->destination_step * view_.stride(2), view_.stride(1)};
}

template <class T>
std::optional<BoxSums<T>> Destination<T>::positions_in_place(const PositionBox& box,
                                                             std::int64_t first,
                                                             bool accumulate) const {
  const std::int64_t step_w = box.runs[2]->destination_step * view_.stride(4);
  const std::int64_t step_h = box.runs[1]->destination_step * view_.stride(3);
  const std::int64_t step_d = box.runs[0]->destination_step * view_.stride(2);
  if (accumulate || view_.type() != stored_type<T>() || view_.parts() != 1 ||
      view_.stride(1) != 1 || step_w == 0 || step_h % step_w != 0 || step_d % step_w != 0) {
    return std::nullopt;
  }
  return BoxSums<T>{reinterpret_cast<T*>(view_.at(slice_offset(box, 0) + first)), step_h / step_w,
                    step_d / step_w, step_w};
}

/// Whether sums formed in place are the result already.
template <class T>
bool Destination<T>::completes(const T* sums, std::int64_t offset) const {
  return bias_ == nullptr && activation_ == Activation::none &&
         reinterpret_cast<const std::byte*>(sums) == view_.at(offset);
}

/// Channels-last memory takes a row of positions of all channels as one block, other memory all
/// rows of a slice of one channel.
template <class T>
void Destination<T>::store_planes(const PositionBox& box, std::int64_t first, std::int64_t channels,
                                  const BoxSums<T>& sums, bool accumulate) const {
  if (completes(sums.data, slice_offset(box, 0) + view_.channel_offset(first))) return;
  const std::int64_t step_h = box.runs[1]->destination_step * view_.stride(3);
  const std::int64_t step_w = box.runs[2]->destination_step * view_.stride(4);
  const std::int64_t width = box.size[2];
  const bool channels_last = view_.parts() == 1 && view_.stride(1) == 1 && step_w != 1;
  // Rows without gaps on either side are one.
  const bool joined = !channels_last && sums.row_pitch == width && step_h == width * step_w;
  const std::int64_t rows = joined ? 1 : box.size[1];
  const std::int64_t row_length = joined ? box.size[1] * width : width;
  Epilogue<T> epilogue{nullptr, channels_last ? 1 : 0, activation_, accumulate};
  for (std::int64_t d = 0; d < box.size[0]; ++d) {
    const std::int64_t slice = slice_offset(box, d);
    T* slice_sums = sums.data + d * sums.slice_pitch;
    if (channels_last) {
      if (bias_ != nullptr) epilogue.bias = bias_ + first;
      for (std::int64_t h = 0; h < rows; ++h) {
        store_block(slice + first + h * step_h, 1, step_w, slice_sums + h * sums.row_pitch,
                    sums.line_pitch, {channels, width}, epilogue);
      }
      continue;
    }
    for (std::int64_t m = 0; m < channels; ++m) {
      if (bias_ != nullptr) epilogue.bias = bias_ + first + m;
      store_block(slice + view_.channel_offset(first + m), step_h, step_w,
                  slice_sums + m * sums.line_pitch, sums.row_pitch, {rows, row_length}, epilogue);
    }
  }
}

/// Rows that do not alternate in this memory, and sums that need what is there or a conversion, are
/// stored box by box.
template <class T>
void Destination<T>::store_alternating_planes(const std::array<PositionBox, 2>& boxes,
                                              std::int64_t first, std::int64_t channels,
                                              const std::array<BoxSums<T>, 2>& sums,
                                              bool accumulate) const {
  const auto& [even, odd] = boxes;
  const bool alternate = odd.size[2] <= even.size[2] && even.size[2] <= odd.size[2] + 1 &&
                         slice_offset(odd, 0) == slice_offset(even, 0) + 1 &&
                         view_.stride(4) == 1 && sums[0].row_pitch == sums[1].row_pitch;
  if (!alternate || kernels_.interleave_rows == nullptr || accumulate || view_.parts() != 1 ||
      view_.type() != stored_type<T>()) {
    for (std::size_t i = 0; i < 2; ++i)
      store_planes(boxes[i], first, channels, sums[i], accumulate);
    return;
  }
  const std::int64_t step_h = even.runs[1]->destination_step * view_.stride(3);
  for (std::int64_t d = 0; d < even.size[0]; ++d) {
    for (std::int64_t m = 0; m < channels; ++m) {
      std::array<T*, 2> rows{};
      for (std::size_t i = 0; i < 2; ++i) {
        rows[i] = sums[i].data + d * sums[i].slice_pitch + m * sums[i].line_pitch;
        complete(rows[i], sums[i].row_pitch, {even.size[1], boxes[i].size[2]}, first + m);
      }
      const std::int64_t offset = slice_offset(even, d) + view_.channel_offset(first + m);
      kernels_.interleave_rows(reinterpret_cast<T*>(view_.at(offset)), step_h, rows[0], rows[1],
                               sums[0].row_pitch, {even.size[1], even.size[2]}, odd.size[2]);
    }
  }
}

/// Sums of one channel become results where they are.
template <class T>
void Destination<T>::complete(T* sums, std::int64_t pitch, BlockShape shape,
                              std::int64_t channel) const {
  if (bias_ == nullptr && activation_ == Activation::none) return;
  const Epilogue<T> epilogue{bias_ == nullptr ? nullptr : bias_ + channel, 0, activation_, false};
  kernels_.store_block[static_cast<int>(stored_type<T>())](sums, pitch, 1, sums, pitch, shape,
                                                           epilogue);
}

/// Channels-last memory takes rows of positions as they are, for other memory they become planes.
template <class T>
void Destination<T>::store_positions(const PositionBox& box, std::int64_t first,
                                     std::int64_t channels, const BoxSums<T>& sums, bool accumulate,
                                     T* scratch) const {
  if (completes(sums.data, slice_offset(box, 0) + first)) return;
  const std::int64_t step_h = box.runs[1]->destination_step * view_.stride(3);
  const std::int64_t step_w = box.runs[2]->destination_step * view_.stride(4);
  const Extent& size = box.size;
  if (view_.stride(1) == 1 && step_w != 1) {
    Epilogue<T> epilogue{bias_ == nullptr ? nullptr : bias_ + first, 0, activation_, accumulate, 1};
    for (std::int64_t d = 0; d < size[0]; ++d) {
      const std::int64_t slice = slice_offset(box, d) + first;
      for (std::int64_t h = 0; h < size[1]; ++h) {
        T* row = sums.data + (d * sums.slice_pitch + h * sums.row_pitch) * sums.line_pitch;
        store_block(slice + h * step_h, step_w, 1, row, sums.line_pitch, {size[2], channels},
                    epilogue);
      }
    }
    return;
  }
  const std::int64_t positions = product(size);
  const bool gaps = sums.row_pitch != size[2] || sums.slice_pitch != size[1] * size[2];
  const std::int64_t runs = gaps ? size[0] * size[1] : 1;
  for (std::int64_t run = 0; run < runs; ++run) {
    const std::int64_t from = run / size[1] * sums.slice_pitch + run % size[1] * sums.row_pitch;
    kernels_.transpose_sums(scratch + run * size[2], positions, sums.data + from * sums.line_pitch,
                            sums.line_pitch, {gaps ? size[2] : positions, channels}, 1, 0);
  }
  store_planes(box, first, channels, {scratch, size[2], size[1] * size[2], positions}, accumulate);
}

/// Runs with a step of zero add many sums into one element, which must happen one by one.
template <class T>
void Destination<T>::store_block(std::int64_t offset, std::int64_t to_pitch, std::int64_t to_stride,
                                 T* sums, std::int64_t sums_pitch, BlockShape shape,
                                 const Epilogue<T>& epilogue) const {
  const auto store = kernels_.store_block[static_cast<int>(view_.type())];
  if ((to_stride != 0 || shape.count == 1) && (to_pitch != 0 || shape.rows == 1)) {
    store(view_.at(offset), to_pitch, to_stride, sums, sums_pitch, shape, epilogue);
    return;
  }
  Epilogue<T> single = epilogue;
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    for (std::int64_t i = 0; i < shape.count; ++i) {
      if (epilogue.bias != nullptr) {
        single.bias = epilogue.bias + r * epilogue.bias_step + i * epilogue.bias_element_step;
      }
      store(view_.at(offset + r * to_pitch + i * to_stride), 1, 1, sums + r * sums_pitch + i, 1,
            {1, 1}, single);
    }
  }
}

template class Destination<float>;
template class Destination<double>;
template class Destination<std::int32_t>;
template class Destination<std::int64_t>;

}  // namespace fastconv::direct
