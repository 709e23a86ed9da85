// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/dry_run.h"

#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
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

// Two nodes that serve, whose agents tell the truth of what runs: it is there for the stamp that it
// was made for. node-0 is the controller's. Each reboot takes a minute and more, each start of what
// runs five seconds, each stop one.
DryRunInput InputWhileServing(const std::vector<std::string>& changed_stages) {
  DryRunInput input = InputWhere(v1::Observation::PRESENT);
  input.nodes[0].hosts_controller = true;
  input.state = Serving(input);
  std::map<std::string, std::string> made_for;
  for (core::Task& task : input.state.tasks) {
    if (task.plan.running) {
      made_for[task.plan.id] = task.seen_stamp;
      task.stop_took = absl::Seconds(1);
      task.apply_took = absl::Seconds(5);
    }
    if (task.plan.stage == "installers") task.apply_took = absl::Minutes(10);
    if (task.plan.stage == "driver") task.apply_took = absl::Seconds(10);
  }
  input.state.nodes.at("node-0").reboot_took = absl::Seconds(60);
  input.state.nodes.at("node-1").reboot_took = absl::Seconds(70);
  std::set<std::string> absent;
  for (core::TaskPlan& task : input.plan.graph.tasks) {
    if (std::count(changed_stages.begin(), changed_stages.end(), task.stage) == 0) continue;
    absent.insert(task.id);
    task.want += " changed";
  }
  input.check = [made_for, absent](const std::string&, const v1::CheckRequest& request) {
    v1::CheckReply reply;
    for (const v1::Subject& subject : request.subjects()) {
      v1::TaskObservation& seen = *reply.add_observations();
      seen.set_task(subject.task());
      const auto made = made_for.find(subject.task());
      const bool another = made != made_for.end() && made->second != subject.stamp();
      const bool there = absent.count(subject.task()) == 0 && !another;
      seen.mutable_observation()->set_state(there ? v1::Observation::PRESENT
                                                  : v1::Observation::ABSENT);
      seen.mutable_observation()->set_token(there ? "there" : "another");
      if (!there) seen.mutable_observation()->set_reason("another one is wanted");
    }
    return absl::StatusOr<v1::CheckReply>(reply);
  };
  return input;
}

// "stop serve@node-0", in the order in which they start.
std::vector<std::string> StepsOf(const v1::Plan& plan) {
  std::vector<std::string> steps;
  for (const v1::Plan::Step& step : plan.steps()) {
    const bool stops = step.action() == v1::Operation::STOP;
    steps.push_back(absl::StrCat(stops ? "stop " : "", step.task()));
    EXPECT_EQ(step.reboot(), absl::StartsWith(step.task(), "reboot@"));
    EXPECT_EQ(step.reboot(), step.action() == v1::Operation::ACTION_UNSPECIFIED);
  }
  return steps;
}

TEST(DryRunTest, AnotherDriverWhileServingRebootsEachNodeAndStartsEverythingAgain) {
  const v1::Plan plan = DryRun(InputWhileServing({"installers", "driver"}));
  EXPECT_THAT(plan.blocked(), testing::IsEmpty());
  EXPECT_THAT(StepsOf(plan),
              testing::ElementsAre("installers@node-0", "installers@node-1", "stop serve@node-0",
                                   "stop ray-worker@node-1", "stop ray-head@node-0",
                                   "stop container@node-1", "stop container@node-0",
                                   "driver@node-1", "driver@node-0", "reboot@node-1",
                                   "reboot@node-0", "container@node-1", "container@node-0",
                                   "ray-head@node-0", "ray-worker@node-1", "serve@node-0"))
      << plan.ShortDebugString();
  // From the stops of serve, ray-worker and ray-head over the driver and one reboot after the other
  // to what is started again; the installers are fetched while the old server answers.
  EXPECT_EQ(plan.outage().seconds(), 3 * 1 + 10 + 70 + 60 + 4 * 5);
  EXPECT_THAT(plan.never_run(), testing::IsEmpty());
  EXPECT_TRUE(plan.interrupts_service());
}

TEST(DryRunTest, ARebootWhoseTimeIsNotKnownIsNamed) {
  DryRunInput input = InputWhileServing({"installers", "driver"});
  input.state.nodes.at("node-1").reboot_took = absl::ZeroDuration();
  EXPECT_THAT(DryRun(std::move(input)).never_run(), testing::ElementsAre("reboot@node-1"));
}

TEST(DryRunTest, AnotherImageWhileServingRebootsNothing) {
  const v1::Plan plan = DryRun(InputWhileServing({"image", "container"}));
  EXPECT_THAT(plan.blocked(), testing::IsEmpty());
  EXPECT_THAT(StepsOf(plan),
              testing::ElementsAre("image@node-0", "image@node-1", "stop serve@node-0",
                                   "stop ray-worker@node-1", "stop ray-head@node-0",
                                   "container@node-1", "container@node-0", "ray-head@node-0",
                                   "ray-worker@node-1", "serve@node-0"))
      << plan.ShortDebugString();
}

TEST(DryRunTest, AnotherFlagStartsOnlyTheServerAgain) {
  const v1::Plan plan = DryRun(InputWhileServing({"serve"}));
  EXPECT_THAT(plan.blocked(), testing::IsEmpty());
  EXPECT_THAT(StepsOf(plan), testing::ElementsAre("serve@node-0")) << plan.ShortDebugString();
  EXPECT_EQ(plan.outage().seconds(), 5);
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

TEST(DryRunTest, TheServersLineFitsTheVersionOfTheContainersImage) {
  DryRunInput input = InputWhere(v1::Observation::ABSENT);
  v1::RunContainer& container = *input.plan.verbs.at("container@node-0").mutable_run_container();
  container.set_image("vllm-ascend:v0.11.0");
  v1::StartEngine& server = *input.plan.verbs.at("serve@node-0").mutable_start_engine();
  server.mutable_engine()->set_enable_reasoning(true);
  server.mutable_engine()->set_reasoning_parser("deepseek_r1");
  const v1::Plan plan = DryRun(std::move(input));
  EXPECT_THAT(Find(plan, "serve@node-0")->lines(),
              Contains(HasSubstr("--enable-reasoning dropped: vLLM 0.11.0")));
}

TEST(DryRunTest, WhatOnlyLooksMayBeThereBeforeWhatIsMade) {
  Sights there;
  for (const char* task : {"packages@node-0", "packages@node-1", "reach@node-0", "reach@node-1"})
    there[task] = v1::Observation::PRESENT;
  DryRunInput input = InputWhere(v1::Observation::ABSENT, there);
  input.check = [look = input.check](const std::string& node, const v1::CheckRequest& request) {
    absl::StatusOr<v1::CheckReply> reply = look(node, request);
    for (v1::TaskObservation& seen : *reply->mutable_observations()) {
      // No chip is there yet that it could tell of.
      if (absl::StartsWith(seen.task(), "reach@")) seen.mutable_observation()->clear_token();
      // There is no container yet in which it could be looked for.
      if (seen.task() == "serve@node-0" || seen.task() == "ray-worker@node-1")
        seen.mutable_observation()->set_state(v1::Observation::UNKNOWN);
    }
    return reply;
  };
  const v1::Plan plan = DryRun(std::move(input));
  EXPECT_THAT(plan.blocked(), testing::IsEmpty()) << plan.ShortDebugString();
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

TEST(DryRunTest, WhatIsLeftAsItIsSaysWhy) {
  DryRunInput input = InputWhere(v1::Observation::PRESENT);
  v1::InstallDriver& driver = *input.plan.verbs.at("driver@node-0").mutable_install_driver();
  driver.set_version("25.0.rc1.b080");
  driver.clear_accepted_versions();
  for (const char* version : {"24.1.rc2", "24.1.rc3"}) driver.add_accepted_versions(version);
  input.plan.verbs.at("driver@node-1") = input.plan.verbs.at("driver@node-0");
  input.check = [look = input.check](const std::string& node, const v1::CheckRequest& request) {
    absl::StatusOr<v1::CheckReply> reply = look(node, request);
    for (v1::TaskObservation& seen : *reply->mutable_observations()) {
      v1::Observation& observation = *seen.mutable_observation();
      if (seen.task() == "driver@node-0") observation.set_token("24.1.rc3/7.5.0.1.129");
      if (seen.task() == "driver@node-1") observation.set_token("25.0.rc1.b080/7.7.t20.0.b200");
      if (seen.task() == "packages@node-0") (*observation.mutable_facts())["skipped"] = "has apt";
    }
    return reply;
  };
  const v1::Plan plan = DryRun(std::move(input));
  const std::string why = "driver.acceptedVersions has 24.1.rc3, so 25.0.rc1.b080 is not installed";
  EXPECT_THAT(plan.notes(),
              testing::ElementsAre("packages@node-0 is left as it is: has apt",
                                   absl::StrCat("driver@node-0 is left as it is: ", why)));
  EXPECT_EQ(Find(plan, "driver@node-0")->reason(),
            absl::StrCat("left as it is (24.1.rc3/7.5.0.1.129): ", why));
  EXPECT_EQ(Find(plan, "driver@node-1")->reason(), "as wanted (25.0.rc1.b080/7.7.t20.0.b200)");
  EXPECT_EQ(Find(plan, "packages@node-0")->reason(), "left as it is (there): has apt");
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

TEST(DryRunTest, WhatAnInstallNeedsIsFetchedFirstAndChangesNoReason) {
  DryRunInput input = InputWhere(
      v1::Observation::PRESENT,
      {{"installers@node-1", v1::Observation::ABSENT}, {"driver@node-1", v1::Observation::ABSENT}});
  v1::FetchInstallers& fetch = *input.plan.verbs.at("installers@node-1").mutable_fetch_installers();
  for (v1::Artifact* artifact :
       {fetch.mutable_driver()->mutable_driver(), fetch.mutable_driver()->mutable_firmware()}) {
    artifact->set_url(artifact == &fetch.driver().driver() ? "https://origin/driver.run"
                                                           : "https://origin/firmware.run");
  }
  input.check = [look = input.check](const std::string& node, const v1::CheckRequest& request) {
    absl::StatusOr<v1::CheckReply> reply = look(node, request);
    for (v1::TaskObservation& seen : *reply->mutable_observations()) {
      v1::Observation& observation = *seen.mutable_observation();
      if (seen.task() == "installers@node-1")
        (*observation.mutable_facts())["missing"] = "https://origin/driver.run";
      if (seen.task() == "installers@node-0") observation.set_token("fetched");
      if (seen.task() == "driver@node-1") observation.set_reason("another driver is wanted");
    }
    return reply;
  };
  const v1::Plan plan = DryRun(std::move(input));
  ASSERT_GE(plan.steps_size(), 2) << plan.ShortDebugString();
  EXPECT_EQ(plan.steps(0).task(), "installers@node-1");
  EXPECT_EQ(plan.steps(1).task(), "driver@node-1");
  EXPECT_EQ(plan.steps(1).reason(), "another driver is wanted");
  EXPECT_THAT(Find(plan, "installers@node-1")->lines(),
              testing::ElementsAre("mkdir -p /data/drivers", "cd /data/drivers",
                                   "wget https://origin/driver.run"));
  EXPECT_EQ(Find(plan, "installers@node-0")->reason(), "as wanted (no install needs another file)");
}

TEST(DryRunTest, AnOutageSaysOfWhatItDoesNotKnowTheTime) {
  DryRunInput input =
      InputWhere(v1::Observation::PRESENT, {{"serve@node-0", v1::Observation::ABSENT}});
  input.state = Serving(input);
  for (core::Task& task : input.state.tasks) task.seen_stamp.clear();
  const v1::Plan plan = DryRun(std::move(input));
  EXPECT_THAT(plan.never_run(), testing::ElementsAre("serve@node-0"));
}

TEST(DryRunTest, APendingRebootIsPlannedOnceAndEndsWhatRunsThere) {
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
  EXPECT_THAT(StepsOf(plan),
              testing::ElementsAre("reboot@node-1", "container@node-1", "ray-worker@node-1"))
      << plan.ShortDebugString();
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
