/// The choice of the instruction set, each in a process of its own, because it is made once.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "fastconv/cpu.hpp"
#include "fastconv/error.hpp"
#include "kernels/kernel_table.hpp"

namespace fastconv {
namespace {

bool contains(const std::vector<const char*>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

/// Chooses under an environment and ends the process: 0 and the name, 2 for an unknown name, 3 for
/// one that this machine lacks.
[[noreturn]] void choose_and_exit(const char* forced) {
  if (forced == nullptr) {
    unsetenv("FASTCONV_FORCE_ISA");
  } else {
    setenv("FASTCONV_FORCE_ISA", forced, 1);
  }
  try {
    std::fprintf(stderr, "chose %s\n", active_isa());
    std::exit(0);
  } catch (const ValueError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::exit(2);
  } catch (const UnsupportedError& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::exit(3);
  }
}

// Suites with this ending run before all others, so that nothing has been chosen when they fork.
TEST(CpuDeathTest, EverySupportedIsaCanBeForced) {
  for (const std::string name : supported_isas()) {
    EXPECT_EXIT(choose_and_exit(name.c_str()), ::testing::ExitedWithCode(0), "chose " + name);
  }
}

TEST(CpuDeathTest, TheBestOneIsChosenWhereNoneIsForced) {
  const std::string expected = std::string("chose ") + supported_isas().front();
  EXPECT_EXIT(choose_and_exit(nullptr), ::testing::ExitedWithCode(0), expected);
  EXPECT_EXIT(choose_and_exit(""), ::testing::ExitedWithCode(0), expected);
}

TEST(CpuDeathTest, AnUnknownIsaIsAnErrorThatNamesTheOthers) {
  EXPECT_EXIT(choose_and_exit("avx1024"), ::testing::ExitedWithCode(2),
              "FASTCONV_FORCE_ISA: got 'avx1024'.*generic");
  EXPECT_EXIT(choose_and_exit("AVX2"), ::testing::ExitedWithCode(2), "got 'AVX2'");
}

TEST(CpuDeathTest, AnIsaThatTheMachineLacksIsAnErrorThatNamesTheOthers) {
  for (const std::string name : compiled_isas()) {
    if (contains(supported_isas(), name)) continue;
    EXPECT_EXIT(choose_and_exit(name.c_str()), ::testing::ExitedWithCode(3),
                "got '" + name + "', which this machine cannot run.*generic");
  }
}

TEST(Cpu, TheActiveIsaIsSupportedAndThatOfTheKernels) {
  EXPECT_TRUE(contains(supported_isas(), active_isa()));
  EXPECT_STREQ(active_isa(), active_kernels().isa);
}

TEST(Cpu, SupportedIsasAreAmongTheCompiledInTheSameOrder) {
  const std::vector<const char*> compiled = compiled_isas();
  std::size_t next = 0;
  for (const std::string name : supported_isas()) {
    while (next < compiled.size() && name != compiled[next]) ++next;
    ASSERT_LT(next, compiled.size()) << name;
  }
  EXPECT_STREQ(compiled.back(), "generic");
  EXPECT_STREQ(supported_isas().back(), "generic");
}

TEST(Cpu, TheSecondLevelCacheHasAPlausibleSize) {
  EXPECT_GE(second_level_cache_bytes(), std::size_t{64} << 10);
  EXPECT_LE(second_level_cache_bytes(), std::size_t{1} << 30);
}

}  // namespace
}  // namespace fastconv
