// SPDX-License-Identifier: Apache-2.0
//
// Why a task is in its state, as a tree: what is known of it, and below it the same for each thing
// that it waits for. Pure.
#ifndef CONTROLLER_RUNTIME_EXPLANATION_H_
#define CONTROLLER_RUNTIME_EXPLANATION_H_

#include <map>
#include <string>

#include "absl/time/time.h"
#include "controller/core/state.h"
#include "controller/runtime/rollout_view.h"
#include "npufleet/v1/controller.pb.h"

namespace npufleet::runtime {

// `nodes` are those of the rollout, by name.
v1::Explanation Explain(const core::State& state, const Details& details,
                        const std::map<std::string, v1::RolloutNode>& nodes, const core::Task& task,
                        absl::Time now);

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_EXPLANATION_H_
