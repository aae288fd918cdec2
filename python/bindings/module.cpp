#include "bindings.hpp"

PYBIND11_MODULE(_core, module) {
  module.doc() = "The compiled core of fastconv; see the package for its documentation.";
  module.attr("__version__") = FASTCONV_VERSION;
  fastconv::python::register_errors(module);
  fastconv::python::register_convolution(module);
  fastconv::python::register_plan(module);
  fastconv::python::register_streaming(module);
  fastconv::python::register_configuration(module);
  fastconv::python::register_fourier(module);
}
