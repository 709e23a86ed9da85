// SPDX-License-Identifier: Apache-2.0
//
// What the installs need is fetched while the old server answers: the catalogue's graph in the
// core.
#include <algorithm>
#include <deque>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "controller/core/step.h"
#include "controller/stages/plan.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/deployment.h"

namespace npufleet::stages {
namespace {

using testing::ElementsAre;
using testing::UnorderedElementsAre;

// Two nodes that serve, on which every Check is answered at once: what `absent` names is absent,
// all else is there.
class InstallersTest : public testing::Test {
 protected:
  InstallersTest() {
    Step(core::SpecApplied{PlanOf(deployment_, 1).graph});
    for (const char* node : {"node-0", "node-1"}) Step(core::NodeConnected{node, "boot-1"});
    EXPECT_TRUE(core::IsServing(state_));
  }

  template <typename What>
  void Step(What what) {
    Take(std::move(what));
    while (!checks_.empty()) {
      const core::CheckTask check = checks_.front();
      checks_.pop_front();
      core::Observation seen = {.sight = core::Sight::kPresent, .token = "there"};
      if (absent_.count(check.task) > 0)
        seen = {.sight = core::Sight::kAbsent, .reason = "not there"};
      Take(core::Observed{check.task, check.stamp, seen});
    }
  }

  template <typename What>
  void Take(What what) {
    now_ += absl::Seconds(1);
    for (const core::Command& command : core::Step(state_, {now_, std::move(what)}).commands) {
      if (const auto* check = std::get_if<core::CheckTask>(&command)) checks_.push_back(*check);
      const auto* start = std::get_if<core::StartOperation>(&command);
      if (start == nullptr) continue;
      started_.push_back((start->action == core::Action::kStop ? "stop " : "") + start->task);
      operations_[start->task] = start->operation;
    }
  }

  void ChangeTheDriver() {
    absent_ = {"installers@node-0", "installers@node-1", "driver@node-0", "driver@node-1"};
    deployment_.mutable_spec()->mutable_driver()->set_version("25.2.0");
    Step(core::SpecApplied{PlanOf(deployment_, 2).graph});
  }

  void Succeed(const std::string& task) {
    absent_.erase(task);
    core::OperationEnded ended;
    ended.operation = operations_.at(task);
    ended.result = core::OperationEnded::Result::kSucceeded;
    ended.observation = {.sight = core::Sight::kPresent, .token = "there"};
    Step(ended);
  }

  void Fail(const std::string& task) {
    core::OperationEnded ended;
    ended.operation = operations_.at(task);
    ended.failure = {.failure_class = core::FailureClass::kConfig, .symptom = "HTTP 404"};
    Step(ended);
  }

  v1::Deployment deployment_ = simulation::MakeDeployment(2);
  core::State state_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
  std::set<std::string> absent_;
  std::deque<core::CheckTask> checks_;
  std::vector<std::string> started_;
  std::map<std::string, std::string> operations_;
};

TEST_F(InstallersTest, AnotherDriverIsFetchedOnAllNodesBeforeTheServerIsStopped) {
  ChangeTheDriver();
  EXPECT_THAT(started_, UnorderedElementsAre("installers@node-0", "installers@node-1"));
  EXPECT_TRUE(core::IsServing(state_));
  Succeed("installers@node-0");
  EXPECT_EQ(started_.size(), 2u) << "node-1 still fetches";
  EXPECT_TRUE(core::IsServing(state_));
  EXPECT_THAT(state_.Find("driver@node-0")->reason, testing::HasSubstr("installers@node-1 first"));
  Succeed("installers@node-1");
  ASSERT_EQ(started_.size(), 3u);
  EXPECT_EQ(started_[2], "stop serve@node-0");
}

TEST_F(InstallersTest, WhatCannotBeFetchedStopsNothing) {
  ChangeTheDriver();
  Succeed("installers@node-0");
  Fail("installers@node-1");
  EXPECT_TRUE(state_.Find("installers@node-1")->given_up);
  EXPECT_TRUE(core::IsServing(state_));
  EXPECT_THAT(started_, UnorderedElementsAre("installers@node-0", "installers@node-1"));
}

TEST_F(InstallersTest, FilesThatAreHereAgainDisturbNobody) {
  absent_ = {"installers@node-1"};
  const core::Task& task = *state_.Find("installers@node-1");
  Step(core::Observed{task.plan.id,
                      core::StampOf(state_, task),
                      {.sight = core::Sight::kAbsent, .reason = "torn"}});
  EXPECT_THAT(started_, ElementsAre("installers@node-1"));
  Succeed("installers@node-1");
  EXPECT_THAT(started_, ElementsAre("installers@node-1"));
  EXPECT_TRUE(core::IsServing(state_));
  EXPECT_EQ(core::PhaseOf(state_), core::Phase::kServing);
}

TEST_F(InstallersTest, TheInstallsStandOnIt) {
  const DeploymentPlan plan = PlanOf(deployment_, 1);
  for (const core::TaskPlan& task : plan.graph.tasks) {
    const bool installs =
        task.stage == "driver" || task.stage == "docker" || task.stage == "runtime";
    EXPECT_EQ(std::count(task.needs.begin(), task.needs.end(), "installers@" + task.node),
              installs ? 1 : 0)
        << task.id;
    if (task.stage != "installers") continue;
    EXPECT_TRUE(task.prepares);
    EXPECT_FALSE(task.disturbs);
    EXPECT_THAT(task.needs, ElementsAre("packages@" + task.node));
  }
}

TEST_F(InstallersTest, ItsWantIsWhatTheInstallsWant) {
  const DeploymentPlan plan = PlanOf(deployment_, 1);
  const v1::FetchInstallers& fetch = plan.verbs.at("installers@node-0").fetch_installers();
  EXPECT_EQ(fetch.driver().SerializeAsString(),
            plan.verbs.at("driver@node-0").install_driver().SerializeAsString());
  EXPECT_EQ(fetch.docker().SerializeAsString(),
            plan.verbs.at("docker@node-0").install_docker().SerializeAsString());
  EXPECT_EQ(fetch.runtime().SerializeAsString(),
            plan.verbs.at("runtime@node-0").install_runtime().SerializeAsString());
}

}  // namespace
}  // namespace npufleet::stages
