// SPDX-License-Identifier: Apache-2.0
#include "controller/store/event_log.h"

#include <algorithm>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "controller/store/task_row.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace npufleet::store {
namespace {

using testing::HasSubstr;

constexpr char kHeader[] = R"({"log":"npufleet events","version":1,"rollout":"qwen","epoch":3})";

const core::Failure kFailure = {.failure_class = core::FailureClass::kRedo,
                                .redo_stage = "container",
                                .signature = "RAY-01",
                                .symptom = "no head",
                                .advice = "look",
                                .log_tail = {"a", "b \"c\"\n"}};
const core::Observation kSeen = {.sight = core::Sight::kAbsent,
                                 .token = "other",
                                 .reason = "不在",
                                 .reboot_needed = true,
                                 .failure = kFailure,
                                 .cause = kFailure};

// Every field is another than its default.
core::Graph WholeGraph() {
  core::Graph graph;
  graph.revision = 7;
  graph.retry = {.attempts = 9,
                 .initial_backoff = absl::Milliseconds(1500),
                 .max_backoff = absl::Minutes(7),
                 .budget = absl::Hours(3),
                 .redos = 5,
                 .reboots = 6,
                 .same_signature = 4,
                 .signature_window = absl::Minutes(31),
                 .recoveries_per_hour = 11,
                 .stages = {{"serve", {.attempts = 12, .budget = absl::Hours(4)}},
                            {"model", {.budget = absl::Hours(5)}}}};
  graph.tasks = {{.id = "driver@a", .stage = "driver", .node = "a"},
                 {.id = "serve@a",
                  .stage = "serve",
                  .node = "a",
                  .needs = {"driver@a"},
                  .want = "w",
                  .running = true,
                  .disturbs = true,
                  .prepares = true,
                  .interruptible = true,
                  .condition = true,
                  .dear = true,
                  .locks = {{"npu", true}, {"docker", false}},
                  .unknown_limit = absl::Minutes(3)}};
  return graph;
}

core::StartOperation Start(core::Action action) {
  return {.operation = "3/qwen/7/serve@a/1",
          .task = action == core::Action::kReboot ? "" : "serve@a",
          .node = "a",
          .action = action,
          .stamp = "s",
          .inputs = {{"driver@a", "25.0"}},
          .boot_id = "boot-1",
          .redo = true};
}

absl::StatusOr<EventLog> Read(const std::string& lines) {
  return EventLogFromText(absl::StrCat(kHeader, "\n", lines), "run.events");
}

class EachEventTest : public testing::TestWithParam<core::Event> {};

TEST_P(EachEventTest, IsReadAsItWasWritten) {
  const LoggedEvent logged{GetParam(), std::nullopt};
  const std::string line = EntryToLine(logged);
  EXPECT_EQ(std::count(line.begin(), line.end(), '\n'), 1);
  absl::StatusOr<EventLog> log = Read(line);
  ASSERT_TRUE(log.ok()) << log.status();
  ASSERT_EQ(log->entries.size(), 1u);
  EXPECT_EQ(std::get<LoggedEvent>(log->entries[0]), logged);
  EXPECT_EQ(TimeOf(log->entries[0]), GetParam().time);
}

const absl::Time kTime = absl::FromUnixMicros(1'700'000'000'123'456);
using Result = core::OperationEnded::Result;
const core::Event kEvents[] = {
    {kTime, core::SpecApplied{WholeGraph()}},
    {kTime, core::Loaded()},
    {kTime, core::NodeConnected{"a", "boot-1", true}},
    {kTime, core::NodeLost{"a", "no sign of life"}},
    {kTime, core::Observed{"serve@a", "s", kSeen}},
    {kTime, core::OperationEnded{"3/qwen/7/serve@a/1", Result::kSucceeded, kSeen, {}}},
    {kTime, core::OperationEnded{"3/qwen/7/serve@a/1", Result::kFailed, {}, kFailure}},
    {kTime, core::OperationEnded{"3/qwen/7/serve@a/1", Result::kCancelled, {}, {}}},
    {kTime, core::OperationEnded{"3/qwen/7/serve@a/1", Result::kInterrupted, {}, {}}},
    {kTime, core::OperationEnded{"3/qwen/7/serve@a/1", Result::kRefused, {}, kFailure}},
    {kTime, core::OperationEnded{"3/qwen/7/serve@a/1", Result::kFailed, {}, kFailure, {"a file"}}},
    {kTime, core::TimePassed()},
    {kTime, core::RetryRequested()},
    {kTime, core::RestartRequested{"container", "a"}},
    {kTime, core::PauseRequested()},
    {kTime, core::ResumeRequested()},
    {kTime, core::CancelRequested()},
    {kTime, core::RebootRequested{"a"}},
    {kTime, core::NodeRemoved{"node-b"}},
};
INSTANTIATE_TEST_SUITE_P(Events, EachEventTest, testing::ValuesIn(kEvents));

TEST(EventLogTest, EachCommandIsReadAsItWasWritten) {
  const LoggedEvent logged{
      {kTime, core::TimePassed()},
      std::vector<core::Command>{core::CheckTask{"serve@a", "a", "s", {{"driver@a", "25.0"}}},
                                 Start(core::Action::kApply), Start(core::Action::kStop),
                                 Start(core::Action::kReboot), core::CancelOperation{"op", "a"},
                                 core::ForgetTask{"serve@a", "a"}}};
  absl::StatusOr<EventLog> log = Read(EntryToLine(logged));
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(std::get<LoggedEvent>(log->entries[0]), logged);
}

TEST(EventLogTest, ThatNothingCameOfItIsNoSilence) {
  for (const bool noted : {true, false}) {
    LoggedEvent logged{{kTime, core::TimePassed()}, std::nullopt};
    if (noted) logged.commands.emplace();
    absl::StatusOr<EventLog> log = Read(EntryToLine(logged));
    ASSERT_TRUE(log.ok()) << log.status();
    EXPECT_EQ(std::get<LoggedEvent>(log->entries[0]).commands.has_value(), noted);
  }
}

TEST(EventLogTest, ASnapshotIsTheWholeStoredState) {
  core::State state{.deployment = "qwen", .epoch = 3, .revision = 7};
  state.retry = WholeGraph().retry;
  state.paused = state.cancelled = true;
  state.started_at = kTime;
  for (const core::TaskPlan& plan : WholeGraph().tasks) state.tasks.push_back({.plan = plan});
  core::Task& task = state.tasks[1];
  task.seen = kSeen;
  task.operation = Start(core::Action::kApply);
  task.past = {{kTime, core::FailureClass::kReboot, "X-1", true}};
  task.failure = kFailure;
  task.attempts = 3;
  core::Node& node = state.nodes["a"];
  node.name = "a";
  node.boot_id = "boot-1";
  node.reboot = Start(core::Action::kReboot);
  const Snapshot snapshot{kTime, state};
  absl::StatusOr<EventLog> log = Read(EntryToLine(snapshot));
  ASSERT_TRUE(log.ok()) << log.status();
  const core::State& read = std::get<Snapshot>(log->entries[0]).state;
  EXPECT_EQ(read.deployment, "qwen");
  EXPECT_EQ(read.epoch, 3u);
  EXPECT_EQ(read.revision, 7u);
  EXPECT_EQ(read.retry, state.retry);
  EXPECT_TRUE(read.paused && read.cancelled);
  EXPECT_EQ(read.started_at, state.started_at);
  EXPECT_EQ(read.serving_since, absl::InfiniteFuture());
  EXPECT_EQ(read.tasks, state.tasks);
  EXPECT_EQ(read.nodes, state.nodes);
}

TEST(EventLogTest, AWholeLogIsReadAsItWasWritten) {
  EventLog log{.rollout = "qwen", .epoch = 3, .remarks = {"seed 17", "VIOLATED: it"}};
  for (const core::Event& event : kEvents) log.entries.push_back(LoggedEvent{event, std::nullopt});
  log.entries.push_back(Remark{kTime, "!! power-cut a"});
  log.entries.push_back(Snapshot{kTime, {.deployment = "qwen", .epoch = 3}});
  const std::string text = EventLogToText(log);
  absl::StatusOr<EventLog> read = EventLogFromText(text, "f");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->rollout, "qwen");
  EXPECT_EQ(read->epoch, 3u);
  EXPECT_EQ(read->remarks, log.remarks);
  EXPECT_EQ(EventLogToText(*read), text);
}

TEST(EventLogTest, BytesThatAreNotUtf8AreReplaced) {
  absl::StatusOr<EventLog> log =
      Read(EntryToLine(LoggedEvent{{kTime, core::NodeLost{"a", "\xff!"}}, std::nullopt}));
  ASSERT_TRUE(log.ok()) << log.status();
  EXPECT_EQ(std::get<core::NodeLost>(std::get<LoggedEvent>(log->entries[0]).event.what).reason,
            "\xef\xbf\xbd!");
}

TEST(EventLogTest, WhatALaterVersionAddsIsPassedOver) {
  EXPECT_TRUE(Read(R"({"time":1,"kind":"TimePassed","weather":"fine"})").ok());
  EXPECT_TRUE(Read("\n  \n\r\n").ok());
}

struct Bad {
  std::string lines;  // behind the header
  int line;
  std::string says;
};

class BadLogTest : public testing::TestWithParam<Bad> {};

TEST_P(BadLogTest, IsNamedByItsLine) {
  absl::StatusOr<EventLog> log = Read(GetParam().lines);
  ASSERT_FALSE(log.ok()) << GetParam().lines;
  EXPECT_EQ(log.status().code(), absl::StatusCode::kInvalidArgument);
  const std::string message(log.status().message());
  EXPECT_THAT(message, testing::StartsWith(absl::StrCat("run.events:", GetParam().line, ": ")));
  EXPECT_THAT(message, HasSubstr(GetParam().says));
  EXPECT_THAT(message, testing::Not(HasSubstr("json.exception")));
}

const Bad kBad[] = {
    {"garbage", 2, "no JSON: column 1"},
    {R"({"time":1,"kind":"TimePassed")", 2, "no JSON: column 30"},
    {"{\"time\":1,\"kind\":\"Tim\xff\"}", 2, "no JSON"},
    {"[]", 2, "must be an object, but is array"},
    {"3", 2, "must be an object, but is number"},
    {R"({"kind":"TimePassed"})", 2, "has no \"time\""},
    {R"({"time":1})", 2, "has no \"kind\""},
    {R"({"time":"1","kind":"TimePassed"})", 2, "time: must be a whole number, but is string"},
    {R"({"time":1.5,"kind":"TimePassed"})", 2, "time: must be a whole number"},
    {R"({"time":1e300,"kind":"TimePassed"})", 2, "time: must be a whole number"},
    {R"({"time":18446744073709551615,"kind":"TimePassed"})", 2, "does not fit"},
    {R"({"time":9223372036854775807,"kind":"TimePassed"})", 2, "time: it never comes"},
    {R"({"time":1,"kind":7})", 2, "kind: type must be string, but is number"},
    {R"({"time":1,"kind":"Exploded"})", 2, "there is no \"Exploded\""},
    {"{\"time\":1,\"kind\":\"Loaded\"}\n\n{\"time\":1,\"kind\":\"NodeLost\"}", 4,
     "has no \"node\""},
    {R"({"time":1,"kind":"NodeConnected","node":"a","bootId":"b","hostsController":1})", 2,
     "hostsController: type must be boolean"},
    {R"({"time":1,"kind":"Observed","task":"t","stamp":"s","observation":5})", 2,
     "observation: must be an object, but is number"},
    {R"({"time":1,"kind":"Observed","task":"t","stamp":"s","observation":{"sight":5}})", 2,
     "observation: sight: 5 is none of 0 to 4"},
    {R"({"time":1,"kind":"Observed","task":"t","stamp":"s","observation":{"sight":-1}})", 2,
     "sight: -1 is none of"},
    {R"({"time":1,"kind":"Observed","task":"t","stamp":"s","observation":{"failure":{"logTail":{}}}})",
     2, "observation: failure: logTail: type must be array"},
    {R"({"time":1,"kind":"OperationEnded","operation":"o","result":"fine"})", 2,
     "there is no \"fine\""},
    {R"({"time":1,"kind":"SpecApplied","graph":[]})", 2, "graph: must be an object, but is array"},
    {R"({"time":1,"kind":"SpecApplied","graph":{"revision":-1}})", 2, "graph: revision: -1 does"},
    {R"({"time":1,"kind":"SpecApplied","graph":{"tasks":[{"id":""}]}})", 2, "a task without an id"},
    {R"({"time":1,"kind":"SpecApplied","graph":{"tasks":[{"id":"a"},{"id":"a"}]}})", 2,
     "a is there twice"},
    {R"({"time":1,"kind":"SpecApplied","graph":{"tasks":[{"id":"a","needs":["b"]},{"id":"b"}]}})",
     2, "a needs b, which does not stand before it"},
    {R"({"time":1,"kind":"SpecApplied","graph":{"retry":{"attempts":2000000000}}})", 2,
     "retry: 2000000000 is not in"},
    {R"({"time":1,"kind":"TimePassed","commands":{}})", 2, "commands: type must be array"},
    {R"({"time":1,"kind":"TimePassed","commands":[3]})", 2, "must be an object"},
    {R"({"time":1,"kind":"TimePassed","commands":[{"command":"Dance"}]})", 2,
     "there is no \"Dance\""},
    {R"({"time":1,"kind":"Snapshot"})", 2, "has no \"state\""},
    {R"({"time":1,"kind":"Snapshot","state":{"tasks":[{}]}})", 2, "state: tasks: a task without"},
    {R"({"time":1,"kind":"Snapshot","state":{"tasks":[{"plan":{"id":"a","needs":["b"]}},{"plan":{"id":"b","needs":["a"]}}]}})",
     2, "a needs itself"},
    {R"({"time":1,"kind":"Snapshot","state":{"tasks":[{"plan":{"id":"a"},"operations":-3}]}})", 2,
     "operations: -3 does not fit"},
    {R"({"time":1,"kind":"Remark"})", 2, "has no \"text\""},
};
INSTANTIATE_TEST_SUITE_P(Lines, BadLogTest, testing::ValuesIn(kBad));

TEST(EventLogTest, AFileThatIsNoEventLogIsSaidToBeNone) {
  for (const char* text : {"", "\n\n", "{}", "[]", "null", R"({"log":"access"})", "\x1f\x8b\x08",
                           R"({"time":1,"kind":"Loaded"})"}) {
    absl::StatusOr<EventLog> log = EventLogFromText(text, "f");
    ASSERT_FALSE(log.ok()) << text;
    EXPECT_EQ(log.status().code(), absl::StatusCode::kInvalidArgument);
  }
  EXPECT_THAT(std::string(EventLogFromText("{}", "f").status().message()),
              HasSubstr("f:1: no event log: it begins with"));
  EXPECT_THAT(
      std::string(
          EventLogFromText(absl::StrReplaceAll(kHeader, {{":1,", ":2,"}}), "f").status().message()),
      HasSubstr("version 2"));
}

// What is cut short, anywhere, is an error or a shorter log, and no crash.
TEST(EventLogTest, ATornFileNeverCrashes) {
  EventLog log{.rollout = "qwen", .epoch = 3};
  for (const core::Event& event : kEvents) log.entries.push_back(LoggedEvent{event, std::nullopt});
  const std::string text = EventLogToText(log);
  for (size_t length = 0; length < text.size(); ++length) {
    absl::StatusOr<EventLog> read = EventLogFromText(text.substr(0, length), "f");
    if (read.ok()) {
      EXPECT_LE(read->entries.size(), log.entries.size());
    }
  }
}

}  // namespace
}  // namespace npufleet::store
