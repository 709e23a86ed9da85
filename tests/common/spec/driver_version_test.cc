// SPDX-License-Identifier: Apache-2.0
#include "common/spec/driver_version.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace npufleet::spec {
namespace {

TEST(DriverVersionTest, OlderComesFirst) {
  const std::vector<std::string> sorted = {"22.0.4.1", "23.0.rc3",   "23.0.7",  "24.1.rc2",
                                           "24.1.rc3", "24.1.rc3.7", "24.1.0",  "25.0.rc1.b080",
                                           "25.2.0",   "25.10.0",    "26.0.rc1"};
  for (size_t i = 0; i < sorted.size(); ++i) {
    for (size_t j = 0; j < sorted.size(); ++j) {
      const int compared = CompareDriverVersions(sorted[i], sorted[j]);
      EXPECT_EQ(compared < 0, i < j) << sorted[i] << " " << sorted[j];
      EXPECT_EQ(compared == 0, i == j) << sorted[i] << " " << sorted[j];
    }
  }
  EXPECT_EQ(CompareDriverVersions("25.2", "25.2.0"), 0);
  EXPECT_LT(CompareDriverVersions("7.7.t20.0.b200", "7.7.0.1.231"), 0);
  EXPECT_LT(CompareDriverVersions("7.1.0.5.220", "7.7.t20.0.b200"), 0);
}

TEST(DriverVersionTest, ARangeHoldsBothItsEnds) {
  EXPECT_TRUE(AcceptsDriverVersion("24.1.rc3", "24.1.rc3"));
  EXPECT_FALSE(AcceptsDriverVersion("24.1.rc3", "24.1.rc2"));
  EXPECT_TRUE(AcceptsDriverVersion("24.1.rc3..25.2.0", "24.1.rc3"));
  EXPECT_TRUE(AcceptsDriverVersion("24.1.rc3..25.2.0", "25.2.0"));
  EXPECT_FALSE(AcceptsDriverVersion("24.1.rc3..25.2.0", "25.2.1"));
  EXPECT_FALSE(AcceptsDriverVersion("24.1.rc3..25.2.0", ""));
}

TEST(DriverVersionTest, AnEntryIsAVersionOrARangeInOrder) {
  for (const char* entry : {"24.1.rc3", "24.1.rc3..25.2.0", "7.7.t20.0.b200"}) {
    EXPECT_TRUE(IsDriverVersionEntry(entry)) << entry;
  }
  for (const char* entry :
       {"", "any", "25.2.0..24.1.rc3", "24.1..", "..25", "24.1 - 25.2", ">=24"}) {
    EXPECT_FALSE(IsDriverVersionEntry(entry)) << entry;
  }
}

}  // namespace
}  // namespace npufleet::spec
