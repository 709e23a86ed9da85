// SPDX-License-Identifier: Apache-2.0
#include "controller/store/replay.h"

#include <string>
#include <utility>
#include <vector>

#include "controller/store/task_row.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npufleet::store {
namespace {

using testing::IsEmpty;
using Result = core::OperationEnded::Result;

// A core whose events are logged.
class ReplayTest : public testing::Test {
 protected:
  ReplayTest() {
    log_.rollout = state_.deployment = "qwen";
    log_.epoch = state_.epoch = 3;
  }

  void Step(decltype(core::Event::what) what) {
    now_ += absl::Seconds(1);
    const core::Event event{now_, std::move(what)};
    const core::StepResult result = core::Step(state_, event);
    log_.entries.push_back(LoggedEvent{event, result.commands});
  }
  void See(const std::string& task, core::Observation seen) {
    Step(core::Observed{task, core::StampOf(state_, *state_.Find(task)), std::move(seen)});
  }
  std::string OperationOf(const std::string& task) {
    return state_.Find(task)->operation->operation;
  }

  void Apply(uint64_t revision) {
    core::Graph graph;
    graph.revision = revision;
    graph.tasks = {{.id = "driver@a", .stage = "driver", .node = "a", .want = "d"},
                   {.id = "serve@a",
                    .stage = "serve",
                    .node = "a",
                    .needs = {"driver@a"},
                    .want = "s",
                    .running = true,
                    .disturbs = true}};
    Step(core::SpecApplied{graph});
  }

  // Up to where the server has failed once.
  void RollOut() {
    Apply(1);
    Step(core::NodeConnected{"a", "boot-1", true});
    See("driver@a", {.sight = core::Sight::kAbsent, .reason = "no driver"});
    Step(core::OperationEnded{OperationOf("driver@a"),
                              Result::kSucceeded,
                              {.sight = core::Sight::kPresent, .token = "25"},
                              {}});
    See("serve@a", {.sight = core::Sight::kAbsent, .reason = "not started"});
    Step(core::OperationEnded{OperationOf("serve@a"),
                              Result::kFailed,
                              {},
                              {.failure_class = core::FailureClass::kTransient,
                               .signature = "SIM-01",
                               .symptom = "bad luck"}});
  }

  // Through the text, as a reader has it.
  Replay ReplayText() {
    absl::StatusOr<EventLog> log = EventLogFromText(EventLogToText(log_), "f");
    EXPECT_TRUE(log.ok()) << log.status();
    return ReplayLog(*log);
  }
  void ExpectTheSameState(const core::State& replayed) {
    EXPECT_EQ(replayed.deployment, state_.deployment);
    EXPECT_EQ(replayed.epoch, state_.epoch);
    EXPECT_EQ(replayed.revision, state_.revision);
    EXPECT_EQ(replayed.paused, state_.paused);
    EXPECT_EQ(replayed.cancelled, state_.cancelled);
    EXPECT_EQ(replayed.started_at, state_.started_at);
    EXPECT_EQ(replayed.serving_since, state_.serving_since);
    EXPECT_EQ(replayed.retry, state_.retry);
    EXPECT_EQ(replayed.tasks, state_.tasks);
    EXPECT_EQ(replayed.nodes, state_.nodes);
  }

  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  core::State state_;
  EventLog log_;
};

TEST_F(ReplayTest, EndsInTheSameState) {
  RollOut();
  const Replay replay = ReplayText();
  ExpectTheSameState(replay.state);
  EXPECT_EQ(replay.otherwise, 0);
  EXPECT_EQ(replay.phase, core::PhaseOf(state_));
  EXPECT_EQ(replay.reason, core::ReasonOf(state_));
  ASSERT_EQ(replay.open.size(), 1u);
  EXPECT_EQ(replay.open[0].id, "serve@a");
  EXPECT_EQ(replay.open[0].reason, state_.Find("serve@a")->reason);
}

TEST_F(ReplayTest, ARestartOfTheControllerIsASnapshotAndLoaded) {
  RollOut();
  core::State stored{.deployment = "qwen", .epoch = 3, .revision = state_.revision};
  stored.retry = state_.retry;
  stored.started_at = state_.started_at;
  for (const core::Task& task : state_.tasks)
    stored.tasks.push_back(TaskFromJson(TaskToJson(task)).value());
  for (const auto& [name, node] : state_.nodes)
    stored.nodes[name] = NodeFromJson(NodeToJson(node)).value();
  state_ = stored;
  core::Reindex(state_);
  log_.entries.push_back(Snapshot{now_, stored});
  Step(core::Loaded());
  Step(core::NodeConnected{"a", "boot-1", true});
  ExpectTheSameState(ReplayText().state);
  // The log may as well begin there.
  log_.entries.erase(log_.entries.begin(), log_.entries.end() - 3);
  ExpectTheSameState(ReplayText().state);
}

TEST_F(ReplayTest, EachEntryTellsWhenWhatAndWhatCameOfIt) {
  RollOut();
  log_.entries.insert(log_.entries.begin() + 1, Remark{now_ - absl::Seconds(5), "!! lose a"});
  const Replay replay = ReplayText();
  ASSERT_EQ(replay.entries.size(), 7u);
  EXPECT_EQ(replay.entries[0].account, (Account{"SpecApplied", "", "revision 1, 2 tasks"}));
  EXPECT_EQ(replay.entries[0].after, absl::ZeroDuration());
  EXPECT_EQ(replay.entries[1].account, (Account{"Remark", "", "!! lose a"}));
  const ReplayedEntry& connected = replay.entries[2];
  EXPECT_EQ(connected.account,
            (Account{"NodeConnected", "a", "boot boot-1, the controller's own node"}));
  EXPECT_EQ(connected.after, absl::Seconds(1));
  ASSERT_EQ(connected.notes.size(), 1u);
  EXPECT_EQ(connected.notes[0].kind, "NodeConnected");
  ASSERT_EQ(connected.commands.size(), 1u);
  EXPECT_EQ(Tell(connected.commands[0]), (Account{"check", "driver@a", ""}));
  const ReplayedEntry& absent = replay.entries[3];
  EXPECT_EQ(absent.account, (Account{"Observed", "driver@a", "absent: no driver"}));
  ASSERT_EQ(absent.commands.size(), 1u);
  EXPECT_EQ(Tell(absent.commands[0]), (Account{"apply", "driver@a", "3/qwen/1/driver@a/1"}));
  EXPECT_EQ(replay.entries[4].account,
            (Account{"OperationEnded", "3/qwen/1/driver@a/1", "succeeded: present 25"}));
  const ReplayedEntry& failed = replay.entries[6];
  EXPECT_EQ(failed.account, (Account{"OperationEnded", "3/qwen/1/serve@a/1",
                                     "failed: transient, SIM-01: bad luck"}));
  ASSERT_FALSE(failed.notes.empty());
  EXPECT_EQ(failed.notes[0].kind, "OperationFailed");
}

TEST_F(ReplayTest, AnotherCoreIsFoundOut) {
  RollOut();
  LoggedEvent& seen = std::get<LoggedEvent>(log_.entries[2]);
  const std::vector<core::Command> recorded = {core::ForgetTask{"driver@a", "a"}};
  seen.commands = recorded;
  std::get<LoggedEvent>(log_.entries[3]).commands.reset();  // nobody noted: nothing to compare
  const Replay replay = ReplayText();
  EXPECT_EQ(replay.otherwise, 1);
  EXPECT_EQ(replay.entries[2].recorded, recorded);
  EXPECT_EQ(replay.entries[2].commands.size(), 1u);
  EXPECT_FALSE(replay.entries[3].recorded.has_value());
}

TEST_F(ReplayTest, ASnapshotSaysWhatIsOutstanding) {
  RollOut();
  See("serve@a", {.sight = core::Sight::kAbsent, .reason = "not started"});
  now_ += absl::Minutes(5);
  Step(core::TimePassed());  // the backoff is over: serve is started once more
  log_.entries = {Snapshot{now_, state_}};
  const Replay replay = ReplayText();
  EXPECT_EQ(replay.entries[0].account,
            (Account{"Snapshot", "", "revision 1, 2 tasks, 1 command outstanding"}));
  EXPECT_EQ(replay.entries[0].commands, core::Outstanding(state_));
}

TEST_F(ReplayTest, OfNothingIsNothing) {
  const Replay replay = ReplayText();
  EXPECT_THAT(replay.entries, IsEmpty());
  EXPECT_THAT(replay.open, IsEmpty());
}

TEST(TellTest, CommandsAreSaidInTheImperative) {
  core::StartOperation start{.operation = "o", .task = "t", .node = "a", .redo = true};
  EXPECT_EQ(Tell(core::Command(start)), (Account{"apply", "t", "o, though it is there"}));
  start.action = core::Action::kStop;
  start.redo = false;
  EXPECT_EQ(Tell(core::Command(start)), (Account{"stop", "t", "o"}));
  start.action = core::Action::kReboot;
  start.task.clear();
  EXPECT_EQ(Tell(core::Command(start)), (Account{"reboot", "a", "o"}));
  EXPECT_EQ(Tell(core::Command(core::CancelOperation{"o", "a"})), (Account{"cancel", "o", ""}));
  EXPECT_EQ(Tell(core::Command(core::ForgetTask{"t", "a"})), (Account{"forget", "t", ""}));
}

TEST(TellTest, AnObservationIsOneSentence) {
  const auto tell = [](core::Observation seen) {
    return Tell(LoggedEvent{{absl::UnixEpoch(), core::Observed{"t", "s", std::move(seen)}}, {}})
        .detail;
  };
  EXPECT_EQ(tell({.sight = core::Sight::kPresent, .token = "28"}), "present 28");
  EXPECT_EQ(tell({.sight = core::Sight::kDrifted, .token = "27", .reason = "older"}),
            "drifted 27: older");
  EXPECT_EQ(tell({.sight = core::Sight::kAbsent, .token = "27", .reason = "older"}),
            "absent, in its place 27: older");
  EXPECT_EQ(tell({.sight = core::Sight::kAbsent, .token = "27", .reboot_needed = true}),
            "absent, in its place 27, in effect from the next boot on");
  EXPECT_EQ(tell({.sight = core::Sight::kUnknown,
                  .reason = "no answer",
                  .failure = core::Failure{.failure_class = core::FailureClass::kRedo,
                                           .redo_stage = "container",
                                           .signature = "R-1",
                                           .symptom = "gone"}}),
            "unknown: no answer (redo of container, R-1: gone)");
}

}  // namespace
}  // namespace npufleet::store
