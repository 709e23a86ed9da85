// SPDX-License-Identifier: Apache-2.0
//
// What a machine is not fit for: preflight names the figure before anything is fetched, and the
// rollout goes on once it has been put right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/integration/fleet.h"

namespace npufleet::integration {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kPreflight[] = "preflight@node-a";

class PreflightTest : public ::testing::Test {
 protected:
  PreflightTest() : fleet_(1), deployment_(MakeDeployment(1)) { fleet_.StartController(); }

  // Why the rollout has failed in preflight; nothing was fetched or run.
  v1::Failure Failure() {
    EXPECT_TRUE(fleet_.Apply(deployment_).ok());
    return FailureOf(fleet_.AwaitPhase(v1::Rollout::FAILED));
  }
  v1::Failure FailureOf(const v1::Rollout& rollout) {
    const v1::Task& preflight = TaskOf(rollout, kPreflight);
    EXPECT_EQ(preflight.state(), v1::Task::FAILED) << Describe(rollout);
    EXPECT_EQ(fleet_.machine(0).Downloads(), 0);
    for (const v1::Operation& operation : fleet_.Journal(0)) {
      EXPECT_TRUE(absl::StartsWith(operation.task(), "preflight@")) << operation.task();
    }
    return preflight.failure();
  }

  v1::Plan PlanOf() {
    v1::Plan plan;
    const grpc::Status status = fleet_.Plan(deployment_, &plan);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return plan;
  }

  void ExpectGoesOn() {
    const v1::Rollout rollout = fleet_.AwaitPhase(v1::Rollout::SERVING);
    EXPECT_EQ(rollout.phase(), v1::Rollout::SERVING) << Describe(rollout);
  }

  Fleet fleet_;
  v1::Deployment deployment_;
};

TEST_F(PreflightTest, ADiskThatIsTooSmallNamesBothFigures) {
  (*deployment_.mutable_spec()->mutable_preflight()->mutable_min_free_gib())["/data"] = 9'999'999;
  EXPECT_THAT(PlanOf().blocked(), testing::Contains(HasSubstr("9999999 GiB are needed")));
  const v1::Failure failure = Failure();
  EXPECT_EQ(failure.class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(failure.symptom(),
              testing::ContainsRegex("/data has [0-9]+ GiB free, 9999999 GiB are needed"));
  (*deployment_.mutable_spec()->mutable_preflight()->mutable_min_free_gib())["/data"] = 0;
  ASSERT_TRUE(fleet_.Apply(deployment_).ok());
  ExpectGoesOn();
}

TEST_F(PreflightTest, APortThatIsTakenNamesItAndItsHolder) {
  host::ListeningPort port;
  port.port = 8006;
  port.pid = 4711;
  port.command = "nginx";
  fleet_.machine(0).system().SetListeningTcpPorts({port});
  EXPECT_THAT(PlanOf().blocked(),
              testing::Contains(HasSubstr("port 8006 is held by nginx (pid 4711)")));
  const v1::Failure failure = Failure();
  EXPECT_EQ(failure.class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_EQ(failure.symptom(), "port 8006 is held by nginx (pid 4711)");
  fleet_.machine(0).system().SetListeningTcpPorts({});
  ASSERT_TRUE(fleet_.Control(v1::ControlRolloutRequest::RETRY).ok());
  ExpectGoesOn();
}

TEST_F(PreflightTest, AClockThatIsOffNamesTheSkewAndTheLimit) {
  fleet_.StopAgent(0);
  ASSERT_TRUE(fleet_.AwaitConnected(0, false));
  fleet_.machine(0).SetClockSkew(-absl::Seconds(90));
  fleet_.StartAgent(0);
  ASSERT_TRUE(fleet_.AwaitConnected(0));
  EXPECT_THAT(PlanOf().blocked(), testing::Contains(HasSubstr("the clock of node-a is")));
  const v1::Failure failure = Failure();
  EXPECT_EQ(failure.class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(failure.symptom(),
              AllOf(HasSubstr("the clock of node-a is 1m30"), HasSubstr("behind the controller's"),
                    HasSubstr("more than the 5s")));
  // Chrony has done its work: nobody has to say so.
  fleet_.machine(0).SetClockSkew(absl::ZeroDuration());
  ExpectGoesOn();
}

TEST_F(PreflightTest, AClockThatGoesWrongWhileItServesDisturbsNobody) {
  ASSERT_TRUE(fleet_.Apply(deployment_).ok());
  fleet_.AwaitPhase(v1::Rollout::SERVING);
  const size_t operations = fleet_.Journal(0).size();
  fleet_.machine(0).SetClockSkew(absl::Seconds(60));
  const v1::Rollout rollout = fleet_.AwaitRollout([](const v1::Rollout& seen) {
    return TaskOf(seen, kPreflight).state() == v1::Task::DRIFTED;
  });
  EXPECT_EQ(rollout.phase(), v1::Rollout::SERVING);
  EXPECT_THAT(TaskOf(rollout, kPreflight).reason(), HasSubstr("ahead of the controller's"));
  EXPECT_EQ(fleet_.Journal(0).size(), operations);
}

TEST_F(PreflightTest, AnotherArchitectureIsRefusedNamingBoth) {
  fleet_.machine(0).system().SetArchitecture("x86_64");
  v1::Plan plan;
  const grpc::Status planned = fleet_.Plan(deployment_, &plan);
  const grpc::Status applied = fleet_.Apply(deployment_);
  for (const grpc::Status& status : {planned, applied}) {
    EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_THAT(status.error_message(),
                HasSubstr("node-a: this node is x86_64, the spec's artifacts are for aarch64"));
  }
  EXPECT_THAT(fleet_.runtime().ListRollouts()->rollouts(), IsEmpty());
  EXPECT_EQ(fleet_.machine(0).Downloads(), 0);
}

// It could not be asked when the spec was applied.
TEST_F(PreflightTest, AnotherArchitectureOfANodeThatComesLaterIsAFailureOfPreflight) {
  fleet_.StopAgent(0);
  ASSERT_TRUE(fleet_.AwaitConnected(0, false));
  fleet_.machine(0).system().SetArchitecture("x86_64");
  ASSERT_TRUE(fleet_.Apply(deployment_).ok());
  fleet_.StartAgent(0);
  const v1::Failure failure = FailureOf(fleet_.AwaitPhase(v1::Rollout::FAILED));
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_EQ(failure.symptom(), "this node is x86_64, the spec's artifacts are for aarch64");
}

}  // namespace
}  // namespace npufleet::integration
