/// describe(): sizes that follow, rules of padding, and errors that name the argument.
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "fastconv/error.hpp"
#include "fastconv/problem.hpp"

namespace fastconv {
namespace {

ProblemDescription image(std::int64_t input, std::int64_t kernel, std::int64_t stride = 1,
                         std::int64_t dilation = 1) {
  ProblemDescription d;
  d.spatial_rank = 1;
  d.input[2] = input;
  d.kernel[2] = kernel;
  d.stride[2] = stride;
  d.dilation[2] = dilation;
  return d;
}

/// How many windows fit, by trying every start.
std::int64_t count_windows(const Axis& axis) {
  std::int64_t count = 0;
  const std::int64_t padded = axis.input + axis.pad_before + axis.pad_after;
  for (std::int64_t start = 0; start + axis.dilation * (axis.kernel - 1) < padded;
       start += axis.stride) {
    ++count;
  }
  return count;
}

template <class Body>
void for_each_axis(Body&& body) {
  for (std::int64_t input = 1; input <= 9; ++input) {
    for (std::int64_t kernel = 1; kernel <= 4; ++kernel) {
      for (std::int64_t stride = 1; stride <= 4; ++stride) {
        for (std::int64_t dilation = 1; dilation <= 3; ++dilation) {
          body(image(input, kernel, stride, dilation));
        }
      }
    }
  }
}

TEST(Describe, OutputCountsTheWindowsThatFit) {
  for_each_axis([](ProblemDescription d) {
    for (const std::int64_t before : {-2, 0, 1, 5}) {
      for (const std::int64_t after : {-1, 0, 2, 9}) {
        d.pad_before[2] = before;
        d.pad_after[2] = after;
        const std::int64_t reach = d.dilation[2] * (d.kernel[2] - 1);
        if (d.input[2] + before + after < reach + 1) {
          EXPECT_THROW(describe(d), ValueError);
        } else {
          const Axis axis = describe(d).axes[2];
          ASSERT_EQ(axis.output, count_windows(axis));
          ASSERT_EQ(axis.pad_before, before);
          ASSERT_EQ(axis.pad_after, after);
        }
      }
    }
  });
}

TEST(Describe, SameKeepsTheSizeAndPutsTheOddElementAside) {
  for_each_axis([](ProblemDescription d) {
    for (const PaddingRule rule : {PaddingRule::same, PaddingRule::same_lower}) {
      d.padding_rule = rule;
      const Axis axis = describe(d).axes[2];
      ASSERT_EQ(axis.output, (axis.input + axis.stride - 1) / axis.stride);
      ASSERT_EQ(axis.output, count_windows(axis));
      const std::int64_t odd = rule == PaddingRule::same ? axis.pad_after - axis.pad_before
                                                         : axis.pad_before - axis.pad_after;
      ASSERT_TRUE(odd == 0 || odd == 1) << axis.pad_before << ", " << axis.pad_after;
      // No more than that output needs.
      const std::int64_t total = axis.pad_before + axis.pad_after;
      ASSERT_TRUE(total == 0 || axis.input + total == (axis.output - 1) * axis.stride +
                                                          axis.dilation * (axis.kernel - 1) + 1);
    }
  });
}

TEST(Describe, FullAndValid) {
  for_each_axis([](ProblemDescription d) {
    const std::int64_t reach = d.dilation[2] * (d.kernel[2] - 1);
    d.padding_rule = PaddingRule::full;
    EXPECT_EQ(describe(d).axes[2].pad_before, reach);
    EXPECT_EQ(describe(d).axes[2].pad_after, reach);
    d.padding_rule = PaddingRule::valid;
    d.pad_before[2] = 7;  // amounts are not read under a rule
    if (d.input[2] > reach) {
      EXPECT_EQ(describe(d).axes[2].pad_before, 0);
      EXPECT_EQ(describe(d).axes[2].pad_after, 0);
    }
  });
}

TEST(Describe, KeepsEveryOption) {
  ProblemDescription d = image(8, 3);
  d.pass = Pass::backward_input;
  d.input_type = d.weight_type = d.output_type = DataType::complex64;
  d.n = 2;
  d.groups = 3;
  d.c = 6;
  d.c_per_group = 2;
  d.k = 9;
  d.padding_mode = PaddingMode::constant;
  d.padding_value = {1.5, -2.0};
  d.padding_integer = 4;
  d.flip = d.conjugate = d.has_bias = d.accumulate = true;
  const Problem problem = describe(d);
  EXPECT_EQ(problem.pass, Pass::backward_input);
  EXPECT_EQ(problem.result_type(), DataType::complex64);
  EXPECT_EQ(problem.compute_type(), ComputeType::float32);
  EXPECT_EQ(problem.g, 3);
  EXPECT_EQ(problem.padding_value, std::complex<double>(1.5, -2.0));
  EXPECT_EQ(problem.padding_integer, 4);
  EXPECT_TRUE(problem.flip && problem.conjugate && problem.has_bias && problem.accumulate);
  EXPECT_EQ(problem.input_sizes(), (std::array<std::int64_t, 5>{2, 6, 1, 1, 8}));
  EXPECT_EQ(problem.weight_sizes(), (std::array<std::int64_t, 5>{9, 2, 1, 1, 3}));
  EXPECT_EQ(problem.output_sizes(), (std::array<std::int64_t, 5>{2, 9, 1, 1, 6}));
  EXPECT_EQ(problem.multiply_adds(), 4.0 * 2 * 9 * 2 * 6 * 3);
}

TEST(Describe, ResultAndComputeTypesFollowThePass) {
  ProblemDescription d = image(8, 3);
  d.input_type = DataType::int8;
  d.weight_type = DataType::uint8;
  d.output_type = DataType::int32;
  EXPECT_EQ(describe(d).compute_type(), ComputeType::int32);
  d.pass = Pass::backward_weight;
  d.weight_type = DataType::int64;
  EXPECT_EQ(describe(d).result_type(), DataType::int64);
  EXPECT_EQ(describe(d).compute_type(), ComputeType::int64);
  d = image(8, 3);
  d.input_type = d.weight_type = d.output_type = DataType::float16;
  EXPECT_EQ(describe(d).compute_type(), ComputeType::float32);
  d.input_type = d.weight_type = d.output_type = DataType::complex128;
  EXPECT_EQ(describe(d).compute_type(), ComputeType::float64);
}

TEST(Describe, NothingToConjugateInRealProblems) {
  ProblemDescription d = image(8, 3);
  d.conjugate = true;
  EXPECT_FALSE(describe(d).conjugate);
}

TEST(Describe, EmptyBatchAndNoChannelsAreProblems) {
  ProblemDescription d = image(8, 3);
  d.n = 0;
  EXPECT_EQ(describe(d).n, 0);
  d = image(8, 3);
  d.c = d.c_per_group = 0;
  EXPECT_EQ(describe(d).c, 0);
  d = image(8, 3);
  d.k = 0;
  EXPECT_EQ(describe(d).k, 0);
}

struct ErrorCase {
  const char* name;
  std::function<void(ProblemDescription&)> change;
  std::vector<std::string> words;  ///< that the message has to hold
};

class DescribeErrors : public ::testing::TestWithParam<ErrorCase> {};
std::string error_case_name(const ::testing::TestParamInfo<ErrorCase>& error_case) {
  return error_case.param.name;
}

constexpr std::int64_t kHuge = std::int64_t{1} << 39;
constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kLeast = std::numeric_limits<std::int64_t>::min();

INSTANTIATE_TEST_SUITE_P(
    Argument, DescribeErrors,
    ::testing::Values(
        ErrorCase{"groups_zero", [](auto& d) { d.groups = 0; }, {"groups", "0"}},
        ErrorCase{"groups_of_input", [](auto& d) { d.groups = 3; }, {"groups", "3", "4", "input"}},
        ErrorCase{"groups_of_weight",
                  [](auto& d) { d.groups = 4, d.c_per_group = 1; },
                  {"groups", "4", "6", "output"}},
        ErrorCase{"channels", [](auto& d) { d.c_per_group = 3; }, {"weight", "3", "4"}},
        ErrorCase{"channels_of_groups",
                  [](auto& d) { d.c_per_group = 2; },
                  {"weight", "2", "4", "groups=2"}},
        ErrorCase{"negative_batch", [](auto& d) { d.n = -1; }, {"input", "batch", "-1"}},
        ErrorCase{"negative_channels",
                  [](auto& d) { d.c = d.c_per_group = -1; },
                  {"input", "channels", "-1"}},
        ErrorCase{"input_zero", [](auto& d) { d.input[1] = 0; }, {"input", "0", "height"}},
        ErrorCase{"kernel_zero", [](auto& d) { d.kernel[2] = 0; }, {"weight", "0", "width"}},
        ErrorCase{"stride_zero", [](auto& d) { d.stride[2] = 0; }, {"stride", "0", "width"}},
        ErrorCase{
            "dilation_negative", [](auto& d) { d.dilation[1] = -2; }, {"dilation", "-2", "height"}},
        ErrorCase{"kernel_too_large",
                  [](auto& d) { d.kernel[2] = 12, d.pad_before[2] = 2; },
                  {"weight", "12", "11", "width", "padding"}},
        ErrorCase{"dilated_kernel_too_large",
                  [](auto& d) { d.dilation[2] = 5; },
                  {"weight", "3", "11", "9", "width"}},
        ErrorCase{
            "crop_too_large", [](auto& d) { d.pad_after[1] = -6; }, {"weight", "2", "height"}},
        ErrorCase{"padding_huge", [](auto& d) { d.pad_before[1] = kMost; }, {"padding", "height"}},
        ErrorCase{"padding_lowest", [](auto& d) { d.pad_after[2] = kLeast; }, {"padding", "width"}},
        ErrorCase{"reach_overflows",
                  [](auto& d) { d.dilation[2] = kHuge, d.kernel[2] = kHuge; },
                  {"dilation"}},
        ErrorCase{"input_overflows",
                  [](auto& d) { d.n = kHuge, d.input[2] = kHuge; },
                  {"input", "549755813888"}},
        ErrorCase{"output_overflows",
                  [](auto& d) { d.n = 1 << 30, d.k = kHuge; },
                  {"output", "549755813888"}},
        ErrorCase{"weight_overflows",
                  [](auto& d) { d.k = d.c = d.c_per_group = kHuge; },
                  {"weight", "549755813888"}},
        ErrorCase{"padded_input_overflows",
                  [](auto& d) { d.pad_before = d.stride = {0, kHuge, kHuge}, d.stride[0] = 1; },
                  {"padding", "10995116"}},
        ErrorCase{"stride_huge", [](auto& d) { d.stride[2] = kMost; }, {"stride", "width"}}),
    error_case_name);

TEST_P(DescribeErrors, NameTheArgumentAndWhatItGot) {
  ProblemDescription d;
  d.c = d.c_per_group = 4;
  d.k = 6;
  d.input = {1, 8, 9};
  d.kernel = {1, 3, 3};
  ASSERT_NO_THROW(describe(d));
  GetParam().change(d);
  try {
    describe(d);
    FAIL() << "nothing was thrown";
  } catch (const ValueError& error) {
    const std::string message = error.what();
    for (const std::string& word : GetParam().words) {
      EXPECT_NE(message.find(word), std::string::npos) << "'" << word << "' in: " << message;
    }
    EXPECT_EQ(message.find(GetParam().words.front()), 0u) << message;
  }
}

TEST(Describe, ActivationsAreForTheirTypes) {
  ProblemDescription d = image(8, 3);
  d.activation = Activation::relu;
  d.input_type = d.weight_type = d.output_type = DataType::complex64;
  EXPECT_THROW(describe(d), TypeError);
  d.input_type = d.weight_type = DataType::int8;
  d.output_type = DataType::int32;
  EXPECT_NO_THROW(describe(d));
  d.activation = Activation::gelu;
  EXPECT_THROW(describe(d), TypeError);
}

TEST(Describe, TypesHaveToFitTheResult) {
  using enum DataType;
  const auto with_types = [](DataType input, DataType weight, DataType output) {
    ProblemDescription d = image(8, 3);
    d.input_type = input;
    d.weight_type = weight;
    d.output_type = output;
    return d;
  };
  EXPECT_THROW(describe(with_types(float32, float64, float64)), TypeError);
  EXPECT_THROW(describe(with_types(float32, complex64, complex64)), TypeError);
  EXPECT_THROW(describe(with_types(float64, float64, float32)), TypeError);
  EXPECT_THROW(describe(with_types(int8, int8, float32)), TypeError);
  EXPECT_THROW(describe(with_types(float32, float32, int64)), TypeError);
  EXPECT_THROW(describe(with_types(int16, int8, int32)), TypeError);
  EXPECT_THROW(describe(with_types(int8, int8, int8)), TypeError);
  EXPECT_THROW(describe(with_types(int64, int64, uint64)), TypeError);
  EXPECT_THROW(describe(with_types(int64, float64, int64)), TypeError);
  EXPECT_NO_THROW(describe(with_types(bfloat16, bfloat16, bfloat16)));
  EXPECT_NO_THROW(describe(with_types(int8, uint8, int32)));
  EXPECT_NO_THROW(describe(with_types(uint64, int8, int64)));
}

/// Passes that write an element several times could not apply an epilogue once.
TEST(Describe, EpiloguesAreForPassesThatWriteOnce) {
  ProblemDescription d = image(8, 3);
  d.pass = Pass::backward_weight;
  d.has_bias = true;
  EXPECT_THROW(describe(d), UnsupportedError);
  d.has_bias = false;
  d.activation = Activation::relu;
  EXPECT_THROW(describe(d), UnsupportedError);
  d.pass = Pass::backward_input;
  EXPECT_NO_THROW(describe(d));
  d.padding_mode = PaddingMode::reflect;
  EXPECT_THROW(describe(d), UnsupportedError);
  d.activation = Activation::none;
  d.has_bias = true;
  EXPECT_THROW(describe(d), UnsupportedError);
  d.padding_mode = PaddingMode::zeros;
  EXPECT_NO_THROW(describe(d));
}

TEST(TransposedOutputSize, IsTheInputThatTheForwardPassWouldHave) {
  for (std::int64_t input = 1; input < 6; ++input) {
    for (std::int64_t kernel = 1; kernel < 5; ++kernel) {
      for (std::int64_t stride = 1; stride < 4; ++stride) {
        for (std::int64_t padding = 0; padding < 3; ++padding) {
          const std::int64_t size = transposed_output_size(input, kernel, stride, 2, padding, 0);
          if (size < 1 || size + padding < 2 * (kernel - 1) + 1) continue;
          ProblemDescription d = image(size, kernel, stride, 2);
          d.pad_before[2] = padding;
          ASSERT_EQ(describe(d).axes[2].output, input);
        }
      }
    }
  }
  EXPECT_EQ(transposed_output_size(4, 3, 2, 1, 2, 1), 8);
  EXPECT_THROW(transposed_output_size(kHuge, 1, kHuge, 1, 0, 0), ValueError);
  EXPECT_THROW(transposed_output_size(2, kHuge, 1, kHuge, 0, 0), ValueError);
}

TEST(Describe, RefusesRanksThatAreNone) {
  for (const int rank : {-1, 0, 4}) {
    ProblemDescription d;
    d.spatial_rank = rank;
    EXPECT_THROW(describe(d), ValueError) << rank;
  }
  ProblemDescription d;
  d.spatial_rank = 1;
  d.input = {1, 2, 8};
  EXPECT_THROW(describe(d), ValueError);
}

TEST(Describe, ConjugatesGoingBackwardAlone) {
  ProblemDescription d;
  d.input_type = d.weight_type = d.output_type = DataType::complex64;
  d.conjugate = true;
  EXPECT_FALSE(describe(d).conjugate);
  d.pass = Pass::backward_input;
  EXPECT_TRUE(describe(d).conjugate);
}

TEST(TransposedOutputSize, RefusesPaddingBeyondMeasure) {
  constexpr std::int64_t kLowest = std::numeric_limits<std::int64_t>::min();
  EXPECT_THROW(transposed_output_size(2, 1, 1, 1, kLowest, 0), ValueError);
}

TEST(ToString, IsOneLineOfThatVocabulary) {
  ProblemDescription d;
  d.c = d.c_per_group = 64;
  d.k = 64;
  d.input = {1, 56, 56};
  d.kernel = {1, 3, 3};
  d.pad_before = d.pad_after = {0, 1, 1};
  EXPECT_EQ(describe(d).to_string(),
            "n1 c64 k64 ih56 iw56 kh3 kw3 oh56 ow56 ph1 pw1 forward float32");
  ProblemDescription signal = image(20, 3, 2, 3);
  signal.c = signal.groups = 2;
  signal.k = 4;
  signal.pad_before[2] = 1;
  signal.pad_after[2] = -2;
  signal.padding_mode = PaddingMode::reflect;
  signal.flip = signal.accumulate = true;
  signal.pass = Pass::backward_weight;
  EXPECT_EQ(describe(signal).to_string(),
            "n1 g2 c2 k4 iw20 kw3 ow7 sw2 dw3 pw1/-2 padding_mode=reflect flip accumulate "
            "backward_weight float32");
  signal.pass = Pass::forward;
  signal.activation = Activation::relu;
  EXPECT_EQ(describe(signal).to_string(),
            "n1 g2 c2 k4 iw20 kw3 ow7 sw2 dw3 pw1/-2 padding_mode=reflect flip activation=relu "
            "accumulate forward float32");
}

}  // namespace
}  // namespace fastconv
