// SPDX-License-Identifier: Apache-2.0
//
// From the start of the process to an open endpoint: follows the server's log in the container,
// asks /health, and gives up as soon as the start is known to be lost.
#ifndef AGENT_VERBS_START_ENGINE_STARTUP_H_
#define AGENT_VERBS_START_ENGINE_STARTUP_H_

#include <functional>
#include <optional>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

struct StartupWant {
  std::string container;
  std::string log_path;  // in the container
  std::string url;       // http://192.168.0.15:8006
  std::string model;     // that /v1/models has to list
  absl::Duration deadline;
  // The pid of the server's process; nothing when it does not live.
  std::function<absl::StatusOr<std::optional<int>>()> server;
  std::function<std::string(std::string_view address)> node_of;  // StartupFaults'
};

// OK when /health says 200 and /v1/models lists the model. The log's lines go to the operation's
// log, and its phases to its progress. Fails when the process ends, when a rank is known to have
// failed, when no line came for 10 minutes, and at the deadline; each time with the earliest cause
// in the log, or what the kernel of this node says meanwhile when the log names none.
absl::Status AwaitStartup(host::Host& host, const StartupWant& want, Execution& execution);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_STARTUP_H_
