#pragma once

#include "algorithms/lines_ahead.hpp"
#include "algorithms/real_view.hpp"
#include "algorithms/winograd/geometry.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv::winograd {

/// Transforms weights of any strides: a vector of destination channels and a few source channels at
/// a time.
template <class T>
class WeightTransform {
 public:
  /// Source channels whose taps are gathered together.
  static constexpr std::int64_t kGatheredSources = 16;
  /// Taps of source channels that are gathered together, in tiles or kernels of any size.
  static constexpr std::int64_t kMostColumns = kGatheredSources * 16;
  /// The same for vectors of any size.
  static constexpr std::int64_t kMostGathered = kMostColumns * 16;

  WeightTransform(const Geometry& geometry, const TensorView& weight,
                  const TypedKernels<T>& kernels);

  /// Vectors of destination channels of a group, from `first` on, zeros beyond the last:
  /// to[f * frequency_pitch + (part * source channels + source) * to_pitch + channel].
  void transform(std::int64_t group, std::int64_t first, std::int64_t vectors, T* to,
                 std::int64_t to_pitch, std::int64_t frequency_pitch) const;

  /// taps[source][tap][lane] of at most kGatheredSources source channels, for a part of the kernel;
  /// zeros where the last part has fewer.
  void gather(std::int64_t group, std::int64_t channel, std::int64_t part,
              std::int64_t first_source, std::int64_t sources, T* taps) const;

  /// What `gather` will read, unless it lies too far apart to be fetched.
  LinesAhead lines_of(std::int64_t group, std::int64_t channel, std::int64_t part,
                      std::int64_t first_source, std::int64_t sources) const;

  /// The same taps, transformed: to[f * frequency_pitch + source * to_pitch + lane].
  void transform_gathered(const T* taps, std::int64_t sources, T* to, std::int64_t to_pitch,
                          std::int64_t frequency_pitch) const;

 private:
  /// The taps that a part has along an axis, in the order of memory.
  struct TapRange {
    std::int64_t first;  ///< element of the kernel
    std::int64_t count;
    std::int64_t place;  ///< of the first among a tile's taps
  };
  struct Part {
    std::int64_t depth_element;
    std::array<TapRange, 2> axes;
  };

  /// Taps of every source and destination channel, each channel's in a row.
  struct TapMatrix {
    const T* first;
    std::int64_t source_stride;
    std::int64_t destination_stride;
  };

  Part part_of(std::int64_t part) const;
  std::int64_t kernel_size() const;
  bool has_contiguous_kernels() const;
  void gather_kernels(std::int64_t group, std::int64_t channel, std::int64_t first_source,
                      std::int64_t sources, T* kernels) const;
  void take_part(std::int64_t index, const T* kernels, std::int64_t sources, T* taps) const;
  /// In the weight's real view; both channels are the first components of their elements.
  std::int64_t offset_of(std::int64_t group, std::int64_t channel, const Part& part,
                         std::int64_t source) const;
  std::int64_t rows_of(std::int64_t channel) const;
  bool is_contiguous(const Part& part) const;
  void gather(std::int64_t weights, const Part& part, std::int64_t rows, std::int64_t sources,
              T* taps) const;
  void transpose(const TapMatrix& from, std::int64_t taps, std::int64_t rows, std::int64_t sources,
                 T* to) const;
  void gather_long_rows(std::int64_t weights, std::int64_t rows, std::int64_t sources,
                        T* taps) const;
  void gather_converted(std::int64_t weights, const Part& part, std::int64_t rows,
                        std::int64_t sources, T* taps) const;

  const Geometry& geometry_;
  RealView weight_;
  const TypedKernels<T>& kernels_;
  const WinogradKernels<T>& transforms_;
  std::int64_t taps_;  ///< of a part
  std::int64_t source_stride_;
  std::int64_t destination_stride_;
};

}  // namespace fastconv::winograd
