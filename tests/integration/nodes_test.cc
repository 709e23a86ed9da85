// SPDX-License-Identifier: Apache-2.0
//
// Nodes that are not there to be used: unknown, offline, in use.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/spec/yaml.h"
#include "tests/integration/ctl_program.h"

namespace npufleet::integration {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

TEST(NodesTest, ANodeThatHasNotJoinedIsSaidByPlanAndRefusedByApply) {
  Fleet fleet(1);
  fleet.StartController();
  const CtlProgram ctl(fleet);
  const std::string file = ctl.SpecFile(spec::WriteYaml(MakeDeployment(2)));
  for (const char* verb : {"plan", "apply"}) {
    const CtlProgram::Result result = ctl.Run({"rollout", verb, "-f", file});
    EXPECT_EQ(result.exit_code, 2) << verb;
    EXPECT_THAT(result.err, AllOf(HasSubstr("node \"node-b\" has not joined"),
                                  HasSubstr("the fleet has node-a"), HasSubstr("token create")))
        << verb;
  }
  EXPECT_THAT(fleet.runtime().ListRollouts()->rollouts(), IsEmpty());
}

TEST(NodesTest, ANodeThatIsOfflineIsSaidByPlanAndWaitedForByApply) {
  Fleet fleet(2);
  fleet.StartController();
  fleet.StopAgent(1);
  ASSERT_TRUE(fleet.AwaitConnected(1, false));
  v1::Plan plan;
  ASSERT_TRUE(fleet.Plan(MakeDeployment(2), &plan).ok());
  EXPECT_THAT(plan.blocked(), Contains(HasSubstr("node-b")));
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  const v1::Rollout waiting = fleet.AwaitPhase(v1::Rollout::WAITING);
  EXPECT_THAT(waiting.reason(), HasSubstr("node-b")) << Describe(waiting);
  EXPECT_THAT(fleet.Journal(0), testing::Not(IsEmpty())) << "what can be done is done";
  fleet.StartAgent(1);
  EXPECT_EQ(fleet.AwaitPhase(v1::Rollout::SERVING).phase(), v1::Rollout::SERVING);
}

TEST(NodesTest, ANodeOfAnotherDeploymentIsSaidByPlanAndRefusedByApply) {
  Fleet fleet(2);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  fleet.AwaitPhase(v1::Rollout::SERVING);
  v1::Deployment another = MakeDeployment(1);
  another.mutable_metadata()->set_name("another");
  const CtlProgram ctl(fleet);
  const std::string file = ctl.SpecFile(spec::WriteYaml(another));
  for (const char* verb : {"plan", "apply"}) {
    const CtlProgram::Result result = ctl.Run({"rollout", verb, "-f", file});
    EXPECT_EQ(result.exit_code, 1) << verb;
    EXPECT_THAT(result.err, AllOf(HasSubstr("node \"node-a\" is claimed by rollout \"tiny\""),
                                  HasSubstr("ctl rollout delete tiny")))
        << verb;
  }
  ASSERT_THAT(fleet.runtime().ListRollouts()->rollouts(), SizeIs(1));
  EXPECT_EQ(fleet.runtime().ListRollouts()->rollouts(0).phase(), v1::Rollout::SERVING);
}

TEST(NodesTest, ADeadNodeIsLeftBehindAndThenRemoved) {
  Fleet fleet(2);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  fleet.AwaitPhase(v1::Rollout::SERVING);
  fleet.StopAgent(1);
  ASSERT_TRUE(fleet.AwaitConnected(1, false));
  EXPECT_TRUE(absl::IsFailedPrecondition(fleet.runtime().RemoveNode("node-b").status()));
  ASSERT_TRUE(fleet.runtime().Delete("tiny", "operator").ok());
  // What still runs on the head is stopped after what may run on the node that is gone.
  fleet.AwaitRollout([](const v1::Rollout& rollout) {
    return TaskOf(rollout, "ray-head@node-a").reason() ==
           "waiting: ray-worker@node-b is stopped first";
  });
  const absl::StatusOr<v1::NodeStatus> removed = fleet.runtime().RemoveNode("node-b");
  EXPECT_TRUE(removed.ok()) << removed.status();
  fleet.AwaitPhase(v1::Rollout::DELETED);
  EXPECT_EQ(fleet.runtime().GetRollout("tiny")->phase(), v1::Rollout::DELETED);
  EXPECT_THAT(fleet.runtime().GetRollout("tiny")->tasks(), IsEmpty());
}

}  // namespace
}  // namespace npufleet::integration
