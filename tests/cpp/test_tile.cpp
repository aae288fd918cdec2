/// Tiles cover the box of positions once, and packing puts under every tap of every position what
/// the padded source has there.
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "algorithms/direct/tile.hpp"
#include "convolution_case.hpp"
#include "padding.hpp"

namespace fastconv::testing {
namespace {

using direct::AxisPhases;
using direct::Extent;
using direct::SourcePadding;
using direct::Tile;

Problem strided_problem(PaddingMode mode) {
  ProblemDescription d;
  d.spatial_rank = 3;
  d.n = 2;
  d.c = d.c_per_group = 3;
  d.input = {3, 5, 11};
  d.kernel = {2, 3, 4};
  d.stride = {1, 2, 3};
  d.dilation = {2, 1, 2};
  d.pad_before = {1, -1, 4};
  d.pad_after = {0, 6, 2};
  d.padding_mode = mode;
  return describe(d);
}

using AllPhases = std::array<AxisPhases, 3>;

AllPhases forward_phases(const Problem& problem) {
  return {direct::forward_phases(problem.axes[0], false),
          direct::forward_phases(problem.axes[1], false),
          direct::forward_phases(problem.axes[2], false)};
}

Tile tile_of(const AllPhases& phases) { return Tile({&phases[0], &phases[1], &phases[2]}); }

TEST(Tile, IsTheWholeBoxAtFirst) {
  const Problem problem = strided_problem(PaddingMode::zeros);
  const AllPhases phases = forward_phases(problem);
  const Tile tile = tile_of(phases);
  EXPECT_EQ(tile.tile_count(), 1);
  for (std::size_t a = 0; a < 3; ++a) {
    EXPECT_EQ(tile.size[a], problem.axes[a].output);
    EXPECT_EQ(tile.pitch[a], problem.axes[a].output + phases[a].reach);
  }
  EXPECT_EQ(tile.planes, 1 * 2 * 3);
}

AxisPhases phases_of(std::int64_t count, std::int64_t reach) {
  AxisPhases phases;
  phases.count = count;
  phases.reach = reach;
  direct::AxisRun& run = phases.runs.emplace_back();
  run.count = count;
  run.taps = {{0, 0}, {0, reach}};
  return phases;
}

TEST(Tile, HalvesCoverEveryPositionOnce) {
  const AllPhases phases{phases_of(5, 2), phases_of(13, 0), phases_of(37, 1)};
  Tile tile = tile_of(phases);
  std::int64_t halvings = 0;
  do {
    std::vector<int> covered(static_cast<std::size_t>(5 * 13 * 37), 0);
    for (std::int64_t index = 0; index < tile.tile_count(); ++index) {
      const Extent origin = tile.origin(index);
      const Extent size = tile.size_at(origin);
      for (std::int64_t jd = origin[0]; jd < origin[0] + size[0]; ++jd) {
        for (std::int64_t jh = origin[1]; jh < origin[1] + size[1]; ++jh) {
          for (std::int64_t jw = origin[2]; jw < origin[2] + size[2]; ++jw) {
            ++covered.at(static_cast<std::size_t>((jd * 13 + jh) * 37 + jw));
          }
        }
      }
    }
    ASSERT_TRUE(std::ranges::all_of(covered, [](int times) { return times == 1; }))
        << tile.size[0] << "x" << tile.size[1] << "x" << tile.size[2];
    ++halvings;
  } while (tile.halve(8));
  EXPECT_GT(halvings, 4);
  EXPECT_EQ(tile.size[0], 1);
  EXPECT_EQ(tile.size[1], 1);
  EXPECT_GE(tile.size[2], 8) << "rows keep their least width";
  EXPECT_LT(tile.size[2], 16);
}

TEST(Tile, FillsVectorsWhereRowsJoin) {
  const AxisPhases one = phases_of(1, 0);
  const AxisPhases axis = phases_of(28, 0);
  Tile tile({&one, &axis, &axis});
  tile.fill_vectors(16);
  EXPECT_EQ(tile.size[1], 28) << "the whole box needs no more rows";
  ASSERT_TRUE(tile.halve(64));
  ASSERT_TRUE(tile.halve(64));
  ASSERT_EQ(tile.size[1], 7);
  tile.fill_vectors(16);
  EXPECT_EQ(tile.size[1], 8);
  EXPECT_EQ(tile.tiles[1], 4);
  tile.fill_vectors(64);
  EXPECT_EQ(tile.size[1], 8) << "fewer rows than fill a vector stay";

  const AxisPhases reaching = phases_of(28, 2);
  Tile padded({&one, &axis, &reaching});
  ASSERT_TRUE(padded.halve(64));
  ASSERT_TRUE(padded.halve(64));
  padded.fill_vectors(16);
  EXPECT_EQ(padded.size[1], 7) << "rows with padding between them do not join";
}

TEST(Tile, GivesShorterRunsWhatTheyHave) {
  AllPhases phases{phases_of(1, 0), phases_of(1, 0), phases_of(9, 0)};
  phases[2].runs.emplace_back().count = 4;
  Tile tile = tile_of(phases);
  ASSERT_TRUE(tile.halve(1));
  ASSERT_TRUE(tile.halve(1));
  ASSERT_EQ(tile.size[2], 3);
  const direct::Runs runs{&phases[0].runs[0], &phases[1].runs[0], &phases[2].runs[1]};
  EXPECT_EQ(tile.size_at(tile.origin(0), runs), (Extent{1, 1, 3}));
  EXPECT_EQ(tile.size_at(tile.origin(1), runs), (Extent{1, 1, 1}));
  EXPECT_EQ(tile.size_at(tile.origin(2), runs)[2], 0);
}

TEST(Tile, IsNotCutWhereOneElementIsWrittenRepeatedly) {
  AllPhases phases{phases_of(1, 0), phases_of(64, 0), phases_of(64, 0)};
  phases[1].repeats = phases[2].repeats = true;
  Tile tile = tile_of(phases);
  EXPECT_FALSE(tile.halve(1));
  EXPECT_EQ(tile.size, (Extent{1, 64, 64}));
}

template <class T>
class Packing : public ::testing::Test {};
using PackedTypes = ::testing::Types<float, double, std::int32_t, std::int64_t>;
TYPED_TEST_SUITE(Packing, PackedTypes);

/// The value of the padded source, by the formula.
template <class T>
T padded_value(const Problem& problem, const Tensor& source, const SourcePadding& padding,
               std::int64_t n, std::int64_t real_channel, const Extent& o, const Extent& a) {
  const std::int64_t parts = is_complex(source.view().type) ? 2 : 1;
  std::array<std::int64_t, 3> at{};
  for (std::size_t axis = 0; axis < 3; ++axis) {
    const Axis& sizes = problem.axes[axis];
    at[axis] = padded_source(o[axis] * sizes.stride + a[axis] * sizes.dilation - sizes.pad_before,
                             sizes.input, padding.mode);
    if (at[axis] >= 0) continue;
    if (T(0.5) == T(0)) return static_cast<T>(padding.integer);
    return static_cast<T>(padding.value[static_cast<std::size_t>(real_channel % parts)]);
  }
  const std::complex<double> value = source.at(n, real_channel / parts, at[0], at[1], at[2]);
  return static_cast<T>(real_channel % parts == 0 ? value.real() : value.imag());
}

/// Packs every tile and looks at every (channel, position, tap) of it.
template <class T>
void expect_packed(DataType type, PaddingMode mode, Layout layout, int halvings) {
  const Problem problem = strided_problem(mode);
  const AllPhases phases = forward_phases(problem);
  Tile tile = tile_of(phases);
  for (int i = 0; i < halvings; ++i) tile.halve(1);
  const Tensor source(type, problem.input_sizes(), layout);
  std::mt19937_64 random(8);
  source.fill_with_integers(random, is_integer(type) && type != DataType::int8 ? 0 : -3, 100);
  const SourcePadding padding{
      {problem.axes[0].input, problem.axes[1].input, problem.axes[2].input}, mode, {7.0, -5.0}, 9};
  const RealView view(source.view());
  const auto load = active_kernels().typed<T>().load_block[static_cast<int>(view.type())];
  const std::vector<std::int64_t> offsets =
      tile.tap_offsets({&phases[0].runs[0], &phases[1].runs[0], &phases[2].runs[0]});
  // The first channel is left out, to see that the rest is found.
  const std::int64_t first = view.parts();
  const std::int64_t channels = (problem.c - 1) * view.parts();
  const GuardedArray<T> packed(channels * tile.channel_size());
  constexpr std::int64_t kImage = 1;
  for (std::int64_t index = 0; index < tile.tile_count(); ++index) {
    const Extent origin = tile.origin(index);
    const Extent size = tile.size_at(origin);
    direct::pack_source(tile, padding, origin, view, kImage, first, channels, load, packed.data());
    for (std::int64_t channel = 0; channel < channels; ++channel) {
      std::size_t tap = 0;
      for (std::int64_t ad = 0; ad < problem.axes[0].kernel; ++ad) {
        for (std::int64_t ah = 0; ah < problem.axes[1].kernel; ++ah) {
          for (std::int64_t aw = 0; aw < problem.axes[2].kernel; ++aw, ++tap) {
            for (std::int64_t j = 0; j < direct::product(size); ++j) {
              const Extent position{j / (size[1] * size[2]), j / size[2] % size[1], j % size[2]};
              const std::int64_t at =
                  (position[0] * tile.pitch[1] + position[1]) * tile.pitch[2] + position[2];
              const Extent o{origin[0] + position[0], origin[1] + position[1],
                             origin[2] + position[2]};
              ASSERT_EQ(packed[channel * tile.channel_size() + at + offsets[tap]],
                        padded_value<T>(problem, source, padding, kImage, first + channel, o,
                                        {ad, ah, aw}))
                  << name_of(type) << ", " << name_of(mode) << ", layout "
                  << static_cast<int>(layout) << ", " << halvings << " halvings, channel "
                  << channel << ", tap " << tap << ", position " << j;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(Packing, PutsThePaddedSourceUnderEveryTap) {
  using T = TypeParam;
  std::vector<DataType> types;
  for_each_storage_type<T>([&](auto, DataType type) { types.push_back(type); });
  if constexpr (std::is_same_v<T, float>) types.push_back(DataType::complex64);
  if constexpr (std::is_same_v<T, double>) types.push_back(DataType::complex128);
  for (const DataType type : types) {
    for (const PaddingMode mode : kPaddingModes) {
      for (const Layout layout : kLayouts) {
        for (const int halvings : {0, 2, 9}) {
          ASSERT_NO_FATAL_FAILURE(expect_packed<T>(type, mode, layout, halvings));
        }
      }
    }
  }
}

}  // namespace
}  // namespace fastconv::testing
