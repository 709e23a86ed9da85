// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/kernel_log.h"

#include <re2/re2.h>

#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/verbs/signatures.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kDeadline = absl::Seconds(10);
// The clock of the kernel's messages and that of the node drift apart by fractions of a second.
constexpr absl::Duration kSlack = absl::Seconds(1);

std::optional<std::string> Run(host::Host& host, const std::vector<std::string>& argv) {
  host::ProcessOptions options;
  options.deadline = kDeadline;
  const absl::StatusOr<host::ProcessResult> result = host.subprocess->Run(argv, options);
  if (!result.ok() || !result->ok()) return std::nullopt;
  return result->out;
}

// Lines of dmesg, "[12345.678901] text", from `uptime` on.
std::string LinesSince(std::string_view text, absl::Duration uptime) {
  static const RE2& kLine = *new RE2(R"(^\[ *(\d+\.\d+)\])");
  std::string kept;
  for (const absl::string_view line : absl::StrSplit(Absl(text), '\n', absl::SkipEmpty())) {
    double seconds = 0;
    if (RE2::PartialMatch(re2::StringPiece(line.data(), line.size()), kLine, &seconds) &&
        absl::Seconds(seconds) >= uptime)
      absl::StrAppend(&kept, line, "\n");
  }
  return kept;
}

std::optional<std::string> MessagesSince(host::Host& host, absl::Time since) {
  const int64_t from = absl::ToUnixSeconds(since - kSlack);
  const std::vector<std::string> journal = {"journalctl", "-k",  "--no-pager",
                                            "-o",         "cat", absl::StrCat("--since=@", from)};
  if (std::optional<std::string> messages = Run(host, journal)) return messages;
  const absl::StatusOr<absl::Duration> uptime = host.system->Uptime();
  const std::optional<std::string> all = Run(host, {"dmesg"});
  if (!uptime.ok() || !all.has_value()) return std::nullopt;
  return LinesSince(*all, *uptime - (host.clock->Now() - since) - kSlack);
}

}  // namespace

std::string WithoutForeignKills(std::string_view messages, std::string_view container_id) {
  static const RE2& kOwner = *new RE2(R"(oom-kill:.*task_memcg=([^,]*),.*pid=(\d+))");
  static const RE2& kKill = *new RE2(R"((?i)out of memory.*Kill(?:ed)? process (\d+))");
  static const RE2& kAnyKill = *new RE2("(?i)out of memory");
  std::set<std::string> ours;
  std::string kept;
  for (const absl::string_view line : absl::StrSplit(Absl(messages), '\n', absl::SkipEmpty())) {
    const re2::StringPiece text(line.data(), line.size());
    std::string owner;
    std::string pid;
    if (RE2::PartialMatch(text, kOwner, &owner, &pid) && !container_id.empty() &&
        absl::StrContains(owner, Absl(container_id)))
      ours.insert(pid);
    if (RE2::PartialMatch(text, kAnyKill) &&
        !(RE2::PartialMatch(text, kKill, &pid) && ours.contains(pid)))
      continue;
    absl::StrAppend(&kept, line, "\n");
  }
  return kept;
}

std::optional<v1::Failure> KernelFailure(host::Host& host, std::string_view stage,
                                         std::string_view container, absl::Time since) {
  const std::optional<std::string> messages = MessagesSince(host, since);
  if (!messages.has_value()) return std::nullopt;
  std::string id;
  if (!container.empty()) {
    const absl::StatusOr<host::DockerContainer> found = host.docker->InspectContainer(container);
    if (found.ok()) id = found->id;
  }
  std::optional<v1::Failure> failure = MatchSignature("kernel", WithoutForeignKills(*messages, id));
  if (failure.has_value() && failure->class_() == v1::Failure::REDO &&
      failure->redo_stage() == stage) {
    failure->set_class_(v1::Failure::TRANSIENT);
    failure->clear_redo_stage();
  }
  if (failure.has_value()) failure->set_symptom(absl::StrCat("kernel: ", failure->symptom()));
  return failure;
}

}  // namespace npufleet::verbs
