/// Every algorithm against the reference: all passes, types, padding modes and layouts, each with a
/// few draws of sizes, strides, dilations, groups, crops and epilogues.
#include <gtest/gtest.h>

#include <initializer_list>
#include <string>
#include <tuple>

#include "convolution_case.hpp"
#include "forced_isa.hpp"
#include "padding.hpp"

namespace fastconv::testing {
namespace {

class Draw {
 public:
  explicit Draw(std::mt19937_64& random) : random_(random) {}

  std::int64_t one_of(std::initializer_list<std::int64_t> values) {
    return values.begin()[random_() % values.size()];
  }
  bool chance(std::uint64_t percent) { return random_() % 100 < percent; }

 private:
  std::mt19937_64& random_;
};

/// Sizes that fit together, small enough for the reference.
ProblemDescription draw_sizes(std::mt19937_64& random) {
  Draw draw(random);
  ProblemDescription d;
  do {
    d = {};
    d.spatial_rank = static_cast<int>(draw.one_of({1, 2, 2, 2, 3}));
    d.n = draw.one_of({1, 1, 2, 3});
    d.groups = draw.one_of({1, 1, 2, 3, 5});
    d.c_per_group = draw.one_of({1, 1, 2, 3, 4});
    d.c = d.groups * d.c_per_group;
    d.k = d.groups * draw.one_of({1, 2, 3, 5, 9});
    for (std::size_t a = static_cast<std::size_t>(3 - d.spatial_rank); a < 3; ++a) {
      d.input[a] = a == 2 ? draw.one_of({1, 2, 5, 8, 17, 21}) : draw.one_of({1, 2, 3, 5, 6});
      d.kernel[a] = draw.one_of({1, 2, 3, 3, 4});
      d.stride[a] = draw.one_of({1, 1, 2, 3, 4});
      d.dilation[a] = draw.one_of({1, 1, 2, 3});
      d.pad_before[a] = draw.one_of({0, 1, 1, 2, 3, 7, -1});
      d.pad_after[a] = draw.one_of({0, 1, 1, 2, 5, 9, -1, -2});
    }
    d.flip = draw.chance(30);
  } while (!fits(d));
  return d;
}

using Parameters = std::tuple<TypeCombination, Pass>;

class ConvolutionGrid : public ::testing::TestWithParam<Parameters> {
 protected:
  static constexpr int kDraws = 14;

  void SetUp() override { std::tie(types_, pass_) = GetParam(); }

  ProblemDescription draw(PaddingMode mode) {
    ProblemDescription d = draw_sizes(random_);
    set_types(d, pass_, types_);
    d.padding_mode = mode;
    d.padding_value = {2.0, is_complex(types_.result) ? -1.0 : 0.0};
    d.padding_integer = 2;
    return d;
  }

  CaseOptions draw_options() {
    Draw draw(random_);
    CaseOptions options;
    const std::size_t written = pass_ == Pass::forward ? 2 : pass_ == Pass::backward_input ? 0 : 1;
    for (std::size_t tensor = 0; tensor < 3; ++tensor) {
      options.layouts[tensor] = kLayouts[tensor == written ? draw.one_of({0, 0, 1, 1, 2, 3})
                                                           : draw.one_of({0, 0, 1, 1, 2, 3, 4})];
    }
    options.threads = static_cast<int>(draw.one_of({1, 1, 2, 3}));
    options.packed = draw.chance(50);
    options.bias_stride = draw.one_of({1, 1, 3, -1, 0});
    return options;
  }

  std::mt19937_64 random_{20};
  TypeCombination types_{};
  Pass pass_{};
};
std::string parameters_name(const ::testing::TestParamInfo<Parameters>& parameters) {
  const auto& [types, pass] = parameters.param;
  return std::string(name_of(pass)) + "_" + name_of(types.first) + "_" + name_of(types.second);
}
INSTANTIATE_TEST_SUITE_P(Types, ConvolutionGrid,
                         ::testing::Combine(::testing::ValuesIn(kTypeCombinations),
                                            ::testing::ValuesIn(kPasses)),
                         parameters_name);

TEST_P(ConvolutionGrid, EqualsTheReference) {
  for (const PaddingMode mode : kPaddingModes) {
    for (int i = 0; i < kDraws; ++i) {
      ProblemDescription d = draw(mode);
      d.conjugate = is_complex(types_.result) && i % 2 == 1 && pass_ != Pass::forward;
      expect_equal_to_reference(describe(d), draw_options(), random_);
    }
  }
}

/// Sums with what is there in every pass and mode; biases and activations where they are defined.
TEST_P(ConvolutionGrid, EqualsTheReferenceWithAnEpilogue) {
  for (const PaddingMode mode : kPaddingModes) {
    const bool sums_only =
        pass_ == Pass::backward_weight || (pass_ == Pass::backward_input && repeats_input(mode));
    for (int i = 0; i < kDraws; ++i) {
      ProblemDescription d = draw(mode);
      d.accumulate = sums_only || i % 2 == 0;
      d.has_bias = !sums_only && i % 4 != 0;
      if (i % 3 != 0 && !sums_only && !is_complex(types_.result)) {
        d.activation = i % 3 == 1 ? Activation::relu : Activation::relu6;
      }
      expect_equal_to_reference(describe(d), draw_options(), random_);
    }
  }
}

}  // namespace
}  // namespace fastconv::testing
