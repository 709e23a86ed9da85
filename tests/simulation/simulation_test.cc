// SPDX-License-Identifier: Apache-2.0
//
// The real core against a simulated fleet. NPUFLEET_SEEDS=N and NPUFLEET_FIRST_SEED=S run more, or
// one.
#include <cstdlib>
#include <string>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/deployment.h"
#include "tests/simulation/world.h"

namespace npufleet::simulation {
namespace {

uint64_t FromEnvironment(const char* name, uint64_t otherwise) {
  const char* text = std::getenv(name);
  uint64_t value = otherwise;
  if (text != nullptr && !absl::SimpleAtoi(text, &value)) ADD_FAILURE() << name << "=" << text;
  return value;
}

bool IsServing(const World& world) { return core::PhaseOf(world.state()) == core::Phase::kServing; }

// Runs until it serves or `limit` of simulated time has passed.
bool RunUntilServing(World& world, absl::Duration limit) {
  const absl::Time end = world.now() + limit;
  while (!IsServing(world) && world.now() < end && world.Turn()) {
  }
  return IsServing(world);
}

std::string Tail(const World& world, size_t lines) {
  const auto& history = world.history();
  const size_t from = history.size() > lines ? history.size() - lines : 0;
  std::string text = absl::StrJoin(history.begin() + from, history.end(), "\n");
  absl::StrAppend(&text, "\nnow: ", core::ReasonOf(world.state()), "\n");
  for (const core::Task& task : world.state().tasks) {
    if (!task.current) absl::StrAppend(&text, "  ", task.plan.id, ": ", task.reason, "\n");
  }
  return text;
}

TEST(SimulationTest, ABareFleetComesToServe) {
  for (const int nodes : {1, 2, 4, 16}) {
    Faults none{.enabled = false};
    World world(1, nodes, none);
    ASSERT_TRUE(RunUntilServing(world, absl::Hours(2))) << Tail(world, 30);
    EXPECT_TRUE(world.Serving());
    EXPECT_THAT(world.violations(), testing::IsEmpty());
  }
}

TEST(SimulationTest, AnUnchangedSpecStartsNothing) {
  Faults none{.enabled = false};
  World world(1, 2, none);
  ASSERT_TRUE(RunUntilServing(world, absl::Hours(2)));
  const int before = world.operations_started();
  world.Apply(MakeDeployment(2));
  world.RestartController();
  while (world.Turn()) {
  }
  EXPECT_EQ(world.operations_started(), before);
  EXPECT_TRUE(IsServing(world)) << Tail(world, 30);
}

// Faults for ten minutes, then none: it must serve within two hours, and then be still.
void RunSeed(uint64_t seed) {
  SCOPED_TRACE(absl::StrCat("seed ", seed));
  const int sizes[] = {1, 2, 2, 3, 4};
  World world(seed, sizes[seed % 5], Faults());
  const absl::Time end = world.now() + absl::Minutes(10);
  while (world.now() < end && world.Turn()) {
  }
  world.StopFaults();
  ASSERT_TRUE(RunUntilServing(world, absl::Hours(4))) << Tail(world, 60);
  EXPECT_TRUE(world.Serving()) << Tail(world, 60);
  const absl::Time quiet = world.now() + absl::Minutes(10);
  while (world.now() < quiet && world.Turn()) {
  }
  ASSERT_TRUE(RunUntilServing(world, absl::Hours(1))) << Tail(world, 60);
  const int before = world.operations_started();
  world.RestartController();
  while (world.Turn()) {
  }
  EXPECT_EQ(world.operations_started(), before) << "something current was run again\n"
                                                << Tail(world, 30);
  ASSERT_TRUE(world.violations().empty()) << absl::StrJoin(world.violations(), "\n") << "\n"
                                          << Tail(world, 60);
}

TEST(SimulationTest, ConvergesFromFaultsAtEveryPoint) {
  const uint64_t first = FromEnvironment("NPUFLEET_FIRST_SEED", 1);
  const uint64_t seeds = FromEnvironment("NPUFLEET_SEEDS", 100);
  for (uint64_t seed = first; seed < first + seeds; ++seed) {
    RunSeed(seed);
    if (testing::Test::HasFailure()) break;
  }
}

}  // namespace
}  // namespace npufleet::simulation
