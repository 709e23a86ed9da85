// SPDX-License-Identifier: Apache-2.0
//
// The server's log in the container, which its entry script appends to: bounded while the server
// runs, and only the newest few are kept. Without that vLLM's request log fills the node's disk.
#ifndef AGENT_VERBS_START_ENGINE_ENGINE_LOG_H_
#define AGENT_VERBS_START_ENGINE_ENGINE_LOG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

inline constexpr uint64_t kLargestEngineLog = 256 << 20;
inline constexpr uint64_t kKeptOfEngineLog = 16 << 20;
inline constexpr int kKeptEngineLogs = 5;

// Where a server that is started at `start` writes, in the container.
std::string EngineLogPath(absl::Time start);

// How long the log of the server is now, from the node's /proc: its standard output is the log,
// whatever the container mounts, and even when it has been removed. Nothing when the process is
// gone, and in a demonstration, whose root has no processes.
std::optional<uint64_t> EngineLogSize(host::Host& host, int server_pid);

// When the log of the server is longer than kLargestEngineLog: its end is kept as LOG.1 and the log
// is emptied. What is written between the two is lost. Costs one stat(2) as a rule. Threadsafe.
void BoundEngineLog(host::Host& host, std::string_view container, const host::ProcessInfo& server);

// The last 256 KiB of the log that was written to last, in the running container; empty: there is
// none.
absl::StatusOr<std::string> EndOfNewestEngineLog(host::Host& host, std::string_view container);

// When that log was written to last. NotFound: there is none.
absl::StatusOr<absl::Time> NewestEngineLogWritten(host::Host& host, std::string_view container);

// Before a server is started: makes room for its log among the kKeptEngineLogs newest. That it did
// not work is only told in the operation's log.
void RemoveOldEngineLogs(host::Host& host, std::string_view container, Execution& execution);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_ENGINE_LOG_H_
