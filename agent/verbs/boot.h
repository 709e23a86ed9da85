// SPDX-License-Identifier: Apache-2.0
//
// When this boot began, as far as verbs must know it.
#ifndef AGENT_VERBS_BOOT_H_
#define AGENT_VERBS_BOOT_H_

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/host.h"

namespace npufleet::verbs {

// Chips, links and daemons may need this long after a boot before their silence means something.
inline constexpr absl::Duration kBootSettling = absl::Minutes(10);

// The age of the node's PID 1: in a container that is booted like a machine, /proc/uptime is the
// host's.
absl::StatusOr<absl::Duration> TimeSinceBoot(host::Host& host);

// False as well when it cannot be told.
bool IsSettling(host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_BOOT_H_
