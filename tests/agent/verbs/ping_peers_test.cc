// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_fabric/ping_peers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "agent/verbs/check_fabric/check_fabric.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;

class PingPeersTest : public ::testing::Test {
 protected:
  PingPeersTest() {
    for (const int chip : {0, 1}) {
      want_.add_chips(static_cast<uint32_t>(chip));
      Answer(chip, absl::StrCat("29.2.0.", chip), 3);
    }
    want_.add_peers()->set_node("node-b");
    Input("fabric", "0=29.1.0.0 1=29.1.0.1 tls=0");
    Input("fabric@node-b", "0=29.2.0.0 1=29.2.0.1 tls=0");
  }
  void Input(const std::string& name, const std::string& token) {
    (*subject_.mutable_inputs())[name] = token;
  }
  void Answer(int chip, const std::string& address, int received) {
    node_.programs().On(
        {"hccn_tool", "-i", absl::StrCat(chip), "-ping", "-g", "address", address},
        absl::StrCat("device ", chip, " PING ", address, "\n3 packets transmitted, ", received,
                     " received, ", received == 0 ? "100" : "0", ".00% packet loss\n"));
  }
  std::unique_ptr<Verb> Make() {
    return std::move(*MakeCheckFabric(want_, subject_, node_.host()));
  }

  fakes::FakeHost node_;
  v1::CheckFabric want_;
  v1::Subject subject_;
};

TEST_F(PingPeersTest, EachChipPingsItsPartner) {
  const v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT);
  EXPECT_EQ(seen.token(), "2 rails to node-b");
}

TEST_F(PingPeersTest, ASilentRailIsNamedAndMayComeUp) {
  Answer(1, "29.2.0.1", 0);
  const v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_FALSE(seen.has_failure()) << "the peer may be booting";
  EXPECT_EQ(seen.reason(), "chip 1 does not reach chip 1 of node-b (29.2.0.1)");
}

TEST_F(PingPeersTest, ARailThatStaysSilentIsHardware) {
  Answer(0, "29.2.0.0", 0);
  fakes::FakeExecution execution(node_.host());
  const v1::Failure failure = ToFailure(Make()->Apply(execution));
  EXPECT_EQ(failure.class_(), v1::Failure::HARDWARE);
  EXPECT_EQ(failure.signature(), "NET-04");
  EXPECT_THAT(failure.symptom(), HasSubstr("chip 0 does not reach chip 0 of node-b"));
}

TEST_F(PingPeersTest, TlsSwitchesOfTwoNodesMustBeTheSame) {
  Input("fabric@node-b", "0=29.2.0.0 1=29.2.0.1 tls=1");
  const v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.failure().signature(), "NET-05");
  EXPECT_THAT(seen.reason(), HasSubstr("of this node's chips is off, of those of node-b on"));
}

TEST_F(PingPeersTest, WithoutThePeersAddressesNothingIsSaid) {
  subject_.mutable_inputs()->erase("fabric@node-b");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(PingPeersTest, WhatTheToolDoesNotSayIsUnknown) {
  node_.programs().On({"hccn_tool", "-i", "0", "-ping"}, "device 0 is not ready\n");
  node_.programs().On({"hccn_tool", "-i", "0", "-ping", "-g", "address", "29.2.0.0"}, "\xff\n");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
}

}  // namespace
}  // namespace npufleet::verbs
