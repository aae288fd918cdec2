/// Runs and taps of one axis against the formula: output o reads, under tap a, the element that
/// stands at o * stride + a * dilation of the padded input.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <vector>

#include "algorithms/direct/geometry.hpp"
#include "convolution_case.hpp"
#include "padding.hpp"

namespace fastconv::testing {
namespace {

using direct::AxisPhases;
using direct::AxisRun;

/// One product: (written element, kernel element, read element).
using Product = std::tuple<std::int64_t, std::int64_t, std::int64_t>;

/// Calls body(axis) for all small axes: pads up to several times the input, crops beyond it.
template <class Body>
void for_each_axis(Body&& body) {
  for (const std::int64_t input : {1, 2, 3, 5, 8}) {
    for (const std::int64_t kernel : {1, 2, 3, 5}) {
      for (const std::int64_t stride : {1, 2, 3, 4, 6}) {
        for (const std::int64_t dilation : {1, 2, 3, 4}) {
          for (const std::int64_t before : {-3, -1, 0, 1, 2, 7, 13}) {
            for (const std::int64_t after : {-4, -1, 0, 1, 3, 17}) {
              const std::int64_t left = input + before + after - dilation * (kernel - 1) - 1;
              if (left < 0) continue;
              body(Axis{input, kernel, left / stride + 1, stride, dilation, before, after});
            }
          }
        }
      }
    }
  }
}

std::string to_string(const Axis& axis) {
  ProblemDescription d;
  d.spatial_rank = 1;
  d.input[2] = axis.input;
  d.kernel[2] = axis.kernel;
  d.stride[2] = axis.stride;
  d.dilation[2] = axis.dilation;
  d.pad_before[2] = axis.pad_before;
  d.pad_after[2] = axis.pad_after;
  return describe(d).to_string();
}

std::int64_t kernel_element(const AxisRun& run, std::int64_t tap) {
  return run.kernel_first + tap * run.kernel_step;
}

std::int64_t source_position(const AxisPhases& phases, const direct::Tap& tap, std::int64_t j) {
  return phases.source_first + phases.residues[static_cast<std::size_t>(tap.plane)] +
         phases.source_step * (j + tap.shift);
}

/// What packing and tiling rely on: planes exist and differ, shifts reach from zero to the reach,
/// and no run that writes an element twice goes unmarked.
void expect_sound(const AxisPhases& phases) {
  ASSERT_GE(phases.plane_count(), 1);
  ASSERT_FALSE(phases.runs.empty());
  EXPECT_EQ(std::set(phases.residues.begin(), phases.residues.end()).size(),
            phases.residues.size());
  std::set<std::int64_t> shifts;
  std::int64_t longest = 0;
  bool repeats = false;
  for (const AxisRun& run : phases.runs) {
    EXPECT_GT(run.count, 0);
    longest = std::max(longest, run.count);
    repeats = repeats || (run.destination_step == 0 && run.count > 1);
    for (const direct::Tap& tap : run.taps) {
      ASSERT_GE(tap.plane, 0);
      ASSERT_LT(tap.plane, phases.plane_count());
      shifts.insert(tap.shift);
    }
  }
  EXPECT_EQ(phases.count, longest);
  EXPECT_EQ(phases.repeats, repeats);
  EXPECT_EQ(phases.reach, shifts.empty() ? 0 : *shifts.rbegin());
  EXPECT_EQ(shifts.empty() ? 0 : *shifts.begin(), 0);
}

TEST(ForwardPhases, ReadWhatTheFormulaReads) {
  for_each_axis([](const Axis& axis) {
    for (const bool flip : {false, true}) {
      const AxisPhases phases = direct::forward_phases(axis, flip);
      ASSERT_NO_FATAL_FAILURE(expect_sound(phases)) << to_string(axis);
      ASSERT_EQ(phases.runs.size(), 1u);
      ASSERT_LE(phases.plane_count(), axis.stride);
      ASSERT_FALSE(phases.adds);
      const AxisRun& run = phases.runs.front();
      ASSERT_EQ(run.count, axis.output);
      ASSERT_EQ(run.tap_count(), axis.kernel);
      for (std::int64_t j = 0; j < run.count; ++j) {
        ASSERT_EQ(run.destination(j), j);
        for (std::int64_t tap = 0; tap < axis.kernel; ++tap) {
          const std::int64_t a = kernel_element(run, tap);
          const std::int64_t step = flip ? axis.kernel - 1 - a : a;
          ASSERT_EQ(source_position(phases, run.taps[static_cast<std::size_t>(tap)], j),
                    j * axis.stride + step * axis.dilation - axis.pad_before)
              << to_string(axis);
        }
      }
    }
  });
}

/// Every product of the formula with the element of the input that it belongs to.
std::multiset<Product> products_of_formula(const Axis& axis, PaddingMode mode, bool flip) {
  std::multiset<Product> products;
  for (std::int64_t o = 0; o < axis.output; ++o) {
    for (std::int64_t a = 0; a < axis.kernel; ++a) {
      const std::int64_t step = flip ? axis.kernel - 1 - a : a;
      const std::int64_t i =
          padded_source(o * axis.stride + step * axis.dilation - axis.pad_before, axis.input, mode);
      if (i >= 0) products.emplace(i, a, o);
    }
  }
  return products;
}

/// What an element of the input holds after runs that write or add, in their order.
struct Written {
  int times = 0;  ///< by runs that do not add
  std::vector<Product> products;
};

std::map<std::int64_t, Written> execute_runs(const std::vector<AxisPhases>& all, const Axis& axis) {
  std::map<std::int64_t, Written> elements;
  for (const AxisPhases& phases : all) {
    for (const AxisRun& run : phases.runs) {
      for (std::int64_t j = run.first; j < run.count; ++j) {
        Written& element = elements[run.destination(j)];
        if (!phases.adds) {
          ++element.times;
          element.products.clear();
        }
        for (const direct::Tap& tap : run.taps) {
          const std::int64_t o = source_position(phases, tap, j);
          if (o < 0 || o >= axis.output) continue;  // zeros stand there
          element.products.emplace_back(run.destination(j),
                                        kernel_element(run, &tap - run.taps.data()), o);
        }
      }
    }
  }
  return elements;
}

void expect_backward_phases_are_right(const std::vector<AxisPhases>& all, const Axis& axis,
                                      PaddingMode mode, bool flip, bool fill_unmet) {
  ASSERT_TRUE(std::is_sorted(all.begin(), all.end(), [](const AxisPhases& a, const AxisPhases& b) {
    return a.adds < b.adds;
  })) << "what adds has to come last";
  std::multiset<Product> products;
  const auto elements = execute_runs(all, axis);
  ASSERT_EQ(static_cast<std::int64_t>(elements.size()), axis.input);
  for (const auto& [index, element] : elements) {
    ASSERT_GE(index, 0);
    ASSERT_LT(index, axis.input);
    // Without filling, elements may hold a sum already, to which each is added once.
    if (fill_unmet) {
      ASSERT_GE(element.times, 1);
    } else {
      ASSERT_EQ(element.times, 1);
    }
    products.insert(element.products.begin(), element.products.end());
  }
  ASSERT_EQ(products, products_of_formula(axis, mode, flip));
}

class BackwardPhases : public ::testing::TestWithParam<PaddingMode> {};
std::string mode_name(const ::testing::TestParamInfo<PaddingMode>& mode) {
  return name_of(mode.param);
}
INSTANTIATE_TEST_SUITE_P(Mode, BackwardPhases, ::testing::ValuesIn(kPaddingModes), mode_name);

TEST_P(BackwardPhases, AddUpTheProductsOfTheFormula) {
  for_each_axis([](const Axis& axis) {
    if (::testing::Test::HasFatalFailure()) return;
    SCOPED_TRACE(to_string(axis));
    // Both choices meet both others, without all four combinations.
    const bool flip = (axis.input + axis.kernel) % 2 == 0;
    for (const bool fill_unmet : {false, true}) {
      const bool flips = flip == fill_unmet;
      const auto all = direct::backward_phases(axis, GetParam(), flips, fill_unmet);
      for (const AxisPhases& phases : all) ASSERT_NO_FATAL_FAILURE(expect_sound(phases));
      expect_backward_phases_are_right(all, axis, GetParam(), flips, fill_unmet);
    }
  });
}

TEST_P(BackwardPhases, AreAlignedOnRequest) {
  for_each_axis([](const Axis& axis) {
    if (::testing::Test::HasFatalFailure()) return;
    SCOPED_TRACE(to_string(axis));
    const bool flip = (axis.input + axis.kernel) % 2 == 0;
    const std::vector<AxisPhases> all = direct::aligned_backward_phases(axis, GetParam(), flip);
    expect_backward_phases_are_right(all, axis, GetParam(), flip, false);
    for (const AxisPhases& phases : all) {
      ASSERT_EQ(phases.reach, all.front().reach);
      ASSERT_EQ(static_cast<std::int64_t>(phases.runs.size()), axis.stride);
      for (std::size_t r = 0; r < phases.runs.size(); ++r) {
        const AxisRun& run = phases.runs[r];
        const AxisRun& same = all.front().runs[r];
        ASSERT_EQ(run.kernel_first, same.kernel_first);
        ASSERT_EQ(run.tap_count(), same.tap_count());
        for (std::size_t tap = 0; tap < run.taps.size(); ++tap) {
          ASSERT_EQ(run.taps[tap].shift, same.taps[tap].shift);
        }
      }
    }
  });
}

/// Every position of the run once, with the taps of it that read the source and no others.
void expect_padding_left_out(const AxisPhases& all, std::int64_t size) {
  const AxisPhases cut = direct::leave_out_padding(all, size);
  ASSERT_NO_FATAL_FAILURE(expect_sound(cut));
  ASSERT_TRUE(direct::reads_inside(cut, size));
  ASSERT_TRUE(cut.whole.has_value());
  const AxisRun& whole = all.runs.front();
  std::multiset<Product> expected;
  std::multiset<Product> products;
  std::set<std::int64_t> written;
  const auto insert = [](const AxisPhases& phases, const AxisRun& run, std::int64_t j,
                         std::int64_t tap, std::multiset<Product>& into) {
    into.emplace(run.destination(j), kernel_element(run, tap),
                 source_position(phases, run.taps[static_cast<std::size_t>(tap)], j));
  };
  for (std::int64_t j = 0; j < whole.count; ++j) {
    for (std::int64_t tap = 0; tap < whole.tap_count(); ++tap) {
      const auto read = source_position(all, whole.taps[static_cast<std::size_t>(tap)], j);
      if (read >= 0 && read < size) insert(all, whole, j, tap, expected);
    }
  }
  for (const AxisRun& run : cut.runs) {
    for (std::int64_t j = 0; j < run.count; ++j) {
      ASSERT_TRUE(written.insert(run.destination(j)).second);
      for (std::int64_t tap = 0; tap < run.tap_count(); ++tap) {
        insert(cut, run, j, tap, products);
        ASSERT_EQ(kernel_element(run, tap), kernel_element(*cut.whole, run.first_tap + tap));
      }
    }
  }
  ASSERT_EQ(static_cast<std::int64_t>(written.size()), whole.count);
  ASSERT_EQ(products, expected);
}

/// The window of any number of positions is as wide as what they read, or as they are many.
void expect_windows_hold_what_is_read(const AxisPhases& phases) {
  for (std::int64_t size = 1; size <= phases.count; ++size) {
    std::int64_t window = size;
    for (const AxisRun& run : phases.runs) {
      for (std::int64_t j = 0; j < std::min(size, run.count); ++j) {
        for (const direct::Tap& tap : run.taps) window = std::max(window, j + tap.shift + 1);
      }
    }
    ASSERT_EQ(phases.window(size), window);
  }
}

TEST(LeaveOutPadding, KeepsTheProductsWithTheSource) {
  for_each_axis([](const Axis& axis) {
    if (::testing::Test::HasFatalFailure()) return;
    SCOPED_TRACE(to_string(axis));
    const bool flip = axis.input % 2 == 0;
    const AxisPhases forward = direct::forward_phases(axis, flip);
    expect_padding_left_out(forward, axis.input);
    expect_windows_hold_what_is_read(forward);
    expect_windows_hold_what_is_read(direct::leave_out_padding(forward, axis.input));
    if (axis.stride > 1) return;
    const auto backward = direct::backward_phases(axis, PaddingMode::zeros, flip, true);
    ASSERT_EQ(backward.size(), 1u);
    expect_padding_left_out(backward.front(), axis.output);
  });
}

TEST(Window, OfAPeriodIsThePeriod) {
  AxisPhases phases = direct::forward_phases(Axis{16, 3, 16, 1, 1, 1, 1}, false);
  EXPECT_EQ(phases.window(16), 18);
  phases.wraps = true;
  EXPECT_EQ(phases.window(16), 16);
}

TEST(BackwardRuns, OfAStrideMultiplyNoInsertedZeros) {
  const Axis axis{16, 3, 8, 2, 1, 1, 1};
  const std::vector<AxisPhases> all =
      direct::backward_phases(axis, PaddingMode::zeros, false, true);
  ASSERT_EQ(all.size(), 1u);
  ASSERT_EQ(all[0].runs.size(), 2u);
  EXPECT_EQ(all[0].runs[0].tap_count() + all[0].runs[1].tap_count(), axis.kernel);
}

/// numpy.pad of 0 1 2 3, written out.
TEST(PaddedSource, IsWhatNumpyPads) {
  struct Case {
    PaddingMode mode;
    std::vector<std::int64_t> sources;  ///< of positions -6 to 9
  };
  const Case cases[] = {
      {PaddingMode::zeros, {-1, -1, -1, -1, -1, -1, 0, 1, 2, 3, -1, -1, -1, -1, -1, -1}},
      {PaddingMode::constant, {-1, -1, -1, -1, -1, -1, 0, 1, 2, 3, -1, -1, -1, -1, -1, -1}},
      {PaddingMode::reflect, {0, 1, 2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2, 3}},
      {PaddingMode::symmetric, {2, 3, 3, 2, 1, 0, 0, 1, 2, 3, 3, 2, 1, 0, 0, 1}},
      {PaddingMode::replicate, {0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 3, 3, 3, 3, 3, 3}},
      {PaddingMode::circular, {2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1}},
  };
  for (const Case& expected : cases) {
    // A reflection of 0 1 2 3 has period 6, so that position -6 is element 0.
    for (std::int64_t position = -6; position < 10; ++position) {
      EXPECT_EQ(padded_source(position, 4, expected.mode),
                expected.sources[static_cast<std::size_t>(position + 6)])
          << name_of(expected.mode) << " at " << position;
    }
  }
  EXPECT_EQ(padded_source(-5, 1, PaddingMode::reflect), 0);
  EXPECT_EQ(padded_source(7, 1, PaddingMode::symmetric), 0);
}

}  // namespace
}  // namespace fastconv::testing
