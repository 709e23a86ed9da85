// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_host/check_host.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

class CheckHostTest : public ::testing::Test {
 protected:
  CheckHostTest() {
    want_.set_architecture("aarch64");
    want_.set_nic("enp67s0f0");
    want_.set_address("192.168.0.15");
    want_.add_free_ports(8006);
    host::NetworkInterface nic;
    nic.name = "enp67s0f0";
    nic.ipv4 = {"192.168.0.15"};
    nic.up = true;
    node_.system().SetInterfaces({nic});
  }

  v1::Observation Check() { return (*MakeCheckHost(want_, v1::Subject(), node_.host()))->Check(); }
  absl::Status Apply() {
    fakes::FakeExecution execution(node_.host());
    return (*MakeCheckHost(want_, v1::Subject(), node_.host()))->Apply(execution);
  }

  fakes::FakeHost node_;
  v1::CheckHost want_;
};

TEST_F(CheckHostTest, AHostThatFitsIsPresentByItsSystemAndArchitecture) {
  v1::Observation seen = Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT) << seen.reason();
  EXPECT_THAT(seen.token(), HasSubstr("aarch64"));
  EXPECT_EQ(Check().token(), seen.token());
}

TEST_F(CheckHostTest, AWrongArchitectureIsAConfigFailureThatNamesBoth) {
  node_.system().SetArchitecture("x86_64");
  EXPECT_EQ(Check().failure().class_(), v1::Failure::CONFIG);
  EXPECT_THAT(Check().reason(),
              HasSubstr("this node is x86_64, the spec's artifacts are for aarch64"));
}

TEST_F(CheckHostTest, AnInterfaceOrAddressThatTheNodeHasNotNamesWhatItHas) {
  want_.set_nic("eth7");
  EXPECT_THAT(Check().reason(), HasSubstr("no interface eth7; it has enp67s0f0 (192.168.0.15)"));
  want_.set_nic("enp67s0f0");
  want_.set_address("192.168.0.21");
  EXPECT_THAT(Check().reason(), HasSubstr("192.168.0.21 is not an address of enp67s0f0"));
  EXPECT_EQ(Check().failure().class_(), v1::Failure::CONFIG);
}

TEST_F(CheckHostTest, APortThatIsTakenNamesItsHolder) {
  node_.system().SetListeningTcpPorts({{8006, 4711, "nginx", ""}});
  EXPECT_THAT(Check().reason(), HasSubstr("port 8006 is held by nginx (pid 4711)"));
  EXPECT_EQ(Check().failure().class_(), v1::Failure::NEEDS_OPERATOR);
}

TEST_F(CheckHostTest, APortOfOurOwnIsNotTaken) {
  host::ProcessInfo engine;
  engine.pid = 4711;
  engine.environment["NPUFLEET_TASK"] = "serve@node-a";
  node_.system().AddProcess(engine);
  node_.system().SetListeningTcpPorts({{8006, 4711, "python3", ""}});
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
  host::DockerContainer container;
  container.name = "vllm-server";
  want_.add_own_containers("vllm-server");
  std::string id = node_.docker().AddContainer(container).id;
  node_.system().SetListeningTcpPorts({{8006, 0, "", id}});
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
}

TEST_F(CheckHostTest, TooLittleSpaceNamesTheFigureBeforeAnythingIsDownloaded) {
  (*want_.mutable_min_free_gib())["/data2"] = 1 << 30;
  v1::Observation seen = Check();
  EXPECT_EQ(seen.failure().signature(), "PRE-01");
  // In whole GiB: a busy disk says the same from Check to Check.
  EXPECT_THAT(seen.reason(), MatchesRegex("/data2 has [0-9]+ GiB free, 1073741824 GiB are needed"));
  EXPECT_EQ(FailureOf(Apply())->signature(), "PRE-01");
}

TEST_F(CheckHostTest, SpaceIsMeasuredOnceAndNotHeldAgainstARolloutThatUsedIt) {
  (*want_.mutable_min_free_gib())["/data2"] = 0;
  EXPECT_EQ(Check().state(), v1::Observation::ABSENT);
  EXPECT_FALSE(Check().has_failure());
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
  // It was enough for that much once; now the disk is nearly full.
  ASSERT_TRUE(
      node_.files()
          .Write("/var/lib/npufleet/agent/disk-space-seen.json", R"({"/data2": 1073741824})")
          .ok());
  (*want_.mutable_min_free_gib())["/data2"] = 1 << 30;
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
}

}  // namespace
}  // namespace npufleet::verbs
