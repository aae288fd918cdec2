#pragma once

#include <cstddef>
#include <cstdint>

namespace fastconv {

/// Element type of an array in memory.
enum class DataType : std::uint8_t {
  float32,
  float64,
  complex64,
  complex128,
  float16,
  bfloat16,
  int8,
  uint8,
  int16,
  uint16,
  int32,
  uint32,
  int64,
  uint64,
};

inline constexpr int kDataTypeCount = 14;

/// What the arithmetic of a problem is carried out in. Complex numbers are pairs of real ones,
/// halves are widened to float32, integers wrap around as NumPy's do.
enum class ComputeType : std::uint8_t { float32, float64, int32, int64 };

constexpr bool is_complex(DataType type) {
  return type == DataType::complex64 || type == DataType::complex128;
}

constexpr bool is_integer(DataType type) { return type >= DataType::int8; }

constexpr bool is_half(DataType type) {
  return type == DataType::float16 || type == DataType::bfloat16;
}

/// Bytes of one element.
constexpr std::size_t size_of(DataType type) {
  switch (type) {
    case DataType::int8:
    case DataType::uint8:
      return 1;
    case DataType::float16:
    case DataType::bfloat16:
    case DataType::int16:
    case DataType::uint16:
      return 2;
    case DataType::float32:
    case DataType::int32:
    case DataType::uint32:
      return 4;
    case DataType::complex128:
      return 16;
    default:
      return 8;
  }
}

/// NumPy's name of the type, such as "float32".
const char* name_of(DataType type);

}  // namespace fastconv
