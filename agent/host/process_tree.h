// SPDX-License-Identifier: Apache-2.0
//
// /proc/PID read: who a process is, who its children are, which container it belongs to.
#ifndef AGENT_HOST_PROCESS_TREE_H_
#define AGENT_HOST_PROCESS_TREE_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace npufleet::host {

// Of /proc/PID/stat (proc(5)).
struct ProcessStat {
  int pid = 0;
  std::string command;
  char state = '?';
  int parent = 0;
  uint64_t start_ticks = 0;
};

// InvalidArgument when `text` is no line of /proc/PID/stat. A command may hold spaces and brackets.
absl::StatusOr<ProcessStat> ParseProcessStat(std::string_view text);

// The id of the container in a /proc/PID/cgroup, of version 1 or 2; empty when there is none.
std::string ContainerOfCgroup(std::string_view cgroup);

// All pids of /proc, ascending.
std::vector<int> ListPids();

// The content of a file under /proc; NotFound when the process is gone.
absl::StatusOr<std::string> ReadProc(const std::string& path);

// SIGKILL to `pid` and all its descendants; what is gone is fine.
void KillProcessTree(int pid);

}  // namespace npufleet::host

#endif  // AGENT_HOST_PROCESS_TREE_H_
