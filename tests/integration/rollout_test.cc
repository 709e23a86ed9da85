// SPDX-License-Identifier: Apache-2.0
//
// Whole rollouts from bare machines to a generated token.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <map>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/time_conversion.h"
#include "tests/integration/fleet.h"

namespace npufleet::integration {
namespace {

using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

// Of each task how often its operations changed something.
std::map<std::string, int> ChangesByTask(const std::vector<v1::Operation>& journal) {
  std::map<std::string, int> changes;
  for (const v1::Operation& operation : journal) {
    if (operation.state() == v1::Operation::SUCCEEDED && operation.changed())
      ++changes[operation.task()];
  }
  return changes;
}

void ExpectServing(const v1::Rollout& rollout) {
  EXPECT_EQ(rollout.phase(), v1::Rollout::SERVING) << Describe(rollout);
  for (const v1::Task& task : rollout.tasks())
    EXPECT_EQ(task.state(), v1::Task::CURRENT) << task.id();
}

TEST(RolloutTest, OneBareNodeServes) {
  Fleet fleet(1);
  fleet.StartController();
  v1::ApplyDeploymentReply reply;
  const grpc::Status applied = fleet.Apply(MakeDeployment(1), &reply);
  ASSERT_TRUE(applied.ok()) << applied.error_message();
  EXPECT_FALSE(reply.unchanged());
  const v1::Rollout rollout = fleet.AwaitPhase(v1::Rollout::SERVING);
  ExpectServing(rollout);
  EXPECT_EQ(rollout.endpoint(), "http://192.168.0.15:8006");
  EXPECT_EQ(rollout.served_model_name(), kServedName);
  EXPECT_EQ(TaskOf(rollout, "probe@node-a").facts().at("answer"), "Qwen");
  EXPECT_TRUE(fleet.machine(0).EngineLives());
  EXPECT_EQ(fleet.machine(0).DriverRuns(), 1);
  EXPECT_THAT(ChangesByTask(fleet.Journal(0)), Each(Pair(testing::_, 1)));
}

TEST(RolloutTest, TwoBareNodesServeTogether) {
  Fleet fleet(2);
  fleet.StartController();
  const grpc::Status applied = fleet.Apply(MakeDeployment(2));
  ASSERT_TRUE(applied.ok()) << applied.error_message();
  const v1::Rollout rollout = fleet.AwaitPhase(v1::Rollout::SERVING);
  ExpectServing(rollout);
  EXPECT_EQ(TaskOf(rollout, "serve@node-b").id(), "") << "one server, on the head";
  for (int node = 0; node < 2; ++node) {
    EXPECT_THAT(ChangesByTask(fleet.Journal(node)), Each(Pair(testing::_, 1)));
    EXPECT_EQ(fleet.machine(node).DriverRuns(), 1);
  }
}

TEST(RolloutTest, TheSecondApplyRunsEachCheapCheckShowsTheAgeOfOthersAndChangesNothing) {
  Fleet fleet(2);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  fleet.AwaitPhase(v1::Rollout::SERVING);
  const size_t operations = fleet.Journal(0).size() + fleet.Journal(1).size();
  const std::map<std::string, int> before = fleet.verbs().AllChecks();
  v1::ApplyDeploymentReply reply;
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2), &reply).ok());
  EXPECT_TRUE(reply.unchanged());
  ExpectServing(reply.rollout());
  EXPECT_EQ(reply.rollout().revision(), 1u);
  for (const v1::Task& task : reply.rollout().tasks()) {
    const std::string& stage = task.stage();
    const bool dear = stage == "npu" || stage == "fabric" || stage == "reach" || stage == "probe";
    const bool fresh = FromTimestamp(task.observed_time()) >= FromTimestamp(reply.time());
    ASSERT_TRUE(task.has_observed_time()) << task.id();
    EXPECT_TRUE(fresh || dear) << task.id() << " is not shown as looked at";
    EXPECT_TRUE(!fresh || fleet.verbs().Checks(task.id()) > before.at(task.id()))
        << task.id() << " was not looked at";
  }
  EXPECT_EQ(fleet.Journal(0).size() + fleet.Journal(1).size(), operations);

  v1::Plan plan;
  ASSERT_TRUE(fleet.Plan(MakeDeployment(2), &plan).ok());
  EXPECT_THAT(plan.steps(), IsEmpty());
  EXPECT_THAT(plan.blocked(), IsEmpty());
  EXPECT_FALSE(plan.interrupts_service());
}

TEST(RolloutTest, ADriverThatNeedsARebootRebootsTheNodeInTheMiddle) {
  const std::string installer = DriverInstaller(absl::StrCat(kInstallsDriver, kNeedsReboot));
  v1::Deployment deployment = MakeDeployment(1);
  *deployment.mutable_spec()->mutable_driver()->mutable_driver() =
      MakeArtifact("driver.run", installer);
  Fleet fleet(1);
  fleet.machine(0).ServeInstaller(deployment.spec().driver().driver(), installer);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(deployment).ok());
  ASSERT_TRUE(fleet.machine(0).reboot_asked().WaitForNotificationWithTimeout(kLimit));
  fleet.PowerCycle(0);
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  EXPECT_EQ(fleet.machine(0).DriverRuns(), 1);
  EXPECT_LE(fleet.machine(0).system().reboots(), 1);
  int reboots = 0;
  for (const v1::Operation& operation : fleet.Journal(0)) {
    if (absl::StartsWith(operation.task(), "reboot@")) ++reboots;
  }
  EXPECT_EQ(reboots, 1);
}

// --- A controller that goes away
// -------------------------------------------------------------------

class ControllerRestartTest : public ::testing::TestWithParam<const char*> {};

TEST_P(ControllerRestartTest, InTheMiddleOfAnOperationTheRolloutFinishesAndNothingRunsTwice) {
  const std::string task = GetParam();
  Fleet fleet(2);
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold(task);
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  fleet.StopController();
  fleet.StartController();
  gate.open.Notify();
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  EXPECT_EQ(fleet.verbs().Applies(task), 1);
  for (int node = 0; node < 2; ++node) {
    EXPECT_THAT(ChangesByTask(fleet.Journal(node)), Each(Pair(testing::_, 1)));
    EXPECT_EQ(fleet.machine(node).DriverRuns(), 1);
  }
}

TEST_P(ControllerRestartTest, WhatEndsWhileNoControllerIsThereCounts) {
  const std::string task = GetParam();
  Fleet fleet(2);
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold(task);
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  fleet.StopController();
  gate.open.Notify();
  fleet.AwaitOperationsEnd(0);
  fleet.AwaitOperationsEnd(1);
  fleet.StartController();
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  EXPECT_EQ(fleet.verbs().Applies(task), 1);
  for (int node = 0; node < 2; ++node) {
    EXPECT_THAT(ChangesByTask(fleet.Journal(node)), Each(Pair(testing::_, 1)));
  }
}

INSTANTIATE_TEST_SUITE_P(Stages, ControllerRestartTest,
                         ::testing::Values("driver@node-b", "runtime@node-a", "image@node-b",
                                           "container@node-a", "ray-worker@node-b", "serve@node-a"),
                         [](const auto& name) {
                           std::string text = name.param;
                           for (char& c : text) {
                             if (!isalnum(c)) c = '_';
                           }
                           return text;
                         });

TEST(RestartTest, AnInstallerOfTheFormerRevisionEndsBeforeTheOneOfTheNewRevisionBegins) {
  const std::string installer =
      DriverInstaller(absl::StrCat("mkdir -p $root/usr/local/Ascend/driver\n"
                                   "printf 'Version=25.0.rc2\\npackage_version=25.0.rc2\\n' > "
                                   "$root/usr/local/Ascend/driver/version.info\n",
                                   kTakesEffect));
  v1::Deployment newer = MakeDeployment(1);
  newer.mutable_spec()->mutable_driver()->set_version("25.0.rc2");
  *newer.mutable_spec()->mutable_driver()->mutable_driver() = MakeArtifact("newer.run", installer);
  Fleet fleet(1);
  fleet.machine(0).ServeInstaller(newer.spec().driver().driver(), installer);
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold("driver@node-a");
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  ASSERT_TRUE(fleet.Apply(newer).ok());
  fleet.StopController();
  fleet.StartController();
  gate.open.Notify();
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  const v1::ListEventsReply told = fleet.Events(0, 1000);
  for (const v1::Event& event : told.events())
    EXPECT_NE(event.kind(), "OperationRefused") << event.message();
  std::vector<v1::Operation> installs;
  for (const v1::Operation& operation : fleet.Journal(0)) {
    if (operation.task() == "driver@node-a") installs.push_back(operation);
  }
  ASSERT_EQ(installs.size(), 2u);
  EXPECT_EQ(installs[0].state(), v1::Operation::SUCCEEDED);
  EXPECT_LE(FromTimestamp(installs[0].end_time()), FromTimestamp(installs[1].accept_time()));
  EXPECT_EQ(fleet.machine(0).DriverRuns(), 2);
}

TEST(RestartTest, AServingRolloutIsStillServingForTheNextController) {
  Fleet fleet(1);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  fleet.AwaitPhase(v1::Rollout::SERVING);
  const size_t operations = fleet.Journal(0).size();
  fleet.StopController();
  fleet.StartController();
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  EXPECT_EQ(fleet.Journal(0).size(), operations);
}

// --- An agent that goes away
// -------------------------------------------------------------------------

TEST(RestartTest, AnInstallerGoesOnWhileTheAgentIsRestartedAndRunsOnce) {
  // Two pipes: the installer says that it runs, and waits to be let on.
  const std::string installer = DriverInstaller(
      absl::StrCat("echo > $root/begun\nread line < $root/gate\n", kInstallsDriver, kTakesEffect));
  v1::Deployment deployment = MakeDeployment(1);
  *deployment.mutable_spec()->mutable_driver()->mutable_driver() =
      MakeArtifact("driver.run", installer);
  Fleet fleet(1);
  FakeMachine& machine = fleet.machine(0);
  machine.ServeInstaller(deployment.spec().driver().driver(), installer);
  ASSERT_EQ(mkfifo((machine.root() + "/begun").c_str(), 0600), 0);
  ASSERT_EQ(mkfifo((machine.root() + "/gate").c_str(), 0600), 0);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(deployment).ok());
  { std::ifstream(machine.root() + "/begun").get(); }
  fleet.StopAgent(0);
  fleet.StartAgent(0);
  { std::ofstream(machine.root() + "/gate") << "go\n"; }
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  EXPECT_EQ(machine.DriverRuns(), 1);
  EXPECT_THAT(ChangesByTask(fleet.Journal(0)), Each(Pair(testing::_, 1)));
}

TEST(RestartTest, AnOperationIsAppliedAgainByTheNextAgentOfTheSameBootUnderItsOwnId) {
  Fleet fleet(1);
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold("image@node-a");
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  fleet.StopAgent(0);
  gate.open.Notify();
  fleet.StartAgent(0);
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  EXPECT_EQ(fleet.verbs().Applies("image@node-a"), 2);
  EXPECT_THAT(ChangesByTask(fleet.Journal(0)), Each(Pair(testing::_, 1)));
}

TEST(RestartTest, AnOperationGoesOnWhenItsAgentJoinsAgainAtAnotherAddress) {
  Fleet fleet(1);
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold("image@node-a");
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  fleet.MoveAgentToAnotherAddress(0);
  gate.open.Notify();
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  EXPECT_THAT(ChangesByTask(fleet.Journal(0)), Each(Pair(testing::_, 1)));
}

TEST(RestartTest, AnOperationIsCancelledAtTheAddressThatItsAgentJoinedFromAgain) {
  Fleet fleet(1);
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold("image@node-a");
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  fleet.MoveAgentToAnotherAddress(0);
  ASSERT_TRUE(fleet.Control(v1::ControlRolloutRequest::CANCEL).ok());
  fleet.AwaitRollout([](const v1::Rollout& rollout) {
    return TaskOf(rollout, "image@node-a").state() != v1::Task::RUNNING;
  });
  for (const v1::Operation& operation : fleet.Journal(0)) {
    if (operation.task() != "image@node-a") continue;
    EXPECT_EQ(operation.state(), v1::Operation::CANCELLED);
  }
}

TEST(RestartTest, WhatABootInterruptedIsRunAgainInTheNext) {
  Fleet fleet(1);
  fleet.StartController();
  VerbWatch::Gate& gate = fleet.verbs().Hold("image@node-a");
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  ASSERT_TRUE(gate.entered.WaitForNotificationWithTimeout(kLimit));
  fleet.StopAgent(0);
  fleet.machine(0).PowerCycle();
  gate.open.Notify();
  fleet.StartAgent(0);
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  std::vector<v1::Operation> image;
  for (const v1::Operation& operation : fleet.Journal(0)) {
    if (operation.task() == "image@node-a") image.push_back(operation);
  }
  ASSERT_EQ(image.size(), 2u);
  EXPECT_EQ(image[0].state(), v1::Operation::INTERRUPTED);
  EXPECT_EQ(image[1].state(), v1::Operation::SUCCEEDED);
  EXPECT_NE(image[0].boot_id(), image[1].boot_id());
}

TEST(RestartTest, AServingNodeThatLosesItsPowerServesAgain) {
  Fleet fleet(2);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(2)).ok());
  fleet.AwaitPhase(v1::Rollout::SERVING);
  fleet.PowerCycle(1);
  fleet.AwaitRollout(
      [](const v1::Rollout& rollout) { return rollout.phase() != v1::Rollout::SERVING; });
  ExpectServing(fleet.AwaitPhase(v1::Rollout::SERVING));
  EXPECT_EQ(fleet.machine(1).DriverRuns(), 1);
  EXPECT_TRUE(fleet.machine(0).EngineLives());
}

// --- Events
// ------------------------------------------------------------------------------------------

TEST(EventsTest, ACursorGivesEachEventOnceAcrossControllers) {
  Fleet fleet(1);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  fleet.AwaitPhase(v1::Rollout::SERVING);
  const v1::ListEventsReply all = fleet.Events(0, 1000);
  ASSERT_GT(all.events_size(), 20);
  std::vector<uint64_t> paged;
  uint64_t cursor = 0;
  while (true) {
    const v1::ListEventsReply page = fleet.Events(cursor, 7);
    if (page.events().empty()) break;
    EXPECT_LE(page.events_size(), 7);
    for (const v1::Event& event : page.events()) paged.push_back(event.id());
    EXPECT_EQ(page.next(), paged.back());
    cursor = page.next();
    if (cursor == all.next()) break;
  }
  ASSERT_EQ(paged.size(), static_cast<size_t>(all.events_size()));
  for (size_t i = 0; i < paged.size(); ++i)
    EXPECT_EQ(paged[i], all.events(static_cast<int>(i)).id());
  fleet.StopController();
  fleet.StartController();
  const v1::ListEventsReply again = fleet.Events(0, static_cast<uint32_t>(all.events_size()));
  for (int i = 0; i < all.events_size(); ++i)
    EXPECT_EQ(again.events(i).message(), all.events(i).message());
}

TEST(EventsTest, AWatchGoesOnFromItsCursor) {
  Fleet fleet(1);
  fleet.StartController();
  ASSERT_TRUE(fleet.Apply(MakeDeployment(1)).ok());
  fleet.AwaitPhase(v1::Rollout::SERVING);
  v1::ListEventsRequest request;
  request.set_after(fleet.Events(0, 1000).next());
  const auto client = fleet.ClientAs("viewer");
  const auto context = Context();
  const auto reader = client->WatchEvents(context.get(), request);
  ASSERT_TRUE(fleet.Control(v1::ControlRolloutRequest::PAUSE).ok());
  v1::Event event;
  ASSERT_TRUE(reader->Read(&event));
  EXPECT_GT(event.id(), request.after());
  context->TryCancel();
}

}  // namespace
}  // namespace npufleet::integration
