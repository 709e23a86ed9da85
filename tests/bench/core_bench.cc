// SPDX-License-Identifier: Apache-2.0
//
// How many events a second the core takes, and what one costs as the fleet grows.
#include <string>
#include <vector>

#include "benchmark/benchmark.h"
#include "controller/core/step.h"
#include "controller/stages/plan.h"
#include "tests/simulation/deployment.h"

namespace npufleet {
namespace {

using core::Observation;
using core::Sight;

// A fleet of `nodes` that serves.
core::State ServingFleet(int nodes) {
  core::State state;
  state.deployment = "qwen";
  state.epoch = 1;
  absl::Time now = absl::FromUnixSeconds(1'700'000'000);
  std::vector<core::Command> open;
  const auto tell = [&](auto what) {
    core::StepResult result = core::Step(state, {now, std::move(what)});
    open.insert(open.end(), result.commands.begin(), result.commands.end());
  };
  const v1::Deployment deployment = simulation::MakeDeployment(nodes);
  tell(core::SpecApplied{stages::PlanOf(deployment, 1).graph});
  for (const v1::Node& node : deployment.spec().nodes())
    tell(core::NodeConnected{node.name(), "boot", false});
  while (!open.empty()) {
    std::vector<core::Command> commands;
    commands.swap(open);
    for (const core::Command& command : commands) {
      if (const auto* check = std::get_if<core::CheckTask>(&command)) {
        tell(core::Observed{check->task, check->stamp, {.sight = Sight::kPresent, .token = "t"}});
      }
    }
  }
  return state;
}

// What a serving fleet's controller does all day: an observation that changes nothing.
void BM_UnchangedObservation(benchmark::State& bench) {
  core::State state = ServingFleet(static_cast<int>(bench.range(0)));
  const absl::Time now = absl::FromUnixSeconds(1'700'000'100);
  size_t i = 0;
  for (auto _ : bench) {
    const core::Task& task = state.tasks[i++ % state.tasks.size()];
    benchmark::DoNotOptimize(
        core::Step(state, {now, core::Observed{task.plan.id, task.seen_stamp, task.seen}}));
  }
  bench.SetItemsProcessed(bench.iterations());
}
BENCHMARK(BM_UnchangedObservation)->Arg(2)->Arg(16)->Arg(100);

// One worker's container is lost and comes back under another token: everything above it moves.
void BM_LostContainer(benchmark::State& bench) {
  core::State state = ServingFleet(static_cast<int>(bench.range(0)));
  const absl::Time now = absl::FromUnixSeconds(1'700'000'100);
  int64_t steps = 0;
  uint64_t token = 0;
  for (auto _ : bench) {
    std::vector<core::Command> open;
    const auto tell = [&](auto what) {
      core::StepResult result = core::Step(state, {now, std::move(what)});
      open.insert(open.end(), result.commands.begin(), result.commands.end());
      ++steps;
    };
    const std::string id = "container@node-1";
    tell(core::Observed{
        id, state.Find(id)->seen_stamp, {.sight = Sight::kAbsent, .reason = "exited"}});
    while (!open.empty()) {
      std::vector<core::Command> commands;
      commands.swap(open);
      for (const core::Command& command : commands) {
        if (const auto* check = std::get_if<core::CheckTask>(&command)) {
          const core::Task& task = *state.Find(check->task);
          const bool probe = task.plan.stage == "probe";
          tell(core::Observed{check->task, check->stamp,
                              probe || task.seen_stamp == check->stamp
                                  ? Observation{.sight = Sight::kPresent, .token = "t"}
                                  : Observation{.sight = Sight::kAbsent, .token = "old"}});
        } else if (const auto* start = std::get_if<core::StartOperation>(&command)) {
          tell(core::OperationEnded{start->operation,
                                    core::OperationEnded::Result::kSucceeded,
                                    {.sight = Sight::kPresent, .token = std::to_string(++token)}});
        }
      }
    }
  }
  bench.SetItemsProcessed(steps);
}
BENCHMARK(BM_LostContainer)->Arg(2)->Arg(16)->Arg(100);

}  // namespace
}  // namespace npufleet
