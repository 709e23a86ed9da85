// SPDX-License-Identifier: Apache-2.0
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/sweep.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

constexpr char kMounts[] = "/proc/self/mountinfo";
constexpr char kSharedMemory[] = "/dev/shm";
constexpr char kRay[] = "/tmp/ray";
constexpr absl::Duration kDeadline = absl::Seconds(60);
constexpr size_t kNamed = 5;

// What a process of this container has open, mapped, or stands in; a file of which another's path
// is the beginning counts as held, too.
constexpr char kHeld[] = R"(
held=$(for process in /proc/[0-9]*; do
  readlink "$process"/fd/* "$process/cwd"
  sed 's/^[^ ]* [^ ]* [^ ]* [^ ]* [^ ]* *//' "$process/maps"
done 2>/dev/null)
sweep() {
  case $held in *"$1"*) return ;; esac
  size=$(du -sk "$1" | cut -f1)
  rm -rf -- "$1" && echo "$size $1"
}
)";

// Python's SharedMemory and semaphores, torch, vLLM, HCCL, Ray's object store.
constexpr char kSharedMemorySweep[] = R"(
for file in "$1"/psm_* "$1"/sem.* "$1"/torch_* "$1"/[vV][lL][lL][mM]* "$1"/[hH][cC][cC][lL]* \
            "$1"/plasma* "$1"/ray*; do
  [ -f "$file" ] && [ ! -L "$file" ] && sweep "$file"
done
exit 0
)";

// The newest session says why the Ray that died did so. Names hold the time of the start.
constexpr char kRaySweep[] = R"(
sessions=("$1"/session_[0-9]*)
unset "sessions[${#sessions[@]}-1]"
for session in "${sessions[@]}"; do
  [ -d "$session" ] && [ ! -L "$session" ] && sweep "$session"
done
[ -f "$1/ray_current_cluster" ] && sweep "$1/ray_current_cluster"
exit 0
)";

std::vector<std::string> Script(const char* body, std::string_view folder) {
  return FixedScriptArgv(absl::StrCat(kHeld, body), folder);
}

std::string Amount(uint64_t kib) {
  if (kib >= 1 << 20) return absl::StrCat(kib >> 20, " GiB");
  return kib >= 1 << 10 ? absl::StrCat(kib >> 10, " MiB") : absl::StrCat(kib, " KiB");
}

void SweepFolder(host::Host& host, std::string_view container, const std::vector<std::string>& argv,
                 std::string_view folder, Execution& execution) {
  host::ExecSpec sweep;
  sweep.container = std::string(container);
  sweep.argv = argv;
  sweep.deadline = kDeadline;
  sweep.cancelled = [&execution] { return execution.IsCancelled(); };
  const absl::StatusOr<host::ExecResult> result = host.docker->Exec(sweep);
  if (!result.ok() || result->exit_code != 0) {
    execution.Log(absl::StrCat(
        "leftovers in ", std::string(folder), " are not swept: ",
        npu::Printable(result.ok() ? result->Combined() : result.status().ToString(), 300)));
    return;
  }
  uint64_t total = 0;
  size_t count = 0;
  std::vector<std::string> names;
  for (const absl::string_view line : absl::StrSplit(result->out, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(' ', 1));
    uint64_t kib = 0;
    if (parts.size() != 2 || !absl::SimpleAtoi(parts[0], &kib)) continue;
    total += kib;
    if (++count > kNamed) continue;
    names.push_back(npu::Printable(Std(parts[1].substr(parts[1].rfind('/') + 1)), 60));
  }
  if (count == 0) return;
  if (count > kNamed) names.push_back("…");
  execution.Swept(absl::StrCat(count, " of a former start in ", std::string(folder),
                               " that no process held, ", Amount(total), ": ",
                               absl::StrJoin(names, ", ")));
}

}  // namespace

std::vector<std::string> SharedMemorySweep(std::string_view folder) {
  return Script(kSharedMemorySweep, folder);
}

std::vector<std::string> RaySweep(std::string_view folder) { return Script(kRaySweep, folder); }

// proc_pid_mountinfo(5): "36 35 98:0 / /dev/shm rw - tmpfs shm rw". Of two at one place the later
// covers the earlier. Docker names the one that it makes "shm"; that of the node is "tmpfs".
OwnFolders OwnFoldersOf(std::string_view mountinfo, std::string_view of_the_node) {
  // A mount's number is known once on a machine.
  std::set<std::string> of_others;
  for (const absl::string_view line : absl::StrSplit(Absl(of_the_node), '\n'))
    of_others.emplace(line.substr(0, line.find(' ')));
  OwnFolders own;
  for (const absl::string_view line : absl::StrSplit(Absl(mountinfo), '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ');
    if (fields.size() < 5) continue;
    const absl::string_view point = fields[4];
    const bool is_own = !of_others.contains(std::string(fields[0]));
    if (point == kSharedMemory)
      own.shared_memory = is_own && absl::StrContains(line, " - tmpfs shm ");
    if (point == "/") own.ray = is_own;
    if (point == "/tmp" || point == kRay) own.ray = false;
  }
  return own;
}

void SweepFiles(host::Host& host, std::string_view container, SweptFolders folders,
                Execution& execution) {
  host::ExecSpec ask;
  ask.container = std::string(container);
  ask.argv = {"cat", kMounts};
  ask.deadline = kDeadline;
  const absl::StatusOr<host::ExecResult> mounts = host.docker->Exec(ask);
  const absl::StatusOr<std::string> of_the_node = host.filesystem->Read(kMounts);
  if (!mounts.ok() || mounts->exit_code != 0 || !of_the_node.ok()) {
    execution.Log("leftovers in /dev/shm are not swept: whose mount it is cannot be seen");
    return;
  }
  const OwnFolders own = OwnFoldersOf(mounts->out, *of_the_node);
  if (own.shared_memory) {
    SweepFolder(host, container, SharedMemorySweep(kSharedMemory), kSharedMemory, execution);
  } else {
    execution.Log("/dev/shm of the container is not its own: what is in it stays");
  }
  if (folders != SweptFolders::kRay) return;
  if (own.ray) {
    SweepFolder(host, container, RaySweep(kRay), kRay, execution);
  } else {
    execution.Log("/tmp/ray of the container is on a volume: what is in it stays");
  }
}

}  // namespace npufleet::verbs
