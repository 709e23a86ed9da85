// SPDX-License-Identifier: Apache-2.0
//
// Ends the boot that the message names. Present as soon as the node's boot id is another.
#ifndef AGENT_VERBS_REBOOT_NODE_REBOOT_NODE_H_
#define AGENT_VERBS_REBOOT_NODE_REBOOT_NODE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// InvalidArgument without a boot id: a reboot that was decided for no boot in particular could be
// done twice.
absl::StatusOr<std::unique_ptr<Verb>> MakeRebootNode(const v1::RebootNode& reboot,
                                                     const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_REBOOT_NODE_REBOOT_NODE_H_
