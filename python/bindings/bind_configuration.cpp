#include <pybind11/stl.h>

#include "arguments.hpp"
#include "bindings.hpp"

namespace fastconv::python {
namespace {

std::vector<std::string> names(const std::vector<const char*>& pointers) {
  return {pointers.begin(), pointers.end()};
}

}  // namespace

void register_configuration(py::module_& module) {
  module.def("active_isa", &active_isa);
  module.def("supported_isas", [] { return names(supported_isas()); });
  module.def("compiled_isas", [] { return names(compiled_isas()); });
  module.def("second_level_cache_bytes", &second_level_cache_bytes);
  module.def("algorithm_names", [] { return names(algorithm_names()); });
  module.def("num_threads", &num_threads);
  module.def("set_num_threads",
             [](py::handle threads) { set_num_threads(to_thread_count(threads, "n")); });
  module.def("set_thread_override",
             [](py::handle threads) { return set_thread_override(to_thread_count(threads, "n")); });
#if defined(__VERSION__)
  module.attr("compiler") = __VERSION__;
#endif
}

}  // namespace fastconv::python
