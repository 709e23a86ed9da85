// SPDX-License-Identifier: Apache-2.0
//
// What the verbs share that work inside a container: the one entry script, and finding again what
// it started. What we start carries NPUFLEET_TASK and NPUFLEET_STAMP in its environment.
#ifndef AGENT_VERBS_CONTAINER_EXEC_H_
#define AGENT_VERBS_CONTAINER_EXEC_H_

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/host.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

inline constexpr char kTaskVariable[] = "NPUFLEET_TASK";
inline constexpr char kStampVariable[] = "NPUFLEET_STAMP";
inline constexpr char kLogVariable[] = "NPUFLEET_LOG";

// `argv` behind the entry script: it sources the CANN environment where there is one, appends the
// output to $NPUFLEET_LOG when that is set, and becomes `argv`.
std::vector<std::string> EntryArgv(const std::vector<std::string>& argv);

// For bash of a container: `script`, one of our own that never changes, with `argument` as its $1.
std::vector<std::string> FixedScriptArgv(std::string_view script, std::string_view argument);

struct ContainerCommand {
  std::vector<std::string> argv;
  std::map<std::string, std::string> environment;
  absl::Duration deadline = absl::Seconds(60);
  bool detach = false;
};

// Runs it behind the entry script. With an execution: its lines go to the operation's log, and it
// ends with the operation. Errors are Docker's; a non-zero exit is a result.
absl::StatusOr<host::ExecResult> ExecInContainer(host::Host& host, std::string_view container,
                                                 const ContainerCommand& command,
                                                 Execution* execution = nullptr);

using ArgvPredicate = std::function<bool(const std::vector<std::string>&)>;

// Each process of the running container whose argv satisfies `predicate`, oldest first. A process
// that ends meanwhile is passed over.
absl::StatusOr<std::vector<host::ProcessInfo>> FindProcesses(host::Host& host,
                                                             std::string_view container,
                                                             const ArgvPredicate& predicate);

// The value, or empty.
std::string EnvironmentOf(const host::ProcessInfo& process, std::string_view variable);

// Of those that FindProcesses gives the oldest that carries a stamp of `task`: forks share the argv
// and the environment of the process that they come from, which is the oldest.
absl::StatusOr<std::optional<host::ProcessInfo>> FindStampedProcess(host::Host& host,
                                                                    std::string_view container,
                                                                    std::string_view task,
                                                                    const ArgvPredicate& predicate);

// True when the base name of argv[0] is `program`.
ArgvPredicate ProgramIs(std::string program);

// Whether the container runs; false too when there is none, or when docker.service is down. Errors:
// Docker cannot be asked.
absl::StatusOr<bool> ContainerRuns(host::Host& host, std::string_view container);

// Waits on the host's clock until `done` says true, asking each `period`. CancelledError when the
// operation is to end, DeadlineExceeded naming `what` after `limit`; an error of `done` is passed
// on.
absl::Status WaitUntil(host::Host& host, Execution& execution, std::string_view what,
                       absl::Duration limit, absl::Duration period,
                       const std::function<absl::StatusOr<bool>()>& done);

// SIGTERM to `first`, and after `grace` SIGKILL to all that `remaining` still gives; waits until it
// gives none. FailedPrecondition (UPG-03) when a process outlives its SIGKILL for 20 s.
absl::Status EndProcesses(
    host::Host& host, Execution& execution, std::optional<int> first, absl::Duration grace,
    const std::function<absl::StatusOr<std::vector<host::ProcessInfo>>()>& remaining);

// NIC and address exist on this host and belong together (PRE-06, PRE-07), or a CONFIG failure.
absl::Status CheckAddressOfNic(host::Host& host, std::string_view address, std::string_view nic);

// 'VALUE' quoted for a line that a person may paste into a shell; plain when it needs no quotes.
std::string ShellQuoted(std::string_view value);
std::string ShellLine(const std::vector<std::string>& argv);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_CONTAINER_EXEC_H_
