#include <atomic>
#include <stdexcept>

#include "array_view.hpp"
#include "bindings.hpp"

namespace fastconv::python {
namespace {

/// Marks a stream as in use. Throws if it is already: the GIL is released during the computation.
class Use {
 public:
  explicit Use(std::atomic_flag& flag) : flag_(flag) {
    if (flag_.test_and_set()) {
      throw std::runtime_error(
          "stream: it is in use by another thread, needs one thread at a time; give every thread "
          "a StreamingConv1d of its own");
    }
  }
  ~Use() { flag_.clear(); }
  Use(const Use&) = delete;
  Use& operator=(const Use&) = delete;

 private:
  std::atomic_flag& flag_;
};

class Stream {
 public:
  Stream(py::handle weight, py::handle block, py::handle groups, py::handle flip,
         py::handle threads)
      : stream_(make(weight, block, groups, flip, threads)) {}

  py::array process(py::handle samples, py::handle out) {
    const Use use(used_);
    const StreamDescription& description = stream_.description();
    const ArrayArgument x = to_array(samples, "samples");
    if (x.type != description.type) {
      throw TypeError(std::string("samples: got dtype ") + fastconv::name_of(x.type) + ", needs " +
                      fastconv::name_of(description.type) + ", the dtype of the stream");
    }
    if (x.rank() != 2 || x.array.shape(0) != description.c) {
      throw ValueError("samples: got shape " + shown(x.shape()) + ", needs (" +
                       std::to_string(description.c) + ", n): a row for each input channel");
    }
    py::array result =
        result_array(out, {description.k, stream_.ready(x.array.shape(1))}, x.type, {&x});
    const TensorView from = image_view(x, 1, Layout::channels_first, false);
    const TensorView to = view(result);
    const py::gil_scoped_release release;
    stream_.process(from, to);
    return result;
  }

  py::array flush(py::handle out) {
    const Use use(used_);
    const StreamDescription& description = stream_.description();
    py::array result = result_array(out, {description.k, stream_.pending()}, description.type, {});
    const TensorView to = view(result);
    const py::gil_scoped_release release;
    stream_.flush(to);
    return result;
  }

  void reset() {
    const Use use(used_);
    stream_.reset();
  }

  std::int64_t ready(py::handle samples) const {
    const std::int64_t count = to_integer(samples, "samples");
    constexpr std::int64_t kMost = std::int64_t{1} << 62;
    if (count < 0 || count > kMost) {
      throw ValueError("samples: got " + std::to_string(count) +
                       ", needs a number of samples, 0 or more");
    }
    return stream_.ready(count);
  }

  const StreamingConvolution& stream() const { return stream_; }

 private:
  static StreamingConvolution make(py::handle weight, py::handle block, py::handle groups,
                                   py::handle flip, py::handle threads) {
    const ArrayArgument w = to_array(weight, "weight");
    if (w.rank() != 3) {
      throw ValueError("weight: got shape " + shown(w.shape()) + ", needs (K, C / groups, taps)");
    }
    StreamDescription description;
    description.type = w.type;
    description.k = w.array.shape(0);
    description.c_per_group = w.array.shape(1);
    description.taps = w.array.shape(2);
    description.groups = to_integer(groups, "groups");
    // Refused by the groups if the product is meaningless.
    const bool divides = description.groups > 0 && description.k % description.groups == 0;
    description.c = divides ? description.groups * description.c_per_group : 0;
    if (!block.is_none()) {
      description.block = to_integer(block, "block");
      if (description.block < 1) {
        throw ValueError("block: got " + std::to_string(description.block) +
                         ", needs 1 sample or more, or None");
      }
    }
    description.flip = to_bool(flip, "flip");
    description.threads = to_thread_count(threads, "threads");
    const TensorView weights = weight_view(w, 1);
    const py::gil_scoped_release release;
    return StreamingConvolution(description, weights);
  }

  TensorView view(const py::array& result) const {
    const ArrayArgument written{"out", result, stream_.description().type};
    return image_view(written, 1, Layout::channels_first, false);
  }

  StreamingConvolution stream_;
  std::atomic_flag used_;
};

}  // namespace

void register_streaming(py::module_& module) {
  using Handle = py::handle;
  py::class_<Stream>(module, "Stream")
      .def(py::init<Handle, Handle, Handle, Handle, Handle>())
      .def("process", &Stream::process)
      .def("flush", &Stream::flush)
      .def("reset", &Stream::reset)
      .def("ready", &Stream::ready)
      .def_property_readonly("pending", [](const Stream& s) { return s.stream().pending(); })
      .def_property_readonly("latency", [](const Stream& s) { return s.stream().latency(); })
      .def_property_readonly("block",
                             [](const Stream& s) { return s.stream().description().block; })
      .def_property_readonly("taps", [](const Stream& s) { return s.stream().description().taps; })
      .def_property_readonly("outputs", [](const Stream& s) { return s.stream().description().k; })
      .def_property_readonly("channels", [](const Stream& s) { return s.stream().description().c; })
      .def_property_readonly("workspace_bytes",
                             [](const Stream& s) { return s.stream().workspace_bytes(); });
}

}  // namespace fastconv::python
