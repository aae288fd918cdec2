/// Pairs of 8-bit elements as two int16 in one element of T, which a PairVec multiplies: source
/// channels that follow each other share an element, of packed tiles and of packed weights.

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ || !PairVec<std::int32_t>::kExists);

/// In the order of memory.
template <class T, class Storage>
inline T pair_of(Storage first, Storage second) {
  return static_cast<T>(static_cast<std::uint32_t>(static_cast<std::uint16_t>(first)) |
                        static_cast<std::uint32_t>(second) << 16);
}

template <class T, class Storage>
void load_row_of_pairs(T* to, const Storage* from, std::int64_t from_stride, std::int64_t count,
                       std::int64_t partner) {
  if (partner == kNoPartner) {
    for (std::int64_t i = 0; i < count; ++i) {
      to[i] = pair_of<T, Storage>(from[i * from_stride], Storage(0));
    }
  } else if (from_stride == 1) {
    const Storage* second = from + partner;
    for (std::int64_t i = 0; i < count; ++i) to[i] = pair_of<T, Storage>(from[i], second[i]);
  } else {
    const Storage* second = from + partner;
    for (std::int64_t i = 0; i < count; ++i) {
      to[i] = pair_of<T, Storage>(from[i * from_stride], second[i * from_stride]);
    }
  }
}

/// A square of pixels by pairs of neighbouring channels, transposed in registers: widening the
/// channels of a pixel makes pairs of them.
template <class T, class Storage>
void transpose_square_of_pairs(T* to, std::int64_t to_pitch, const Storage* from,
                               std::int64_t from_stride) {
  using V = Vec<T>;
  constexpr int kLanes = V::kLanes;
  typedef Storage Narrow __attribute__((vector_size(2 * kLanes)));
  typedef Storage Unaligned __attribute__((vector_size(2 * kLanes), aligned(1), may_alias));
  typedef std::int16_t Wide __attribute__((vector_size(4 * kLanes)));
  V square[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; ++i) {
    const Narrow narrow = *reinterpret_cast<const Unaligned*>(from + i * from_stride);
    square[i].value =
        reinterpret_cast<decltype(square[i].value)>(__builtin_convertvector(narrow, Wide));
  }
  transpose_square<1>(square);
#pragma GCC unroll 16
  for (int r = 0; r < kLanes; ++r) square[r].store(to + r * to_pitch);
}

template <class T, class Storage>
void load_pairs(T* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch,
                std::int64_t from_stride, BlockShape shape, std::int64_t partner) {
  constexpr std::int64_t kLanes = Vec<T>::kLanes;
  const auto* source = static_cast<const Storage*>(from);
  std::int64_t first_row = 0;
  if (partner == 1 && from_pitch == 2 && shape.count >= kLanes) {
    for (; first_row + kLanes <= shape.rows; first_row += kLanes) {
      std::int64_t i = 0;
      for (;; i = i + 2 * kLanes <= shape.count ? i + kLanes : shape.count - kLanes) {
        transpose_square_of_pairs(to + first_row * to_pitch + i, to_pitch,
                                  source + 2 * first_row + i * from_stride, from_stride);
        if (i + kLanes == shape.count) break;
      }
    }
  }
  for (std::int64_t r = first_row; r < shape.rows; ++r) {
    load_row_of_pairs(to + r * to_pitch, source + r * from_pitch, from_stride, shape.count,
                      partner);
  }
}

/// The number of rows is a constant where it is that of the tallest kernels.
template <class T, class Storage, int kRows>
void load_weight_pair_rows(T* to, const Storage* from, const WeightShape& shape) {
  const std::int64_t rows = kRows > 0 ? kRows : shape.rows;
  const std::int64_t step = kRows > 0 ? 1 : shape.to_row_step;
  for (std::int64_t s = 0; s < shape.sources; ++s) {
    for (std::int64_t t = 0; t < shape.taps; ++t) {
      T* to_rows = to + s * shape.to_source_pitch + t * shape.to_tap_pitch;
      const Storage* first_row = from + s * shape.source_stride + t * shape.tap_stride;
#pragma GCC unroll 8
      for (std::int64_t m = 0; m < rows; ++m) {
        const Storage* weight = first_row + m * shape.row_stride;
        to_rows[m * step] = pair_of<T, Storage>(
            *weight, shape.partner == kNoPartner ? Storage(0) : weight[shape.partner]);
      }
    }
  }
}

template <class T, class Storage>
void load_weight_pairs(T* to, const void* from, const WeightShape& shape) {
  const auto* source = static_cast<const Storage*>(from);
  if (shape.rows == 8 && shape.to_row_step == 1) {
    load_weight_pair_rows<T, Storage, 8>(to, source, shape);
  } else {
    load_weight_pair_rows<T, Storage, 0>(to, source, shape);
  }
}
