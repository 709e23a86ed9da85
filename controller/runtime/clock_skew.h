// SPDX-License-Identifier: Apache-2.0
//
// Clock skew: the one condition of preflight that takes two clocks, and so is judged here. Pure.
#ifndef CONTROLLER_RUNTIME_CLOCK_SKEW_H_
#define CONTROLLER_RUNTIME_CLOCK_SKEW_H_

#include <string>

#include "absl/time/time.h"
#include "npufleet/v1/operation.pb.h"
#include "npufleet/v1/spec.pb.h"

namespace npufleet::runtime {

// Whether a node whose clock is `skew` ahead of (or behind) the controller's is beyond the limit of
// the deployment, whose defaults are resolved.
bool ClockIsOff(absl::Duration skew, const v1::Deployment& deployment);

// What preflight says of the node, in the light of that: absent with a failure that names both
// figures when its clock is off and nothing else is wrong; otherwise as it is.
void JudgeClock(const std::string& node, absl::Duration skew, const v1::Deployment& deployment,
                v1::Observation* preflight);

}  // namespace npufleet::runtime

#endif  // CONTROLLER_RUNTIME_CLOCK_SKEW_H_
