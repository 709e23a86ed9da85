// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/dry_run.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "controller/core/step.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/deployment.h"

namespace npufleet::runtime {
namespace {

using testing::Contains;
using testing::HasSubstr;

using Sights = std::map<std::string, v1::Observation::State>;

// A plan for two nodes on which every Check says `state`, but those of `others`, where something
// else stands.
DryRunInput InputWhere(v1::Observation::State state, Sights others = {}) {
  DryRunInput input;
  input.state.deployment = "qwen";
  input.plan = stages::PlanOf(simulation::MakeDeployment(2), 1);
  for (const char* name : {"node-0", "node-1"}) input.nodes.push_back({name, "boot-1", true});
  input.now = absl::FromUnixSeconds(1000);
  input.commands = true;
  input.check = [state, others](const std::string&, const v1::CheckRequest& request) {
    v1::CheckReply reply;
    for (const v1::Subject& subject : request.subjects()) {
      v1::TaskObservation& seen = *reply.add_observations();
      seen.set_task(subject.task());
      auto other = others.find(subject.task());
      seen.mutable_observation()->set_state(other == others.end() ? state : other->second);
      if (seen.observation().state() == v1::Observation::PRESENT)
        seen.mutable_observation()->set_token("there");
      else if (other != others.end())
        seen.mutable_observation()->set_token("another");
      seen.mutable_observation()->set_reason("not there");
    }
    return absl::StatusOr<v1::CheckReply>(reply);
  };
  return input;
}

v1::Plan PlanWhere(v1::Observation::State state, Sights others = {}) {
  return DryRun(InputWhere(state, std::move(others)));
}

// Two nodes that serve what InputWhere plans.
core::State Serving(const DryRunInput& input) {
  core::State state = input.state;
  const auto step = [&state, &input](auto what) {
    core::Step(state, {input.now, std::move(what)});
  };
  step(core::SpecApplied{input.plan.graph});
  for (const DryRunInput::Node& node : input.nodes)
    step(core::NodeConnected{node.name, node.boot_id});
  for (core::Task& task : state.tasks) {
    const core::Observation there = {.sight = core::Sight::kPresent, .token = "there"};
    step(core::Observed{task.plan.id, core::StampOf(state, task), there});
  }
  EXPECT_TRUE(core::IsServing(state));
  return state;
}

const v1::Plan::Commands* Find(const v1::Plan& plan, const std::string& task) {
  for (const v1::Plan::Commands& part : plan.commands()) {
    if (part.task() == task) return &part;
  }
  return nullptr;
}

TEST(DryRunTest, BareNodesGetTheWholeRunbookInItsOrder) {
  const v1::Plan plan = PlanWhere(v1::Observation::ABSENT);
  EXPECT_THAT(plan.blocked(), testing::IsEmpty());
  std::vector<std::string> tasks;
  for (const v1::Plan::Commands& part : plan.commands()) {
    EXPECT_FALSE(part.skipped()) << part.task();
    EXPECT_FALSE(part.lines().empty()) << part.task();
    tasks.push_back(part.task());
  }
  const auto at = [&](const std::string& task) {
    return std::find(tasks.begin(), tasks.end(), task) - tasks.begin();
  };
  EXPECT_LT(at("docker@node-0"), at("container@node-0"));
  EXPECT_LT(at("container@node-0"), at("ray-head@node-0"));
  EXPECT_LT(at("ray-head@node-0"), at("ray-worker@node-1"));
  EXPECT_LT(at("ray-worker@node-1"), at("serve@node-0"));
  EXPECT_LT(at("serve@node-0"), static_cast<std::ptrdiff_t>(tasks.size()));
  EXPECT_THAT(Find(plan, "container@node-1")->lines(), Contains("docker run -itd \\"));
}

TEST(DryRunTest, WhatIsAsWantedIsSkippedAndSaysSo) {
  const v1::Plan plan = PlanWhere(v1::Observation::PRESENT);
  EXPECT_THAT(plan.steps(), testing::IsEmpty());
  EXPECT_EQ(plan.commands_size(), plan.current_size());
  for (const v1::Plan::Commands& part : plan.commands()) {
    EXPECT_TRUE(part.skipped());
    EXPECT_EQ(part.reason(), "as wanted (there)");
  }
}

TEST(DryRunTest, WhatIsSkippedStandsInItsPlaceBetweenWhatIsRun) {
  const v1::Plan plan =
      PlanWhere(v1::Observation::ABSENT, {{"driver@node-0", v1::Observation::PRESENT},
                                          {"preflight@node-0", v1::Observation::PRESENT}});
  const v1::Plan::Commands* driver = Find(plan, "driver@node-0");
  ASSERT_NE(driver, nullptr);
  EXPECT_TRUE(driver->skipped());
  std::vector<std::string> tasks;
  for (const v1::Plan::Commands& part : plan.commands()) tasks.push_back(part.task());
  EXPECT_LT(std::find(tasks.begin(), tasks.end(), "driver@node-0"),
            std::find(tasks.begin(), tasks.end(), "container@node-0"));
  EXPECT_FALSE(Find(plan, "driver@node-1")->skipped());
}

TEST(DryRunTest, AnOutageIsTheLongestWayFromTheFirstStopToTheProbe) {
  Sights another;
  for (const char* task : {"image@node-0", "image@node-1", "container@node-0", "container@node-1",
                           "ray-head@node-0", "ray-worker@node-1", "serve@node-0"}) {
    another[task] = v1::Observation::ABSENT;
  }
  DryRunInput input = InputWhere(v1::Observation::PRESENT, another);
  input.state = Serving(input);
  for (core::Task& task : input.state.tasks) {
    // While the old server answers the images are loaded: that is no outage.
    if (task.plan.stage == "image") task.apply_took = absl::Minutes(10);
    if (!task.plan.running) continue;
    task.stop_took = absl::Seconds(1);
    task.apply_took = absl::Seconds(task.plan.id == "container@node-1" ? 7 : 5);
  }
  const v1::Plan plan = DryRun(std::move(input));
  // serve, ray-worker and ray-head are stopped, the head's container, ray-head, ray-worker and
  // serve started; the worker's slower container is made beside that.
  EXPECT_EQ(plan.outage().seconds(), 3 + 4 * 5);
  EXPECT_THAT(plan.never_run(), testing::IsEmpty());
}

TEST(DryRunTest, AnOutageSaysOfWhatItDoesNotKnowTheTime) {
  DryRunInput input =
      InputWhere(v1::Observation::PRESENT, {{"serve@node-0", v1::Observation::ABSENT}});
  input.state = Serving(input);
  for (core::Task& task : input.state.tasks) task.seen_stamp.clear();
  const v1::Plan plan = DryRun(std::move(input));
  EXPECT_THAT(plan.never_run(), testing::ElementsAre("serve@node-0"));
}

TEST(DryRunTest, APendingRebootIsPlannedOnce) {
  DryRunInput input = InputWhere(v1::Observation::PRESENT);
  input.check = [look = input.check](const std::string& node, const v1::CheckRequest& request) {
    absl::StatusOr<v1::CheckReply> reply = look(node, request);
    for (v1::TaskObservation& seen : *reply->mutable_observations()) {
      if (seen.task() != "driver@node-1") continue;
      seen.mutable_observation()->set_state(v1::Observation::ABSENT);
      seen.mutable_observation()->set_reboot_needed(true);
      seen.mutable_observation()->clear_token();
    }
    return reply;
  };
  const v1::Plan plan = DryRun(std::move(input));
  ASSERT_EQ(plan.steps_size(), 1) << plan.ShortDebugString();
  EXPECT_EQ(plan.steps(0).task(), "reboot@node-1");
  EXPECT_THAT(plan.blocked(), testing::IsEmpty());
}

TEST(DryRunTest, CommandsAreGivenOnlyWhenAskedFor) {
  DryRunInput input;
  input.state.deployment = "qwen";
  input.plan = stages::PlanOf(simulation::MakeDeployment(1), 1);
  input.nodes.push_back({"node-0", "", false, "lost 12s ago"});
  const v1::Plan plan = DryRun(std::move(input));
  EXPECT_EQ(plan.commands_size(), 0);
  EXPECT_THAT(plan.blocked(), Contains(HasSubstr("lost 12s ago")));
}

}  // namespace
}  // namespace npufleet::runtime
