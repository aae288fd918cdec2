#include "arguments.hpp"

#include <cmath>
#include <limits>

namespace fastconv::python {
namespace {

bool is_bool(py::handle value) {
  if (PyBool_Check(value.ptr()) != 0) return true;
  const std::string_view type = Py_TYPE(value.ptr())->tp_name;
  return type == "numpy.bool" || type == "numpy.bool_";  // of NumPy 2 and 1
}

/// Arrays without axes have __index__ and no length.
bool is_sequence(py::handle value) {
  if (PyUnicode_Check(value.ptr()) != 0 || PyBytes_Check(value.ptr()) != 0 ||
      PySequence_Check(value.ptr()) == 0) {
    return false;
  }
  if (PySequence_Size(value.ptr()) >= 0) return true;
  PyErr_Clear();
  return false;
}

/// A tuple of its own: converting an item may change the sequence that it came from.
py::tuple to_tuple(py::handle sequence) {
  auto tuple = py::reinterpret_steal<py::tuple>(PySequence_Tuple(sequence.ptr()));
  if (!tuple) throw py::error_already_set();
  return tuple;
}

/// UTF-8, whatever the string holds.
std::string to_utf8(py::handle text) {
  const auto bytes = py::reinterpret_steal<py::bytes>(
      PyUnicode_AsEncodedString(text.ptr(), "utf-8", "backslashreplace"));
  if (!bytes) throw py::error_already_set();
  return std::string(bytes);
}

/// Index of a name in a list of names. Throws ValueError that lists them, TypeError for what is
/// not a string.
template <std::size_t kCount>
std::size_t to_choice(py::handle value, const std::array<const char*, kCount>& names,
                      const char* argument) {
  if (PyUnicode_Check(value.ptr()) == 0) {
    throw TypeError(std::string(argument) + ": got " + shown(value) + ", needs a string such as '" +
                    names[0] + "'");
  }
  const std::string text = to_utf8(value);
  std::string list;
  for (std::size_t i = 0; i < kCount; ++i) {
    if (text == names[i]) return i;
    list += (i == 0 ? "'" : ", '") + std::string(names[i]) + "'";
  }
  throw ValueError(std::string(argument) + ": got '" + text + "', needs one of " + list);
}

constexpr std::array<const char*, 4> kPaddingRules{"valid", "same", "same_lower", "full"};
constexpr std::array<const char*, 6> kPaddingModes{"zeros",     "constant",  "reflect",
                                                   "symmetric", "replicate", "circular"};
constexpr std::array<const char*, 7> kActivations{"relu", "leaky_relu", "relu6", "silu",
                                                  "gelu", "sigmoid",    "tanh"};
constexpr std::array<const char*, 3> kPrecisions{"default", "strict", "fast"};

void read_padding(py::handle value, int rank, ProblemDescription& description) {
  if (PyUnicode_Check(value.ptr()) != 0) {
    const std::size_t rule = to_choice(value, kPaddingRules, "padding");
    description.padding_rule = static_cast<PaddingRule>(rule + 1);
    return;
  }
  if (!is_sequence(value)) {
    description.pad_before = to_spatial(value, rank, 0, "padding");
    description.pad_after = description.pad_before;
    return;
  }
  const py::tuple sequence = to_tuple(value);
  const auto length = static_cast<int>(sequence.size());
  if (length != rank) {
    const std::string pair = rank == 1 && length == 2 ? "; a pair (before, after) is written ((" +
                                                            shown(py::object(sequence[0])) + ", " +
                                                            shown(py::object(sequence[1])) + "),)"
                                                      : "";
    throw ValueError("padding: got " + shown(value) + ", needs an integer, " +
                     std::to_string(rank) + " of them or of pairs (before, after), or a string" +
                     pair);
  }
  for (int i = 0; i < rank; ++i) {
    const auto axis = static_cast<std::size_t>(3 - rank + i);
    const py::handle item = PyTuple_GET_ITEM(sequence.ptr(), i);
    if (!is_sequence(item)) {
      description.pad_before[axis] = description.pad_after[axis] = to_integer(item, "padding");
      continue;
    }
    const std::vector<std::int64_t> pair = to_shape(item, "padding");
    if (pair.size() != 2) {
      throw ValueError("padding: got " + shown(item) + " for an axis, needs (before, after)");
    }
    description.pad_before[axis] = pair[0];
    description.pad_after[axis] = pair[1];
  }
}

template <class T>
bool fits(const py::object& integer) {
  return integer.attr("__ge__")(py::int_(std::numeric_limits<T>::min())).template cast<bool>() &&
         integer.attr("__le__")(py::int_(std::numeric_limits<T>::max())).template cast<bool>();
}

bool fits_type(const py::object& integer, DataType type) {
  switch (type) {
    case DataType::int8:
      return fits<std::int8_t>(integer);
    case DataType::uint8:
      return fits<std::uint8_t>(integer);
    case DataType::int16:
      return fits<std::int16_t>(integer);
    case DataType::uint16:
      return fits<std::uint16_t>(integer);
    case DataType::int32:
      return fits<std::int32_t>(integer);
    case DataType::uint32:
      return fits<std::uint32_t>(integer);
    case DataType::int64:
      return fits<std::int64_t>(integer);
    default:
      return fits<std::uint64_t>(integer);
  }
}

void read_integer_padding_value(CallOptions& options, DataType input_type) {
  const py::object& value = options.padding_value;
  const std::string needs =
      ", needs an integer that the input's dtype " + std::string(name_of(input_type)) + " can hold";
  if (PyFloat_Check(value.ptr()) != 0 || PyComplex_Check(value.ptr()) != 0) {
    throw TypeError("padding_value: got " + shown(value) + needs);
  }
  const auto integer = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
  if (!integer) {
    PyErr_Clear();
    throw TypeError("padding_value: got " + shown(value) + needs);
  }
  if (!fits_type(integer, input_type)) {
    throw ValueError("padding_value: got " + shown(value) + needs);
  }
  options.description.padding_integer =
      static_cast<std::int64_t>(PyLong_AsUnsignedLongLongMask(integer.ptr()));
}

}  // namespace

std::string shown(py::handle value) {
  constexpr Py_ssize_t kLongest = 60;
  const py::str text = py::repr(value);
  if (PyUnicode_GET_LENGTH(text.ptr()) <= kLongest) return to_utf8(text);
  const auto beginning =
      py::reinterpret_steal<py::object>(PyUnicode_Substring(text.ptr(), 0, kLongest - 3));
  return to_utf8(beginning) + "...";
}

std::string shown(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(shape[i]);
  }
  text += shape.size() == 1 ? ",)" : ")";
  return text;
}

std::int64_t to_integer(py::handle value, const char* argument) {
  if (PyLong_CheckExact(value.ptr()) == 0 && (is_bool(value) || PyIndex_Check(value.ptr()) == 0)) {
    throw TypeError(std::string(argument) + ": got " + shown(value) + ", needs an integer");
  }
  const Py_ssize_t integer = PyNumber_AsSsize_t(value.ptr(), PyExc_OverflowError);
  if (integer == -1 && PyErr_Occurred() != nullptr) {
    if (PyErr_ExceptionMatches(PyExc_OverflowError) == 0) throw py::error_already_set();
    PyErr_Clear();
    throw ValueError(std::string(argument) + ": got " + shown(value) +
                     ", needs an integer below 2^63");
  }
  return integer;
}

bool to_bool(py::handle value, const char* argument) {
  if (value.ptr() == Py_False) return false;
  if (value.ptr() == Py_True) return true;
  if (is_bool(value)) return PyObject_IsTrue(value.ptr()) == 1;
  throw TypeError(std::string(argument) + ": got " + shown(value) + ", needs True or False");
}

std::vector<std::int64_t> to_shape(py::handle value, const char* argument) {
  if (!is_sequence(value)) {
    throw TypeError(std::string(argument) + ": got " + shown(value) +
                    ", needs a sequence of integers");
  }
  const py::tuple sequence = to_tuple(value);
  std::vector<std::int64_t> shape;
  shape.reserve(sequence.size());
  for (const py::handle item : sequence) shape.push_back(to_integer(item, argument));
  return shape;
}

int to_thread_count(py::handle value, const char* argument) {
  if (value.is_none()) return 0;
  const std::int64_t threads = to_integer(value, argument);
  if (threads < 1 || threads > 4096) {
    throw ValueError(std::string(argument) + ": got " + std::to_string(threads) +
                     ", needs 1 to 4096, or None for the default");
  }
  return static_cast<int>(threads);
}

std::array<std::int64_t, 3> to_spatial(py::handle value, int rank, std::int64_t missing,
                                       const char* argument) {
  std::array<std::int64_t, 3> result{missing, missing, missing};
  const auto first = static_cast<std::size_t>(3 - rank);
  if (PyLong_CheckExact(value.ptr()) != 0 || !is_sequence(value)) {
    const std::int64_t integer = to_integer(value, argument);
    for (std::size_t a = first; a < 3; ++a) result[a] = integer;
    return result;
  }
  const std::vector<std::int64_t> shape = to_shape(value, argument);
  if (shape.size() != static_cast<std::size_t>(rank)) {
    throw ValueError(std::string(argument) + ": got " + shown(value) +
                     ", needs an integer or one for each of " + std::to_string(rank) +
                     (rank == 1 ? " axis" : " axes"));
  }
  for (std::size_t i = 0; i < shape.size(); ++i) result[first + i] = shape[i];
  return result;
}

const char* name_of(Layout layout, int rank) {
  constexpr std::array<const char*, 3> kFirst{"NCW", "NCHW", "NCDHW"};
  constexpr std::array<const char*, 3> kLast{"NWC", "NHWC", "NDHWC"};
  const auto index = static_cast<std::size_t>(rank - 1);
  return layout == Layout::channels_first ? kFirst[index] : kLast[index];
}

Layout to_layout(py::handle value, int rank) {
  if (value.is_none()) return Layout::channels_first;
  const std::array<const char*, 2> names{name_of(Layout::channels_first, rank),
                                         name_of(Layout::channels_last, rank)};
  return to_choice(value, names, "layout") == 0 ? Layout::channels_first : Layout::channels_last;
}

void read_options(int rank, const OptionArguments& arguments, CallOptions& options) {
  ProblemDescription& description = options.description;
  options.rank = rank;
  description.spatial_rank = rank;
  description.stride = to_spatial(arguments.stride, rank, 1, "stride");
  description.dilation = to_spatial(arguments.dilation, rank, 1, "dilation");
  read_padding(arguments.padding, rank, description);
  description.groups = to_integer(arguments.groups, "groups");
  options.layout = to_layout(arguments.layout, rank);
  description.channels_last = options.layout == Layout::channels_last;
  description.padding_mode =
      static_cast<PaddingMode>(to_choice(arguments.padding_mode, kPaddingModes, "padding_mode"));
  options.padding_value = py::reinterpret_borrow<py::object>(arguments.padding_value);
  description.flip = to_bool(arguments.flip, "flip");
  if (!arguments.activation.is_none()) {
    description.activation =
        static_cast<Activation>(to_choice(arguments.activation, kActivations, "activation") + 1);
  }
  description.accumulate = to_bool(arguments.accumulate, "accumulate");
  if (PyUnicode_Check(arguments.algorithm.ptr()) == 0) {
    throw TypeError("algorithm: got " + shown(arguments.algorithm) +
                    ", needs a string such as 'auto'");
  }
  options.algorithm = to_utf8(arguments.algorithm);
  options.plan.algorithm = options.algorithm;
  options.plan.precision =
      static_cast<Precision>(to_choice(arguments.precision, kPrecisions, "precision"));
  options.plan.threads = to_thread_count(arguments.threads, "threads");
}

void read_padding_value(CallOptions& options, DataType input_type) {
  const py::object& value = options.padding_value;
  if (PyLong_CheckExact(value.ptr()) != 0 && PyObject_IsTrue(value.ptr()) == 0) return;
  if (is_bool(value) || PyNumber_Check(value.ptr()) == 0 || is_sequence(value)) {
    throw TypeError("padding_value: got " + shown(value) + ", needs a number");
  }
  if (options.description.padding_mode != PaddingMode::constant) {
    if (PyObject_IsTrue(value.ptr()) == 0) return;
    throw ValueError("padding_value: got " + shown(value) + " with padding_mode '" +
                     name_of(options.description.padding_mode) +
                     "', needs padding_mode='constant'");
  }
  if (is_integer(input_type)) return read_integer_padding_value(options, input_type);
  const Py_complex number = PyComplex_AsCComplex(value.ptr());
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    throw ValueError("padding_value: got " + shown(value) +
                     ", needs a number that float64 can hold");
  }
  const bool complex = PyComplex_Check(value.ptr()) != 0 || number.imag != 0.0;
  if (complex && !is_complex(input_type)) {
    throw TypeError("padding_value: got " + shown(value) + " for " + name_of(input_type) +
                    " input, needs a real number");
  }
  const bool single = input_type != DataType::float64 && input_type != DataType::complex128;
  for (const double part : {number.real, number.imag}) {
    if (single && std::isfinite(part) &&
        std::abs(part) > static_cast<double>(std::numeric_limits<float>::max())) {
      throw ValueError("padding_value: got " + shown(value) +
                       ", needs a value that float32 can hold, or float64 input");
    }
  }
  options.description.padding_value = {number.real, number.imag};
}

}  // namespace fastconv::python
