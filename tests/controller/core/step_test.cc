// SPDX-License-Identifier: Apache-2.0
#include "controller/core/step.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npufleet::core {
namespace {

using Result = OperationEnded::Result;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

// image ──> container ──> serve ──> probe, all on node a; driver under the container.
Graph SmallGraph(uint64_t revision = 1) {
  Graph graph;
  graph.revision = revision;
  graph.tasks = {
      {.id = "driver@a", .stage = "driver", .node = "a", .want = "d", .disturbs = true},
      {.id = "image@a",
       .stage = "image",
       .node = "a",
       .want = "i",
       .prepares = true,
       .interruptible = true,
       .locks = {{"docker", false}}},
      {.id = "container@a",
       .stage = "container",
       .node = "a",
       .needs = {"driver@a", "image@a"},
       .want = "c",
       .running = true,
       .disturbs = true,
       .locks = {{"docker", false}}},
      {.id = "serve@a",
       .stage = "serve",
       .node = "a",
       .needs = {"container@a"},
       .want = "s",
       .running = true,
       .disturbs = true},
      {.id = "probe@a", .stage = "probe", .node = "a", .needs = {"serve@a"}, .want = "p"},
  };
  return graph;
}

class StepTest : public testing::Test {
 protected:
  StepTest() {
    state_.deployment = "qwen";
    state_.epoch = 7;
  }

  template <typename What>
  void Tell(What what) {
    now_ += absl::Milliseconds(1);
    StepResult result = Step(state_, {now_, std::move(what)});
    checks_.clear();
    starts_.clear();
    cancels_.clear();
    for (const Command& command : result.commands) {
      if (auto* check = std::get_if<CheckTask>(&command)) checks_.push_back(check->task);
      if (auto* start = std::get_if<StartOperation>(&command)) starts_.push_back(*start);
      if (auto* cancel = std::get_if<CancelOperation>(&command))
        cancels_.push_back(cancel->operation);
    }
    notes_ = std::move(result.notes);
  }

  // What the last step put into the history of this kind.
  std::vector<std::string> Noted(std::string_view kind) const {
    std::vector<std::string> found;
    for (const Note& note : notes_) {
      if (note.kind == kind)
        found.push_back(absl::StrCat(note.task, note.task.empty() ? "" : ": ", note.message));
    }
    return found;
  }

  std::vector<std::string> Started() const {
    std::vector<std::string> names;
    for (const StartOperation& start : starts_) {
      const char* action = start.action == Action::kStop     ? "stop "
                           : start.action == Action::kReboot ? "reboot "
                                                             : "";
      names.push_back(absl::StrCat(action, start.task.empty() ? start.node : start.task));
    }
    return names;
  }

  const Task& Of(const std::string& id) const { return *state_.Find(id); }

  void See(const std::string& id, Sight sight, std::string token = "", std::string reason = "") {
    const std::string stamp = Of(id).checking.empty() ? StampOf(state_, Of(id)) : Of(id).checking;
    Tell(Observed{id, stamp, {.sight = sight, .token = token, .reason = reason}});
  }

  void Die(const std::string& id, std::optional<Failure> cause) {
    Tell(Observed{id,
                  StampOf(state_, Of(id)),
                  {.sight = Sight::kAbsent, .reason = "no process", .cause = std::move(cause)}});
  }

  void Succeed(const std::string& id, const std::string& token) {
    ASSERT_TRUE(Of(id).operation.has_value()) << id << ": " << Of(id).reason;
    const bool stop = Of(id).operation->action == Action::kStop;
    Tell(OperationEnded{
        Of(id).operation->operation,
        Result::kSucceeded,
        {.sight = stop ? Sight::kAbsent : Sight::kPresent, .token = stop ? "" : token}});
  }

  void Fail(const std::string& id, Failure failure) {
    ASSERT_TRUE(Of(id).operation.has_value());
    OperationEnded ended{.operation = Of(id).operation->operation, .result = Result::kFailed};
    ended.failure = std::move(failure);
    Tell(ended);
  }

  static Observation Hung(std::string signature) {
    return {.sight = Sight::kAbsent,
            .reason = "no completion",
            .failure = Failure{.failure_class = FailureClass::kRedo,
                               .redo_stage = "serve",
                               .signature = std::move(signature),
                               .symptom = "no completion"}};
  }

  // What a probe that fails has looked at: the `start`th server, in its container.
  void SeeBelowProbe(int start) {
    See("container@a", Sight::kPresent, "c1");
    See("serve@a", Sight::kPresent, absl::StrCat("s", start));
  }

  // From nothing to serving.
  void Serve() {
    Tell(SpecApplied{SmallGraph()});
    Tell(NodeConnected{"a", "boot-1"});
    for (const char* id : {"driver@a", "image@a"}) See(id, Sight::kAbsent, "", "not there");
    Succeed("driver@a", "25.0");
    Succeed("image@a", "sha256:1");
    See("container@a", Sight::kAbsent);
    Succeed("container@a", "c1");
    See("serve@a", Sight::kAbsent);
    Succeed("serve@a", "s1");
    See("probe@a", Sight::kPresent, "tokens");
    ASSERT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
  }

  State state_;
  absl::Time now_ = absl::FromUnixSeconds(1000);
  std::vector<std::string> checks_;
  std::vector<StartOperation> starts_;
  std::vector<std::string> cancels_;
  std::vector<Note> notes_;
};

TEST_F(StepTest, WhatAnOperationSweptIsInTheHistory) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  for (const char* id : {"driver@a", "image@a"}) See(id, Sight::kAbsent);
  ASSERT_TRUE(Of("driver@a").operation.has_value());
  const OperationEnded ended = {.operation = Of("driver@a").operation->operation,
                                .result = Result::kFailed,
                                .swept = {"process 7 of a former start", "3 files"}};
  Tell(ended);
  EXPECT_THAT(Noted("Swept"),
              ElementsAre("driver@a: process 7 of a former start", "driver@a: 3 files"));
}

TEST_F(StepTest, NothingIsDoneBeforeTheNodeIsReached) {
  Tell(SpecApplied{SmallGraph()});
  EXPECT_THAT(checks_, IsEmpty());
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(ReasonOf(state_), HasSubstr("has not been reached yet"));
}

TEST_F(StepTest, LooksBeforeItActsAndRunsIndependentStagesSideBySide) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  EXPECT_THAT(checks_, ElementsAre("driver@a", "image@a"));
  EXPECT_THAT(Started(), IsEmpty());
  See("driver@a", Sight::kAbsent);
  EXPECT_THAT(Started(), IsEmpty()) << "image has not been looked at: the node has not reported";
  See("image@a", Sight::kAbsent);
  EXPECT_THAT(Started(), ElementsAre("driver@a", "image@a"));
}

TEST_F(StepTest, AnOperationIsNamedByEpochDeploymentRevisionTaskAndNumber) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  See("image@a", Sight::kPresent, "sha256:1");
  See("driver@a", Sight::kAbsent);
  ASSERT_EQ(starts_.size(), 1u);
  EXPECT_EQ(starts_[0].operation, "7/qwen/1/driver@a/1");
  EXPECT_EQ(starts_[0].boot_id, "boot-1");
}

TEST_F(StepTest, WhatIsPresentIsNeverRun) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  See("driver@a", Sight::kPresent, "25.0");
  See("image@a", Sight::kPresent, "sha256:1");
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(checks_, ElementsAre("container@a"));
}

TEST_F(StepTest, ServesAndIsStill) {
  Serve();
  Tell(SpecApplied{SmallGraph()});
  EXPECT_EQ(checks_.size(), 5u) << "an unchanged spec is looked at afresh, all of it at once";
  EXPECT_THAT(Started(), IsEmpty());
}

TEST_F(StepTest, ACheckThatAsksForARedoOnceTooOftenIsGivenUpAndStill) {
  Serve();
  state_.retry.attempts = 1;
  const Observation silent = {
      .sight = Sight::kAbsent,
      .reason = "no tokens",
      .failure = Failure{
          .failure_class = FailureClass::kRedo, .redo_stage = "serve", .symptom = "no tokens"}};
  for (int i = 0; i < 3; ++i) {
    Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), silent});
    EXPECT_TRUE(Of("probe@a").given_up);
    EXPECT_THAT(checks_, testing::Not(Contains("probe@a"))) << "it would never end";
    EXPECT_EQ(Of("probe@a").attempts, 1);
  }
}

TEST_F(StepTest, AnInstallerThatNobodyWantsAnyMoreGoesToItsEnd) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  for (const char* id : {"driver@a", "image@a"}) See(id, Sight::kAbsent, "", "not there");
  Tell(SpecApplied{Graph{.revision = 2}});
  EXPECT_THAT(cancels_, ElementsAre(HasSubstr("image@a"))) << "the driver's may not be cut";
  Succeed("driver@a", "25.0");
  EXPECT_EQ(state_.Find("driver@a"), nullptr);
}

TEST_F(StepTest, WhatRanOnANodeThatIsGoneIsWaitedForByNobodyAndForgottenWithIt) {
  Serve();
  Tell(NodeLost{"a", "burnt"});
  Tell(SpecApplied{Graph{.revision = 2}});
  EXPECT_NE(state_.Find("container@a"), nullptr) << "it may run still";
  EXPECT_EQ(PhaseOf(state_), Phase::kWaiting) << "what is deleted does not serve";
  Tell(NodeRemoved{"a"});
  EXPECT_THAT(state_.tasks, IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kDeleted);
}

TEST_F(StepTest, WhatHasDriftedIsLookedAtAgainBeforeWhatDiedAboveItIsStarted) {
  Serve();
  See("driver@a", Sight::kDrifted, "25.0", "chip 1 reports 80E18005");
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kServing);
  See("serve@a", Sight::kAbsent, "", "no server process");
  EXPECT_THAT(checks_, testing::IsSupersetOf({"driver@a", "container@a"}));
  EXPECT_THAT(Started(), IsEmpty());
  See("container@a", Sight::kPresent, "c1");
  EXPECT_THAT(Started(), IsEmpty()) << "the chip has not been looked at";
  See("driver@a", Sight::kDrifted, "25.0", "chip 1 reports 80E18005");
  EXPECT_THAT(Started(), ElementsAre("serve@a"));
}

TEST_F(StepTest, WhatIsLostWaitsForTheRepairOfWhatHadDriftedUnderIt) {
  Serve();
  See("driver@a", Sight::kDrifted, "25.0", "chip 1 must be reset");
  See("serve@a", Sight::kAbsent, "", "no server process");
  See("container@a", Sight::kPresent, "c1");
  See("driver@a", Sight::kAbsent, "", "chip 1 must be reset");
  EXPECT_THAT(Started(), testing::Not(Contains("serve@a")));
}

TEST_F(StepTest, ADearCheckThatStandsIsNotAskedForAgain) {
  Serve();
  Graph dear = SmallGraph();
  dear.tasks.back().dear = true;
  Tell(SpecApplied{dear});
  EXPECT_THAT(checks_, ElementsAre("driver@a", "image@a", "container@a", "serve@a"));
  EXPECT_EQ(PhaseOf(state_), Phase::kServing);
  // What is under it has changed: then it is asked.
  See("container@a", Sight::kPresent, "c1");
  See("serve@a", Sight::kPresent, "s2");
  EXPECT_THAT(checks_, ElementsAre("probe@a"));
}

TEST_F(StepTest, ADearCheckThatDoesNotStandIsAskedForAgain) {
  Serve();
  See("probe@a", Sight::kUnknown, "", "the engine is busy");
  Graph dear = SmallGraph();
  dear.tasks.back().dear = true;
  Tell(SpecApplied{dear});
  EXPECT_THAT(checks_, Contains("probe@a"));
}

TEST_F(StepTest, ALostContainerTakesExactlyWhatStandsOnIt) {
  Serve();
  See("serve@a", Sight::kAbsent);
  EXPECT_THAT(checks_, ElementsAre("container@a")) << "it may have gone with what it stood on";
  EXPECT_THAT(Started(), IsEmpty());
  See("container@a", Sight::kAbsent, "", "exited (137)");
  EXPECT_THAT(Started(), ElementsAre("container@a"));
  Succeed("container@a", "c2");
  EXPECT_THAT(checks_, ElementsAre("container@a", "serve@a"));
  See("serve@a", Sight::kAbsent);
  EXPECT_THAT(Started(), ElementsAre("serve@a"));
}

TEST_F(StepTest, AServerThatDiesOfTheSameCauseIsNotStartedForEver) {
  Serve();
  const Failure cause = {.failure_class = FailureClass::kConfig,
                         .signature = "SRV-08",
                         .symptom = "NPU out of memory",
                         .advice = "lower it",
                         .log_tail = {"RuntimeError: NPU out of memory"}};
  for (int death = 1; death <= 3; ++death) {
    Die("serve@a", cause);
    See("container@a", Sight::kPresent, "c1");
    if (death == 3) break;
    EXPECT_THAT(Started(), ElementsAre("serve@a"));
    EXPECT_EQ(Of("serve@a").failure, cause) << "what it died of is shown while it is started";
    now_ += absl::Minutes(12);  // longer than three times the window, but for the start's own time
    Succeed("serve@a", absl::StrCat("s", death + 1));
    See("probe@a", Sight::kPresent, "tokens");
    ASSERT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
    EXPECT_FALSE(Of("serve@a").failure.has_value());
  }
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kFailed);
  EXPECT_THAT(Of("serve@a").failure->symptom,
              HasSubstr("the same failure (SRV-08) 3 times in 1h6m"));
  EXPECT_EQ(Of("serve@a").failure->advice, "lower it");
  EXPECT_THAT(Of("serve@a").failure->log_tail, ElementsAre("RuntimeError: NPU out of memory"));
  Tell(RetryRequested{});
  See("serve@a", Sight::kAbsent);
  EXPECT_THAT(Started(), ElementsAre("serve@a"));
}

// However long it takes to load, and whatever it says in between.
TEST_F(StepTest, AServerThatHangsAgainAndAgainIsNotStartedForEver) {
  Serve();
  const Observation hung = Hung("RUN-04");
  for (int hang = 1; hang <= 3; ++hang) {
    Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), hung});
    if (hang == 3) break;
    SeeBelowProbe(hang);
    ASSERT_THAT(Started(), ElementsAre("serve@a"));
    now_ += absl::Minutes(15);
    Succeed("serve@a", absl::StrCat("s", hang + 1));
    See("probe@a", Sight::kPresent, "tokens");
    ASSERT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
    now_ += absl::Minutes(3);
  }
  EXPECT_THAT(checks_, IsEmpty());
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kFailed);
  EXPECT_THAT(ReasonOf(state_), HasSubstr("probe@a: no completion (given up: serve@a: the same "
                                          "failure (RUN-04) 3 times in 1h15m"));
  Tell(RetryRequested{});
  Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), hung});
  SeeBelowProbe(3);
  EXPECT_THAT(Started(), ElementsAre("serve@a"));
}

// The agent goes on to look by itself while the server is started again.
TEST_F(StepTest, OneHangIsOneRecoveryHoweverOftenItIsSeen) {
  Serve();
  for (int look = 1; look <= 5; ++look)
    Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), Hung("RUN-04")});
  SeeBelowProbe(1);
  Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), Hung("")});
  EXPECT_EQ(Of("serve@a").past.size(), 1);
  EXPECT_TRUE(Of("serve@a").operation.has_value());
}

TEST_F(StepTest, AnIncidentSaysWhatHappened) {
  Serve();
  Die("serve@a", std::nullopt);
  EXPECT_THAT(Noted("Incident"), ElementsAre("serve@a: no process"));
  See("container@a", Sight::kPresent, "c1");
  Succeed("serve@a", "s2");
  See("probe@a", Sight::kPresent, "tokens");
  Tell(RestartRequested{.stage = "serve"});
  EXPECT_THAT(Noted("Incident"), ElementsAre(testing::StartsWith("serve@a: ")));
}

TEST_F(StepTest, WhatIsBeingStartedKeepsWhatItReads) {
  Graph graph = SmallGraph();
  graph.tasks.push_back(
      {.id = "model@a", .stage = "model", .node = "a", .want = "m1", .prepares = true});
  graph.tasks[3].needs.push_back("model@a");
  const auto see_the_rest = [this] {
    See("driver@a", Sight::kPresent, "25.0");
    See("image@a", Sight::kPresent, "sha256:1");
    See("container@a", Sight::kPresent, "c1");
  };
  Tell(SpecApplied{graph});
  Tell(NodeConnected{"a", "boot-1"});
  See("model@a", Sight::kPresent, "weights-1");
  see_the_rest();
  See("serve@a", Sight::kAbsent);
  ASSERT_THAT(Started(), ElementsAre("serve@a"));
  graph.revision = 2;
  graph.tasks.back().want = "m2";
  Tell(SpecApplied{graph});
  See("model@a", Sight::kAbsent, "", "another version");
  see_the_rest();
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(Of("model@a").reason, HasSubstr("serve@a is being started on it"));
  Succeed("serve@a", "s1");
  EXPECT_THAT(Started(), ElementsAre("model@a"));
}

TEST_F(StepTest, WithoutASignatureItIsStartedSoOftenAnHour) {
  Serve();
  int starts = 0;
  for (int hang = 1; PhaseOf(state_) == Phase::kServing && hang < 99; ++hang) {
    Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), Hung("")});
    if (Of("probe@a").given_up) break;
    SeeBelowProbe(hang);
    ASSERT_THAT(Started(), ElementsAre("serve@a"));
    ++starts;
    now_ += absl::Minutes(5);
    Succeed("serve@a", absl::StrCat("s", hang + 1));
    See("probe@a", Sight::kPresent, "tokens");
  }
  EXPECT_EQ(starts, state_.retry.recoveries_per_hour);
  EXPECT_THAT(ReasonOf(state_), HasSubstr("serve@a: it failed 11 times within 1h50m"));
}

TEST_F(StepTest, AChipThatMustBeReplacedIsShownWhileItServesAndCountsOnceTheServerHasDied) {
  Serve();
  const Observation broken = {
      .sight = Sight::kAbsent,
      .reason = "chip 1 reports fault 80E18402",
      .failure = Failure{.failure_class = FailureClass::kHardware, .symptom = "chip 1"}};
  Tell(Observed{"driver@a", StampOf(state_, Of("driver@a")), broken});
  EXPECT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
  EXPECT_EQ(Of("driver@a").reason, "chip 1 reports fault 80E18402");
  Tell(RestartRequested{"serve", ""});
  See("serve@a", Sight::kPresent, "s1");
  EXPECT_THAT(Started(), IsEmpty())
      << "a server that answers is not given away for one that cannot";
  EXPECT_THAT(ReasonOf(state_),
              HasSubstr("waiting: driver@a (chip 1); what answers is left alone"));
  Die("serve@a", std::nullopt);
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(checks_, UnorderedElementsAre("driver@a", "container@a"));
  See("container@a", Sight::kPresent, "c1");
  Tell(Observed{"driver@a", StampOf(state_, Of("driver@a")), broken});
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kFailed);
  EXPECT_EQ(Of("driver@a").failure->failure_class, FailureClass::kHardware);
}

TEST_F(StepTest, NothingIsStoppedForAChangeThatCannotBeOnAnotherNode) {
  Graph graph = SmallGraph();
  graph.tasks.insert(
      graph.tasks.begin() + 1,
      {.id = "driver@b", .stage = "driver", .node = "b", .want = "d", .disturbs = true});
  graph.tasks[4].needs.push_back("driver@b");  // serve
  Tell(SpecApplied{graph});
  for (const char* node : {"a", "b"}) Tell(NodeConnected{node, "boot-1"});
  for (const char* id : {"driver@a", "driver@b", "image@a"}) See(id, Sight::kPresent, "v");
  See("container@a", Sight::kPresent, "c1");
  See("serve@a", Sight::kPresent, "s1");
  See("probe@a", Sight::kPresent, "tokens");
  ASSERT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);

  Graph changed = graph;
  changed.revision = 2;
  changed.tasks[0].want = changed.tasks[1].want = "d2";
  Tell(SpecApplied{changed});
  See("image@a", Sight::kPresent, "v");
  See("driver@a", Sight::kAbsent, "v", "another version");
  for (const auto& [id, token] :
       {std::pair("container@a", "c1"), std::pair("serve@a", "s1"), std::pair("probe@a", "tokens")})
    See(id, Sight::kPresent, token);
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(Of("driver@a").reason, HasSubstr("driver@b is looked at first"));
  See("driver@b", Sight::kUnknown, "", "no answer");
  EXPECT_THAT(Started(), IsEmpty());
  const Failure missing{.failure_class = FailureClass::kNeedsOperator, .symptom = "no lspci"};
  Tell(Observed{"driver@b",
                StampOf(state_, Of("driver@b")),
                {.sight = Sight::kAbsent, .token = "v", .reason = "other", .failure = missing}});
  EXPECT_THAT(Started(), IsEmpty()) << "the server would not come up again";
  EXPECT_THAT(Of("driver@a").reason, HasSubstr("driver@b (no lspci); what answers is left alone"));
  EXPECT_TRUE(IsServing(state_));

  See("driver@b", Sight::kAbsent, "v", "another version");
  EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
}

TEST_F(StepTest, ANodeThatIsAddedIsInstalledAndRebootedUnderTheOldServer) {
  Serve();
  Graph more = SmallGraph(2);
  more.tasks.push_back(
      {.id = "driver@b", .stage = "driver", .node = "b", .want = "d", .disturbs = true});
  more.tasks.push_back({.id = "container@b",
                        .stage = "container",
                        .node = "b",
                        .needs = {"driver@b"},
                        .want = "c",
                        .running = true,
                        .disturbs = true});
  more.tasks[3].needs.push_back("container@b");  // serve
  more.tasks[3].want = "two nodes";
  Tell(SpecApplied{more});
  for (const auto& [id, token] : {std::pair("driver@a", "25.0"), std::pair("image@a", "sha256:1"),
                                  std::pair("container@a", "c1"), std::pair("probe@a", "tokens")})
    See(id, Sight::kPresent, token);
  EXPECT_TRUE(IsServing(state_));
  Tell(NodeConnected{"b", "boot-1"});
  See("driver@b", Sight::kAbsent);
  EXPECT_THAT(Started(), ElementsAre("driver@b"));
  Tell(OperationEnded{Of("driver@b").operation->operation,
                      Result::kSucceeded,
                      {.sight = Sight::kAbsent, .reboot_needed = true}});
  EXPECT_THAT(Started(), ElementsAre("reboot b"));
  EXPECT_TRUE(IsServing(state_));
  Tell(NodeLost{"b", "it reboots"});
  Tell(NodeConnected{"b", "boot-2"});
  See("driver@b", Sight::kPresent, "25.0");
  See("container@b", Sight::kAbsent);
  EXPECT_THAT(Started(), ElementsAre("container@b"));
  Succeed("container@b", "c2");
  EXPECT_TRUE(IsServing(state_));
  See("serve@a", Sight::kAbsent, "s1", "made for another want");
  EXPECT_THAT(Started(), ElementsAre("serve@a")) << "which ends the old one itself";
}

// container@b is added beneath the server, on a Ray that ray@a is the head of.
class AddedNodeTest : public StepTest {
 protected:
  AddedNodeTest() {
    old_ = SmallGraph();
    old_.tasks[3].needs = {"ray@a"};
    old_.tasks.push_back({.id = "ray@a",
                          .stage = "ray",
                          .node = "a",
                          .needs = {"container@a"},
                          .want = "r",
                          .running = true,
                          .disturbs = true});
    std::rotate(old_.tasks.begin() + 3, old_.tasks.end() - 1, old_.tasks.end());
    Tell(SpecApplied{old_});
    Tell(NodeConnected{"a", "boot-1"});
    for (const char* id : {"driver@a", "image@a", "container@a", "ray@a", "serve@a", "probe@a"})
      See(id, Sight::kPresent, id);
    EXPECT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
    more_ = old_;
    more_.revision = 2;
    more_.tasks.push_back({.id = "worker@b",
                           .stage = "worker",
                           .node = "b",
                           .needs = {"ray@a"},
                           .want = "w",
                           .running = true,
                           .disturbs = true});
    more_.tasks[4].needs.push_back("worker@b");
    Tell(SpecApplied{more_});
    Tell(NodeConnected{"b", "boot-1"});
    for (const char* id : {"driver@a", "image@a", "container@a", "ray@a", "serve@a", "probe@a"})
      See(id, Sight::kPresent, id);
  }

  // What it stands on is then looked at afresh.
  void WorkerIsGone() {
    See("worker@b", Sight::kAbsent, "", "gone");
    for (const std::string& id : std::vector<std::string>(checks_)) {
      if (id != "serve@a") See(id, Sight::kPresent, id);
    }
  }

  Graph old_, more_;
};

TEST_F(AddedNodeTest, ThatCannotJoinDoesNotHaveTheHeadsRayDoneAgainUnderTheServer) {
  See("worker@b", Sight::kAbsent);
  ASSERT_THAT(Started(), ElementsAre("worker@b"));
  const Failure redo{
      .failure_class = FailureClass::kRedo, .redo_stage = "ray", .symptom = "cannot join"};
  for (int times = 0; times < 20 && PhaseOf(state_) != Phase::kFailed; ++times) {
    Fail("worker@b", redo);
    WorkerIsGone();
    EXPECT_FALSE(Of("ray@a").redo);
    EXPECT_TRUE(IsServing(state_));
    now_ = std::max(now_, state_.NextWake());
    if (state_.NextWake() != absl::InfiniteFuture()) Tell(TimePassed{});
  }
  EXPECT_EQ(PhaseOf(state_), Phase::kFailed) << "it does not try for ever";
}

TEST_F(AddedNodeTest, TheOldServerIsAskedForAfterAReconnect) {
  const std::string before = Of("serve@a").seen_stamp;
  Tell(NodeLost{"a", "no sign of life"});
  Tell(NodeConnected{"a", "boot-1"});
  EXPECT_THAT(checks_, Contains("serve@a"));
  EXPECT_EQ(Of("serve@a").checking, before);
  See("serve@a", Sight::kAbsent, "", "no server process");
  EXPECT_FALSE(IsServing(state_));
}

TEST_F(AddedNodeTest, WhatRunsOnItAlreadyHoldsNoRebootOfIt) {
  See("worker@b", Sight::kAbsent);
  Succeed("worker@b", "w1");
  const Failure reboot{.failure_class = FailureClass::kReboot, .symptom = "stuck"};
  WorkerIsGone();
  Fail("worker@b", reboot);
  WorkerIsGone();
  Succeed("worker@b", "");  // is stopped for it
  EXPECT_TRUE(state_.nodes["b"].reboot.has_value()) << Of("worker@b").reason;
  EXPECT_TRUE(IsServing(state_));
}

TEST_F(StepTest, AChangeWaitsForANodeThatIsOutOfReachWhileTheServerAnswers) {
  Graph graph = SmallGraph();
  graph.tasks.insert(
      graph.tasks.begin() + 1,
      {.id = "driver@b", .stage = "driver", .node = "b", .want = "d", .disturbs = true});
  graph.tasks[4].needs.push_back("driver@b");  // serve
  Tell(SpecApplied{graph});
  for (const char* node : {"a", "b"}) Tell(NodeConnected{node, "boot-1"});
  for (const char* id : {"driver@a", "driver@b", "image@a", "container@a", "serve@a", "probe@a"})
    See(id, Sight::kPresent, id);
  Tell(NodeLost{"b", "no sign of life"});
  Graph changed = graph;
  changed.revision = 2;
  changed.tasks[0].want = changed.tasks[1].want = "d2";
  Tell(SpecApplied{changed});
  See("driver@a", Sight::kAbsent, "driver@a", "another version");
  for (const char* id : {"image@a", "container@a", "serve@a", "probe@a"})
    See(id, Sight::kPresent, id);
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(Of("driver@a").reason, HasSubstr("driver@b is looked at first"));
  Tell(NodeConnected{"b", "boot-1"});
  See("driver@b", Sight::kAbsent, "driver@b", "another version");
  EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
}

TEST_F(StepTest, AServerThatIsKilledIsStartedAgain) {
  Serve();
  for (int death = 1; death <= 6; ++death) {
    Die("serve@a", std::nullopt);
    See("container@a", Sight::kPresent, "c1");
    EXPECT_THAT(Started(), ElementsAre("serve@a"));
    Succeed("serve@a", absl::StrCat("s", death + 1));
    See("probe@a", Sight::kPresent, "tokens");
  }
  EXPECT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
}

TEST_F(StepTest, StopsWhatRunsOnTopBeforeItDisturbs) {
  Serve();
  Tell(RestartRequested{"container", ""});
  EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
  Succeed("serve@a", "");
  EXPECT_THAT(Started(), ElementsAre("container@a"));
  EXPECT_TRUE(starts_[0].redo);
}

TEST_F(StepTest, PreparesWhileTheOldStillServes) {
  Serve();
  Graph changed = SmallGraph(2);
  changed.tasks[1].want = "i2";
  changed.tasks[2].want = "c2";
  Tell(SpecApplied{changed});
  See("driver@a", Sight::kPresent, "25.0");
  See("image@a", Sight::kAbsent);
  See("container@a", Sight::kAbsent, "c1", "made for another image");
  See("serve@a", Sight::kPresent, "s1");
  EXPECT_THAT(Started(), IsEmpty());
  See("probe@a", Sight::kPresent, "tokens");
  EXPECT_THAT(Started(), ElementsAre("image@a"));
  EXPECT_TRUE(IsServing(state_));
  Succeed("image@a", "sha256:2");
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_TRUE(IsServing(state_))
      << "the new image is there and nothing has been stopped for it yet";
  See("container@a", Sight::kAbsent, "c1", "made for another image");
  EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
}

TEST_F(StepTest, TheSameTokenTouchesNothingAbove) {
  Serve();
  Tell(RestartRequested{"image", ""});
  EXPECT_THAT(Started(), ElementsAre("image@a"));
  Succeed("image@a", "sha256:1");
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
}

TEST_F(StepTest, WhatCameBackByItselfUnderAnotherTokenReachesWhatStandsOnIt) {
  Serve();
  See("container@a", Sight::kPresent, "c1 started again");
  EXPECT_THAT(checks_, ElementsAre("serve@a"));
  See("serve@a", Sight::kAbsent, "", "not there");
  See("container@a", Sight::kPresent, "c1 started again");
  EXPECT_THAT(Started(), ElementsAre("serve@a"));
}

TEST_F(StepTest, UnknownStartsNothingUntilItsLimit) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  See("image@a", Sight::kPresent, "sha256:1");
  See("driver@a", Sight::kUnknown, "", "-8005");
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kWaiting);
  now_ = state_.NextWake();
  Tell(TimePassed());
  EXPECT_EQ(PhaseOf(state_), Phase::kFailed);
  EXPECT_THAT(ReasonOf(state_), HasSubstr("-8005"));
}

TEST_F(StepTest, DriftIsTakenAsFound) {
  Serve();
  See("driver@a", Sight::kDrifted, "26.0", "26.0 is installed, 25.0 is wanted");
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_TRUE(Of("driver@a").current);
}

TEST_F(StepTest, RetriesAfterABackoffAndGivesUpAfterTheLimit) {
  Graph graph = SmallGraph();
  graph.retry.attempts = 2;
  Tell(SpecApplied{graph});
  Tell(NodeConnected{"a", "boot-1"});
  See("image@a", Sight::kPresent, "sha256:1");
  See("driver@a", Sight::kAbsent);
  Fail("driver@a", {.failure_class = FailureClass::kTransient, .symptom = "no route"});
  EXPECT_THAT(checks_, ElementsAre("driver@a"));
  See("driver@a", Sight::kAbsent);
  EXPECT_THAT(Started(), IsEmpty());
  now_ = state_.NextWake();
  Tell(TimePassed());
  EXPECT_THAT(Started(), ElementsAre("driver@a"));
  Fail("driver@a", {.failure_class = FailureClass::kTransient, .symptom = "no route"});
  EXPECT_TRUE(Of("driver@a").given_up);
  See("driver@a", Sight::kAbsent);
  EXPECT_EQ(PhaseOf(state_), Phase::kFailed);
  EXPECT_THAT(ReasonOf(state_), HasSubstr("driver@a: no route (given up: "));
  Tell(RetryRequested());
  See("driver@a", Sight::kAbsent);
  EXPECT_THAT(Started(), ElementsAre("driver@a"));
}

TEST_F(StepTest, ABackoffOfAClockThatWasSetBackIsOverAtTheNextStart) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  now_ += absl::Hours(8);
  See("image@a", Sight::kPresent, "sha256:1");
  See("driver@a", Sight::kAbsent);
  Fail("driver@a", {.failure_class = FailureClass::kTransient, .symptom = "no route"});
  See("driver@a", Sight::kAbsent);
  now_ -= absl::Hours(8);
  Tell(Loaded());
  EXPECT_THAT(Started(), ElementsAre("driver@a"));
  EXPECT_LE(Of("driver@a").failing_since, now_);
}

TEST_F(StepTest, NothingIsStoppedOnANodeThatReboots) {
  Serve();
  Tell(RebootRequested{"a"});
  EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
  Fail("serve@a", {.failure_class = FailureClass::kReboot, .symptom = "outlives its SIGKILL"});
  EXPECT_THAT(Started(), ElementsAre("reboot a"));
  now_ += absl::Minutes(1);
  See("serve@a", Sight::kAbsent, "s1", "does not answer");
  EXPECT_THAT(Started(), IsEmpty());
  Tell(TimePassed());
  EXPECT_THAT(Started(), IsEmpty());
  Tell(NodeConnected{"a", "boot-2"});
  EXPECT_FALSE(Of("serve@a").failure.has_value());
}

TEST_F(StepTest, AConfigFailureOfACheckStopsAtOnceAndLooksAgainWhenItChanges) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  See("image@a", Sight::kPresent, "sha256:1");
  Observation foreign{.sight = Sight::kAbsent, .reason = "foreign"};
  foreign.failure =
      Failure{.failure_class = FailureClass::kConfig, .symptom = "port 6379 is taken"};
  Tell(Observed{"driver@a", StampOf(state_, Of("driver@a")), foreign});
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_TRUE(Of("driver@a").given_up);
  See("driver@a", Sight::kAbsent);
  EXPECT_THAT(Started(), ElementsAre("driver@a"));
}

TEST_F(StepTest, ACheckThatAsksForARedoGetsItAfterALookBelow) {
  Serve();
  Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), Hung("")});
  EXPECT_THAT(Noted("Incident"), ElementsAre(HasSubstr("probe@a: no completion")))
      << "not what is waited for now";
  EXPECT_THAT(checks_, UnorderedElementsAre("serve@a", "container@a"));
  EXPECT_THAT(Started(), IsEmpty()) << "the server may have gone with what it stands on";
  See("container@a", Sight::kPresent, "c1");
  See("serve@a", Sight::kPresent, "s1");
  EXPECT_THAT(Started(), ElementsAre("serve@a"));
  EXPECT_TRUE(starts_[0].redo);
  Succeed("serve@a", "s2");
  EXPECT_THAT(checks_, ElementsAre("serve@a", "probe@a"));
  See("probe@a", Sight::kPresent, "tokens");
  EXPECT_EQ(PhaseOf(state_), Phase::kServing);
}

TEST_F(StepTest, NothingIsRedoneForANodeThatIsOutOfReach) {
  Graph graph = SmallGraph();
  graph.tasks.insert(
      graph.tasks.begin() + 3,
      {.id = "worker@b", .stage = "worker", .node = "b", .want = "w", .running = true});
  graph.tasks[4].needs.push_back("worker@b");
  Tell(SpecApplied{graph});
  Tell(NodeConnected{"a", "boot-1"});
  Tell(NodeConnected{"b", "boot-1"});
  for (const char* id : {"driver@a", "image@a", "worker@b", "container@a", "serve@a", "probe@a"}) {
    See(id, Sight::kPresent, id);
  }
  ASSERT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
  Tell(NodeLost{"b", "no sign of life"});
  const Observation hung = {
      .sight = Sight::kAbsent,
      .reason = "no completion",
      .failure = Failure{.failure_class = FailureClass::kRedo, .redo_stage = "serve"}};
  Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), hung});
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(checks_, IsEmpty());
  EXPECT_THAT(Of("probe@a").reason, HasSubstr("b is not reachable"));
  Tell(NodeConnected{"b", "boot-1"});
  EXPECT_THAT(checks_, UnorderedElementsAre("worker@b", "probe@a"));
  See("probe@a", Sight::kPresent, "tokens");
  See("worker@b", Sight::kPresent, "worker@b");
  EXPECT_EQ(PhaseOf(state_), Phase::kServing) << "it had only been cut off";
  EXPECT_THAT(Started(), IsEmpty());
}

TEST_F(StepTest, ARedoThatWasAskedForWhilePausedIsAskedForAgain) {
  Serve();
  Tell(PauseRequested{});
  const Observation hung = {
      .sight = Sight::kAbsent,
      .reason = "no completion",
      .failure = Failure{.failure_class = FailureClass::kRedo, .redo_stage = "serve"}};
  Tell(Observed{"probe@a", StampOf(state_, Of("probe@a")), hung});
  EXPECT_FALSE(Of("serve@a").redo);
  Tell(ResumeRequested{});
  EXPECT_THAT(Started(), ElementsAre("probe@a"));
}

TEST_F(StepTest, RebootsOnceWhatIsInEffectFromTheNextBootOn) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  See("image@a", Sight::kPresent, "sha256:1");
  See("driver@a", Sight::kAbsent);
  const std::string operation = Of("driver@a").operation->operation;
  Tell(OperationEnded{
      operation, Result::kSucceeded, {.sight = Sight::kAbsent, .reboot_needed = true}});
  EXPECT_THAT(Started(), ElementsAre("reboot a"));
  Tell(NodeLost{"a", "rebooting"});
  Tell(NodeConnected{"a", "boot-2"});
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(checks_, Contains("driver@a"));
  See("driver@a", Sight::kPresent, "25.0");
  See("image@a", Sight::kPresent, "sha256:1");
  EXPECT_THAT(checks_, ElementsAre("container@a"));
}

TEST_F(StepTest, AStopThatOnlyARebootEndsDoesNotHoldTheRebootUp) {
  Serve();
  Tell(RestartRequested{"container", "a"});
  ASSERT_THAT(Started(), ElementsAre("stop serve@a"));
  Fail("serve@a", {.failure_class = FailureClass::kReboot, .symptom = "outlives its SIGKILL"});
  EXPECT_THAT(Started(), ElementsAre("reboot a"));
}

TEST_F(StepTest, AStopThatEndedWellCountsOnlyWhenItIsSeenToHave) {
  const std::vector<std::pair<Observation, std::string>> ends = {
      {{.sight = Sight::kPresent, .token = "s1"}, "still runs after its Stop: s1"},
      {{.sight = Sight::kUnknown, .reason = "Docker is silent"},
       "cannot be seen: Docker is silent"},
  };
  for (const auto& [seen, why] : ends) {
    state_ = State();
    state_.deployment = "qwen";
    Serve();
    Tell(RestartRequested{"container", ""});
    ASSERT_THAT(Started(), ElementsAre("stop serve@a"));
    Tell(OperationEnded{Of("serve@a").operation->operation, Result::kSucceeded, seen});
    EXPECT_THAT(Started(), IsEmpty()) << "the container must not be taken from under it";
    EXPECT_THAT(Of("serve@a").failure->symptom, HasSubstr(why));
    See("serve@a", Sight::kPresent, "s1");
    now_ = state_.NextWake();
    Tell(TimePassed{});
    EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
    Succeed("serve@a", "");
    EXPECT_THAT(Started(), ElementsAre("container@a"));
  }
}

TEST_F(StepTest, AFailedRebootSaysOfWhatOnlyItEnds) {
  Serve();
  Tell(RestartRequested{"container", ""});
  Fail("serve@a", {.failure_class = FailureClass::kReboot, .symptom = "it outlives its SIGKILL"});
  ASSERT_THAT(Started(), ElementsAre("reboot a"));
  OperationEnded ended{.operation = starts_[0].operation, .result = Result::kFailed};
  ended.failure = {.failure_class = FailureClass::kTransient, .symptom = "no systemctl"};
  Tell(ended);
  See("serve@a", Sight::kPresent, "s1");
  EXPECT_EQ(PhaseOf(state_), Phase::kFailed);
  EXPECT_THAT(Of("serve@a").reason,
              HasSubstr("cannot be stopped: it outlives its SIGKILL; no systemctl (given up: "));
}

TEST_F(StepTest, TheSameSpecEndsNoWaitForADearCheckOfANodeThatCameBack) {
  Graph dear = SmallGraph();
  dear.tasks[4].dear = true;
  Tell(SpecApplied{dear});
  Tell(NodeConnected{"a", "boot-1"});
  for (const char* id : {"driver@a", "image@a", "container@a", "serve@a", "probe@a"})
    See(id, Sight::kPresent, id);
  ASSERT_EQ(PhaseOf(state_), Phase::kServing) << ReasonOf(state_);
  Tell(NodeLost{"a", "no sign of life"});
  Tell(NodeConnected{"a", "boot-1"});
  ASSERT_TRUE(Of("probe@a").awaiting_report);
  Tell(SpecApplied{dear});
  EXPECT_TRUE(Of("probe@a").awaiting_report);
  EXPECT_THAT(checks_, Contains("probe@a"));
}

TEST_F(StepTest, AStopThatFailsIsTriedAgainAfterABackoffAndNotForEver) {
  Serve();
  Tell(RestartRequested{"container", "a"});
  for (int attempt = 1; attempt <= 5; ++attempt) {
    ASSERT_THAT(Started(), ElementsAre("stop serve@a")) << attempt;
    Fail("serve@a", {.failure_class = FailureClass::kTransient, .symptom = "device busy"});
    EXPECT_THAT(Started(), IsEmpty());
    See("serve@a", Sight::kPresent, "s1");  // it is there all the same
    EXPECT_THAT(Started(), IsEmpty());
    now_ = state_.NextWake();
    Tell(TimePassed{});
  }
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(ReasonOf(state_), HasSubstr("serve@a: cannot be stopped: device busy (given up: "));
  EXPECT_EQ(PhaseOf(state_), Phase::kFailed);
  Tell(RetryRequested{});
  See("container@a", Sight::kPresent, "c1");
  EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
}

TEST_F(StepTest, WhatCannotBeStartedIsStoppedForWhatIsBelowIt) {
  Serve();
  Tell(RestartRequested{"serve", "a"});
  Fail("serve@a", {.failure_class = FailureClass::kConfig, .symptom = "no such flag"});
  See("serve@a", Sight::kAbsent, "left", "what a failed start left");
  ASSERT_TRUE(Of("serve@a").given_up && Of("serve@a").alive);
  Tell(RestartRequested{"container", "a"});
  EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
}

TEST_F(StepTest, WhatWasGivenUpForItCouldNotBeSeenGoesOnWhenItIsSeen) {
  Serve();
  See("container@a", Sight::kUnknown, "", "docker is activating");
  now_ = state_.NextWake();
  Tell(TimePassed{});
  ASSERT_TRUE(Of("container@a").given_up);
  See("container@a", Sight::kAbsent);
  Succeed("serve@a", "");
  EXPECT_FALSE(Of("container@a").given_up);
  EXPECT_TRUE(Of("container@a").operation.has_value()) << Of("container@a").reason;
}

TEST_F(StepTest, WhatWasStoppedForTheRebootOfAnotherNodeIsNotStartedBeforeIt) {
  Graph graph;
  graph.revision = 1;
  graph.tasks = {{.id = "head@a",
                  .stage = "head",
                  .node = "a",
                  .want = "h",
                  .running = true,
                  .disturbs = true},
                 {.id = "worker@b",
                  .stage = "worker",
                  .node = "b",
                  .needs = {"head@a"},
                  .want = "w",
                  .running = true,
                  .disturbs = true,
                  .interruptible = true},
                 {.id = "worker@c",
                  .stage = "worker",
                  .node = "c",
                  .needs = {"head@a"},
                  .want = "w",
                  .running = true,
                  .disturbs = true,
                  .interruptible = true}};
  Tell(SpecApplied{graph});
  for (const char* node : {"a", "b", "c"}) Tell(NodeConnected{node, "boot-1"});
  for (const char* id : {"head@a", "worker@b", "worker@c"}) See(id, Sight::kPresent, id);
  Tell(RebootRequested{"a"});
  ASSERT_THAT(Started(), UnorderedElementsAre("stop worker@b", "stop worker@c"));
  Succeed("worker@b", "");
  See("worker@b", Sight::kAbsent);
  EXPECT_THAT(Started(), IsEmpty()) << "its head is about to go";
  EXPECT_THAT(Of("worker@b").reason, HasSubstr("reboot of a"));
  Succeed("worker@c", "");
  EXPECT_THAT(Started(), ElementsAre("stop head@a"));
}

TEST_F(StepTest, ANodeThatDoesNotComeBackFromItsRebootIsSpokenOfAndWaitedForNoLonger) {
  Serve();
  Tell(RebootRequested{"a"});
  Succeed("serve@a", "");
  Succeed("container@a", "");
  ASSERT_THAT(Started(), ElementsAre("reboot a"));
  Tell(NodeLost{"a", "no sign of life"});
  ASSERT_EQ(PhaseOf(state_), Phase::kProgressing);
  now_ += absl::Minutes(20);
  ASSERT_LE(state_.NextWake(), now_);
  Tell(TimePassed{});
  EXPECT_EQ(PhaseOf(state_), Phase::kWaiting);
  EXPECT_THAT(ReasonOf(state_), HasSubstr("no sign of life"));
}

TEST_F(StepTest, ANodeThatHasLeftDoesNotHoldARebootUpForEver) {
  Graph graph = SmallGraph();
  graph.tasks.push_back({.id = "driver@b", .stage = "driver", .node = "b", .want = "d"});
  Tell(SpecApplied{graph});
  Tell(NodeConnected{"b", "boot-1"});
  See("driver@b", Sight::kPresent, "25.0");
  Tell(RebootRequested{"b"});
  ASSERT_THAT(Started(), ElementsAre("reboot b"));
  Tell(NodeLost{"b", "no sign of life"});
  Tell(SpecApplied{SmallGraph(2)});
  Tell(NodeConnected{"a", "boot-1"});
  for (const char* id : {"driver@a", "image@a"}) See(id, Sight::kPresent, "v");
  See("container@a", Sight::kPresent, "c");
  See("serve@a", Sight::kPresent, "s");
  Tell(RebootRequested{"a"});
  EXPECT_THAT(Started(), IsEmpty()) << "one at a time";
  now_ += absl::Minutes(20);
  Tell(TimePassed{});
  Succeed("serve@a", "");
  Succeed("container@a", "");
  EXPECT_THAT(Started(), ElementsAre("reboot a"));
}

TEST_F(StepTest, AnAnswerToAnOldOperationChangesNothing) {
  Serve();
  Tell(OperationEnded{"7/qwen/1/driver@a/1", Result::kFailed});
  EXPECT_EQ(PhaseOf(state_), Phase::kServing);
}

TEST_F(StepTest, AnUnreachableNodeIsLeftAlone) {
  Serve();
  Tell(NodeLost{"a", "no sign of life"});
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kServing) << "what is last known stands";
  Tell(NodeConnected{"a", "boot-1"});
  EXPECT_EQ(checks_.size(), 5u);
  EXPECT_THAT(Started(), IsEmpty());
}

TEST_F(StepTest, PausedStartsNothingAndLooksOn) {
  Serve();
  Tell(PauseRequested());
  See("serve@a", Sight::kAbsent, "", "gone");
  See("container@a", Sight::kPresent, "c1");
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kPaused);
  Tell(ResumeRequested());
  EXPECT_THAT(Started(), ElementsAre("serve@a"));
}

TEST_F(StepTest, CancelEndsWhatMayBeInterruptedAndLetsAnInstallerFinish) {
  Tell(SpecApplied{SmallGraph()});
  Tell(NodeConnected{"a", "boot-1"});
  for (const char* id : {"driver@a", "image@a"}) See(id, Sight::kAbsent);
  Tell(CancelRequested());
  EXPECT_THAT(cancels_, ElementsAre(Of("image@a").operation->operation));
  Tell(OperationEnded{Of("image@a").operation->operation, Result::kCancelled});
  See("image@a", Sight::kAbsent);
  Succeed("driver@a", "25.0");
  EXPECT_TRUE(Of("driver@a").current) << "what was installed meanwhile is a fact";
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kCancelled);
}

TEST_F(StepTest, DeleteStopsWhatRunsFromTheTopAndLeavesWhatIsInstalled) {
  Serve();
  Graph empty;
  empty.revision = 2;
  Tell(SpecApplied{empty});
  EXPECT_THAT(Started(), ElementsAre("stop serve@a"));
  Succeed("serve@a", "");
  EXPECT_THAT(Started(), ElementsAre("stop container@a"));
  Succeed("container@a", "");
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_EQ(PhaseOf(state_), Phase::kDeleted);
}

TEST_F(StepTest, AFullDiskIsNoReasonToDoubtWhatStands) {
  Graph graph = SmallGraph();
  graph.tasks[0].condition = true;
  Tell(SpecApplied{graph});
  Tell(NodeConnected{"a", "boot-1"});
  See("driver@a", Sight::kPresent, "os");
  Observation full{.sight = Sight::kAbsent, .reason = "3 GiB free, 500 wanted"};
  full.failure = Failure{.failure_class = FailureClass::kConfig, .symptom = "disk"};
  Tell(Observed{"driver@a", StampOf(state_, Of("driver@a")), full});
  EXPECT_TRUE(Of("driver@a").current);
  EXPECT_EQ(Of("driver@a").reason, "3 GiB free, 500 wanted");
}

TEST_F(StepTest, AnExclusiveLockWaitsForItsHolders) {
  Graph graph;
  graph.revision = 1;
  graph.tasks = {
      {.id = "image@a", .stage = "image", .node = "a", .want = "i", .locks = {{"docker", false}}},
      {.id = "runtime@a",
       .stage = "runtime",
       .node = "a",
       .want = "r",
       .locks = {{"docker", true}}},
      {.id = "other@a", .stage = "other", .node = "a", .want = "o", .locks = {{"docker", false}}},
  };
  Tell(SpecApplied{graph});
  Tell(NodeConnected{"a", "boot-1"});
  See("other@a", Sight::kPresent, "o");
  See("runtime@a", Sight::kPresent, "r");
  See("image@a", Sight::kAbsent);
  EXPECT_THAT(Started(), ElementsAre("image@a"));
  See("runtime@a", Sight::kAbsent);
  EXPECT_THAT(Started(), IsEmpty());
  EXPECT_THAT(Of("runtime@a").reason, HasSubstr("held by image@a"));
  See("other@a", Sight::kAbsent);
  EXPECT_THAT(Started(), IsEmpty()) << "a waiting exclusive bars new holders";
  Succeed("image@a", "i1");
  EXPECT_THAT(Started(), ElementsAre("runtime@a"));
}

}  // namespace
}  // namespace npufleet::core
