// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/plan.h"

#include <algorithm>
#include <map>
#include <set>

#include "common/spec/deployment.h"
#include "common/spec/stage_names.h"
#include "controller/stages/stage.h"
#include "controller/stages/verbs.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/deployment.h"

namespace npufleet::stages {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

class PlanTest : public testing::Test {
 protected:
  const core::TaskPlan& Of(const DeploymentPlan& plan, const std::string& id) {
    auto found = std::find_if(plan.graph.tasks.begin(), plan.graph.tasks.end(),
                              [&](const core::TaskPlan& task) { return task.id == id; });
    EXPECT_NE(found, plan.graph.tasks.end()) << id;
    return *found;
  }

  v1::Deployment deployment_ = simulation::MakeDeployment(2);
};

TEST_F(PlanTest, EveryTaskComesAfterAllThatItNeeds) {
  for (const int nodes : {1, 2, 4, 16}) {
    std::set<std::string> before;
    for (const core::TaskPlan& task : PlanOf(simulation::MakeDeployment(nodes), 1).graph.tasks) {
      for (const std::string& need : task.needs)
        EXPECT_TRUE(before.count(need)) << task.id << " needs " << need;
      EXPECT_TRUE(before.insert(task.id).second) << task.id << " twice";
    }
  }
}

TEST_F(PlanTest, ServeStandsOnEveryNode) {
  const DeploymentPlan plan = PlanOf(deployment_, 1);
  EXPECT_THAT(Of(plan, "serve@node-0").needs,
              UnorderedElementsAre("ray-head@node-0", "ray-worker@node-1", "reach@node-0",
                                   "reach@node-1", "model@node-0", "model@node-1"));
  EXPECT_THAT(Of(plan, "ray-worker@node-1").needs,
              ElementsAre("container@node-1", "ray-head@node-0"));
}

TEST_F(PlanTest, OneNodeHasNoWorker) {
  const DeploymentPlan plan = PlanOf(simulation::MakeDeployment(1), 1);
  EXPECT_EQ(plan.verbs.count("ray-worker@node-0"), 0u);
  EXPECT_EQ(plan.verbs.at("serve@node-0").start_engine().expected_chips(), 8u);
}

TEST_F(PlanTest, WhatStoodOnALeftOutStageStandsOnWhatWasUnderIt) {
  deployment_.mutable_spec()->mutable_packages()->clear_install();
  deployment_.mutable_spec()->mutable_fabric()->set_check(false);
  const DeploymentPlan plan = PlanOf(deployment_, 1);
  EXPECT_EQ(plan.verbs.count("packages@node-0"), 0u);
  EXPECT_THAT(Of(plan, "driver@node-0").needs,
              ElementsAre("preflight@node-0", "installers@node-0"));
  EXPECT_THAT(Of(plan, "installers@node-0").needs, ElementsAre("preflight@node-0"));
  EXPECT_THAT(Of(plan, "serve@node-0").needs, testing::IsSupersetOf({"npu@node-0", "npu@node-1"}));
}

TEST_F(PlanTest, OneServerFlagChangesTheWantOfServeAlone) {
  const DeploymentPlan before = PlanOf(deployment_, 1);
  deployment_.mutable_spec()->mutable_engine()->set_block_size(64);
  const DeploymentPlan after = PlanOf(deployment_, 2);
  for (size_t i = 0; i < before.graph.tasks.size(); ++i) {
    const core::TaskPlan& task = before.graph.tasks[i];
    EXPECT_EQ(task.want == after.graph.tasks[i].want, task.stage != "serve") << task.id;
  }
}

TEST_F(PlanTest, ANicChangesWhereItIsUsed) {
  const DeploymentPlan before = PlanOf(deployment_, 1);
  deployment_.mutable_spec()->mutable_nodes(1)->set_nic("eth9");
  const DeploymentPlan after = PlanOf(deployment_, 2);
  std::set<std::string> changed;
  for (size_t i = 0; i < before.graph.tasks.size(); ++i) {
    if (before.graph.tasks[i].want != after.graph.tasks[i].want)
      changed.insert(before.graph.tasks[i].id);
  }
  EXPECT_THAT(changed, UnorderedElementsAre("preflight@node-1", "ray-worker@node-1"));
}

TEST_F(PlanTest, TheRunbooksEnvironmentIsInTheRayProcess) {
  const v1::Verb verb = PlanOf(deployment_, 1).verbs.at("ray-worker@node-1");
  const auto& environment = verb.start_ray_worker().environment();
  EXPECT_EQ(environment.at("HCCL_IF_IP"), "198.18.0.2");
  EXPECT_EQ(environment.at("GLOO_SOCKET_IFNAME"), "eth0");
  EXPECT_EQ(environment.at("TP_SOCKET_IFNAME"), "eth0");
  EXPECT_EQ(environment.at("ASCEND_RT_VISIBLE_DEVICES"), "0,1,2,3,4,5,6,7");
  EXPECT_EQ(environment.at("RAY_EXPERIMENTAL_NOSET_ASCEND_RT_VISIBLE_DEVICES"), "1");
}

TEST_F(PlanTest, ASpecMayNameEachStageOfTheCatalogue) {
  std::vector<std::string> names;
  for (const Stage& stage : Catalogue()) names.emplace_back(stage.name);
  EXPECT_THAT(names, testing::ElementsAreArray(spec::kStageNames));
}

// As when a revision of an older controller is undone to.
TEST_F(PlanTest, ALimitThatASpecDoesNotKnowIsTheDefaultAndNotZero) {
  deployment_.mutable_spec()->clear_retry();
  EXPECT_EQ(PlanOf(deployment_, 1).graph.retry, core::RetryLimits());
  EXPECT_EQ(PlanOf(spec::ResolveDefaults(deployment_), 1).graph.retry, core::RetryLimits())
      << "the defaults of the spec are those of the core";
}

TEST_F(PlanTest, TheRetryOfTheSpecIsThatOfTheGraph) {
  v1::RetryPolicy& policy = *deployment_.mutable_spec()->mutable_retry();
  policy.set_recoveries_per_hour(4);
  policy.mutable_budget()->set_seconds(60);
  (*policy.mutable_stages())["serve"].set_attempts(7);
  const core::RetryLimits limits = PlanOf(deployment_, 1).graph.retry;
  EXPECT_EQ(limits.recoveries_per_hour, 4);
  EXPECT_EQ(limits.budget, absl::Minutes(1));
  EXPECT_EQ(limits.same_signature, 3) << "the default";
  EXPECT_EQ(limits.stages.at("serve").attempts, 7);
  EXPECT_FALSE(limits.stages.at("serve").budget.has_value());
}

TEST_F(PlanTest, TheSameSpecGivesTheSamePlanAlways) {
  EXPECT_EQ(PlanOf(deployment_, 1).graph, PlanOf(deployment_, 1).graph);
}

}  // namespace
}  // namespace npufleet::stages
