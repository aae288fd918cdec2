#pragma once

#include <pybind11/pybind11.h>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "fastconv/fastconv.hpp"

/// Python's arguments as values, each checked by name before any work.
namespace fastconv::python {

namespace py = pybind11;

/// Order of the axes of inputs and outputs in memory.
enum class Layout { channels_first, channels_last };

/// An integer: anything with __index__ but a bool. Throws TypeError.
std::int64_t to_integer(py::handle value, const char* argument);

/// A number of threads; 0 for None, which stands for the default.
int to_thread_count(py::handle value, const char* argument);

/// True or False, NumPy's included. Throws TypeError.
bool to_bool(py::handle value, const char* argument);

/// `rank` integers from one or from a sequence, as the last of (depth, height, width); the axes
/// before them get `missing`.
std::array<std::int64_t, 3> to_spatial(py::handle value, int rank, std::int64_t missing,
                                       const char* argument);

/// A shape: a sequence of integers.
std::vector<std::int64_t> to_shape(py::handle value, const char* argument);

Layout to_layout(py::handle value, int rank);

/// Name of a layout for a rank, such as "NCHW".
const char* name_of(Layout layout, int rank);

/// The options of a call, in a ProblemDescription still without sizes, and of its plan.
struct CallOptions {
  int rank = 2;
  Layout layout = Layout::channels_first;
  ProblemDescription description;
  PlanOptions plan;
  std::string algorithm;     ///< owns what plan.algorithm views
  py::object padding_value;  ///< interpreted once the dtype is known
};

/// Python objects of the options that all functions share.
struct OptionArguments {
  py::handle stride;
  py::handle padding;
  py::handle dilation;
  py::handle groups;
  py::handle layout;
  py::handle padding_mode;
  py::handle padding_value;
  py::handle flip;
  py::handle activation;
  py::handle accumulate;
  py::handle algorithm;
  py::handle precision;
  py::handle threads;
};

void read_options(int rank, const OptionArguments& arguments, CallOptions& options);

/// Sets the padding value for inputs of the given type, refusing what the type cannot hold.
void read_padding_value(CallOptions& options, DataType input_type);

/// repr() of an object, shortened for a message.
std::string shown(py::handle value);

/// "(1, 2, 3)"
std::string shown(const std::vector<std::int64_t>& shape);

}  // namespace fastconv::python
