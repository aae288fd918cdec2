#pragma once

#include <pybind11/numpy.h>

#include <initializer_list>
#include <optional>

#include "arguments.hpp"

/// NumPy arrays as the core's views: element types, promotion, layouts, results.
namespace fastconv::python {

/// An array argument: never copied unless it is misaligned or not in native byte order.
struct ArrayArgument {
  const char* name;
  py::array array;
  DataType type = DataType::float32;

  int rank() const { return static_cast<int>(array.ndim()); }
  std::vector<std::int64_t> shape() const;
};

/// Accepts arrays and whatever NumPy makes one of. Throws TypeError for None, strings, objects and
/// ragged lists, UnsupportedError for long doubles.
ArrayArgument to_array(py::handle value, const char* name);

/// The core's type for a NumPy dtype. Throws TypeError or UnsupportedError.
DataType to_data_type(const py::dtype& dtype, const char* name);

/// NumPy's dtype for a type of the core.
py::dtype to_dtype(DataType type);

/// Converts arguments to the type that they have in common and returns the type of the result:
/// int32 for 8-bit integers alone, int64 for other integers (both without converting the
/// arguments), else numpy.result_type.
DataType promote(std::initializer_list<ArrayArgument*> arguments);

/// Sizes of an input or output along (N, C, D, H, W).
struct ImageShape {
  std::array<std::int64_t, 5> sizes{1, 1, 1, 1, 1};
  bool batched = true;
};

/// Reads a shape in the given layout. Throws ValueError if the rank is wrong.
ImageShape to_image_shape(const std::vector<std::int64_t>& shape, int rank, Layout layout,
                          const char* name);

/// The inverse, for allocating results.
std::vector<std::int64_t> from_image_shape(const ImageShape& shape, int rank, Layout layout);

TensorView image_view(const ArrayArgument& argument, int rank, Layout layout, bool batched);
TensorView weight_view(const ArrayArgument& argument, int rank);

/// A new C-contiguous array, its memory from `ResultMemory` unless it is small.
py::array new_array(DataType type, const std::vector<std::int64_t>& shape);

/// `out` if given, checked against the shape and type of the result and for overlap with what is
/// read; else a new C-contiguous array.
py::array result_array(py::handle out, const std::vector<std::int64_t>& shape, DataType type,
                       std::initializer_list<const ArrayArgument*> read);

}  // namespace fastconv::python
