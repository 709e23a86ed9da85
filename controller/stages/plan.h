// SPDX-License-Identifier: Apache-2.0
//
// A deployment as a graph: the catalogue laid over its nodes. Pure, and the same for the same
// input, always: a restart of the controller makes the graph again from the stored revision.
#ifndef CONTROLLER_STAGES_PLAN_H_
#define CONTROLLER_STAGES_PLAN_H_

#include <cstdint>
#include <map>
#include <string>

#include "controller/core/graph.h"
#include "npufleet/v1/spec.pb.h"
#include "npufleet/v1/verbs.pb.h"

namespace npufleet::stages {

struct DeploymentPlan {
  core::Graph graph;
  std::map<std::string, v1::Verb> verbs;  // by task id
};

// The deployment is valid and has its defaults resolved (common/spec/deployment.h).
DeploymentPlan PlanOf(const v1::Deployment& deployment, uint64_t revision);

// "driver@node-b". The order of stages in the catalogue is the order of tasks in the graph.
std::string TaskId(std::string_view stage, std::string_view node);

}  // namespace npufleet::stages

#endif  // CONTROLLER_STAGES_PLAN_H_
