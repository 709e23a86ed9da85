// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/explanation.h"

#include "controller/core/step.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npufleet::runtime {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// driver@a, image@a ──> container@a ──> serve@a
class ExplanationTest : public testing::Test {
 protected:
  ExplanationTest() {
    state_.deployment = "qwen";
    core::Graph graph;
    graph.revision = 1;
    graph.tasks = {
        {.id = "driver@a", .stage = "driver", .node = "a", .want = "d"},
        {.id = "image@a", .stage = "image", .node = "a", .want = "i"},
        {.id = "container@a",
         .stage = "container",
         .node = "a",
         .needs = {"driver@a", "image@a"},
         .want = "c",
         .running = true},
        {.id = "serve@a", .stage = "serve", .node = "a", .needs = {"container@a"}, .want = "s"},
    };
    Tell(core::SpecApplied{graph});
    Tell(core::NodeConnected{"a", "boot-1"});
    nodes_["a"].set_name("a");
    nodes_["a"].set_reach(v1::CONNECTED);
  }
  template <typename What>
  void Tell(What what) {
    now_ += absl::Seconds(1);
    core::Step(state_, {now_, std::move(what)});
  }
  void See(const std::string& id, core::Sight sight, std::string token, std::string reason = "") {
    Tell(core::Observed{id,
                        core::StampOf(state_, *state_.Find(id)),
                        {.sight = sight, .token = token, .reason = reason}});
  }
  v1::Explanation Of(const std::string& id) {
    return Explain(state_, details_, nodes_, *state_.Find(id), now_ + absl::Seconds(12));
  }

  core::State state_;
  Details details_;
  std::map<std::string, v1::RolloutNode> nodes_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
};

TEST_F(ExplanationTest, WhatIsAsWantedSaysWhenItWasSeenAndForWhat) {
  See("driver@a", core::Sight::kPresent, "25.0");
  const v1::Explanation driver = Of("driver@a");
  EXPECT_EQ(driver.state(), "current");
  EXPECT_THAT(driver.sentences(), ElementsAre("checked 12s ago: present, 25.0",
                                              HasSubstr("which is what is wanted now")));
  EXPECT_EQ(driver.because_size(), 0);
  // A routine Check that said the same makes it younger.
  details_.checked["driver@a"] = now_ + absl::Seconds(10);
  EXPECT_THAT(Of("driver@a").sentences(0), StartsWith("checked 2s ago"));
}

TEST_F(ExplanationTest, TheChainGoesDownToWhatHoldsEverythingUp) {
  See("driver@a", core::Sight::kAbsent, "", "no driver is installed");
  See("image@a", core::Sight::kPresent, "sha256:1");
  const std::string operation = state_.Find("driver@a")->operation->operation;
  core::OperationEnded ended{.operation = operation,
                             .result = core::OperationEnded::Result::kFailed};
  ended.failure = {.failure_class = core::FailureClass::kTransient,
                   .signature = "DRV-07",
                   .symptom = "the download stalled",
                   .advice = "Look at the origin.",
                   .log_tail = {"12 % …"}};
  Tell(ended);
  See("driver@a", core::Sight::kAbsent, "", "no driver is installed");
  const v1::Explanation serve = Of("serve@a");
  EXPECT_EQ(serve.state(), "pending");
  EXPECT_THAT(serve.sentences(), Contains("what it is made for is open: no token yet from "
                                          "container@a"));
  ASSERT_EQ(serve.because_size(), 1);
  const v1::Explanation& container = serve.because(0);
  EXPECT_EQ(container.subject(), "container@a");
  ASSERT_EQ(container.because_size(), 1);
  const v1::Explanation& driver = container.because(0);
  EXPECT_EQ(driver.subject(), "driver@a");
  EXPECT_EQ(driver.failure().signature(), "DRV-07");
  EXPECT_EQ(driver.failure().advice(), "Look at the origin.");
  EXPECT_EQ(driver.failure().log_tail(0), "12 % …");
  EXPECT_THAT(driver.sentences(), Contains(StartsWith("1 of 5 attempts have failed")));
}

TEST_F(ExplanationTest, WhatWasGivenUpSaysWhatTriesItAgain) {
  See("image@a", core::Sight::kPresent, "sha256:1");
  See("driver@a", core::Sight::kAbsent, "", "no driver is installed");
  core::OperationEnded ended{.operation = state_.Find("driver@a")->operation->operation,
                             .result = core::OperationEnded::Result::kFailed};
  ended.failure = {.failure_class = core::FailureClass::kConfig, .symptom = "sha256 differs"};
  Tell(ended);
  See("driver@a", core::Sight::kAbsent, "", "no driver is installed");
  const v1::Explanation driver = Of("driver@a");
  EXPECT_EQ(driver.state(), "failed");
  EXPECT_THAT(driver.sentences(),
              Contains(testing::AllOf(HasSubstr("given up (the spec must be changed first)"),
                                      HasSubstr("ctl rollout retry qwen"))));
}

TEST_F(ExplanationTest, ANodeThatIsGoneIsThereOnceWithWhatIsKnownOfIt) {
  Tell(core::NodeLost{"a", "no sign of life for 4s"});
  nodes_["a"].set_reach(v1::UNREACHABLE);
  nodes_["a"].set_reason("lost 12s ago: cut off, without power, or hanging");
  const v1::Explanation serve = Of("serve@a");
  ASSERT_GE(serve.because_size(), 2);
  EXPECT_EQ(serve.because(0).subject(), "a");
  EXPECT_EQ(serve.because(0).state(), "unreachable");
  EXPECT_EQ(serve.because(0).sentences(0), "lost 12s ago: cut off, without power, or hanging");
  EXPECT_THAT(serve.because(1).because(0).subject(), "driver@a") << "the node is told once";
}

TEST_F(ExplanationTest, APausedRolloutSaysHowToGoOn) {
  Tell(core::PauseRequested());
  EXPECT_THAT(Of("driver@a").sentences(),
              Contains("the rollout is paused: ctl rollout resume qwen"));
}

}  // namespace
}  // namespace npufleet::runtime
