// SPDX-License-Identifier: Apache-2.0
//
// A stage: a noun of the rollout, as a value. catalogue.cc lists them all. Pure.
#ifndef CONTROLLER_STAGES_STAGE_H_
#define CONTROLLER_STAGES_STAGE_H_

#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "controller/core/graph.h"
#include "npufleet/v1/spec.pb.h"
#include "npufleet/v1/verbs.pb.h"

namespace npufleet::stages {

enum class Where { kEachNode, kHead, kWorkers };

struct Need {
  enum class Of { kSameNode, kAllNodes, kHead };
  std::string_view stage;
  Of of = Of::kSameNode;
};

// What happens to the node and to what runs there while the stage is applied.
struct Effects {
  bool running = false;   // starts something that lives until it is stopped or the node reboots
  bool disturbs = false;  // takes down what runs on top of it
  bool prepares = false;  // disturbs nobody; finished before the first disturbance of a service
  bool interruptible = false;
  bool condition = false;  // once met, a later no is shown and disturbs nobody
  bool reboots = false;  // what it installs is in effect from the next boot on, as far as foreseen
};

struct Stage {
  std::string_view name;
  Where where = Where::kEachNode;
  std::vector<Need> needs;
  Effects effects;
  std::vector<core::Lock> locks;
  absl::Duration unknown_limit = absl::Minutes(10);
  // Its Check takes seconds (a completion, a slow tool asked for each chip): it runs in the verb's
  // own period and whenever something under it has changed, and an apply shows its age.
  bool dear = false;
  // Whether this deployment has it at all; nullptr: always.
  bool (*wanted)(const v1::DeploymentSpec&) = nullptr;
  // What `node`'s agent is to make true. The deployment has its defaults resolved.
  v1::Verb (*verb)(const v1::DeploymentSpec&, const v1::Node& node) = nullptr;
};

// The product on one page, in an order in which each stage comes after all that it needs.
const std::vector<Stage>& Catalogue();

// Whether `stage` has that effect.
bool Reboots(std::string_view stage);

}  // namespace npufleet::stages

#endif  // CONTROLLER_STAGES_STAGE_H_
