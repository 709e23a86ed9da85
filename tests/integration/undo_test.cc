// SPDX-License-Identifier: Apache-2.0
//
// Going back to a former revision, at rest and in the middle of a rollout.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/digest.h"
#include "tests/integration/fleet.h"

namespace npufleet::integration {
namespace {

using ::testing::HasSubstr;

v1::Deployment WithContext(uint32_t max_model_len) {
  v1::Deployment deployment = MakeDeployment(1);
  deployment.mutable_spec()->mutable_engine()->set_max_model_len(max_model_len);
  return deployment;
}

grpc::Status Undo(Fleet& fleet, uint64_t to_revision, v1::Rollout* rollout) {
  v1::ControlRolloutRequest request;
  request.set_name(MakeDeployment(1).metadata().name());
  request.set_verb(v1::ControlRolloutRequest::UNDO);
  request.set_to_revision(to_revision);
  return fleet.ClientAs("operator")->ControlRollout(Context().get(), request, rollout);
}

v1::ListRevisionsReply Revisions(Fleet& fleet) {
  v1::ListRevisionsRequest request;
  request.set_name(MakeDeployment(1).metadata().name());
  v1::ListRevisionsReply reply;
  EXPECT_TRUE(fleet.ClientAs("viewer")->ListRevisions(Context().get(), request, &reply).ok());
  return reply;
}

v1::Rollout AwaitServing(Fleet& fleet, uint64_t revision) {
  return fleet.AwaitRollout([revision](const v1::Rollout& rollout) {
    return rollout.revision() == revision && rollout.phase() == v1::Rollout::SERVING;
  });
}

TEST(UndoTest, GoesBackToTheSpecBeforeAndRunsWhatDiffers) {
  Fleet fleet(1);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(WithContext(1024)).ok());
  AwaitServing(fleet, 1);
  ASSERT_TRUE(fleet.Apply(WithContext(2048)).ok());
  AwaitServing(fleet, 2);
  const int containers = fleet.verbs().Applies("container@node-a");
  const int servers = fleet.verbs().Applies("serve@node-a");
  v1::Rollout rollout;
  const grpc::Status undone = Undo(fleet, 0, &rollout);
  ASSERT_TRUE(undone.ok()) << undone.error_message();
  EXPECT_EQ(rollout.revision(), 3u);
  AwaitServing(fleet, 3);
  EXPECT_EQ(fleet.verbs().Applies("container@node-a"), containers);
  EXPECT_EQ(fleet.verbs().Applies("serve@node-a"), servers + 1);
  const v1::ListRevisionsReply revisions = Revisions(fleet);
  ASSERT_EQ(revisions.revisions_size(), 3);
  EXPECT_EQ(DigestOf(revisions.revisions(0).deployment()),
            DigestOf(revisions.revisions(2).deployment()));
  // Once more is forward again, as the one before the newest is the second.
  ASSERT_TRUE(Undo(fleet, 0, &rollout).ok());
  EXPECT_EQ(AwaitServing(fleet, 4).revision(), 4u);
  EXPECT_EQ(Revisions(fleet).revisions(0).deployment().spec().engine().max_model_len(), 2048u);
}

TEST(UndoTest, InTheMiddleOfARolloutWhatIsUnderWayEndsAndTheFormerSpecServes) {
  Fleet fleet(1);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(WithContext(1024)).ok());
  AwaitServing(fleet, 1);
  VerbWatch::Gate& gate = fleet.verbs().Hold("serve@node-a");
  ASSERT_TRUE(fleet.Apply(WithContext(2048)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  v1::Rollout rollout;
  ASSERT_TRUE(Undo(fleet, 1, &rollout).ok());
  EXPECT_EQ(rollout.revision(), 3u);
  // The held start is cancelled: nobody wants it any more. Later ones pass.
  const v1::Rollout served = fleet.AwaitRollout([&gate](const v1::Rollout& seen) {
    const v1::Task& serve = TaskOf(seen, "serve@node-a");
    if (!serve.operation().empty() && serve.operation().find("/3/") != std::string::npos &&
        !gate.open.HasBeenNotified()) {
      gate.open.Notify();
    }
    return seen.revision() == 3 && seen.phase() == v1::Rollout::SERVING;
  });
  EXPECT_EQ(served.phase(), v1::Rollout::SERVING) << Describe(served);
  EXPECT_EQ(Revisions(fleet).revisions(0).deployment().spec().engine().max_model_len(), 1024u);
}

TEST(UndoTest, WhatIsNotThereIsRefusedAndNamed) {
  Fleet fleet(1);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(WithContext(1024)).ok());
  v1::Rollout rollout;
  grpc::Status refused = Undo(fleet, 0, &rollout);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(refused.error_message(), HasSubstr("no revision before 1"));
  ASSERT_TRUE(fleet.Apply(WithContext(2048)).ok());
  refused = Undo(fleet, 7, &rollout);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(refused.error_message(), HasSubstr("no revision 7 to go back to; there is 1"));
  refused = Undo(fleet, 2, &rollout);
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Revisions(fleet).revisions_size(), 2);
}

}  // namespace
}  // namespace npufleet::integration
