// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/engine_log.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "agent/verbs/container_exec.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kFolder[] = "/var/log/npufleet";

constexpr uint64_t kBlock = 1 << 20;
constexpr int kLastWords = 256 << 10;  // bytes

std::string OutputOf(int pid) { return absl::StrCat("/proc/", pid, "/fd/1"); }

// The last kKeptOfEngineLog bytes, and what of a block is before them. dd, as a copy that begins
// where the log's end does needs no shell and no room for the whole of it.
std::vector<std::string> KeepEnd(const std::string& log, uint64_t size_bytes) {
  return {"dd", absl::StrCat("if=", log), absl::StrCat("of=", log, ".1"),
          absl::StrCat("bs=", kBlock),
          absl::StrCat("skip=", (size_bytes - kKeptOfEngineLog) / kBlock)};
}

bool IsEngineLog(std::string_view name) {
  return name.starts_with("engine-") && name.ends_with(".log");
}

absl::StatusOr<host::ExecResult> Run(host::Host& host, std::string_view container,
                                     std::vector<std::string> argv) {
  host::ExecSpec spec;
  spec.container = std::string(container);
  spec.argv = std::move(argv);
  return host.docker->Exec(spec);
}

// Newest first, by time of change: a node's clock may have been wrong when it gave a name. None
// before the first server, which makes their folder.
absl::StatusOr<std::vector<std::string>> EngineLogs(host::Host& host, std::string_view container) {
  ASSIGN_OR_RETURN(const host::ExecResult listed, Run(host, container, {"ls", "-t", kFolder}));
  std::vector<std::string> logs;
  if (listed.exit_code != 0) return logs;
  for (const std::string& name :
       std::vector<std::string>(absl::StrSplit(listed.out, '\n', absl::SkipEmpty()))) {
    if (IsEngineLog(name)) logs.push_back(absl::StrCat(kFolder, "/", name));
  }
  return logs;
}

}  // namespace

std::string EngineLogPath(absl::Time start) {
  return absl::StrCat(kFolder, "/engine-", absl::ToUnixSeconds(start), ".log");
}

std::optional<uint64_t> EngineLogSize(host::Host& host, int server_pid) {
  const absl::StatusOr<host::FileInfo> log = host.filesystem->Stat(OutputOf(server_pid));
  if (!log.ok()) return std::nullopt;
  return log->size_bytes;
}

void BoundEngineLog(host::Host& host, std::string_view container, const host::ProcessInfo& server) {
  // A second Check at the same time would keep the end of a log that is empty by then.
  static absl::Mutex& bounding = *new absl::Mutex;
  const absl::MutexLock lock(&bounding);
  const std::string path = EnvironmentOf(server, kLogVariable);
  const uint64_t size_bytes = EngineLogSize(host, server.pid).value_or(0);
  if (path.empty() || size_bytes <= kLargestEngineLog) return;
  // The log is emptied even when its end could not be kept, as on a disk that is full already.
  Run(host, container, KeepEnd(path, size_bytes)).status().IgnoreError();
  const absl::StatusOr<std::unique_ptr<host::AppendFile>> log =
      host.filesystem->OpenToAppend(OutputOf(server.pid));
  // A server that has ended meanwhile writes no more.
  if (log.ok()) (*log)->Truncate(0).IgnoreError();
}

absl::StatusOr<std::string> EndOfNewestEngineLog(host::Host& host, std::string_view container) {
  ASSIGN_OR_RETURN(const std::vector<std::string> logs, EngineLogs(host, container));
  if (logs.empty()) return "";
  ASSIGN_OR_RETURN(const host::ExecResult end,
                   Run(host, container, {"tail", "-c", absl::StrCat(kLastWords), logs.front()}));
  return end.exit_code == 0 ? end.out : "";
}

absl::StatusOr<absl::Time> NewestEngineLogWritten(host::Host& host, std::string_view container) {
  ASSIGN_OR_RETURN(const std::vector<std::string> logs, EngineLogs(host, container));
  if (logs.empty()) return absl::NotFoundError("no server has written a log");
  ASSIGN_OR_RETURN(const host::ExecResult changed,
                   Run(host, container, {"stat", "--format=%Y", logs.front()}));
  int64_t seconds = 0;
  if (changed.exit_code != 0 || !absl::SimpleAtoi(changed.out, &seconds)) {
    return absl::NotFoundError(absl::StrCat("stat ", logs.front(), ": ", changed.err));
  }
  return absl::FromUnixSeconds(seconds);
}

void RemoveOldEngineLogs(host::Host& host, std::string_view container, Execution& execution) {
  const absl::StatusOr<std::vector<std::string>> logs = EngineLogs(host, container);
  if (!logs.ok()) return;
  std::vector<std::string> remove = {"rm", "-f"};
  int newer = 1;  // the log that is about to be made
  for (const std::string& log : *logs) {
    if (++newer > kKeptEngineLogs) remove.insert(remove.end(), {log, log + ".1"});
  }
  if (remove.size() == 2) return;
  execution.Log(ShellLine(remove));
  const absl::StatusOr<host::ExecResult> removed = Run(host, container, remove);
  if (!removed.ok()) {
    execution.Log(std::string(removed.status().message()));
  } else if (removed->exit_code != 0) {
    execution.Log(removed->err);
  }
}

}  // namespace npufleet::verbs
