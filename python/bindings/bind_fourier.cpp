#include <map>
#include <memory>

#include "array_view.hpp"
#include "bindings.hpp"
#include "fft/plane_transform.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/recently_used.hpp"

/// The transform engine by itself.
namespace fastconv::python {
namespace {

fft::FourierKind to_kind(const std::string& name) {
  static const std::map<std::string, fft::FourierKind> kinds{
      {"fft", fft::FourierKind::complex_forward},
      {"ifft", fft::FourierKind::complex_inverse},
      {"rfft", fft::FourierKind::real_to_complex},
      {"irfft", fft::FourierKind::complex_to_real}};
  const auto found = kinds.find(name);
  if (found == kinds.end()) {
    throw ValueError("kind: got '" + name + "', needs fft, ifft, rfft or irfft");
  }
  return found->second;
}

/// The sizes that make a plan, and the plan.
struct Sizes {
  fft::FourierKind kind;
  std::int64_t arrays;
  std::int64_t rows;  ///< zero for one axis
  std::int64_t length;
  bool operator==(const Sizes&) const = default;
};

template <class T>
class Plan {
 public:
  explicit Plan(const Sizes& sizes) {
    const TypedKernels<T>& kernels = active_kernels().typed<T>();
    if (sizes.rows == 0) {
      batch_.emplace(sizes.kind, sizes.length, sizes.arrays, kernels);
    } else {
      plane_.emplace(sizes.kind, sizes.rows, sizes.length, sizes.arrays, kernels);
    }
  }
  std::int64_t scratch_size(int threads) const {
    return batch_ ? batch_->scratch_size(threads) : plane_->scratch_size(threads);
  }
  void execute(const T* in, T* out, T* scratch, int threads) const {
    batch_ ? batch_->execute(in, out, scratch, threads)
           : plane_->execute(in, out, scratch, threads);
  }

 private:
  std::optional<fft::BatchTransform<T>> batch_;
  std::optional<fft::PlaneTransform<T>> plane_;
};

template <class T>
void transform(const Sizes& sizes, const py::array& in, py::array& out, int threads) {
  // A convolution has two kinds of transforms.
  constexpr std::size_t kMostKept = 4;
  static RecentlyUsed<Sizes, Plan<T>> recent(kMostKept);
  const auto plan = recent.find_or_make(sizes, [&] { return Plan<T>(sizes); });
  const ThreadScratch scratch(static_cast<std::size_t>(plan->scratch_size(threads)) * sizeof(T));
  const T* from = static_cast<const T*>(in.data());
  T* to = static_cast<T*>(out.mutable_data());
  const py::gil_scoped_release release;
  plan->execute(from, to, static_cast<T*>(scratch.data()), threads);
}

bool is_complex(const py::array& array) { return array.dtype().kind() == 'c'; }

/// `length` is that of the last axis in real numbers, which a half spectrum does not tell.
py::array fourier_transform(const py::array& array, const std::string& kind_name, int axes,
                            std::int64_t length, int threads) {
  const fft::FourierKind kind = to_kind(kind_name);
  const bool real_input = kind == fft::FourierKind::real_to_complex;
  const bool real_output = kind == fft::FourierKind::complex_to_real;
  const bool is_double = array.itemsize() == (real_input ? 8 : 16);
  if (is_complex(array) == real_input || !(is_double || array.itemsize() == (real_input ? 4 : 8)) ||
      (array.flags() & py::array::c_style) == 0) {
    throw TypeError(
        "array: needs contiguous float32 or float64 numbers for rfft, else complex64 "
        "or complex128");
  }
  if (axes < 1 || axes > 2 || array.ndim() < axes) {
    throw ValueError("axes_count: got " + std::to_string(axes) +
                     ", needs 1 or 2, at most the rank");
  }
  std::vector<py::ssize_t> shape(array.shape(), array.shape() + array.ndim());
  const std::int64_t needed = real_output ? length / 2 + 1 : length;
  if (length < 1 || shape.back() != needed || threads < 1) {
    throw ValueError("length: got " + std::to_string(length) + " for an axis of " +
                     std::to_string(shape.back()));
  }
  const std::int64_t rows = axes == 2 ? shape[shape.size() - 2] : 0;
  const std::int64_t size = needed * std::max<std::int64_t>(rows, 1);
  if (real_input) shape.back() = length / 2 + 1;
  if (real_output) shape.back() = length;
  const char* type = real_output ? (is_double ? "f8" : "f4") : (is_double ? "c16" : "c8");
  py::array out(py::dtype(type), shape);
  const Sizes sizes{kind, size == 0 ? 0 : array.size() / size, rows, length};
  if (is_double) {
    transform<double>(sizes, array, out, threads);
  } else {
    transform<float>(sizes, array, out, threads);
  }
  return out;
}

}  // namespace

void register_fourier(py::module_& module) {
  module.def("fourier_transform", &fourier_transform);
  module.def("next_transform_length", &fft::next_length_with_small_factors);
}

}  // namespace fastconv::python
