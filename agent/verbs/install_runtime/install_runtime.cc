// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_runtime/install_runtime.h"

#include <atomic>
#include <nlohmann/json.hpp>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/install_docker/daemon.h"
#include "agent/verbs/installer.h"
#include "agent/verbs/mark.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "common/digest.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

using nlohmann::json;

constexpr char kVerb[] = "install_runtime";
constexpr char kBackup[] = "/etc/docker/daemon.json.npufleet-backup";
constexpr char kFolderName[] = "/Ascend-Docker-Runtime";
constexpr uint32_t kDaemonJsonMode = 0600;  // as the installer leaves it

// What of daemon.json is ours, and nothing else.
json OurKeys(const json& configuration) {
  json ours;
  ours["default-runtime"] = configuration.value("default-runtime", json());
  auto runtimes = configuration.find("runtimes");
  ours["ascend"] = runtimes != configuration.end() && runtimes->is_object()
                       ? runtimes->value("ascend", json())
                       : json();
  return ours;
}

json ObjectOf(const std::string& text) {
  json object = json::parse(text, nullptr, /*allow_exceptions=*/false);
  return object.is_object() ? object : json::object();
}

class InstallRuntime : public Verb {
 public:
  InstallRuntime(const v1::InstallRuntime& want, host::Host& host) : want_(want), host_(host) {
    folder_ = want.install_path().empty() ? absl::StrCat("/usr/local/Ascend", kFolderName)
                                          : want.install_path();
    while (absl::EndsWith(folder_, "/")) folder_.pop_back();
    // The installer is told the folder above.
    if (!absl::EndsWith(folder_, kFolderName)) absl::StrAppend(&folder_, kFolderName);
  }

  v1::Observation Check() override {
    if (absl::Status status = CheckDaemonJson(host_); !status.ok()) return AbsentFor(status);
    const std::string version = InstalledVersion();
    if (!applied_) {
      if (std::optional<std::string> mark = ReadMark(host_, kVerb)) {
        return Absent(absl::StrCat("an install was interrupted (torn): ", *mark), version);
      }
    }
    if (version.empty()) return Absent("the Ascend Docker runtime is not installed");
    const json configuration = ReadConfiguration();
    const std::string token =
        absl::StrCat(version, " ", Sha256Hex(OurKeys(configuration).dump()).substr(0, 12));
    if (OurKeys(configuration) != WantedKeys(configuration)) {
      return Absent(absl::StrCat(kDaemonJson, " does not make it Docker's default runtime"), token);
    }
    absl::StatusOr<host::DockerInfo> info = host_.docker->Info();
    if (!info.ok())
      return Unknown(absl::StrCat("Docker does not answer: ", info.status().message()));
    if (info->default_runtime != "ascend") {
      return Absent(absl::StrCat("Docker runs with the default runtime ", info->default_runtime,
                                 ", not with ascend"),
                    token);
    }
    v1::Observation observation = Present(token);
    if (version == want_.version()) return observation;
    observation.set_state(v1::Observation::DRIFTED);
    observation.set_reason(absl::StrCat("version ", version, " is installed and works, ",
                                        want_.version(), " is wanted"));
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    RETURN_IF_ERROR(CheckDaemonJson(host_));
    const bool torn = ReadMark(host_, kVerb).has_value();
    const json found = ReadConfiguration();
    ASSIGN_OR_RETURN(const std::string before_text, FormerText(torn));
    json before = ObjectOf(before_text);
    before.merge_patch(found);  // what somebody changed since a torn install stays
    if (IsDue()) {
      ASSIGN_OR_RETURN(const std::string installer,
                       FetchToNode(host_, execution, want_.installer()));
      if (execution.IsCancelled()) return absl::CancelledError("cancelled before the install");
      RETURN_IF_ERROR(Begin(before_text));
      RETURN_IF_ERROR(RunTheInstaller(execution, installer));
    } else {
      RETURN_IF_ERROR(Begin(before_text));
    }
    RETURN_IF_ERROR(MergeConfiguration(execution, before));
    absl::StatusOr<host::DockerInfo> info = host_.docker->Info();
    const bool changed = ReadConfiguration() != found;
    if (!changed && info.ok() && info->default_runtime == "ascend") return absl::OkStatus();
    return RestartDocker(execution, before_text);
  }

  std::vector<v1::Artifact> Artifacts() override {
    const bool fetches = CheckDaemonJson(host_).ok() && IsDue();
    return fetches ? std::vector<v1::Artifact>{want_.installer()} : std::vector<v1::Artifact>{};
  }

 private:
  // Whether an Apply runs the installer; what it does beside that needs no file.
  bool IsDue() const {
    return ReadMark(host_, kVerb).has_value() || InstalledVersion() != want_.version();
  }

  json ReadConfiguration() const {
    return ObjectOf(host_.filesystem->Read(kDaemonJson, 1 << 20).value_or(""));
  }

  // daemon.json as it was before this install, empty without one: a torn install may have changed
  // it, and has left the backup.
  absl::StatusOr<std::string> FormerText(bool torn) const {
    if (torn) {
      absl::StatusOr<std::string> backup = host_.filesystem->Read(kBackup);
      if (!absl::IsNotFound(backup.status())) return backup;
    }
    return host_.filesystem->Read(kDaemonJson).value_or("");
  }

  // Arguments that a user gave to the runtime are his.
  json WantedKeys(const json& configuration) const {
    json ours = OurKeys(configuration);
    ours["default-runtime"] = "ascend";
    if (!ours["ascend"].is_object()) ours["ascend"] = {{"runtimeArgs", json::array()}};
    ours["ascend"]["path"] = absl::StrCat(folder_, "/ascend-docker-runtime");
    return ours;
  }

  // Empty: not installed, or not wholly.
  std::string InstalledVersion() const {
    if (!host_.filesystem->Exists(absl::StrCat(folder_, "/ascend-docker-runtime"))) return "";
    absl::StatusOr<std::string> text = host_.filesystem->Read(
        absl::StrCat(folder_, "/ascend_docker_runtime_install.info"), 1 << 16);
    if (!text.ok()) return "";
    std::vector<std::string> lines = absl::StrSplit(*text, '\n');
    for (std::string& line : lines) {
      if (!absl::StartsWith(line, "version=")) continue;
      std::string version(absl::StripAsciiWhitespace(line.substr(8)));
      if (absl::StartsWith(version, "v")) version.erase(0, 1);
      return npu::Printable(version, 60);
    }
    return "";
  }

  absl::Status Begin(const std::string& before_text) {
    RETURN_IF_ERROR(host_.filesystem->Write(kBackup, before_text, kDaemonJsonMode));
    RETURN_IF_ERROR(
        WriteMark(host_, kVerb, absl::StrCat("Ascend-docker-runtime ", want_.version())));
    applied_ = true;
    return absl::OkStatus();
  }

  absl::Status RunTheInstaller(Execution& execution, const std::string& path) {
    InstallerRun run = {
        "runtime",        "runtime", path, {"--install"}, want_.accept_eula() ? "Y\n" : "N\n",
        absl::Minutes(10)};
    const std::string parent = folder_.substr(0, folder_.size() - sizeof(kFolderName) + 1);
    if (parent != "/usr/local/Ascend")
      run.arguments.push_back(absl::StrCat("--install-path=", parent));
    const absl::Time began = host_.clock->Now();
    ASSIGN_OR_RETURN(const host::ProcessResult result, RunInstaller(host_, execution, run));
    if (execution.IsCancelled()) return absl::CancelledError("cancelled during the install");
    if (result.ok() && InstalledVersion() == want_.version()) return absl::OkStatus();
    Distrust(host_, want_.installer());
    return FailedInstall(host_, run, result, began);
  }

  // Puts back what the installer lost of the user's keys, and our own when it did not write them.
  absl::Status MergeConfiguration(Execution& execution, const json& before) {
    const json after = ReadConfiguration();
    json merged = after;
    for (const auto& [key, value] : before.items()) {
      if (key != "runtimes" && key != "default-runtime") merged[key] = value;
    }
    if (!merged["runtimes"].is_object()) merged["runtimes"] = json::object();
    if (auto runtimes = before.find("runtimes");
        runtimes != before.end() && runtimes->is_object()) {
      for (const auto& [name, runtime] : runtimes->items()) {
        if (name != "ascend") merged["runtimes"][name] = runtime;
      }
    }
    const json wanted = WantedKeys(after);
    merged["default-runtime"] = wanted["default-runtime"];
    merged["runtimes"]["ascend"] = wanted["ascend"];
    if (merged == after) return absl::OkStatus();
    execution.Log(absl::StrCat("completing ", kDaemonJson));
    return host_.filesystem->Write(kDaemonJson, absl::StrCat(merged.dump(2), "\n"),
                                   kDaemonJsonMode);
  }

  absl::Status RestartDocker(Execution& execution, const std::string& before_text) {
    absl::Status status = RunSystemctl(host_, execution, {"daemon-reload"});
    if (absl::IsUnavailable(status) && !FailureOf(status)) {
      absl::StatusOr<host::DockerInfo> info = host_.docker->Info();
      if (info.ok() && info->default_runtime == "ascend") return absl::OkStatus();
      return FailureStatus(v1::Failure::NEEDS_OPERATOR,
                           "this node has no systemd, and Docker does not run with the new runtime",
                           "Restart dockerd by the node's own means, then retry.");
    }
    RETURN_IF_ERROR(status);
    std::vector<host::DockerContainer> running;
    if (const absl::StatusOr<host::DockerInfo> info = host_.docker->Info(); info.ok())
      running = AnnounceRestart(host_, execution, *info, /*unit_changes=*/false);
    status = RunSystemctl(host_, execution, {"--no-block", "restart", "docker.service"});
    if (status.ok()) {
      status = WaitForDaemon(host_, execution, "runtime", [](const host::DockerInfo& info) {
        return info.default_runtime == "ascend";
      });
    }
    if (status.ok()) LogWhatWentOn(host_, execution, running);
    if (status.ok() || absl::IsCancelled(status) || host_.docker->Info().ok()) return status;
    RestoreConfiguration(execution, before_text);
    return status;
  }

  // Docker died of what we gave it: with what it had before, it runs again.
  void RestoreConfiguration(Execution& execution, const std::string& before_text) {
    execution.Log(absl::StrCat("Docker does not start: putting back the former ", kDaemonJson));
    absl::Status restored =
        before_text.empty() ? host_.filesystem->Remove(kDaemonJson)
                            : host_.filesystem->Write(kDaemonJson, before_text, kDaemonJsonMode);
    // The next try takes daemon.json as somebody has mended it.
    if (restored.ok()) restored = host_.filesystem->Remove(kBackup);
    if (absl::Status reset = RunSystemctl(host_, execution, {"reset-failed", "docker.service"});
        !reset.ok()) {
      execution.Log(std::string(reset.message()));
    }
    if (restored.ok())
      restored = RunSystemctl(host_, execution, {"--no-block", "restart", "docker.service"});
    if (!restored.ok()) execution.Log(restored.ToString());
  }

  const v1::InstallRuntime want_;
  host::Host& host_;
  std::string folder_;
  std::atomic<bool> applied_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeInstallRuntime(const v1::InstallRuntime& want,
                                                         const v1::Subject&, host::Host& host) {
  if (want.version().empty() || want.installer().url().empty()) {
    return absl::InvalidArgumentError("install_runtime names no version or no installer");
  }
  return std::make_unique<InstallRuntime>(want, host);
}

}  // namespace npufleet::verbs
