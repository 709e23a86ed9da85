// SPDX-License-Identifier: Apache-2.0
//
// What is re-run after one event, and nothing else; and one fault at every point of a rollout.
#include <algorithm>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/simulation/world.h"

namespace npufleet::simulation {
namespace {

using testing::Contains;
using testing::Each;
using testing::EndsWith;
using testing::IsEmpty;
using testing::Not;
using testing::UnorderedElementsAre;

constexpr absl::Duration kLong = absl::Hours(1);

// What agents were told to do, from serving to serving again. What is stopped counts for itself.
std::vector<std::string> RunAfter(const Fault& fault, uint64_t seed = 1, int nodes = 2) {
  World world({.seed = seed, .nodes = nodes});
  EXPECT_TRUE(world.RunUntilServing(kLong));
  world.RunFor(absl::Seconds(30));
  const size_t before = world.order().size();
  world.Do(fault);
  world.RunFor(absl::Seconds(60));
  EXPECT_TRUE(world.RunUntilServing(kLong)) << core::ReasonOf(world.state());
  world.RunFor(absl::Seconds(30));
  EXPECT_THAT(world.violations(), IsEmpty());
  return {world.order().begin() + static_cast<int64_t>(before), world.order().end()};
}

std::vector<std::string> WithoutStops(std::vector<std::string> order) {
  order.erase(std::remove_if(order.begin(), order.end(),
                             [](const std::string& one) { return absl::StartsWith(one, "stop "); }),
              order.end());
  return order;
}

TEST(MinimalTest, ABareFleetComesToServeWithEachStageOnce) {
  for (const int nodes : {1, 2, 4, 16}) {
    World world({.seed = 1, .nodes = nodes});
    ASSERT_TRUE(world.RunUntilServing(kLong)) << core::ReasonOf(world.state());
    EXPECT_THAT(world.violations(), IsEmpty());
    std::map<std::string, int> times;
    for (const std::string& one : world.order()) ++times[one];
    for (const auto& [one, count] : times) {
      // The reboot for the driver interrupts a download, which then goes on.
      const bool is_download = absl::StartsWith(one, "model@") || absl::StartsWith(one, "image@");
      EXPECT_LE(count, is_download ? 2 : 1) << one;
    }
  }
}

TEST(MinimalTest, ANodeIsAddedWhileTheOldServerAnswers) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    World world({.seed = seed, .nodes = 3});
    world.Do({.what = "spec", .target = "fewer"});
    ASSERT_TRUE(world.RunUntilServing(kLong)) << core::ReasonOf(world.state());
    world.RunFor(absl::Seconds(30));
    const size_t before = world.order().size();
    world.Do({.what = "spec", .target = "more"});
    world.RunFor(absl::Seconds(1));
    ASSERT_TRUE(world.RunUntilServing(kLong)) << core::ReasonOf(world.state());
    EXPECT_THAT(world.violations(), IsEmpty());
    std::vector<std::string> order(world.order().begin() + static_cast<int64_t>(before),
                                   world.order().end());
    ASSERT_THAT(order, Contains("reboot node-2")) << seed << ": the node is bare";
    EXPECT_EQ(order.back(), "serve@node-0") << seed;
    order.pop_back();
    EXPECT_THAT(order, Each(EndsWith("node-2"))) << seed << ": nothing is stopped for it";
  }
}

TEST(MinimalTest, TheWorkerRebootsByItself) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_THAT(
        WithoutStops(RunAfter({.what = "power-cut", .target = "node-1", .amount = 9000}, seed)),
        UnorderedElementsAre("container@node-1", "ray-worker@node-1", "serve@node-0"))
        << seed;
  }
}

TEST(MinimalTest, TheHeadRebootsByItself) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_THAT(
        WithoutStops(RunAfter({.what = "power-cut", .target = "node-0", .amount = 9000}, seed)),
        UnorderedElementsAre("container@node-0", "ray-head@node-0", "ray-worker@node-1",
                             "serve@node-0"))
        << seed;
  }
}

TEST(MinimalTest, WhatIsKilledAndWhatStoodOnIt) {
  for (uint64_t seed = 1; seed <= 20; ++seed) {
    EXPECT_THAT(WithoutStops(RunAfter({.what = "kill", .target = "serve@node-0"}, seed)),
                UnorderedElementsAre("serve@node-0"))
        << seed;
    EXPECT_THAT(WithoutStops(RunAfter({.what = "kill", .target = "ray-worker@node-1"}, seed)),
                UnorderedElementsAre("ray-worker@node-1", "serve@node-0"))
        << seed;
    EXPECT_THAT(WithoutStops(RunAfter({.what = "kill", .target = "container@node-1"}, seed)),
                UnorderedElementsAre("container@node-1", "ray-worker@node-1", "serve@node-0"))
        << seed;
    EXPECT_THAT(WithoutStops(RunAfter({.what = "kill", .target = "ray-head@node-0"}, seed)),
                UnorderedElementsAre("ray-head@node-0", "ray-worker@node-1", "serve@node-0"))
        << seed;
  }
}

TEST(MinimalTest, AServerThatHangsIsFoundByItsTokens) {
  EXPECT_THAT(WithoutStops(RunAfter({.what = "freeze"})), UnorderedElementsAre("serve@node-0"));
}

TEST(MinimalTest, WhatDisturbsNobodyStartsNothing) {
  for (const Fault& fault :
       std::vector<Fault>{{.what = "cut", .target = "node-1", .amount = 5'000},
                          {.what = "cut", .target = "node-1", .amount = 300'000},
                          {.what = "cut", .target = "node-0", .amount = 30'000},
                          {.what = "lose", .target = "node-0"},
                          {.what = "late", .target = "node-1", .amount = 8'000},
                          {.what = "agent-crash", .target = "node-1", .amount = 3'000},
                          {.what = "controller-crash", .amount = 60'000},
                          {.what = "drift", .target = "docker@node-1"},
                          {.what = "drift", .target = "driver@node-0"},
                          {.what = "blind", .target = "npu@node-0", .amount = 180'000},
                          {.what = "unmet", .target = "reach@node-1", .amount = 60'000},
                          {.what = "unmet", .target = "fabric@node-0", .amount = 60'000},
                          {.what = "refused", .target = "preflight@node-1", .amount = 60'000},
                          {.what = "chip", .target = "go-on@node-1", .amount = 60'000},
                          {.what = "trap", .target = "check:hang:probe", .amount = 60'000},
                          {.what = "spec", .target = "same"},
                          {.what = "retry"}}) {
    EXPECT_THAT(RunAfter(fault), IsEmpty()) << fault.what << " " << fault.target;
  }
}

TEST(MinimalTest, AChangeOfTheSpecIsItsClosure) {
  EXPECT_THAT(WithoutStops(RunAfter({.what = "spec", .target = "engine"})),
              UnorderedElementsAre("serve@node-0"));
  EXPECT_THAT(
      WithoutStops(RunAfter({.what = "spec", .target = "image"})),
      UnorderedElementsAre("image@node-0", "image@node-1", "container@node-0", "container@node-1",
                           "ray-head@node-0", "ray-worker@node-1", "serve@node-0"));
  const std::vector<std::string> driver =
      WithoutStops(RunAfter({.what = "spec", .target = "driver"}));
  EXPECT_THAT(driver, Contains("reboot node-0").Times(1));
  EXPECT_THAT(driver, Contains("reboot node-1").Times(1));
  EXPECT_THAT(driver, Not(Contains("image@node-0")));
  EXPECT_THAT(driver, Not(Contains("model@node-0")));
}

// One fault between any two steps of a first rollout and of a recovery. NPUFLEET_STRIDE=1: at every
// single one.
TEST(MinimalTest, OneFaultAtEveryStep) {
  const char* given = std::getenv("NPUFLEET_STRIDE");
  const int64_t stride = given == nullptr ? 5 : std::max(1, std::atoi(given));
  int64_t steps = 0;
  {
    World world({.seed = 3, .nodes = 2});
    world.Do({.when = 0, .what = "kill", .target = "container@node-1"});
    ASSERT_TRUE(world.RunUntilServing(kLong));
    steps = world.steps();
  }
  const std::vector<Fault> faults = {
      {.what = "controller-crash", .amount = 300},
      {.what = "controller-crash-before-commit", .amount = 300},
      {.what = "controller-crash-after-commit", .amount = 300},
      {.what = "power-cut", .target = "node-0", .amount = 3'000},
      {.what = "power-cut", .target = "node-1", .amount = 3'000},
      {.what = "agent-crash", .target = "node-1", .amount = 1'000},
      {.what = "lose", .target = "node-0"},
      {.what = "cut", .target = "node-1", .amount = 8'000},
      {.what = "pause"},
      {.what = "cancel"},
      {.what = "spec", .target = "engine"},
      {.what = "node-reboot", .target = "node-1"},
  };
  for (Fault fault : faults) {
    fault.at_step = true;
    for (fault.when = 1; fault.when <= steps + 20; fault.when += stride) {
      const Script script = {.seed = 3,
                             .nodes = 2,
                             .faults = {fault,
                                        {.at_step = true,
                                         .when = fault.when + 40,
                                         .what = "kill",
                                         .target = "container@node-1"}}};
      World world(script);
      world.Run();
      ASSERT_THAT(world.violations(), IsEmpty()) << ToText(script);
    }
  }
}

}  // namespace
}  // namespace npufleet::simulation
