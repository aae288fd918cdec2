#include "fft/plane_transform.hpp"

#include <algorithm>
#include <string>

#include "ceil_divide.hpp"
#include "fastconv/error.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::fft {
namespace {

/// Bytes of a block of planes in lanes up to which it is faster than rows and columns apart. The
/// spectra of real planes have a column more than half, which would need a vector of its own: they
/// gain as long as the block stays in the second-level cache.
constexpr std::int64_t kMostBlockBytes = 96 * 1024;
constexpr std::int64_t kMostRealBlockBytes = 384 * 1024;

std::int64_t checked(std::int64_t length) {
  check_fourier_length(length);
  return length;
}

/// Columns are not cut.
std::int64_t checked_rows(std::int64_t rows) {
  if (is_supported_length(checked(rows))) return rows;
  throw UnsupportedError("length: got " + std::to_string(rows) +
                         " rows, needs a length of at most " +
                         std::to_string(kMostTransformStages) + " stages");
}

std::vector<std::complex<double>> column_scale(FourierKind kind, std::int64_t rows) {
  if (!is_inverse(kind)) return {};
  return std::vector<std::complex<double>>(static_cast<std::size_t>(rows),
                                           1.0 / static_cast<double>(rows));
}

}  // namespace

template <class T>
PlaneTransform<T>::PlaneTransform(FourierKind kind, std::int64_t rows, std::int64_t columns,
                                  std::int64_t planes, const TypedKernels<T>& kernels)
    : kernels_(kernels),
      kind_(kind),
      rows_(checked_rows(rows)),
      columns_(checked(columns)),
      planes_(planes),
      planes_in_lanes_(0),
      row_(kind, columns, kernels),
      column_(rows, {}, column_scale(kind, rows)) {
  const std::int64_t most = is_real(kind) ? kMostRealBlockBytes : kMostBlockBytes;
  if (block_size() * static_cast<std::int64_t>(sizeof(T)) <= most) {
    planes_in_lanes_ = planes / kernels.lanes * kernels.lanes;
    // Three quarters of the lanes in use cost no more than rows and columns apart.
    if (4 * (planes - planes_in_lanes_) >= 3 * kernels.lanes) planes_in_lanes_ = planes;
  }
  other_rows_.emplace(kind, columns, (planes - planes_in_lanes_) * rows, kernels);
}

template <class T>
std::int64_t PlaneTransform<T>::lane_thread_size() const {
  return block_size() + std::max(row_.scratch_size(), column_.scratch_size(kernels_.lanes));
}

template <class T>
std::int64_t PlaneTransform<T>::column_thread_size() const {
  return 2 * kernels_.lanes * rows_ + column_.scratch_size(kernels_.lanes);
}

template <class T>
std::int64_t PlaneTransform<T>::spectrum_size() const {
  if (!columns_first()) return 0;
  return (planes_ - planes_in_lanes_) * rows_ * 2 * spectrum_columns();
}

template <class T>
std::int64_t PlaneTransform<T>::scratch_size(int threads) const {
  const std::int64_t apart = spectrum_size() + std::max(threads * column_thread_size(),
                                                        other_rows_->scratch_size(threads));
  return std::max(threads * lane_thread_size(), planes_in_lanes_ < planes_ ? apart : 0);
}

template <class T>
void PlaneTransform<T>::transform_block(const T* in, T* out, std::int64_t planes,
                                        T* scratch) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t step = row_.buffer_size();
  T* block = scratch;
  T* work = scratch + block_size();
  const auto load = [&](std::int64_t row) {
    row_.load(in + row * row_.input_elements(), rows_ * row_.input_elements(), planes,
              block + row * step);
  };
  const auto columns = [&] {
    ComplexVectors<T> parts{block, block + lanes, step};
    if (columns_first()) std::swap(parts.re, parts.im);
    kernels_.fft.transform(column_.transform(), spectrum_columns(),
                           {parts.re, parts.im, parts.step}, 2 * lanes, parts, 2 * lanes, work);
  };
  if (columns_first()) {
    for (std::int64_t row = 0; row < rows_; ++row) load(row);
    columns();
  }
  for (std::int64_t row = 0; row < rows_; ++row) {
    if (!columns_first()) load(row);
    row_.run(block + row * step, 1, work);
    if (columns_first()) {
      row_.store(block + row * step, planes, out + row * row_.output_elements(),
                 rows_ * row_.output_elements());
    }
  }
  if (columns_first()) return;
  columns();
  for (std::int64_t row = 0; row < rows_; ++row) {
    row_.store(block + row * step, planes, out + row * row_.output_elements(),
               rows_ * row_.output_elements());
  }
}

/// Real and imaginary parts change places on both ways of an inverse transform.
template <class T>
void PlaneTransform<T>::transform_columns(std::int64_t block, const T* in, T* out,
                                          T* scratch) const {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t blocks = ceil_divide(spectrum_columns(), lanes);
  const std::int64_t first = block % blocks * lanes;
  const std::int64_t count = std::min(lanes, spectrum_columns() - first);
  const std::int64_t pitch = 2 * spectrum_columns();
  const std::int64_t at = block / blocks * rows_ * pitch + 2 * first;
  ComplexVectors<T> parts{scratch, scratch + lanes, 2 * lanes};
  if (columns_first()) std::swap(parts.re, parts.im);
  kernels_.fft.split_columns(in + at, pitch, rows_, count, {scratch, scratch + lanes, 2 * lanes});
  kernels_.fft.transform(column_.transform(), 1, {parts.re, parts.im, parts.step}, 0, parts, 0,
                         scratch + 2 * lanes * rows_);
  kernels_.fft.join_columns({scratch, scratch + lanes, 2 * lanes}, rows_, count, out + at, pitch);
}

template <class T>
void PlaneTransform<T>::execute(const T* in, T* out, T* scratch, int threads) const noexcept {
  const std::int64_t lanes = kernels_.lanes;
  const std::int64_t in_size = rows_ * row_.input_elements();
  const std::int64_t out_size = rows_ * row_.output_elements();
  parallel_for(ceil_divide(planes_in_lanes_, lanes), threads, [&](std::int64_t block, int thread) {
    const std::int64_t first = block * lanes;
    transform_block(in + first * in_size, out + first * out_size,
                    std::min(lanes, planes_in_lanes_ - first),
                    scratch + thread * lane_thread_size());
  });
  if (planes_in_lanes_ == planes_) return;
  in += planes_in_lanes_ * in_size;
  out += planes_in_lanes_ * out_size;
  T* spectrum = columns_first() ? scratch : out;
  T* work = scratch + spectrum_size();
  const std::int64_t blocks = (planes_ - planes_in_lanes_) * ceil_divide(spectrum_columns(), lanes);
  const auto columns = [&](const T* from) {
    parallel_for(blocks, threads, [&](std::int64_t block, int thread) {
      transform_columns(block, from, spectrum, work + thread * column_thread_size());
    });
  };
  if (columns_first()) {
    columns(in);
    other_rows_->execute(spectrum, out, work, threads);
  } else {
    other_rows_->execute(in, out, work, threads);
    columns(out);
  }
}

template class PlaneTransform<float>;
template class PlaneTransform<double>;

}  // namespace fastconv::fft
