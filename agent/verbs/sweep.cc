// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/sweep.h"

#include <signal.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/npu/chip_users.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/observation.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

// Who has just ended, a rank of a server for instance, is on his way out and no leftover.
constexpr absl::Duration kSettle = absl::Seconds(5);
constexpr absl::Duration kGrace = absl::Seconds(10);
constexpr absl::Duration kPeriod = absl::Milliseconds(500);
constexpr size_t kLongestCommand = 120;

// The program and, when it is no option, its first argument: others may be secrets.
std::string CommandOf(const host::ProcessInfo& process) {
  if (process.argv.empty()) return "?";
  std::string command = process.argv[0];
  if (process.argv.size() > 1 && !absl::StartsWith(process.argv[1], "-"))
    absl::StrAppend(&command, " ", process.argv[1]);
  return npu::Printable(command, kLongestCommand);
}

std::string NodeOf(const std::string& task) {
  const size_t at = task.rfind('@');
  return at == std::string::npos ? "" : task.substr(at);
}

// Whose the processes of this node are, as it was when it was read.
class Owners {
 public:
  static absl::StatusOr<Owners> Read(host::Host& host, const SweepScope& scope) {
    Owners owners(scope);
    ASSIGN_OR_RETURN(const std::vector<host::DockerContainer> all, host.docker->ListContainers());
    for (const host::DockerContainer& container : all) {
      owners.names_[container.id] = container.name;
      if (container.name != scope.container || container.status != "running") continue;
      owners.container_ = container.id;
      ASSIGN_OR_RETURN(const std::vector<int> pids, host.docker->ListProcesses(container.id));
      owners.pids_.insert(pids.begin(), pids.end());
    }
    return owners;
  }

  bool IsOurs(const host::ProcessInfo& process) const {
    if (pids_.contains(process.pid)) return true;
    if (!process.container.empty() && process.container == container_) return true;
    const std::string task = EnvironmentOf(process, kTaskVariable);
    if (task.empty() || NodeOf(task) != NodeOf(scope_.task)) return false;
    return process.container.empty() || !names_.contains(process.container);
  }

  bool IsKept(const host::ProcessInfo& process) const {
    return scope_.keeps && scope_.keeps(process);
  }

  std::string Describe(const host::ProcessInfo& process) const {
    std::string text = absl::StrCat("process ", process.pid, " (", CommandOf(process), ")");
    if (process.container.empty()) {
      return absl::StrCat(
          text, pids_.contains(process.pid) ? " of " + scope_.container : " of no container");
    }
    const auto name = names_.find(process.container);
    return absl::StrCat(text, " of container ", process.container.substr(0, 12),
                        name == names_.end() ? ", which Docker no longer knows"
                                             : absl::StrCat(" (", name->second, ")"));
  }

  std::string HowToEnd(const host::ProcessInfo& process) const {
    const auto name = names_.find(process.container);
    if (name != names_.end()) return absl::StrCat("docker stop ", name->second);
    return absl::StrCat("kill ", process.pid);
  }

 private:
  explicit Owners(const SweepScope& scope) : scope_(scope) {}

  SweepScope scope_;
  std::string container_;  // id of ours while it runs
  std::set<int> pids_;
  std::map<std::string, std::string> names_;  // of all containers, by id
};

struct Holder {
  host::ProcessInfo process;
  std::string holds;  // "NPU 0, 1"; "port 8006"
};

struct Holders {
  std::vector<Holder> ours;
  std::vector<Holder> others;
};

void Sort(const Owners& owners, Holder holder, Holders& holders) {
  if (!owners.IsOurs(holder.process)) {
    holders.others.push_back(std::move(holder));
  } else if (!owners.IsKept(holder.process)) {
    holders.ours.push_back(std::move(holder));
  }
}

absl::Status EndOurs(host::Host& host, const Owners& owners, const std::vector<Holder>& holders,
                     Execution& execution) {
  const auto remaining = [&]() -> absl::StatusOr<std::vector<host::ProcessInfo>> {
    std::vector<host::ProcessInfo> left;
    for (const Holder& holder : holders) {
      absl::StatusOr<host::ProcessInfo> now = host.system->InspectProcess(holder.process.pid);
      // Another process may have got the number meanwhile.
      if (now.ok() && now->start_ticks == holder.process.start_ticks)
        left.push_back(*std::move(now));
    }
    return left;
  };
  ASSIGN_OR_RETURN(const std::vector<host::ProcessInfo> alive, remaining());
  for (const host::ProcessInfo& process : alive) {
    execution.Log(absl::StrCat("SIGTERM to ", owners.Describe(process)));
    const absl::Status sent = host.system->SignalProcess(process.pid, SIGTERM);
    if (!sent.ok() && !absl::IsNotFound(sent)) return sent;
  }
  const absl::Status gone =
      WaitUntil(host, execution, "ending", kGrace, kPeriod, [&]() -> absl::StatusOr<bool> {
        ASSIGN_OR_RETURN(const auto left, remaining());
        return left.empty();
      });
  if (!gone.ok() && !absl::IsDeadlineExceeded(gone)) return gone;
  RETURN_IF_ERROR(EndProcesses(host, execution, std::nullopt, absl::ZeroDuration(), remaining));
  for (const Holder& holder : holders) {
    execution.Swept(absl::StrCat(owners.Describe(holder.process), " of a former start, which held ",
                                 holder.holds));
  }
  return absl::OkStatus();
}

absl::Status NotOurs(const Owners& owners, const Holder& holder, std::string_view signature,
                     std::string_view otherwise) {
  return SignedFailure(
      v1::Failure::NEEDS_OPERATOR, signature,
      absl::StrCat(holder.holds, " is held by ", owners.Describe(holder.process)),
      absl::StrCat("It is not ours and is not touched: end it (", owners.HowToEnd(holder.process),
                   "), or ", std::string(otherwise), ", then ctl rollout retry NAME."));
}

// Nothing: nobody can tell.
absl::StatusOr<std::optional<Holders>> HoldersOfChips(host::Host& host, const SweepScope& scope,
                                                      const Owners& owners, Execution& execution) {
  const absl::StatusOr<std::vector<npu::ChipUser>> users = npu::ReadChipUsers(host);
  if (!users.ok()) {
    execution.Log(absl::StrCat("who uses the chips is not known: ",
                               npu::Printable(std::string(users.status().message()), 300)));
    return std::nullopt;
  }
  std::map<int, std::set<uint32_t>> chips;  // by pid
  for (const npu::ChipUser& user : *users) {
    if (scope.chips.empty() || scope.chips.contains(user.device))
      chips[static_cast<int>(user.pid)].insert(user.device);
  }
  Holders holders;
  for (const auto& [pid, held] : chips) {
    absl::StatusOr<host::ProcessInfo> process = host.system->InspectProcess(pid);
    if (absl::IsNotFound(process.status())) continue;
    RETURN_IF_ERROR(process.status());
    Sort(owners, {*std::move(process), absl::StrCat("NPU ", absl::StrJoin(held, ", "))}, holders);
  }
  return holders;
}

}  // namespace

absl::Status SweepChips(host::Host& host, const SweepScope& scope, Execution& execution) {
  ASSIGN_OR_RETURN(const Owners owners, Owners::Read(host, scope));
  Holders holders;
  const absl::Status settled =
      WaitUntil(host, execution, "leaving the chips", kSettle, absl::Seconds(1),
                [&]() -> absl::StatusOr<bool> {
                  ASSIGN_OR_RETURN(std::optional<Holders> now,
                                   HoldersOfChips(host, scope, owners, execution));
                  holders = std::move(now).value_or(Holders{});
                  return holders.ours.empty() && holders.others.empty();
                });
  if (!settled.ok() && !absl::IsDeadlineExceeded(settled)) return settled;
  if (!holders.ours.empty()) RETURN_IF_ERROR(EndOurs(host, owners, holders.ours, execution));
  if (holders.others.empty()) return absl::OkStatus();
  return NotOurs(owners, holders.others.front(), "CTR-07", "name other chips in the spec");
}

absl::Status SweepPort(host::Host& host, const SweepScope& scope, uint16_t port,
                       std::string_view signature, bool refuses, Execution& execution) {
  ASSIGN_OR_RETURN(const std::vector<host::ListeningPort> ports, host.system->ListeningTcpPorts());
  std::optional<Owners> owners;
  Holders holders;
  for (const host::ListeningPort& listening : ports) {
    if (listening.port != port) continue;
    if (!owners.has_value()) {
      ASSIGN_OR_RETURN(owners, Owners::Read(host, scope));
    }
    absl::StatusOr<host::ProcessInfo> process = host.system->InspectProcess(listening.pid);
    if (!process.ok()) {  // nobody can see whose it is
      process = host::ProcessInfo{
          .pid = listening.pid, .argv = {listening.command}, .container = listening.container};
    }
    Sort(*owners, {*std::move(process), absl::StrCat("port ", port)}, holders);
  }
  if (!holders.ours.empty()) RETURN_IF_ERROR(EndOurs(host, *owners, holders.ours, execution));
  if (!refuses || holders.others.empty()) return absl::OkStatus();
  return NotOurs(*owners, holders.others.front(), signature, "choose another port in the spec");
}

}  // namespace npufleet::verbs
