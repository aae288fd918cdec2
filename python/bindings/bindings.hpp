#pragma once

#include <pybind11/pybind11.h>

namespace fastconv::python {

void register_errors(pybind11::module_& module);
void register_convolution(pybind11::module_& module);
void register_plan(pybind11::module_& module);
void register_streaming(pybind11::module_& module);
void register_configuration(pybind11::module_& module);
void register_fourier(pybind11::module_& module);

}  // namespace fastconv::python
