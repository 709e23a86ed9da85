// SPDX-License-Identifier: Apache-2.0
//
// What is wanted: the tasks of one deployment, made by controller/stages from the spec. Values
// only.
#ifndef CONTROLLER_CORE_GRAPH_H_
#define CONTROLLER_CORE_GRAPH_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"

namespace npufleet::core {

// A resource of one node ("docker", "npu"). Shared holders exclude an exclusive one, and a waiting
// exclusive bars new holders.
struct Lock {
  std::string name;
  bool exclusive = false;

  bool operator==(const Lock&) const = default;
};

struct TaskPlan {
  std::string id;                  // driver@node-b
  std::string stage;               // driver
  std::string node;                // whose agent does it
  std::vector<std::string> needs;  // ids of tasks, all earlier in the graph
  std::string want;                // digest of the part of the spec that it realises
  bool running =
      false;  // a process or container: lost with a reboot, stopped before what is under it changes
  bool disturbs = false;       // its Apply takes down what runs on top of it
  bool prepares = false;       // done before the first disturbing Apply while something serves
  bool interruptible = false;  // may be cancelled and taken up again at little cost
  bool condition = false;      // asked before what needs it; once met, a later no is only shown
  bool dear = false;           // its Check takes seconds: what it says in its own period stands
  std::vector<Lock> locks;
  absl::Duration unknown_limit = absl::Minutes(10);  // how long "cannot see" is waited out

  bool operator==(const TaskPlan&) const = default;
};

// What a stage has instead of the limits of all.
struct StageLimits {
  std::optional<int> attempts;
  std::optional<absl::Duration> budget;

  bool operator==(const StageLimits&) const = default;
};

struct RetryLimits {
  int attempts = 5;  // that may fail one after another, of each task
  absl::Duration initial_backoff = absl::Seconds(2);
  absl::Duration max_backoff = absl::Minutes(5);
  absl::Duration budget = absl::Hours(2);  // from the first failure to the last attempt
  int redos = 3;                           // of the attempts, those of class redo
  int reboots = 2;                         // and those of class reboot
  // So many failures with one signature within the window stop the task, whatever came between.
  int same_signature = 3;
  absl::Duration signature_window = absl::Minutes(30);
  // So often within an hour a task that died by itself, or hangs, is started again.
  int recoveries_per_hour = 10;
  std::map<std::string, StageLimits> stages;

  bool operator==(const RetryLimits&) const = default;
};

// Tasks stand in an order in which each comes after all that it needs.
struct Graph {
  uint64_t revision = 0;
  std::vector<TaskPlan> tasks;
  RetryLimits retry;

  bool operator==(const Graph&) const = default;
};

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_GRAPH_H_
