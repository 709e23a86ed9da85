// SPDX-License-Identifier: Apache-2.0
//
// Before a start: what a former start of ours has left behind goes, and what is somebody else's is
// named and stays. Whose a process is its cgroup and its stamp say, never its name.
#ifndef AGENT_VERBS_SWEEP_H_
#define AGENT_VERBS_SWEEP_H_

#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// What is to start, and where.
struct SweepScope {
  std::string task;          // serve@node-a
  std::string container;     // name of its container, which need not exist
  std::set<uint32_t> chips;  // N of /dev/davinciN that it will use; empty: all of the node
  // Of our own processes those that rightly live; none when it is not set.
  std::function<bool(const host::ProcessInfo&)> keeps;
};

// Ours: a process of the container, and one that carries a stamp of this node and whose container
// is gone. Ours on the chips is ended (SIGTERM, SIGKILL; FailedPrecondition UPG-03 when it outlives
// that) and told by Execution::Swept. Another's is not touched: NEEDS_OPERATOR with its pid,
// command and container. When nobody can tell who uses the chips, that is logged and OK.
absl::Status SweepChips(host::Host& host, const SweepScope& scope, Execution& execution);

// The same for who listens on a TCP port of the node. Another's is OK when `refuses` is not set,
// for who waits for the port himself, otherwise NEEDS_OPERATOR with `signature`.
absl::Status SweepPort(host::Host& host, const SweepScope& scope, uint16_t port,
                       std::string_view signature, bool refuses, Execution& execution);

enum class SweptFolders {
  kSharedMemory,  // what servers and Ray leave in /dev/shm
  kRay,           // that, and all but the newest session of Ray under /tmp/ray
};

// Files in the running container that no process there holds. Only where the folder is the
// container's own: a /dev/shm or a /tmp that is the node's has files of others, who cannot be seen
// from here. What cannot be swept is logged and stops no start. Call it when nothing lives whose
// files these could be.
void SweepFiles(host::Host& host, std::string_view container, SweptFolders folders,
                Execution& execution);

// Of /proc/self/mountinfo of a container and of the node: whether its /dev/shm is the one that
// Docker made for it, and whether /tmp/ray lies in its own layer, with no volume above it. A mount
// that both have is the node's, also where the node is a container itself.
struct OwnFolders {
  bool shared_memory = false;
  bool ray = false;
};
OwnFolders OwnFoldersOf(std::string_view mountinfo, std::string_view of_the_node);

// argv that does the sweep in `folders`; prints "KIB PATH" for each file or session that went. Bash
// and coreutils.
std::vector<std::string> SharedMemorySweep(std::string_view folder);
std::vector<std::string> RaySweep(std::string_view folder);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_SWEEP_H_
