// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_docker/daemon.h"

#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kStartDeadline = absl::Minutes(2);
constexpr char kUnit[] = "docker.service";

// "active", "failed", "inactive", "activating", …; Unavailable where there is no systemd.
absl::StatusOr<std::string> StateOfUnit(host::Host& host) {
  ASSIGN_OR_RETURN(const host::ProcessResult result, host.system->Systemctl({"is-active", kUnit}));
  return std::string(absl::StripAsciiWhitespace(result.out));
}

std::string JournalOf(host::Host& host) {
  absl::StatusOr<host::ProcessResult> result = host.subprocess->Run(
      {"journalctl", "-u", kUnit, "-b", "-n", "80", "-o", "cat", "--no-pager"});
  return result.ok() ? result->out : "";
}

// live-restore of daemon.json, which CheckDaemonJson has looked at.
bool IsLiveRestoreConfigured(host::Host& host) {
  const std::string text = host.filesystem->Read(kDaemonJson, 1 << 20).value_or("");
  const nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  auto live_restore = json.find("live-restore");
  return live_restore != json.end() && *live_restore == true;
}

}  // namespace

absl::Status CheckDaemonJson(host::Host& host) {
  absl::StatusOr<std::string> text = host.filesystem->Read(kDaemonJson, 1 << 20);
  if (absl::IsNotFound(text.status())) return absl::OkStatus();
  RETURN_IF_ERROR(Annotate(text.status(), kDaemonJson));
  std::string why = "it is no JSON object";
  try {
    if (text->empty() || nlohmann::json::parse(*text).is_object()) return absl::OkStatus();
  } catch (const nlohmann::json::parse_error& error) {
    why = npu::Printable(error.what(), 200);
  }
  return SignedFailure(v1::Failure::CONFIG, "DOC-03",
                       absl::StrCat(kDaemonJson, " is invalid: ", why),
                       "Correct the file by hand, then retry: Docker does not start with it.");
}

v1::Observation SilentDaemon(host::Host& host, const absl::Status& why) {
  const std::string message(why.message());
  absl::StatusOr<std::string> state = StateOfUnit(host);
  if (!state.ok()) {
    return absl::IsUnavailable(state.status())
               ? Absent(absl::StrCat("Docker does not answer: ", message))
               : Unknown(absl::StrCat("docker.service: ", state.status().message()));
  }
  if (*state == "active" || *state == "activating" || *state == "reloading" ||
      *state == "deactivating") {
    return Unknown(absl::StrCat("docker.service is ", *state, " and does not answer: ", message));
  }
  if (*state == "failed") return Absent("docker.service failed");
  return Absent(absl::StrCat("docker.service is ", state->empty() ? "not there" : *state));
}

absl::Status RunSystemctl(host::Host& host, Execution& execution,
                          const std::vector<std::string>& arguments) {
  const std::string shown = absl::StrCat("systemctl ", absl::StrJoin(arguments, " "));
  execution.Log(absl::StrCat("$ ", shown));
  ASSIGN_OR_RETURN(const host::ProcessResult result, host.system->Systemctl(arguments));
  if (result.ok()) return absl::OkStatus();
  v1::Failure failure;
  failure.set_class_(v1::Failure::TRANSIENT);
  failure.set_symptom(absl::StrCat(shown, " ended with status ", result.exit_code));
  failure.set_advice("See systemctl status docker on the node.");
  return FailureOfOutput("docker", result.Combined(), std::move(failure));
}

std::vector<host::DockerContainer> AnnounceRestart(host::Host& host, Execution& execution,
                                                   const host::DockerInfo& daemon,
                                                   bool unit_changes) {
  absl::StatusOr<std::vector<host::DockerContainer>> all = host.docker->ListContainers();
  if (!all.ok()) {
    execution.Log(absl::StrCat("which containers the restart of Docker meets is not known: ",
                               all.status().message()));
    return {};
  }
  std::vector<host::DockerContainer> running;
  std::vector<std::string> names;
  for (host::DockerContainer& container : *all) {
    if (container.pid == 0) continue;
    names.push_back(container.name);
    running.push_back(std::move(container));
  }
  if (running.empty()) return running;
  if (daemon.live_restore && (!unit_changes || IsLiveRestoreConfigured(host))) {
    execution.Log(absl::StrCat("these containers go on while Docker restarts (live-restore): ",
                               absl::StrJoin(names, ", ")));
  } else {
    execution.Log(absl::StrCat(
        "these containers end as Docker restarts (live-restore is ",
        daemon.live_restore ? "not in daemon.json" : "off",
        "), and come back only if their restart policy says so: ", absl::StrJoin(names, ", ")));
  }
  return running;
}

void LogWhatWentOn(host::Host& host, Execution& execution,
                   const std::vector<host::DockerContainer>& before) {
  std::vector<std::string> kept, ended;
  for (const host::DockerContainer& container : before) {
    absl::StatusOr<host::DockerContainer> now = host.docker->InspectContainer(container.id);
    if (now.ok() && now->pid == container.pid && now->started_at == container.started_at) {
      kept.push_back(container.name);
    } else {
      ended.push_back(
          absl::StrCat(container.name, now.ok() && now->pid != 0 ? " (runs anew)" : ""));
    }
  }
  if (!kept.empty()) {
    execution.Log(absl::StrCat("went on through the restart: ", absl::StrJoin(kept, ", ")));
  }
  if (!ended.empty()) {
    execution.Log(absl::StrCat("ended with the restart: ", absl::StrJoin(ended, ", ")));
  }
}

absl::Status WaitForDaemon(host::Host& host, Execution& execution, const std::string& stage,
                           const std::function<bool(const host::DockerInfo&)>& is_ready) {
  const absl::Duration deadline = host.clock->Elapsed() + kStartDeadline;
  v1::Progress progress;
  progress.set_activity("waiting for Docker to answer");
  execution.Report(progress);
  std::string last;
  while (true) {
    absl::StatusOr<host::DockerInfo> info = host.docker->Info();
    if (info.ok() && is_ready(*info)) return absl::OkStatus();
    last = info.ok() ? absl::StrCat("it answers as version ", info->server_version,
                                    " with the default runtime ", info->default_runtime)
                     : std::string(info.status().message());
    if (execution.IsCancelled()) return absl::CancelledError("cancelled while waiting for Docker");
    absl::StatusOr<std::string> state = StateOfUnit(host);
    const bool failed = state.ok() && *state == "failed";
    if (failed || host.clock->Elapsed() >= deadline) {
      v1::Failure failure;
      failure.set_class_(v1::Failure::TRANSIENT);
      failure.set_symptom(failed ? "docker.service failed"
                                 : absl::StrCat("Docker is not ready after 2 min: ", last));
      failure.set_advice("See journalctl -u docker on the node.");
      return FailureOfOutput(stage, JournalOf(host), std::move(failure));
    }
    host.clock->Sleep(absl::Milliseconds(500));
  }
}

}  // namespace npufleet::verbs
