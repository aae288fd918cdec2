#pragma once

#include <gtest/gtest.h>

#include <cstdlib>

#include "fastconv/cpu.hpp"

/// Included by every test that runs once for each instruction set: the one that was asked for has
/// to be the one that runs.
TEST(ForcedIsa, IsTheActiveOne) {
  const char* forced = std::getenv("FASTCONV_FORCE_ISA");
  const char* active = fastconv::active_isa();
  if (forced == nullptr || *forced == '\0') {
    EXPECT_STREQ(active, fastconv::supported_isas().front());
  } else {
    EXPECT_STREQ(active, forced);
  }
}
