// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/fault_codes.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

#include "absl/strings/str_format.h"

namespace npufleet::npu {
namespace {

TEST(FaultCodesTest, EachClassHasItsCodes) {
  const std::map<const char*, FaultClass> kCodes = {
      {"80E21007", FaultClass::kNotHandle},       {"81078603", FaultClass::kNotHandle},
      {"80E20207", FaultClass::kSubHealth},       {"80C98008", FaultClass::kRestartRequest},
      {"80E01801", FaultClass::kRestartBusiness}, {"8C204E00", FaultClass::kRestartBusiness},
      {"8C084E00", FaultClass::kFreeRestartNpu},  {"80E18005", FaultClass::kRestartNpu},
      {"40F84E00", FaultClass::kRestartNpu},      {"8F180220", FaultClass::kPreSeparateNpu},
      {"80E18402", FaultClass::kSeparateNpu},     {"80E3A201", FaultClass::kSeparateNpu},
      {"80E0020B", FaultClass::kSeparateNpu}};
  for (const auto& [code, fault_class] : kCodes) EXPECT_EQ(FaultClassOf(code), fault_class) << code;
}

TEST(FaultCodesTest, EachClassHasItsAction) {
  EXPECT_EQ(ActionFor("80E21007"), FaultAction::kGoOn);
  EXPECT_EQ(ActionFor("80E20207"), FaultAction::kGoOn);
  EXPECT_EQ(ActionFor("80C98008"), FaultAction::kGoOn);
  EXPECT_EQ(ActionFor("80E01801"), FaultAction::kRestartServer);
  EXPECT_EQ(ActionFor("8C084E00"), FaultAction::kResetChip);
  EXPECT_EQ(ActionFor("80E18005"), FaultAction::kResetChip);
  EXPECT_EQ(ActionFor("8F180220"), FaultAction::kReplace);
  EXPECT_EQ(ActionFor("80E18402"), FaultAction::kReplace);
}

TEST(FaultCodesTest, TheClassesHaveAsManyCodesAsTheFieldsFile) {
  const std::map<FaultClass, size_t> kCounts = {
      {FaultClass::kNotHandle, 132},      {FaultClass::kSubHealth, 13},
      {FaultClass::kRestartRequest, 33},  {FaultClass::kRestartBusiness, 25},
      {FaultClass::kFreeRestartNpu, 23},  {FaultClass::kRestartNpu, 162},
      {FaultClass::kPreSeparateNpu, 200}, {FaultClass::kSeparateNpu, 215}};
  std::set<uint64_t> all;
  for (const auto& [fault_class, count] : kCounts) {
    const std::vector<uint64_t> codes = FaultCodesOf(fault_class);
    EXPECT_EQ(codes.size(), count);
    all.insert(codes.begin(), codes.end());
  }
  EXPECT_EQ(all.size(), 802u);
}

TEST(FaultCodesTest, EveryCodeIsFound) {
  for (int i = 0; i <= static_cast<int>(FaultClass::kSeparateNpu); ++i) {
    const auto fault_class = static_cast<FaultClass>(i);
    for (uint64_t code : FaultCodesOf(fault_class)) {
      const std::string text = absl::StrFormat("%08x", code);
      EXPECT_GE(FaultClassOf(text), fault_class) << text;
    }
  }
}

TEST(FaultCodesTest, SpellingDoesNotMatter) {
  for (const char* text : {"80E18005", "0x80E18005", "0X80e18005", "80e18005", " 80E18005\n"}) {
    EXPECT_EQ(ActionFor(text), FaultAction::kResetChip) << text;
    EXPECT_EQ(NormalFaultCode(text), "80E18005");
  }
  EXPECT_EQ(FaultClassOf("020001002"), FaultClass::kSeparateNpu);
  EXPECT_EQ(NormalFaultCode("200001002"), "200001002");
}

TEST(FaultCodesTest, ACodeOfTwoClassesIsOfTheWorse) {
  EXPECT_EQ(FaultClassOf("A2301001"), FaultClass::kSeparateNpu);
}

TEST(FaultCodesTest, WhatIsNotListedGoesOn) {
  for (const char* text : {"12345678", "", "NA", "0x", "80E18005 80E18402", "80E18402000", "é"}) {
    EXPECT_FALSE(FaultClassOf(text).has_value()) << text;
    EXPECT_EQ(ActionFor(text), FaultAction::kGoOn) << text;
  }
  EXPECT_EQ(NormalFaultCode("NA"), "NA");
}

}  // namespace
}  // namespace npufleet::npu
