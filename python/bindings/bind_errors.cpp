#include <pybind11/gil_safe_call_once.h>

#include "bindings.hpp"
#include "fastconv/error.hpp"

namespace fastconv::python {

namespace py = pybind11;

void register_errors(py::module_& module) {
  PYBIND11_CONSTINIT static py::gil_safe_call_once_and_store<py::object> unsupported;
  unsupported.call_once_and_store_result([] {
    return py::reinterpret_steal<py::object>(PyErr_NewExceptionWithDoc(
        "fastconv.UnsupportedError",
        "A well-formed problem that no algorithm, or not the one asked for, takes.",
        PyExc_NotImplementedError, nullptr));
  });
  module.attr("UnsupportedError") = unsupported.get_stored();
  py::register_local_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const ValueError& error) {
      PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const TypeError& error) {
      PyErr_SetString(PyExc_TypeError, error.what());
    } catch (const UnsupportedError& error) {
      PyErr_SetString(unsupported.get_stored().ptr(), error.what());
    }
  });
}

}  // namespace fastconv::python
