// SPDX-License-Identifier: Apache-2.0
//
// `plan`: the real core over a performer that only looks. Checks are real; operations are written
// down and taken as successful.
#ifndef CONTROLLER_RUNTIME_DRY_RUN_H_
#define CONTROLLER_RUNTIME_DRY_RUN_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "controller/core/state.h"
#include "controller/stages/plan.h"
#include "npufleet/v1/agent.pb.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::runtime {

struct DryRunInput {
  struct Node {
    std::string name;
    std::string boot_id;
    bool connected = false;
    std::string reason;
    bool hosts_controller = false;
  };
  core::State state;  // as it is; empty for a new rollout
  stages::DeploymentPlan plan;
  std::vector<Node> nodes;
  absl::Time now;
  bool commands = false;  // also what an operator would have typed
  std::function<absl::StatusOr<v1::CheckReply>(const std::string& node, const v1::CheckRequest&)>
      check;
};

v1::Plan DryRun(DryRunInput input);

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_DRY_RUN_H_
