// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/reboot_node/reboot_node.h"

#include <gtest/gtest.h>

#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

class RebootNodeTest : public ::testing::Test {
 protected:
  RebootNodeTest() {
    node_.programs().On({"sync"}, "");
    v1::RebootNode reboot;
    reboot.set_boot_id(node_.system().BootId().value());
    reboot.set_reason("driver@node-a asks for it");
    verb_ = MakeRebootNode(reboot, v1::Subject(), node_.host()).value();
  }

  fakes::FakeHost node_;
  fakes::FakeExecution execution_{node_.host()};
  std::unique_ptr<Verb> verb_;
};

TEST_F(RebootNodeTest, IsPresentFromTheNextBootOn) {
  EXPECT_EQ(verb_->Check().state(), v1::Observation::ABSENT);
  node_.CompleteReboot();
  const v1::Observation observation = verb_->Check();
  EXPECT_EQ(observation.state(), v1::Observation::PRESENT);
  EXPECT_EQ(observation.token(), node_.system().BootId().value());
  EXPECT_TRUE(verb_->SurvivesReboot());
}

TEST_F(RebootNodeTest, SyncsAndRebootsOnceAndWaitsForItsEnd) {
  execution_.questions_until_cancel = 5;
  EXPECT_TRUE(absl::IsCancelled(verb_->Apply(execution_)));
  EXPECT_EQ(node_.programs().Count({"sync"}), 1);
  EXPECT_EQ(node_.system().reboots(), 1);
}

TEST_F(RebootNodeTest, DoesNotRebootTheNextBoot) {
  node_.CompleteReboot();
  EXPECT_TRUE(verb_->Apply(execution_).ok());
  EXPECT_EQ(node_.system().reboots(), 0);
}

TEST_F(RebootNodeTest, SaysWhenTheShutdownHangs) {
  EXPECT_EQ(ToFailure(verb_->Apply(execution_)).class_(), v1::Failure::NEEDS_OPERATOR);
}

TEST_F(RebootNodeTest, RebootsNothingOnceCancelled) {
  execution_.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(verb_->Apply(execution_)));
  EXPECT_EQ(node_.system().reboots(), 0);
}

TEST_F(RebootNodeTest, NeedsABoot) {
  EXPECT_TRUE(absl::IsInvalidArgument(
      MakeRebootNode(v1::RebootNode(), v1::Subject(), node_.host()).status()));
}

}  // namespace
}  // namespace npufleet::verbs
