// SPDX-License-Identifier: Apache-2.0
#include "agent/host/process_tree.h"

#include <signal.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/host/filesystem.h"

namespace npufleet::host {

absl::StatusOr<std::string> ReadProc(const std::string& path) {
  absl::StatusOr<std::string> content = Filesystem("/").Read(path);
  if (content.ok()) return content;
  // ESRCH is read(2)'s word for a process that ended after open(2).
  if (absl::IsNotFound(content.status())) return content;
  if (content.status().code() == absl::ErrnoToStatusCode(ESRCH)) {
    return absl::NotFoundError(absl::StrCat(path, ": the process is gone"));
  }
  return content;
}

absl::StatusOr<ProcessStat> ParseProcessStat(std::string_view text) {
  const size_t open = text.find('(');
  const size_t close = text.rfind(')');
  ProcessStat stat;
  if (open == std::string_view::npos || close == std::string_view::npos || close < open) {
    return absl::InvalidArgumentError("not a line of /proc/PID/stat");
  }
  stat.command = std::string(text.substr(open + 1, close - open - 1));
  // Behind the command: state is field 3, ppid field 4, starttime field 22.
  const std::string rest(text.substr(close + 1));
  const std::vector<std::string> fields =
      absl::StrSplit(rest, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  if (fields.size() < 20 || !absl::SimpleAtoi(std::string(text.substr(0, open)), &stat.pid) ||
      !absl::SimpleAtoi(fields[1], &stat.parent) ||
      !absl::SimpleAtoi(fields[19], &stat.start_ticks)) {
    return absl::InvalidArgumentError("not a line of /proc/PID/stat");
  }
  stat.state = fields[0][0];
  return stat;
}

std::string ContainerOfCgroup(std::string_view cgroup) {
  constexpr size_t kIdLength = 64;
  size_t run = 0;
  for (size_t at = 0; at <= cgroup.size(); ++at) {
    if (at < cgroup.size() && std::isxdigit(static_cast<unsigned char>(cgroup[at]))) {
      ++run;
      continue;
    }
    if (run == kIdLength) return std::string(cgroup.substr(at - kIdLength, kIdLength));
    run = 0;
  }
  return "";
}

std::vector<int> ListPids() {
  std::vector<int> pids;
  std::error_code error;
  for (std::filesystem::directory_iterator entry("/proc", error), end; !error && entry != end;
       entry.increment(error)) {
    int pid = 0;
    if (absl::SimpleAtoi(entry->path().filename().string(), &pid)) pids.push_back(pid);
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

void KillProcessTree(int pid) {
  // Stopped first, so that none starts another while the tree is read.
  std::set<int> tree = {pid};
  kill(pid, SIGSTOP);
  for (bool grown = true; grown;) {
    grown = false;
    for (int candidate : ListPids()) {
      if (tree.contains(candidate)) continue;
      const auto text = ReadProc(absl::StrCat("/proc/", candidate, "/stat"));
      if (!text.ok()) continue;
      const auto stat = ParseProcessStat(*text);
      if (!stat.ok() || !tree.contains(stat->parent)) continue;
      kill(candidate, SIGSTOP);
      tree.insert(candidate);
      grown = true;
    }
  }
  for (int member : tree) kill(member, SIGKILL);
}

}  // namespace npufleet::host
