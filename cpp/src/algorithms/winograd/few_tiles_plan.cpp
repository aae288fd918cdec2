/// The same where all tiles fit one block and weights are large: a transformed weight is used
/// once, by all tiles. So it is made just before, and the transformed weights, several times as
/// many as the plain ones, never leave the second-level cache. D, U and M as in
/// winograd_plan.cpp.
///
///     parallel for each group, vector of source channels
///       for each box of tiles: pack the padded source as pixels, transform it to D       [L3]
///     parallel for each group, panel of 4 vectors of destination channels
///       for each piece of the source channels
///         U = transformed weights of the panel and the piece                             [L2]
///         for each frequency f, 6 tiles: M_f += D_f U_f: the microkernel          [registers]
///       for each vector of destination channels, row of tiles
///         transform M, repair what is not finite, store: bias, activation, layout
///
/// D is [group][f][tile][source channel], U is [f][source channel][destination channel of the
/// panel], M is [f][tile][destination channel of the panel]. Packed weights are the plain ones,
/// vectors of destination channels side by side: reading several times as much from memory would
/// take longer than to transform them.
#include <algorithm>

#include "algorithms/winograd/panels.hpp"
#include "algorithms/winograd/result_writer.hpp"
#include "algorithms/winograd/source_packer.hpp"
#include "algorithms/winograd/weight_transform.hpp"
#include "algorithms/winograd/winograd.hpp"
#include "runtime/aligned_buffer.hpp"
#include "runtime/parallel.hpp"

namespace fastconv::winograd {
namespace {

/// Of transformed weights that exist at a time: half of a second-level cache.
constexpr std::int64_t kPieceBytes = 512 << 10;

template <class T>
class FewTilesPlan final : public detail::AlgorithmPlan {
 public:
  FewTilesPlan(const Problem& problem, int threads)
      : problem_(problem),
        geometry_(problem),
        kernels_(active_kernels().typed<T>()),
        threads_(threads),
        lanes_(kernels_.lanes),
        vectors_(ceil_divide(geometry_.destination_channels, lanes_)),
        panels_(make_panels(kernels_, vectors_,
                            ceil_divide(vectors_, ceil_divide(threads, geometry_.groups)))),
        padded_sources_(ceil_divide(geometry_.source_channels, lanes_) * lanes_),
        source_pitch_(geometry_.parts() * padded_sources_),
        block_{0, geometry_.images * geometry_.axes[0].tiles, 0, geometry_.axes[1].tiles},
        slot_size_((block_.tiles() + kMostProductRows) * source_pitch_ + lanes_) {
    std::int64_t widest = 0;
    for (const Panel<T>& panel : panels_) widest = std::max(widest, panel.vectors);
    panel_channels_ = widest * lanes_;
    // As if panels were not made narrower for several threads: what is added up together decides
    // about the bits of the result.
    const std::int64_t source_bytes = geometry_.frequencies() * widest_panel(kernels_) * lanes_ *
                                      static_cast<std::int64_t>(sizeof(T));
    constexpr std::int64_t kGathered = WeightTransform<T>::kGatheredSources;
    piece_ = std::clamp(kPieceBytes / source_bytes / kGathered * kGathered, kGathered, kDepthPiece);
  }

  std::size_t workspace_bytes() const override {
    Arena arena(nullptr);
    lay_out(arena);
    return arena.used();
  }

  std::size_t packed_weight_bytes() const override {
    return static_cast<std::size_t>(geometry_.groups * vectors_ * vector_weights()) * sizeof(T);
  }

  void pack_weights(const TensorView& weight, void* packed) const noexcept override {
    const WeightTransform<T> transform(geometry_, weight, kernels_);
    parallel_for(geometry_.groups * vectors_, threads_, [&](std::int64_t index, int) {
      for_each_gathered(0, geometry_.source_channels, [&](std::int64_t source, std::int64_t count) {
        for (std::int64_t part = 0; part < geometry_.parts(); ++part) {
          transform.gather(index / vectors_, index % vectors_ * lanes_, part, source, count,
                           static_cast<T*>(packed) + packed_offset(index, part, source));
        }
      });
    });
  }

  void execute(const Arguments& arguments, void* workspace,
               const void* packed_weights) const noexcept override {
    if (geometry_.images == 0) return;
    Arena arena(workspace);
    const Workspace memory = lay_out(arena);
    const T* bias =
        read_bias(problem_, geometry_, arguments, kernels_, vectors_ * lanes_, memory.bias);
    transform_source(arguments, memory);
    const WeightTransform<T> transform(geometry_, arguments.weight, kernels_);
    const Call call{transform, static_cast<const T*>(packed_weights), memory.source};
    const ResultWriter<T> writer(problem_, geometry_, arguments, kernels_, bias);
    const auto count = static_cast<std::int64_t>(panels_.size());
    parallel_for(geometry_.groups * count, threads_, [&](std::int64_t index, int thread) {
      Arena own(memory.threads + thread * memory.thread_stride);
      const ThreadMemory thread_memory = take_thread_memory(own);
      const Panel<T>& panel = panels_[static_cast<std::size_t>(index % count)];
      multiply(call, index / count, panel, thread_memory);
      write(writer, index / count, panel, thread_memory);
    });
  }

  std::string description() const override {
    const auto& kernel = *panels_.front().kernels.back();
    return tile_name(geometry_) + ", " + std::to_string(block_.tiles()) + " tiles at once, " +
           std::to_string(kernel.rows) + " tiles x " + std::to_string(kernel.vectors * lanes_) +
           " channels in registers, weights transformed for " + std::to_string(piece_) +
           " channels at a time";
  }

 private:
  struct Workspace {
    T* source;  ///< transformed
    T* bias;
    T* threads;
    std::int64_t thread_stride;
  };

  /// What one thread needs: for the source, then for a panel.
  struct ThreadMemory {
    T* pixels;
    T* weights;  ///< transformed
    T* sums;
    T* scratch;
  };

  struct Call {
    const WeightTransform<T>& transform;
    const T* packed;
    const T* source;
  };

  /// Plain weights of one vector of destination channels.
  std::int64_t vector_weights() const {
    return geometry_.parts() * geometry_.source_channels * geometry_.part_taps() * lanes_;
  }
  /// `vector` counts those of all groups.
  std::int64_t packed_offset(std::int64_t vector, std::int64_t part, std::int64_t source) const {
    return vector * vector_weights() +
           (part * geometry_.source_channels + source) * geometry_.part_taps() * lanes_;
  }

  std::int64_t frequency_pitch() const { return piece_ * panel_channels_ + lanes_; }
  std::int64_t sums_pitch() const {
    return (block_.tiles() + kMostProductRows) * panel_channels_ + lanes_;
  }

  /// Calls body(first, count) for source channels [first, end), a few at a time.
  template <class Body>
  void for_each_gathered(std::int64_t first, std::int64_t end, Body&& body) const {
    constexpr std::int64_t kGathered = WeightTransform<T>::kGatheredSources;
    for (; first < end; first += kGathered) body(first, std::min(kGathered, end - first));
  }

  ThreadMemory take_thread_memory(Arena& arena) const {
    const auto take = [&](std::int64_t count) {
      return arena.take<T>(static_cast<std::size_t>(count));
    };
    ThreadMemory memory{};
    memory.pixels = take(geometry_.axes[0].inputs_of(geometry_.axes[0].tiles) *
                         geometry_.axes[1].inputs_of(block_.columns) * lanes_);
    memory.weights = take(geometry_.frequencies() * frequency_pitch());
    memory.sums = take(geometry_.frequencies() * sums_pitch());
    memory.scratch =
        take(std::max(SourcePacker<T>::scratch_size(geometry_, block_.columns, lanes_),
                      ResultWriter<T>::scratch_size(geometry_, block_.columns, lanes_)));
    return memory;
  }

  Workspace lay_out(Arena& arena) const {
    Workspace memory{};
    memory.source = arena.take<T>(
        static_cast<std::size_t>(geometry_.groups * geometry_.frequencies() * slot_size_));
    memory.bias = arena.take<T>(
        problem_.has_bias ? static_cast<std::size_t>(geometry_.groups * vectors_ * lanes_) : 0);
    Arena one(nullptr);
    take_thread_memory(one);
    memory.thread_stride = static_cast<std::int64_t>(one.used() / sizeof(T));
    memory.threads = arena.take<T>(static_cast<std::size_t>(threads_) * one.used() / sizeof(T));
    return memory;
  }

  void transform_source(const Arguments& arguments, const Workspace& memory) const {
    const SourcePacker<T> packer(geometry_, geometry_.source(arguments.input, arguments.output),
                                 kernels_);
    const std::int64_t channels = geometry_.source_channels;
    const std::int64_t count = padded_sources_ / lanes_;
    const std::int64_t items = geometry_.groups * geometry_.depth_taps * count;
    parallel_for(items, threads_, [&](std::int64_t index, int thread) {
      Arena own(memory.threads + thread * memory.thread_stride);
      const ThreadMemory thread_memory = take_thread_memory(own);
      const std::int64_t group = index / count / geometry_.depth_taps;
      const std::int64_t tap = index / count % geometry_.depth_taps;
      const std::int64_t c = index % count * lanes_;
      T* to = memory.source + group * geometry_.frequencies() * slot_size_ +
              tap * geometry_.slice_parts() * padded_sources_ + c;
      for_each_box(geometry_, block_, geometry_.axes[0].tiles,
                   [&](const TileBox& box, std::int64_t tile) {
                     packer.transform(
                         box, tap, group * channels + c, std::min(lanes_, channels - c),
                         thread_memory.scratch, thread_memory.pixels,
                         {to + tile * source_pitch_, padded_sources_, source_pitch_, slot_size_});
                   });
    });
  }

  /// The sums of a panel.
  void multiply(const Call& call, std::int64_t group, const Panel<T>& panel,
                const ThreadMemory& memory) const {
    const T* source = call.source + group * geometry_.frequencies() * slot_size_;
    bool adds = false;
    for (std::int64_t part = 0; part < geometry_.parts(); ++part) {
      for (std::int64_t first = 0; first < geometry_.source_channels; first += piece_) {
        const std::int64_t count = std::min(piece_, geometry_.source_channels - first);
        transform_weights(call, group, panel, part, first, count, memory.weights);
        for (std::int64_t f = 0; f < geometry_.frequencies(); ++f) {
          panel.multiply(source + f * slot_size_ + part * padded_sources_ + first, source_pitch_,
                         memory.weights + f * frequency_pitch(), count, block_.tiles(),
                         memory.sums + f * sums_pitch(), panel.vectors * lanes_, adds);
        }
        adds = true;
      }
    }
  }

  /// While the weights of a vector are transformed, those of the next are fetched.
  void transform_weights(const Call& call, std::int64_t group, const Panel<T>& panel,
                         std::int64_t part, std::int64_t first, std::int64_t count, T* to) const {
    constexpr std::int64_t kTogether = 2;  // source channels between fetches
    alignas(kAlignment) T gathered[WeightTransform<T>::kMostGathered];
    const std::int64_t width = panel.vectors * lanes_;
    for_each_gathered(first, first + count, [&](std::int64_t source, std::int64_t sources) {
      for (std::int64_t v = 0; v < panel.vectors; ++v) {
        const T* taps = gathered;
        if (call.packed != nullptr) {
          taps = call.packed + packed_offset(group * vectors_ + panel.first + v, part, source);
        } else {
          call.transform.gather(group, (panel.first + v) * lanes_, part, source, sources, gathered);
        }
        LinesAhead ahead = next_weights(call, group, panel, part, source, v);
        ahead.share_out(ceil_divide(sources, kTogether));
        T* vectors = to + (source - first) * width + v * lanes_;
        for (std::int64_t s = 0; s < sources; s += kTogether) {
          ahead.fetch();
          call.transform.transform_gathered(taps + s * geometry_.part_taps() * lanes_,
                                            std::min(kTogether, sources - s), vectors + s * width,
                                            width, frequency_pitch());
        }
      }
    });
  }

  /// What comes after vector v of these source channels.
  LinesAhead next_weights(const Call& call, std::int64_t group, const Panel<T>& panel,
                          std::int64_t part, std::int64_t source, std::int64_t v) const {
    constexpr std::int64_t kGathered = WeightTransform<T>::kGatheredSources;
    if (++v == panel.vectors) {
      v = 0;
      source += kGathered;
      if (source >= geometry_.source_channels) return {};
    }
    const std::int64_t sources = std::min(kGathered, geometry_.source_channels - source);
    if (call.packed == nullptr) {
      return call.transform.lines_of(group, (panel.first + v) * lanes_, part, source, sources);
    }
    const T* packed = call.packed + packed_offset(group * vectors_ + panel.first + v, part, source);
    return {reinterpret_cast<const std::byte*>(packed), 1, 0,
            sources * geometry_.part_taps() * lanes_ * static_cast<std::int64_t>(sizeof(T))};
  }

  void write(const ResultWriter<T>& writer, std::int64_t group, const Panel<T>& panel,
             const ThreadMemory& memory) const {
    const std::int64_t pitch = panel.vectors * lanes_;
    for_each_box(geometry_, block_, 1, [&](const TileBox& row, std::int64_t tile) {
      for (std::int64_t v = 0; v < panel.vectors; ++v) {
        writer.write(row, group, (panel.first + v) * lanes_,
                     {memory.sums + tile * pitch + v * lanes_, pitch, sums_pitch()},
                     memory.scratch);
      }
    });
  }

  Problem problem_;
  Geometry geometry_;
  const TypedKernels<T>& kernels_;
  int threads_;
  std::int64_t lanes_;
  std::int64_t vectors_;  ///< of destination channels of a group
  std::vector<Panel<T>> panels_;
  std::int64_t padded_sources_;
  std::int64_t source_pitch_;
  TileBlock block_;
  std::int64_t slot_size_;           ///< elements of one frequency of a group's transformed source
  std::int64_t panel_channels_ = 0;  ///< of the widest panel
  std::int64_t piece_ = 0;           ///< source channels whose weights are transformed together
};

}  // namespace

template <class T>
std::unique_ptr<const detail::AlgorithmPlan> make_few_tiles_plan(const Problem& problem,
                                                                 int threads) {
  return std::make_unique<FewTilesPlan<T>>(problem, threads);
}

template std::unique_ptr<const detail::AlgorithmPlan> make_few_tiles_plan<float>(const Problem&,
                                                                                 int);
template std::unique_ptr<const detail::AlgorithmPlan> make_few_tiles_plan<double>(const Problem&,
                                                                                  int);

}  // namespace fastconv::winograd
