// SPDX-License-Identifier: Apache-2.0
//
// What an operation does, from its first Check to its outcome. No threads, no registry: see
// runner.h.
#ifndef AGENT_OPERATIONS_RUN_OPERATION_H_
#define AGENT_OPERATIONS_RUN_OPERATION_H_

#include <optional>
#include <string>

#include "absl/time/time.h"
#include "agent/host/host.h"
#include "agent/operations/durable_steps.h"
#include "agent/operations/live_operation.h"
#include "agent/verbs/verb.h"

namespace npufleet::operations {

struct Workplace {
  host::Host& host;
  DurableSteps& steps;
  // How long a node may take to go down after a reboot was asked for.
  absl::Duration reboot_patience = absl::Minutes(10);
};

// Check, Apply, Check; or Stop. An operation that was applying when the agent went down is over
// when its first Check says PRESENT, unless it is a redo; else it is applied again, whatever that
// Check said. Nothing: the agent stops, and the operation goes on when it is back.
std::optional<Outcome> RunOperation(verbs::Verb& verb, LiveOperation& operation,
                                    const Workplace& workplace);

// Of a status that ended an operation; its log tail is the operation's, unless it brings one.
Outcome FailedWith(const absl::Status& status, const LiveOperation& operation);

// The verb's Check, safe for the wire: valid UTF-8, and an exception is UNKNOWN.
v1::Observation CheckSafely(verbs::Verb& verb);

// The name of the field that is set in `verb`: "install_driver"; empty when none is.
std::string NameOf(const v1::Verb& verb);

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_RUN_OPERATION_H_
