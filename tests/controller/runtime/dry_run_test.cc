// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/dry_run.h"

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/deployment.h"

namespace npufleet::runtime {
namespace {

using testing::Contains;
using testing::HasSubstr;

// A plan for two nodes on which every Check says `state`, but those of `others`.
v1::Plan PlanWhere(v1::Observation::State state,
                   std::map<std::string, v1::Observation::State> others = {}) {
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
      seen.mutable_observation()->set_reason("not there");
    }
    return absl::StatusOr<v1::CheckReply>(reply);
  };
  return DryRun(std::move(input));
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
