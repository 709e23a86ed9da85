// SPDX-License-Identifier: Apache-2.0
//
// One model on all nodes: nodes whose files differ.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/fleet.h"

namespace npufleet::integration {
namespace {

using ::testing::StartsWith;

TEST(ModelGroupTest, EqualFilesServeWithoutAWord) {
  Fleet fleet(2);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  const v1::Rollout rollout = fleet.AwaitPhase(v1::Rollout::SERVING);
  EXPECT_EQ(TaskOf(rollout, "model@node-a").token(), TaskOf(rollout, "model@node-b").token());
  EXPECT_EQ(TaskOf(rollout, "serve@node-a").reason(), "");
}

TEST(ModelGroupTest, PapersOfAHubOnOneNodeMakeNoOtherModel) {
  Fleet fleet(2);
  ASSERT_TRUE(fleet.machine(1).files().Write(absl::StrCat(kModel, "/README.md"), "of a hub").ok());
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  const v1::Rollout rollout = fleet.AwaitPhase(v1::Rollout::SERVING);
  EXPECT_EQ(TaskOf(rollout, "model@node-a").token(), TaskOf(rollout, "model@node-b").token());
}

TEST(ModelGroupTest, OtherWeightsOnOneNodeAreRefusedAndNamedUntilTheyAreReplaced) {
  Fleet fleet(2);
  const std::string weights = absl::StrCat(kModel, "/model.safetensors");
  const std::string right = *fleet.machine(1).files().Read(weights);
  ASSERT_TRUE(fleet.machine(1).files().Write(weights, "others").ok());
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  v1::Rollout rollout = fleet.AwaitPhase(v1::Rollout::FAILED);
  const std::string& here = TaskOf(rollout, "model@node-a").token();
  const std::string& there = TaskOf(rollout, "model@node-b").token();
  const v1::Failure& failure = TaskOf(rollout, "serve@node-a").failure();
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure.symptom(), StartsWith(absl::StrCat("the model's files on node-a (",
                                                         here.substr(0, 19), ") are not those on ",
                                                         "node-b (", there.substr(0, 19), ")")));
  EXPECT_FALSE(fleet.machine(0).EngineLives());

  ASSERT_TRUE(fleet.machine(1).files().Write(weights, right).ok());
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  rollout = fleet.AwaitPhase(v1::Rollout::SERVING);
  EXPECT_EQ(TaskOf(rollout, "serve@node-a").reason(), "");
}

}  // namespace
}  // namespace npufleet::integration
