// SPDX-License-Identifier: Apache-2.0
//
// Step: the heart. (state, event) -> next state and commands, with the reasons. Pure.
#ifndef CONTROLLER_CORE_STEP_H_
#define CONTROLLER_CORE_STEP_H_

#include <set>
#include <string>
#include <vector>

#include "controller/core/command.h"
#include "controller/core/event.h"
#include "controller/core/state.h"

namespace npufleet::core {

// A line of the rollout's history.
struct Note {
  std::string kind;  // OperationStarted, OperationFailed, NodeConnected, TaskLost …
  std::string task;
  std::string node;
  std::string message;
};

struct StepResult {
  std::vector<Command> commands;
  std::vector<Note> notes;
  std::set<std::string> changed_tasks;  // whose stored fields may differ
  std::set<std::string> dropped_tasks;
  std::set<std::string> changed_nodes;
  bool rollout_changed = false;
};

// Moves `state` on. Never fails: an event that makes no sense any more changes nothing.
StepResult Step(State& state, const Event& event);

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_STEP_H_
