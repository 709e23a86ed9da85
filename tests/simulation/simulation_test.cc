// SPDX-License-Identifier: Apache-2.0
//
// The real core against a simulated fleet.
//
//   NPUFLEET_SEEDS=N NPUFLEET_FIRST_SEED=S  run the seeds S … S+N-1
//   NPUFLEET_FAILED=FILE                    where the shortest script of a failing seed is written
//   NPUFLEET_REPLAY=FILE                    run that script and print all that happens
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
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

// The script, and what happens in it as comments: a file that can be replayed.
std::string Story(const Script& script) {
  World world(script, /*keep_history=*/true);
  world.Run();
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
    const std::string kind = KindOf(world);
    const Script shortest =
        Shrink(script, [&](const Script& shorter) { return Violated(shorter) == kind; });
    const std::string file = PathFromEnvironment(
        "NPUFLEET_FAILED", absl::StrCat(testing::TempDir(), "simulation-failed-", seed, ".faults"));
    const std::string story = Story(shortest);
    std::ofstream(file) << story;
    FAIL() << "seed " << seed << ": " << absl::StrJoin(world.violations(), "\n") << "\n"
           << ToText(shortest) << "Replay: NPUFLEET_REPLAY=" << file
           << " simulation_test --gtest_filter='*Replay*'";
  }
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
  std::cout << Story(*script);
  EXPECT_EQ(Violated(*script), "");
}

}  // namespace
}  // namespace npufleet::simulation
