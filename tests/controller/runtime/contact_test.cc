// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/contact.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npufleet::runtime {
namespace {

using testing::HasSubstr;

const absl::Time kNow = absl::FromUnixSeconds(1000);
// As gRPC says it.
constexpr char kRefused[] =
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:198.18.0.12:7602: Failed to "
    "connect to remote host: Connection refused";
constexpr char kNoRoute[] =
    "failed to connect to all addresses; last error: UNKNOWN: ipv4:198.18.0.12:7602: Failed to "
    "connect to remote host: No route to host";

Contact Lost(const std::string& reason, const std::string& attempt) {
  return {.connected = false,
          .reason = reason,
          .attempt = attempt,
          .since = kNow - absl::Seconds(12),
          .boot_id = "boot-1"};
}

core::Node ToldToReboot() {
  core::Node node;
  node.reboot = core::StartOperation{.operation = "7/q/1/reboot@node-b/1"};
  node.reboot_since = kNow - absl::Seconds(20);
  node.reboot_reason = "an operator asked for it";
  return node;
}

TEST(ContactTest, SilenceIsACutOrAPowerLossAndTheBootIdWillTell) {
  const v1::RolloutNode node =
      NodeOf("node-b", Lost("no sign of life for 4s", kNoRoute), nullptr, kNow);
  EXPECT_EQ(node.reach(), v1::UNREACHABLE);
  EXPECT_EQ(node.reason(),
            "lost 12s ago: no sign of life for 4s; nothing answers: cut off, without power, or "
            "hanging; its boot id tells which when it is back");
  EXPECT_EQ(node.boot_id(), "boot-1");
}

TEST(ContactTest, ARefusedConnectionIsAMachineWithoutItsAgent) {
  const v1::RolloutNode node =
      NodeOf("node-b", Lost("no sign of life for 4s", kRefused), nullptr, kNow);
  EXPECT_EQ(node.reach(), v1::AGENT_DOWN);
  EXPECT_THAT(node.reason(), HasSubstr("the machine answers, its agent does not run"));
}

TEST(ContactTest, AnAgentThatEndedInOrderOnAMachineThatIsSilentWentDownWithIt) {
  const v1::RolloutNode node =
      NodeOf("node-b", Lost("its agent closed the connection", kNoRoute), nullptr, kNow);
  EXPECT_EQ(node.reach(), v1::UNREACHABLE);
  EXPECT_THAT(node.reason(), HasSubstr("it was shut down or reboots"));
}

TEST(ContactTest, AnAnnouncedRebootExplainsWhateverIsSeenMeanwhile) {
  const core::Node told = ToldToReboot();
  v1::RolloutNode node =
      NodeOf("node-b", Lost("its agent closed the connection", kNoRoute), &told, kNow);
  EXPECT_EQ(node.reach(), v1::REBOOTING);
  EXPECT_EQ(node.reason(),
            "was told to reboot 20s ago (an operator asked for it); another boot id ends it; "
            "nothing answers");
  node = NodeOf("node-b", Lost("no sign of life for 4s", kRefused), &told, kNow);
  EXPECT_EQ(node.reach(), v1::REBOOTING);
  EXPECT_THAT(node.reason(), HasSubstr("answers again, its agent does not run yet"));
}

TEST(ContactTest, ANodeThatWasNeverReachedSaysSo) {
  Contact contact;
  contact.attempt = kNoRoute;
  const v1::RolloutNode node = NodeOf("node-b", contact, nullptr, kNow);
  EXPECT_EQ(node.reach(), v1::NOT_REACHED);
  EXPECT_THAT(node.reason(), HasSubstr("nothing answers"));
  EXPECT_FALSE(node.has_since());
  contact.attempt = kRefused;
  EXPECT_EQ(NodeOf("node-b", contact, nullptr, kNow).reach(), v1::AGENT_DOWN);
}

TEST(ContactTest, AConnectedNodeNeedsNoReason) {
  const v1::RolloutNode node =
      NodeOf("node-b", {.connected = true, .reason = "", .since = kNow}, nullptr, kNow);
  EXPECT_EQ(node.reach(), v1::CONNECTED);
  EXPECT_EQ(node.reason(), "");
}

}  // namespace
}  // namespace npufleet::runtime
