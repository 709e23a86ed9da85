// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/boot.h"

#include <unistd.h>

#include <algorithm>

#include "common/status_macros.h"

namespace npufleet::verbs {

absl::StatusOr<absl::Duration> TimeSinceBoot(host::Host& host) {
  ASSIGN_OR_RETURN(absl::Duration uptime, host.system->Uptime());
  absl::StatusOr<host::ProcessInfo> first = host.system->InspectProcess(1);
  if (!first.ok()) return uptime;
  absl::Duration started =
      absl::Seconds(static_cast<double>(first->start_ticks) / sysconf(_SC_CLK_TCK));
  return std::max(uptime - started, absl::ZeroDuration());
}

bool IsSettling(host::Host& host) {
  absl::StatusOr<absl::Duration> age = TimeSinceBoot(host);
  return age.ok() && *age < kBootSettling;
}

}  // namespace npufleet::verbs
