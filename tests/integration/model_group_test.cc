// SPDX-License-Identifier: Apache-2.0
//
// One model on all nodes: what is said of nodes whose files differ.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/integration/fleet.h"

namespace npufleet::integration {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(ModelGroupTest, EqualFilesServeWithoutAWord) {
  Fleet fleet(2);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  const v1::Rollout rollout = fleet.AwaitPhase(v1::Rollout::SERVING);
  EXPECT_EQ(TaskOf(rollout, "model@node-a").token(), TaskOf(rollout, "model@node-b").token());
  EXPECT_EQ(TaskOf(rollout, "serve@node-a").reason(), "");
}

// A README is enough to make the digests differ: such a fleet is healthy and is not refused.
TEST(ModelGroupTest, OtherFilesOnOneNodeServeAndAreSaid) {
  Fleet fleet(2);
  ASSERT_TRUE(fleet.machine(1).files().Write(absl::StrCat(kModel, "/README.md"), "of a hub").ok());
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  const v1::Rollout rollout = fleet.AwaitPhase(v1::Rollout::SERVING);
  const std::string& here = TaskOf(rollout, "model@node-a").token();
  const std::string& there = TaskOf(rollout, "model@node-b").token();
  EXPECT_NE(here, there);
  const v1::Task& serve = TaskOf(rollout, "serve@node-a");
  EXPECT_EQ(serve.state(), v1::Task::CURRENT);
  EXPECT_THAT(serve.reason(), StartsWith(absl::StrCat("the model's files on node-a (",
                                                      here.substr(0, 19), ") are not those on ",
                                                      "node-b (", there.substr(0, 19), ")")));
  EXPECT_THAT(serve.reason(), HasSubstr("ctl rollout restart NAME --from model"));
}

}  // namespace
}  // namespace npufleet::integration
