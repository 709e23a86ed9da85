// SPDX-License-Identifier: Apache-2.0
//
// A rollout as people see it. Pure.
#ifndef CONTROLLER_RUNTIME_ROLLOUT_VIEW_H_
#define CONTROLLER_RUNTIME_ROLLOUT_VIEW_H_

#include <map>
#include <string>

#include "controller/core/state.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::runtime {

// What the core does not need to decide, but people want to see.
struct Details {
  v1::Deployment deployment;                            // of the newest revision
  std::map<std::string, v1::Observation> observations;  // newest, by task
  std::map<std::string, absl::Time> checked;            // newest Check, by task
  std::map<std::string, v1::Progress> progress;         // by operation id
};

// When its newest Check ended, whatever it said; InfinitePast: nobody has looked since it mattered.
absl::Time CheckedAt(const core::Task& task, const Details& details);

v1::Task::State StateOf(const core::Task& task);

v1::Rollout RolloutOf(const core::State& state, const Details& details);

// The chain of tasks that decided how long the newest stretch took: from the last task to end back
// to the first, each over the dependency (or the operation on its node) that it started after last.
v1::CriticalPath CriticalPathOf(const core::State& state);

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_ROLLOUT_VIEW_H_
