// SPDX-License-Identifier: Apache-2.0
//
// The Docker daemon of the node: whether it answers, and how it is brought to answer. Shared by
// install_docker and install_runtime.
#ifndef AGENT_VERBS_INSTALL_DOCKER_DAEMON_H_
#define AGENT_VERBS_INSTALL_DOCKER_DAEMON_H_

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

inline constexpr char kDaemonJson[] = "/etc/docker/daemon.json";

// OK when daemon.json is not there, or is a JSON object; otherwise the CONFIG failure DOC-03 with
// the place.
absl::Status CheckDaemonJson(host::Host& host);

// What a daemon that does not answer is: UNKNOWN while docker.service starts or seems to run,
// ABSENT when it failed, is stopped, or is not there.
v1::Observation SilentDaemon(host::Host& host, const absl::Status& why);

// systemctl ARGUMENTS; a failure with its output when it ends badly. Unavailable where there is no
// systemd.
absl::Status RunSystemctl(host::Host& host, Execution& execution,
                          const std::vector<std::string>& arguments);

// To be called before the daemon restarts: logs by name which containers run, and whether they go
// on meanwhile (live-restore) or end. `unit_changes`: the daemon comes up with another unit, so
// that only daemon.json can keep live-restore. Returns the containers, for LogWhatWentOn.
std::vector<host::DockerContainer> AnnounceRestart(host::Host& host, Execution& execution,
                                                   const host::DockerInfo& daemon,
                                                   bool unit_changes);

// To be called once the daemon answers again: logs which of the containers that ran before went on
// and which ended.
void LogWhatWentOn(host::Host& host, Execution& execution,
                   const std::vector<host::DockerContainer>& before);

// Until the daemon answers and `is_ready` says so of it. A failure of the signature table (out of
// the journal of docker.service) as soon as the service failed, TRANSIENT after two minutes.
absl::Status WaitForDaemon(host::Host& host, Execution& execution, const std::string& stage,
                           const std::function<bool(const host::DockerInfo&)>& is_ready);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_INSTALL_DOCKER_DAEMON_H_
