// SPDX-License-Identifier: Apache-2.0
//
// `npufleet-agent serve`: the daemon around Agent, with signals, systemd and the watchdog.
#ifndef AGENT_SERVICE_PROGRAM_H_
#define AGENT_SERVICE_PROGRAM_H_

#include <string>

#include "agent/service/config.h"

namespace npufleet::service {

// Serves until SIGTERM or SIGINT, then ends the process within 2 s with status 0. Returns only an
// exit status for what kept it from serving. Must be called before any thread is started.
int ServeUntilStopped(const Config& config, bool insecure_loopback, const std::string& version);

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_PROGRAM_H_
