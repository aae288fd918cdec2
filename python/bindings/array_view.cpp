#include "array_view.hpp"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <utility>

#include "result_memory.hpp"

namespace fastconv::python {
namespace {

/// NumPy's type numbers, which its C interface fixes.
enum TypeNumber {
  kBool = 0,
  kByte,
  kUByte,
  kShort,
  kUShort,
  kInt,
  kUInt,
  kLong,
  kULong,
  kLongLong,
  kULongLong,
  kFloat,
  kDouble,
  kLongDouble,
  kComplexFloat,
  kComplexDouble,
  kComplexLongDouble,
  kHalf = 23,
  kFirstUserType = 256
};

std::optional<DataType> from_type_number(int number) {
  switch (number) {
    case kBool:
    case kUByte:
      return DataType::uint8;
    case kByte:
      return DataType::int8;
    case kShort:
      return DataType::int16;
    case kUShort:
      return DataType::uint16;
    case kInt:
      return DataType::int32;
    case kUInt:
      return DataType::uint32;
    case kLong:
      return sizeof(long) == 8 ? DataType::int64 : DataType::int32;
    case kULong:
      return sizeof(long) == 8 ? DataType::uint64 : DataType::uint32;
    case kLongLong:
      return DataType::int64;
    case kULongLong:
      return DataType::uint64;
    case kFloat:
      return DataType::float32;
    case kDouble:
      return DataType::float64;
    case kComplexFloat:
      return DataType::complex64;
    case kComplexDouble:
      return DataType::complex128;
    case kHalf:
      return DataType::float16;
    default:
      return std::nullopt;
  }
}

py::object numpy_function(const char* name) { return py::module_::import("numpy").attr(name); }

std::string dtype_text(const py::dtype& dtype) { return py::str(dtype).cast<std::string>(); }

/// Whether the strides are whole elements, as views of the core need them.
bool has_element_strides(const py::array& array) {
  const auto item = array.itemsize();
  for (py::ssize_t a = 0; a < array.ndim(); ++a) {
    if (array.strides(a) % item != 0 && array.shape(a) > 1) return false;
  }
  return true;
}

bool is_native(const py::array& array) {
  const char order = array.dtype().byteorder();
  return order == '=' || order == '|' || order == (PY_LITTLE_ENDIAN ? '<' : '>');
}

bool is_aligned(const py::array& array) {
  return (array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0;
}

TensorView view_of(const ArrayArgument& argument) {
  TensorView view;
  view.data = const_cast<void*>(argument.array.data());
  view.type = argument.type;
  return view;
}

void set_axis(TensorView& view, std::size_t axis, const py::array& array, py::ssize_t from) {
  view.sizes[axis] = array.shape(from);
  view.strides[axis] = array.strides(from) / array.itemsize();
}

/// First and last byte that an array touches.
std::pair<const char*, const char*> extent(const py::array& array) {
  const auto* low = static_cast<const char*>(array.data());
  const char* high = low + array.itemsize();
  for (py::ssize_t a = 0; a < array.ndim(); ++a) {
    const auto reach = (array.shape(a) - 1) * array.strides(a);
    (reach < 0 ? low : high) += reach;
  }
  return {low, high};
}

bool overlap(const py::array& a, const py::array& b) {
  if (a.size() == 0 || b.size() == 0) return false;
  const auto [a_low, a_high] = extent(a);
  const auto [b_low, b_high] = extent(b);
  if (a_high <= b_low || b_high <= a_low) return false;
  // The exact answer can take exponential time; past some work the doubt counts as overlap.
  try {
    return numpy_function("shares_memory")(a, b, py::arg("max_work") = 1000000).cast<bool>();
  } catch (const py::error_already_set&) {
    return true;
  }
}

/// Whether several elements of an array may lie at one place: sorted by stride, each axis must
/// step over all that the smaller ones span.
bool may_overlap_itself(const py::array& array) {
  std::vector<std::pair<py::ssize_t, py::ssize_t>> axes;
  for (py::ssize_t a = 0; a < array.ndim(); ++a) {
    if (array.shape(a) == 0) return false;
    if (array.shape(a) > 1) axes.emplace_back(std::abs(array.strides(a)), array.shape(a));
  }
  std::sort(axes.begin(), axes.end());
  py::ssize_t span = array.itemsize();
  for (const auto& [stride, size] : axes) {
    if (stride < span) return true;
    span += stride * (size - 1);
  }
  return false;
}

}  // namespace

std::vector<std::int64_t> ArrayArgument::shape() const {
  return {array.shape(), array.shape() + array.ndim()};
}

DataType to_data_type(const py::dtype& dtype, const char* name) {
  const int number = dtype.num();
  if (const auto type = from_type_number(number)) return *type;
  if (number >= kFirstUserType && dtype_text(dtype) == "bfloat16") return DataType::bfloat16;
  const std::string got = std::string(name) + ": got dtype " + dtype_text(dtype);
  if (number == kLongDouble || number == kComplexLongDouble) {
    throw UnsupportedError(got + ", which no algorithm computes in; convert it to " +
                           (number == kLongDouble ? "float64" : "complex128"));
  }
  throw TypeError(got + ", needs a floating, complex, integer or bool dtype");
}

py::dtype to_dtype(DataType type) {
  if (type == DataType::bfloat16) {
    return py::dtype::from_args(py::module_::import("ml_dtypes").attr("bfloat16"));
  }
  constexpr std::array<int, kDataTypeCount> kNumbers{kFloat,
                                                     kDouble,
                                                     kComplexFloat,
                                                     kComplexDouble,
                                                     kHalf,
                                                     0,
                                                     kByte,
                                                     kUByte,
                                                     kShort,
                                                     kUShort,
                                                     kInt,
                                                     kUInt,
                                                     sizeof(long) == 8 ? kLong : kLongLong,
                                                     sizeof(long) == 8 ? kULong : kULongLong};
  return py::dtype(kNumbers[static_cast<std::size_t>(type)]);
}

ArrayArgument to_array(py::handle value, const char* name) {
  ArrayArgument argument{name, py::array()};
  if (py::isinstance<py::array>(value)) {
    argument.array = py::reinterpret_borrow<py::array>(value);
  } else {
    if (value.is_none() || PyUnicode_Check(value.ptr()) != 0 || PyBytes_Check(value.ptr()) != 0) {
      throw TypeError(std::string(name) + ": got " + shown(value) + ", needs an array");
    }
    py::array made = py::array::ensure(value);
    if (!made) {
      PyErr_Clear();
      throw TypeError(std::string(name) + ": got " + shown(value) +
                      ", which numpy.asarray makes no array of; needs an array of numbers, all "
                      "rows of one length");
    }
    argument.array = std::move(made);
  }
  argument.type = to_data_type(argument.array.dtype(), name);
  if (!is_native(argument.array) || !is_aligned(argument.array) ||
      !has_element_strides(argument.array)) {
    argument.array = numpy_function("array")(
        argument.array, py::arg("dtype") = argument.array.dtype().attr("newbyteorder")("="),
        py::arg("order") = "C", py::arg("copy") = true);
  }
  return argument;
}

DataType promote(std::initializer_list<ArrayArgument*> arguments) {
  bool integers = true;
  bool bytes = true;
  bool same = true;
  const DataType first = (*arguments.begin())->type;
  for (const ArrayArgument* argument : arguments) {
    integers = integers && is_integer(argument->type);
    bytes = bytes && is_integer(argument->type) && size_of(argument->type) == 1;
    same = same && argument->type == first;
  }
  if (integers) return bytes ? DataType::int32 : DataType::int64;
  if (same) return first;
  py::list dtypes;
  for (const ArrayArgument* argument : arguments) dtypes.append(argument->array.dtype());
  py::object common;
  try {
    common = numpy_function("result_type")(*dtypes);
  } catch (py::error_already_set&) {
    throw TypeError(std::string((*arguments.begin())->name) + ": got dtypes " + shown(dtypes) +
                    ", which have no common dtype; convert them to one");
  }
  const DataType type =
      to_data_type(py::reinterpret_borrow<py::dtype>(common), (*arguments.begin())->name);
  for (ArrayArgument* argument : arguments) {
    if (argument->type == type) continue;
    argument->array = py::array(argument->array.attr("astype")(common));
    argument->type = type;
  }
  return type;
}

ImageShape to_image_shape(const std::vector<std::int64_t>& shape, int rank, Layout layout,
                          const char* name) {
  const auto axes = static_cast<int>(shape.size());
  if (axes != rank + 1 && axes != rank + 2) {
    const std::string batched = name_of(layout, rank);
    throw ValueError(std::string(name) + ": got shape " + shown(shape) + " with " +
                     std::to_string(axes) + (axes == 1 ? " axis" : " axes") + ", needs " +
                     std::to_string(rank + 2) + " (" + batched + ") or " +
                     std::to_string(rank + 1) + " (" + batched.substr(1) + ", one item)");
  }
  ImageShape image;
  image.batched = axes == rank + 2;
  std::size_t from = 0;
  if (image.batched) image.sizes[0] = shape[from++];
  if (layout == Layout::channels_first) image.sizes[1] = shape[from++];
  for (int a = 0; a < rank; ++a)
    image.sizes[static_cast<std::size_t>(5 - rank + a)] = shape[from++];
  if (layout == Layout::channels_last) image.sizes[1] = shape[from];
  return image;
}

std::vector<std::int64_t> from_image_shape(const ImageShape& image, int rank, Layout layout) {
  std::vector<std::int64_t> shape;
  shape.reserve(5);
  if (image.batched) shape.push_back(image.sizes[0]);
  if (layout == Layout::channels_first) shape.push_back(image.sizes[1]);
  for (int a = 5 - rank; a < 5; ++a) shape.push_back(image.sizes[static_cast<std::size_t>(a)]);
  if (layout == Layout::channels_last) shape.push_back(image.sizes[1]);
  return shape;
}

TensorView image_view(const ArrayArgument& argument, int rank, Layout layout, bool batched) {
  TensorView view = view_of(argument);
  py::ssize_t from = 0;
  if (batched) set_axis(view, 0, argument.array, from++);
  if (layout == Layout::channels_first) set_axis(view, 1, argument.array, from++);
  for (int a = 5 - rank; a < 5; ++a) {
    set_axis(view, static_cast<std::size_t>(a), argument.array, from++);
  }
  if (layout == Layout::channels_last) set_axis(view, 1, argument.array, from);
  return view;
}

TensorView weight_view(const ArrayArgument& argument, int rank) {
  TensorView view = view_of(argument);
  set_axis(view, 0, argument.array, 0);
  set_axis(view, 1, argument.array, 1);
  for (int a = 0; a < rank; ++a) {
    set_axis(view, static_cast<std::size_t>(5 - rank + a), argument.array, 2 + a);
  }
  return view;
}

py::array new_array(DataType type, const std::vector<std::int64_t>& shape) {
  constexpr std::size_t kWorthKeeping = 16 * 1024;
  std::size_t bytes = size_of(type);
  for (const std::int64_t size : shape) bytes *= static_cast<std::size_t>(size);
  if (bytes < kWorthKeeping) return py::array(to_dtype(type), shape);
  std::unique_ptr<AlignedBuffer> memory;
  try {
    memory = std::make_unique<AlignedBuffer>(ResultMemory::instance().take(bytes));
  } catch (const std::bad_alloc&) {
    return py::array(to_dtype(type), shape);  // NumPy says how much it was
  }
  void* data = memory->data();
  const py::capsule owner(memory.get(), [](void* buffer) {
    const std::unique_ptr<AlignedBuffer> dropped(static_cast<AlignedBuffer*>(buffer));
    ResultMemory::instance().give_back(std::move(*dropped));
  });
  static_cast<void>(memory.release());  // the capsule's from here on
  return py::array(to_dtype(type), shape, data, owner);
}

py::array result_array(py::handle out, const std::vector<std::int64_t>& shape, DataType type,
                       std::initializer_list<const ArrayArgument*> read) {
  if (out.is_none()) return new_array(type, shape);
  if (!py::isinstance<py::array>(out)) {
    throw TypeError("out: got " + shown(out) + ", needs a NumPy array");
  }
  auto array = py::reinterpret_borrow<py::array>(out);
  const py::dtype dtype = to_dtype(type);
  if (!is_native(array) || !array.dtype().equal(dtype)) {
    throw TypeError("out: got dtype " + dtype_text(array.dtype()) + ", needs " + dtype_text(dtype) +
                    ", the dtype of the result");
  }
  const std::vector<std::int64_t> got(array.shape(), array.shape() + array.ndim());
  if (got != shape) {
    throw ValueError("out: got shape " + shown(got) + ", needs " + shown(shape));
  }
  if (!array.writeable()) throw ValueError("out: got a read-only array, needs a writeable one");
  if (!is_aligned(array) || !has_element_strides(array)) {
    throw ValueError("out: got a misaligned array, needs one that is aligned to its elements");
  }
  if (may_overlap_itself(array)) {
    throw ValueError("out: got an array whose elements overlap one another, needs distinct ones");
  }
  for (const ArrayArgument* argument : read) {
    if (argument != nullptr && overlap(array, argument->array)) {
      throw ValueError(std::string("out: it overlaps ") + argument->name +
                       " in memory, needs an array of its own, such as " + argument->name +
                       ".copy()");
    }
  }
  return array;
}

}  // namespace fastconv::python
