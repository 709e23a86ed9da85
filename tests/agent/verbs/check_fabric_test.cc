// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_fabric/check_fabric.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;

class CheckFabricTest : public ::testing::Test {
 protected:
  CheckFabricTest() {
    for (int chip = 0; chip < 2; ++chip) {
      want_.add_chips(chip);
      Answer(chip, "-ip", absl::StrCat("ipaddr:29.1.0.", chip, "\nnetmask:255.255.0.0\n"));
      Answer(chip, "-tls", absl::StrCat("dev_id:", chip, ", tls switch[0](0:disable, 1:enable)\n"));
      Answer(chip, "-link", "link status: UP\n");
    }
  }
  void Answer(int chip, const std::string& what, const std::string& text, int exit_code = 0) {
    node_.programs().On({"hccn_tool", "-i", absl::StrCat(chip), what, "-g"}, text, "", exit_code);
  }
  v1::Observation Check() {
    return (*MakeCheckFabric(want_, v1::Subject(), node_.host()))->Check();
  }

  fakes::FakeHost node_;
  v1::CheckFabric want_;
};

TEST_F(CheckFabricTest, TheTokenIsAddressesAndTls) {
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(Check().token(), "0=29.1.0.0 1=29.1.0.1 tls=0");
}

TEST_F(CheckFabricTest, AChipWithoutAddressNeedsAPerson) {
  Answer(1, "-ip", "");
  EXPECT_EQ(Check().failure().class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(Check().reason(), HasSubstr("chip 1 has no address"));
}

TEST_F(CheckFabricTest, TlsSwitchesThatDifferAreNamed) {
  Answer(1, "-tls", "dev_id:1, tls switch[1](0:disable, 1:enable)\n");
  EXPECT_EQ(Check().failure().signature(), "NET-05");
}

TEST_F(CheckFabricTest, ALinkThatIsDownIsHardwareOnceTheNodeHasSettled) {
  Answer(0, "-link", "link status: DOWN\n");
  EXPECT_EQ(Check().failure().class_(), v1::Failure::HARDWARE);
  node_.system().SetUptime(absl::Minutes(1));
  EXPECT_EQ(Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(CheckFabricTest, WhatTheToolDoesNotSayIsUnknown) {
  Answer(0, "-ip", "device 0 is not exist or not ready, ret is 4\n", 1);
  EXPECT_EQ(Check().state(), v1::Observation::UNKNOWN);
  Answer(0, "-ip", "ipaddr:29.1.0.0\n");
  Answer(0, "-tls", "\xff\xfe");
  EXPECT_EQ(Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(CheckFabricTest, ApplyWaitsForALinkAndNamesWhatStays) {
  node_.system().SetUptime(absl::Minutes(1));
  int calls = 0;
  node_.programs().On(
      {"hccn_tool", "-i", "0", "-link", "-g"},
      [&](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
        return host::ProcessResult{0, ++calls < 3 ? "link status: DOWN\n" : "link status: UP\n", "",
                                   false};
      });
  fakes::FakeExecution execution(node_.host());
  EXPECT_TRUE((*MakeCheckFabric(want_, v1::Subject(), node_.host()))->Apply(execution).ok());
  EXPECT_EQ(calls, 3);
}

}  // namespace
}  // namespace npufleet::verbs
