// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/start_engine/engine_log.h"

#include <memory>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/synchronization/mutex.h"
#include "agent/verbs/container_exec.h"

namespace npufleet::verbs {
namespace {

constexpr char kFolder[] = "/var/log/npufleet";

constexpr uint64_t kBlock = 1 << 20;

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

void RemoveOldEngineLogs(host::Host& host, std::string_view container, Execution& execution) {
  // By time of change: a node's clock may have been wrong when it gave a name.
  const absl::StatusOr<host::ExecResult> listed = Run(host, container, {"ls", "-t", kFolder});
  if (!listed.ok() || listed->exit_code != 0) return;  // the first server makes the folder
  std::vector<std::string> remove = {"rm", "-f"};
  int newer = 1;  // the log that is about to be made
  for (const std::string& name :
       std::vector<std::string>(absl::StrSplit(listed->out, '\n', absl::SkipEmpty()))) {
    if (!IsEngineLog(name) || ++newer <= kKeptEngineLogs) continue;
    const std::string log = absl::StrCat(kFolder, "/", name);
    remove.insert(remove.end(), {log, log + ".1"});
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
