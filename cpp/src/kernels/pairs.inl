/// Pairs of 8-bit elements as two int16 in one element of T, which a PairVec multiplies: source
/// channels that follow each other share an element, of packed tiles and of packed weights.

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ || !PairVec<std::int32_t>::kExists);

/// In the order of memory.
template <class T, class Storage>
inline T pair_of(Storage first, Storage second) {
  return static_cast<T>(static_cast<std::uint32_t>(static_cast<std::uint16_t>(first)) |
                        static_cast<std::uint32_t>(second) << 16);
}

/// A vector or less, which the compiler widens as one.
template <int kCount, class T, class Storage>
inline void load_piece_of_pairs(T* __restrict to, const Storage* __restrict first,
                                const Storage* __restrict second) {
  for (int i = 0; i < kCount; ++i) to[i] = pair_of<T, Storage>(first[i], second[i]);
}

template <int kCount, class T, class Storage>
inline void load_piece_of_singles(T* __restrict to, const Storage* __restrict from) {
  for (int i = 0; i < kCount; ++i) to[i] = pair_of<T, Storage>(from[i], Storage(0));
}

template <class T, class Storage>
void load_row_of_pairs(T* to, const Storage* from, std::int64_t from_stride, std::int64_t count,
                       std::int64_t partner) {
  if (partner == kNoPartner && from_stride == 1) {
    in_pieces<Vec<T>::kLanes>(count, [&](auto width, std::int64_t i) {
      load_piece_of_singles<decltype(width)::kElements>(to + i, from + i);
    });
    return;
  }
  if (partner == kNoPartner) {
    for (std::int64_t i = 0; i < count; ++i) {
      to[i] = pair_of<T, Storage>(from[i * from_stride], Storage(0));
    }
    return;
  }
  const Storage* second = from + partner;
  if (from_stride == 1) {
    in_pieces<Vec<T>::kLanes>(count, [&](auto width, std::int64_t i) {
      load_piece_of_pairs<decltype(width)::kElements>(to + i, from + i, second + i);
    });
  } else {
    for (std::int64_t i = 0; i < count; ++i) {
      to[i] = pair_of<T, Storage>(from[i * from_stride], second[i * from_stride]);
    }
  }
}

/// Neighbouring channels become pairs when they are widened, or elements of their own.
template <int kCount, class T, class Storage>
inline ExtensionVec<T, kCount* int{sizeof(T)}> load_neighbours(const Storage* from, bool in_pairs) {
  using V = ExtensionVec<T, kCount* int{sizeof(T)}>;
  typedef Storage Narrow __attribute__((vector_size(2 * kCount)));
  typedef std::int16_t Wide __attribute__((vector_size(4 * kCount)));
  if (!in_pairs) {
    T singles[kCount];
    load_piece_of_singles<kCount>(singles, from);
    return V::load(singles);
  }
  Narrow narrow;
  __builtin_memcpy(&narrow, from, sizeof narrow);
  return {reinterpret_cast<typename V::Native>(__builtin_convertvector(narrow, Wide))};
}

template <class T, class Storage>
void load_pairs(T* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch,
                std::int64_t from_stride, BlockShape shape, std::int64_t partner) {
  const auto* source = static_cast<const Storage*>(from);
  const bool in_pairs = partner == 1 && from_pitch == 2;
  const bool singles = partner == kNoPartner && from_pitch == 1;
  if (from_stride != 1 && (in_pairs || singles)) {
    const auto load = [&](auto width, std::int64_t r, std::int64_t i) {
      return load_neighbours<decltype(width)::kElements, T>(
          source + r * from_pitch + i * from_stride, in_pairs);
    };
    if (transpose_squares(to, to_pitch, shape, load)) return;
  }
  for (std::int64_t r = 0; r < shape.rows; ++r) {
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
