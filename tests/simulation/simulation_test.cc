// SPDX-License-Identifier: Apache-2.0
//
// The real core against a simulated fleet.
//
//   NPUFLEET_SEEDS=N NPUFLEET_FIRST_SEED=S  run the seeds S … S+N-1
//   NPUFLEET_FAILED=FILE.faults             where the shortest script of a failing seed is written,
//                                           and, as FILE.events, the core's events of its run
//   NPUFLEET_REPLAY=FILE.faults             run that script and print all that happens
//
// `tests/run simulation --seeds N --from S` runs seeds on all cores; `ctl rollout replay
// FILE.events` shows the events.
#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "controller/store/event_log.h"
#include "controller/store/replay.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/coverage.h"
#include "tests/simulation/shrink.h"
#include "tests/simulation/world.h"

namespace npufleet::simulation {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &value)) ADD_FAILURE() << name << "=" << text;
  return value;
}

std::string PathFromEnvironment(const char* name, const std::string& otherwise) {
  const char* path = std::getenv(name);
  return path == nullptr ? otherwise : path;
}

// The violation without names and numbers: what makes two failures the same.
std::string KindOf(const World& world) {
  if (world.violations().empty()) return "";
  std::string kind;
  for (absl::string_view word : absl::StrSplit(world.violations().front(), ' ')) {
    const bool name = word.find_first_of("@/0123456789{") != absl::string_view::npos;
    if (!name) absl::StrAppend(&kind, word, " ");
  }
  return kind;
}

std::string Violated(const Script& script) {
  World world(script);
  world.Run();
  return KindOf(world);
}

// The script, and what happened in it as comments: a file that can be replayed.
std::string Story(const Script& script, const World& world) {
  std::string text = ToText(script);
  for (const std::string& violation : world.violations())
    absl::StrAppend(&text, "# VIOLATED: ", violation, "\n");
  absl::StrAppend(&text, "#\n# milliseconds since the start, steps of the core:\n");
  for (const std::string& line : world.history()) absl::StrAppend(&text, "# ", line, "\n");
  for (const core::Task& task : world.state().tasks) {
    if (!task.current)
      absl::StrAppend(&text, "# at the end ", task.plan.id, ": ", task.reason, "\n");
  }
  return text;
}

// The events, headed by the script and what was violated.
std::string Events(const Script& script, const World& world) {
  store::EventLog log = world.log();
  log.remarks = absl::StrSplit(absl::StripSuffix(ToText(script), "\n"), '\n');
  for (const std::string& violation : world.violations())
    log.remarks.push_back(absl::StrCat("VIOLATED: ", violation));
  return store::EventLogToText(log);
}

// The last lines of a history, with what a Check said again and again left out.
std::string Ending(const World& world) {
  constexpr size_t kLines = 25;
  std::vector<std::string> lines;
  for (const std::string& line : world.history()) {
    if (!absl::StrContains(line, " seen ")) lines.push_back(line);
  }
  const size_t first = lines.size() - std::min(lines.size(), kLines);
  return absl::StrCat(absl::StrJoin(lines.begin() + static_cast<int64_t>(first), lines.end(), "\n"),
                      "\n");
}

// Writes the shortest script that fails as `kind`, and its events, and says how to look at them.
std::string Report(const Script& failing, const std::string& kind) {
  const Script shortest =
      Shrink(failing, [&](const Script& shorter) { return Violated(shorter) == kind; });
  World world(shortest, /*keep_history=*/true);
  world.Run();
  const std::string script = PathFromEnvironment(
      "NPUFLEET_FAILED",
      absl::StrCat(testing::TempDir(), "simulation-failed-", failing.seed, ".faults"));
  const std::string events = absl::StrCat(absl::StripSuffix(script, ".faults"), ".events");
  std::ofstream(script) << Story(shortest, world);
  std::ofstream(events) << Events(shortest, world);
  return absl::StrCat(ToText(shortest), "milliseconds, steps of the core; ",
                      world.log().entries.size(), " events, the last:\n", Ending(world),
                      "\nThe script again:  NPUFLEET_REPLAY=", script, " ", NPUFLEET_BIN_DIR,
                      "/simulation_test --gtest_filter=SimulationTest.Replay\nIts events:        ",
                      NPUFLEET_BIN_DIR, "/ctl rollout replay ", events, "\n");
}

TEST(SimulationTest, HoldsWhateverGoesWrong) {
  const uint64_t first = FromEnvironment("NPUFLEET_FIRST_SEED", 1);
  const uint64_t seeds = FromEnvironment("NPUFLEET_SEEDS", 300);
  int64_t steps = 0;
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    const Script script = MakeScript(seed);
    World world(script);
    world.Run();
    steps += world.steps();
    if (world.violations().empty()) continue;
    FAIL() << "seed " << seed << ": " << absl::StrJoin(world.violations(), "\n") << "\n"
           << Report(script, KindOf(world));
  }
  if (Coverage::IsWanted()) std::cout << Coverage::ToText();
  std::cout << seeds << " seeds from " << first << ", " << steps << " steps\n";
}

TEST(SimulationTest, Replay) {
  const std::string file = PathFromEnvironment("NPUFLEET_REPLAY", "");
  if (file.empty()) GTEST_SKIP() << "NPUFLEET_REPLAY names no script";
  std::ifstream in(file);
  std::stringstream text;
  text << in.rdbuf();
  absl::StatusOr<Script> script = ScriptFromText(text.str());
  ASSERT_TRUE(in.good() || in.eof()) << file;
  ASSERT_TRUE(script.ok()) << file << ": " << script.status();
  World world(*script, /*keep_history=*/true);
  world.Run();
  std::cout << Story(*script, world);
  EXPECT_THAT(world.violations(), testing::IsEmpty());
}

// What the controller's restarts do to memory is in the log: transient fields are the same, too.
TEST(SimulationTest, TheEventLogReplaysToTheSameState) {
  for (uint64_t seed = 1; seed <= 60; ++seed) {
    const Script script = MakeScript(seed);
    World world(script, /*keep_history=*/true);
    world.Run();
    const std::string text = Events(script, world);
    absl::StatusOr<store::EventLog> log = store::EventLogFromText(text, "events");
    ASSERT_TRUE(log.ok()) << log.status();
    EXPECT_EQ(store::EventLogToText(*log), text);
    const store::Replay replay = store::ReplayLog(*log);
    EXPECT_EQ(replay.otherwise, 0) << "seed " << seed;
    EXPECT_EQ(replay.state.revision, world.state().revision);
    EXPECT_EQ(replay.state.serving_since, world.state().serving_since);
    EXPECT_EQ(replay.state.tasks, world.state().tasks) << "seed " << seed;
    EXPECT_EQ(replay.state.nodes, world.state().nodes) << "seed " << seed;
    EXPECT_EQ(replay.phase, core::Phase::kServing);
  }
}

}  // namespace
}  // namespace npufleet::simulation
