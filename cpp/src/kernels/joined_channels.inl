/// Source channels that follow each other share an element, of packed tiles and of packed weights:
/// pairs of int16, which a PairVec multiplies, or quads of bytes, which a QuadVec does.

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ || !PairVec<std::int32_t>::kExists);

/// How channels in memory become the parts of an element, in the order of memory.
template <class StorageType, class PartType, bool kFlipsSigns = false>
struct Joining {
  using Storage = StorageType;
  using Part = PartType;
  static constexpr int kBits = 8 * int{sizeof(Part)};
  static constexpr int kChannels = 32 / kBits;
  static constexpr std::uint32_t kMask = (1u << kBits) - 1u;
  /// The sign bits of all bytes: to exchange one is to add or subtract 128 and to change its type.
  static constexpr std::uint32_t kFlipped = kFlipsSigns ? 0x80808080u : 0u;

  static std::uint32_t part(Storage value, int channel) {
    return (static_cast<std::uint32_t>(value) & kMask) << kBits * channel;
  }
};

/// Where the channels of the first element lie. The first stands in place of those that there are
/// not, which meet zeros.
template <class How>
struct JoinedRows {
  const typename How::Storage* first[How::kChannels];

  JoinedRows(const typename How::Storage* from, JoinedChannels channels) {
    for (int c = 0; c < How::kChannels; ++c) {
      first[c] = from + (c < channels.count ? c * channels.stride : 0);
    }
  }

  std::uint32_t element(std::int64_t at) const {
    std::uint32_t bits = How::kFlipped;
    for (int c = 0; c < How::kChannels; ++c) bits ^= How::part(first[c][at], c);
    return bits;
  }
};

/// Elements side by side, channel by channel: the compiler would join all of them byte by byte.
template <int kCount, class How, class T>
inline ExtensionVec<T, kCount* int{sizeof(T)}> load_piece_of_joined(const JoinedRows<How>& rows,
                                                                    std::int64_t at) {
  using V = ExtensionVec<T, kCount* int{sizeof(T)}>;
  V joined = V::broadcast(static_cast<T>(How::kFlipped));
#pragma GCC unroll 4
  for (int c = 0; c < How::kChannels; ++c) {
    T wide[kCount];
    load_piece<kCount>(wide, rows.first[c] + at);
    joined.value ^= (V::load(wide).value & How::kMask) << How::kBits * c;
  }
  return joined;
}

/// Bytes side by side are the element already, or with the neighbours of the last few of them, as
/// far as memory goes.
template <class How, class T>
void load_row_of_joined(T* to, const typename How::Storage* from, std::int64_t from_stride,
                        std::int64_t count, JoinedChannels channels) {
  const JoinedRows<How> rows(from, channels);
  if (from_stride == 1) {
    in_pieces<Vec<T>::kLanes>(count, [&](auto width, std::int64_t i) {
      load_piece_of_joined<decltype(width)::kElements, How, T>(rows, i).store(to + i);
    });
    return;
  }
  std::int64_t i = 0;
  if constexpr (sizeof(typename How::Part) == sizeof(typename How::Storage)) {
    const std::int64_t end = (count - 1) * from_stride + channels.count;
    if (channels.stride == 1 && from_stride > 0) {
      for (; i * from_stride + How::kChannels <= end; ++i) {
        std::uint32_t bits;
        __builtin_memcpy(&bits, from + i * from_stride, sizeof bits);
        to[i] = static_cast<T>(bits ^ How::kFlipped);
      }
    }
  }
  for (; i < count; ++i) to[i] = static_cast<T>(rows.element(i * from_stride));
}

/// Channels side by side, of elements that are full of them.
template <int kCount, class How, class T>
inline ExtensionVec<T, kCount* int{sizeof(T)}> load_neighbours(const typename How::Storage* from) {
  using V = ExtensionVec<T, kCount* int{sizeof(T)}>;
  constexpr int kParts = kCount * How::kChannels;
  typedef typename How::Storage Narrow __attribute__((vector_size(kParts)));
  typedef typename How::Part Wide __attribute__((vector_size(kParts * sizeof(typename How::Part))));
  Narrow narrow;
  __builtin_memcpy(&narrow, from, sizeof narrow);
  const auto joined = reinterpret_cast<typename V::Native>(__builtin_convertvector(narrow, Wide));
  return {joined ^ V::broadcast(static_cast<T>(How::kFlipped)).value};
}

/// Rows that lie side by side, as those of whole elements do in channels-last memory, are
/// transposed while they are read.
template <class How, class T>
void load_joined(T* to, std::int64_t to_pitch, const void* from, std::int64_t from_pitch,
                 std::int64_t from_stride, BlockShape shape, JoinedChannels channels) {
  const auto* source = static_cast<const typename How::Storage*>(from);
  if (from_stride != 1 && from_pitch == How::kChannels && channels.stride == 1 &&
      channels.count == How::kChannels) {
    const auto load = [&](auto width, std::int64_t r, std::int64_t i) {
      return load_neighbours<decltype(width)::kElements, How, T>(source + r * from_pitch +
                                                                 i * from_stride);
    };
    if (transpose_squares(to, to_pitch, shape, load)) return;
  } else if (from_stride != 1 && from_pitch == 1) {
    const auto load = [&](auto width, std::int64_t r, std::int64_t i) {
      const JoinedRows<How> rows(source + i * from_stride, channels);
      return load_piece_of_joined<decltype(width)::kElements, How, T>(rows, r);
    };
    if (transpose_squares(to, to_pitch, shape, load)) return;
  }
  for (std::int64_t r = 0; r < shape.rows; ++r) {
    load_row_of_joined<How>(to + r * to_pitch, source + r * from_pitch, from_stride, shape.count,
                            channels);
  }
}

/// Elements of fewer channels than they could hold, zeros in place of those.
template <class How, class T>
void load_last_weights(T* to, const typename How::Storage* from, const WeightShape& shape) {
  for (std::int64_t s = 0; s < shape.sources; ++s) {
    for (std::int64_t t = 0; t < shape.taps; ++t) {
      T* to_rows = to + s * shape.to_source_pitch + t * shape.to_tap_pitch;
      const auto* first_row = from + s * shape.source_stride + t * shape.tap_stride;
      for (std::int64_t m = 0; m < shape.rows; ++m) {
        const auto* weight = first_row + m * shape.row_stride;
        std::uint32_t bits = 0;
        for (int c = 0; c < shape.joined.count; ++c) {
          bits |= How::part(weight[c * shape.joined.stride], c);
        }
        to_rows[m] = static_cast<T>(bits);
      }
    }
  }
}

/// The taps of a channel lie side by side in memory, or the channels of the only one do.
template <class How, class T>
void load_joined_weights(T* to, const void* from, const WeightShape& shape) {
  const auto* source = static_cast<const typename How::Storage*>(from);
  if (shape.joined.count < How::kChannels) {
    load_last_weights<How>(to, source, shape);
  } else if (shape.taps > 1) {
    for (std::int64_t s = 0; s < shape.sources; ++s) {
      load_joined<How>(to + s * shape.to_source_pitch, shape.to_tap_pitch,
                       source + s * shape.source_stride, shape.tap_stride, shape.row_stride,
                       {shape.taps, shape.rows}, shape.joined);
    }
  } else {
    load_joined<How>(to, shape.to_source_pitch, source, shape.source_stride, shape.row_stride,
                     {shape.sources, shape.rows}, shape.joined);
  }
}
