// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/container_exec.h"

#include <signal.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "agent/verbs/install_docker/daemon.h"
#include "agent/verbs/observation.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

// A docker exec reads no .bashrc, so the environment that the image prepares for a login shell is
// sourced here. set_env.sh of CANN refers to unset variables and may fail in harmless ways.
constexpr char kEntryScript[] = R"(for file in /usr/local/Ascend/ascend-toolkit/set_env.sh \
            /usr/local/Ascend/cann/set_env.sh \
            /usr/local/Ascend/nnal/atb/set_env.sh; do
  [ -f "$file" ] && . "$file"
done
if [ -n "$NPUFLEET_LOG" ]; then
  mkdir -p "${NPUFLEET_LOG%/*}"
  exec >>"$NPUFLEET_LOG" 2>&1
fi
exec "$@"
)";

constexpr absl::Duration kEndPeriod = absl::Milliseconds(200);
constexpr absl::Duration kKillLimit = absl::Seconds(20);

std::string PidsOf(const std::vector<host::ProcessInfo>& processes) {
  return absl::StrJoin(processes, ", ", [](std::string* out, const host::ProcessInfo& process) {
    absl::StrAppend(out, process.pid);
  });
}

}  // namespace

std::vector<std::string> EntryArgv(const std::vector<std::string>& argv) {
  std::vector<std::string> wrapped = {"/bin/bash", "-c", kEntryScript, "npufleet-entry"};
  wrapped.insert(wrapped.end(), argv.begin(), argv.end());
  return wrapped;
}

std::vector<std::string> FixedScriptArgv(std::string_view script, std::string_view argument) {
  return {"/bin/bash", "-c", std::string(script), "npufleet-script", std::string(argument)};
}

absl::StatusOr<host::ExecResult> ExecInContainer(host::Host& host, std::string_view container,
                                                 const ContainerCommand& command,
                                                 Execution* execution) {
  host::ExecSpec spec;
  spec.container = std::string(container);
  spec.argv = EntryArgv(command.argv);
  spec.environment = command.environment;
  spec.deadline = command.deadline;
  spec.detach = command.detach;
  if (execution != nullptr) {
    spec.cancelled = [execution] { return execution->IsCancelled(); };
    if (!command.detach)
      spec.on_line = [execution](std::string_view line) { execution->Log(line); };
  }
  return host.docker->Exec(spec);
}

absl::StatusOr<std::vector<host::ProcessInfo>> FindProcesses(host::Host& host,
                                                             std::string_view container,
                                                             const ArgvPredicate& predicate) {
  ASSIGN_OR_RETURN(const std::vector<int> pids, host.docker->ListProcesses(container));
  std::vector<host::ProcessInfo> found;
  for (int pid : pids) {
    absl::StatusOr<host::ProcessInfo> process = host.system->InspectProcess(pid);
    if (process.ok() && predicate(process->argv)) found.push_back(*std::move(process));
  }
  std::sort(found.begin(), found.end(), [](const auto& left, const auto& right) {
    return std::pair(left.start_ticks, left.pid) < std::pair(right.start_ticks, right.pid);
  });
  return found;
}

std::string EnvironmentOf(const host::ProcessInfo& process, std::string_view variable) {
  const auto found = process.environment.find(std::string(variable));
  return found == process.environment.end() ? "" : found->second;
}

absl::StatusOr<std::optional<host::ProcessInfo>> FindStampedProcess(
    host::Host& host, std::string_view container, std::string_view task,
    const ArgvPredicate& predicate) {
  ASSIGN_OR_RETURN(std::vector<host::ProcessInfo> processes,
                   FindProcesses(host, container, predicate));
  for (host::ProcessInfo& process : processes) {
    if (EnvironmentOf(process, kTaskVariable) == task) return std::move(process);
  }
  return std::nullopt;
}

ArgvPredicate ProgramIs(std::string program) {
  return [program = std::move(program)](const std::vector<std::string>& argv) {
    if (argv.empty()) return false;
    return argv[0].substr(argv[0].rfind('/') + 1) == program;
  };
}

absl::StatusOr<bool> ContainerRuns(host::Host& host, std::string_view container) {
  absl::StatusOr<host::DockerContainer> found = host.docker->InspectContainer(container);
  if (absl::IsNotFound(found.status())) return false;
  if (!found.ok()) {
    if (SilentDaemon(host, found.status()).state() == v1::Observation::ABSENT) return false;
    return found.status();
  }
  return found->status == "running";
}

absl::Status WaitUntil(host::Host& host, Execution& execution, std::string_view what,
                       absl::Duration limit, absl::Duration period,
                       const std::function<absl::StatusOr<bool>()>& done) {
  const absl::Duration end = host.clock->Elapsed() + limit;
  while (true) {
    if (execution.IsCancelled()) return absl::CancelledError();
    ASSIGN_OR_RETURN(const bool is_done, done());
    if (is_done) return absl::OkStatus();
    if (host.clock->Elapsed() >= end) {
      return absl::DeadlineExceededError(
          absl::StrCat(std::string(what), " took more than ", absl::FormatDuration(limit)));
    }
    host.clock->Sleep(period);
  }
}

absl::Status EndProcesses(
    host::Host& host, Execution& execution, std::optional<int> first, absl::Duration grace,
    const std::function<absl::StatusOr<std::vector<host::ProcessInfo>>()>& remaining) {
  const auto are_gone = [&]() -> absl::StatusOr<bool> {
    ASSIGN_OR_RETURN(const std::vector<host::ProcessInfo> left, remaining());
    return left.empty();
  };
  if (first.has_value()) {
    execution.Log(absl::StrCat("SIGTERM to process ", *first));
    absl::Status sent = host.system->SignalProcess(*first, SIGTERM);
    if (!sent.ok() && !absl::IsNotFound(sent)) return sent;
    absl::Status gone = WaitUntil(host, execution, "ending", grace, kEndPeriod, are_gone);
    if (!absl::IsDeadlineExceeded(gone)) return gone;
  }
  ASSIGN_OR_RETURN(const std::vector<host::ProcessInfo> left, remaining());
  if (left.empty()) return absl::OkStatus();
  execution.Log(absl::StrCat("SIGKILL to ", PidsOf(left)));
  for (const host::ProcessInfo& process : left) {
    absl::Status sent = host.system->SignalProcess(process.pid, SIGKILL);
    if (!sent.ok() && !absl::IsNotFound(sent)) return sent;
  }
  absl::Status gone = WaitUntil(host, execution, "ending", kKillLimit, kEndPeriod, are_gone);
  if (!absl::IsDeadlineExceeded(gone)) return gone;
  return SignedFailure(v1::Failure::REBOOT, "UPG-03",
                       absl::StrCat("processes ", PidsOf(left), " outlive SIGKILL"),
                       "A process is stuck in the NPU driver: reboot this node.");
}

absl::Status CheckAddressOfNic(host::Host& host, std::string_view address, std::string_view nic) {
  ASSIGN_OR_RETURN(const std::vector<host::NetworkInterface> interfaces, host.system->Interfaces());
  bool nic_exists = nic.empty();
  bool address_exists = false;
  std::string holder;
  for (const host::NetworkInterface& interface : interfaces) {
    const bool holds =
        std::find(interface.ipv4.begin(), interface.ipv4.end(), address) != interface.ipv4.end();
    if (holds) {
      address_exists = true;
      holder = interface.name;
      if (interface.name == nic) break;
    }
  }
  for (const host::NetworkInterface& interface : interfaces) {
    if (interface.name == nic && !interface.ipv4.empty()) nic_exists = true;
  }
  if (!address_exists) {
    return SignedFailure(v1::Failure::CONFIG, "PRE-06",
                         absl::StrCat("address ", std::string(address), " is not on this host"),
                         "Set the node's address in the spec to the one that its NIC has.");
  }
  if (!nic_exists) {
    return SignedFailure(
        v1::Failure::CONFIG, "PRE-07",
        absl::StrCat("interface ", std::string(nic), " does not exist or has no IPv4 address"),
        absl::StrCat("Set the node's nic in the spec; ", std::string(address), " is on ", holder,
                     "."));
  }
  if (!nic.empty() && holder != nic) {
    return SignedFailure(v1::Failure::CONFIG, "PRE-07",
                         absl::StrCat("address ", std::string(address), " is on ", holder,
                                      ", not on ", std::string(nic)),
                         "Make the node's address and nic in the spec name one interface.");
  }
  return absl::OkStatus();
}

std::string ShellQuoted(std::string_view value) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=./:,@%+";
  if (!value.empty() && value.find_first_not_of(kPlain) == std::string_view::npos) {
    return std::string(value);
  }
  return absl::StrCat("'", absl::StrReplaceAll(std::string(value), {{"'", "'\\''"}}), "'");
}

std::string ShellLine(const std::vector<std::string>& argv) {
  return absl::StrJoin(argv, " ", [](std::string* out, const std::string& argument) {
    absl::StrAppend(out, ShellQuoted(argument));
  });
}

}  // namespace npufleet::verbs
