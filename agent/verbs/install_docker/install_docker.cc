// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_docker/install_docker.h"

#include <algorithm>
#include <atomic>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/verbs/install_docker/daemon.h"
#include "agent/verbs/installer.h"
#include "agent/verbs/mark.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/package_manager.h"
#include "agent/verbs/signatures.h"
#include "common/status_macros.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

constexpr char kVerb[] = "install_docker";
constexpr char kUnitFile[] = "/usr/lib/systemd/system/docker.service";
constexpr char kPidFile[] = "/var/run/docker.pid";
// Beside the target, so that each program arrives by a rename: one that runs is replaced, never
// overwritten.
constexpr char kUnpackFolder[] = "/usr/bin/.npufleet-docker";

// The runbook's unit (2.2.2).
constexpr char kUnit[] = R"([Unit]
Description=Docker Application Container Engine
Documentation=https://docs.docker.com
After=network-online.target firewalld.service
Wants=network-online.target

[Service]
Type=notify
ExecStart=/usr/bin/dockerd
ExecReload=/bin/kill -s HUP $MAINPID
LimitNOFILE=infinity
LimitNPROC=infinity
TimeoutStartSec=0
Delegate=yes
KillMode=process
Restart=on-failure
StartLimitBurst=3
StartLimitInterval=60s

[Install]
WantedBy=multi-user.target
)";

class InstallDocker : public Verb {
 public:
  InstallDocker(const v1::Docker& want, host::Host& host) : want_(want), host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<host::DockerInfo> info = host_.docker->Info();
    if (!applied_) {
      if (std::optional<std::string> mark = ReadMark(host_, kVerb)) {
        return Absent(absl::StrCat("an install was interrupted (torn): ", *mark),
                      info.ok() ? info->server_version : "");
      }
    }
    if (!info.ok()) {
      v1::Observation silent = SilentDaemon(host_, info.status());
      if (absl::Status status = CheckDaemonJson(host_);
          !status.ok() && silent.state() == v1::Observation::ABSENT) {
        return AbsentFor(status);
      }
      return silent;
    }
    v1::Observation observation = Present(info->server_version);
    (*observation.mutable_facts())["data root"] = info->root_dir;
    if (Fits(info->server_version)) return observation;
    observation.set_state(v1::Observation::DRIFTED);
    observation.set_reason(
        absl::StrCat("Docker ", info->server_version, " answers, ", WantedVersion(), " is wanted"));
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    RETURN_IF_ERROR(CheckDaemonJson(host_));
    absl::StatusOr<host::DockerInfo> before = host_.docker->Info();
    if (!IsDue(before)) return absl::OkStatus();
    if (want_.has_binary()) {
      RETURN_IF_ERROR(InstallBinaries(execution, before));
    } else {
      RETURN_IF_ERROR(InstallPackageSet(execution, before));
    }
    RETURN_IF_ERROR(StartDaemon(execution, before.ok()));
    absl::Status status =
        WaitForDaemon(host_, execution, "docker",
                      [&](const host::DockerInfo& info) { return Fits(info.server_version); });
    // Nobody else takes away the pid of a daemon that crashed; with it, no other daemon starts.
    if (std::optional<v1::Failure> failure = FailureOf(status);
        failure && failure->signature() == "DOC-06") {
      RETURN_IF_ERROR(host_.filesystem->Remove(kPidFile));
    }
    // A former daemon that fits (torn) may be the one that answers: nothing is known then.
    const bool is_another = before.ok() && !Fits(before->server_version);
    if (status.ok() && is_another) LogWhatWentOn(host_, execution, running_);
    return status;
  }

  std::vector<v1::Artifact> Artifacts() override {
    const bool fetches =
        want_.has_binary() && CheckDaemonJson(host_).ok() && IsDue(host_.docker->Info());
    return fetches ? std::vector<v1::Artifact>{want_.binary().archive()}
                   : std::vector<v1::Artifact>{};
  }

 private:
  // Whether an Apply installs, given what the daemon answers now.
  bool IsDue(const absl::StatusOr<host::DockerInfo>& now) const {
    return ReadMark(host_, kVerb).has_value() || !now.ok() || !Fits(now->server_version);
  }

  // A package may restart the daemon by itself: what the restart meets is said before the install.
  absl::Status Begin(Execution& execution, const absl::StatusOr<host::DockerInfo>& before,
                     const std::string& what) {
    running_.clear();
    if (before.ok()) running_ = AnnounceRestart(host_, execution, *before, want_.has_binary());
    RETURN_IF_ERROR(WriteMark(host_, kVerb, what));
    applied_ = true;
    return absl::OkStatus();
  }

  std::string WantedVersion() const {
    return want_.has_binary() ? want_.binary().version() : want_.packages().version();
  }

  bool Fits(const std::string& version) const {
    if (want_.has_minimum_version() && CompareVersions(version, want_.minimum_version()) >= 0)
      return true;
    return WantedVersion().empty() || CompareVersions(version, WantedVersion()) == 0;
  }

  absl::Status InstallBinaries(Execution& execution,
                               const absl::StatusOr<host::DockerInfo>& before) {
    ASSIGN_OR_RETURN(const std::string archive,
                     FetchToNode(host_, execution, want_.binary().archive()));
    if (execution.IsCancelled()) return absl::CancelledError("cancelled before the install");
    RETURN_IF_ERROR(Begin(execution, before, absl::StrCat("docker ", WantedVersion())));
    RETURN_IF_ERROR(host_.filesystem->RemoveAll(kUnpackFolder));
    RETURN_IF_ERROR(host_.filesystem->MakeFolders(kUnpackFolder));
    absl::Status status = UnpackAndMove(execution, archive);
    absl::Status removed = host_.filesystem->RemoveAll(kUnpackFolder);
    if (!status.ok()) Distrust(host_, want_.binary().archive());
    RETURN_IF_ERROR(status);
    RETURN_IF_ERROR(removed);
    return host_.filesystem->Write(kUnitFile, kUnit);
  }

  absl::Status UnpackAndMove(Execution& execution, const std::string& archive) {
    host::ProcessOptions options;
    options.deadline = absl::Minutes(10);
    options.cancelled = [&] { return execution.IsCancelled(); };
    const std::vector<std::string> argv = {"tar",
                                           "-xzf",
                                           host_.filesystem->Real(archive),
                                           "--no-same-owner",
                                           "-C",
                                           host_.filesystem->Real(kUnpackFolder)};
    execution.Log(absl::StrCat("$ ", absl::StrJoin(argv, " ")));
    ASSIGN_OR_RETURN(const host::ProcessResult result, host_.subprocess->Run(argv, options));
    const std::string folder = absl::StrCat(kUnpackFolder, "/docker");
    if (!result.ok() || !host_.filesystem->Exists(absl::StrCat(folder, "/dockerd"))) {
      v1::Failure failure;
      failure.set_class_(v1::Failure::CONFIG);
      failure.set_symptom(
          result.ok() ? absl::StrCat(archive, " holds no docker/dockerd")
                      : absl::StrCat("tar cannot unpack ", archive, ": status ", result.exit_code));
      failure.set_advice(
          "Name the static archive of Docker for this architecture (docker-VERSION.tgz) in "
          "docker.binary.archive.");
      return FailureOfOutput("docker", result.Combined(), std::move(failure));
    }
    ASSIGN_OR_RETURN(const std::vector<std::string> programs, host_.filesystem->List(folder));
    for (const std::string& program : programs) {
      const std::string unpacked = absl::StrCat(folder, "/", program);
      RETURN_IF_ERROR(host_.filesystem->SetMode(unpacked, 0755));
      RETURN_IF_ERROR(host_.filesystem->Rename(unpacked, absl::StrCat("/usr/bin/", program)));
      execution.Log(absl::StrCat("/usr/bin/", program));
    }
    return absl::OkStatus();
  }

  absl::Status InstallPackageSet(Execution& execution,
                                 const absl::StatusOr<host::DockerInfo>& before) {
    ASSIGN_OR_RETURN(const PackageManager manager, FindPackageManager(host_));
    std::vector<PackageWant> packages;
    for (const std::string& name : want_.packages().names()) {
      // containerd.io has versions of its own.
      const bool has_version = absl::StartsWith(name, "docker");
      packages.push_back({name, has_version ? want_.packages().version() : ""});
    }
    RETURN_IF_ERROR(Begin(execution, before, absl::StrJoin(want_.packages().names(), " ")));
    return InstallFromRepositories(host_, execution, manager, "docker", packages);
  }

  absl::Status StartDaemon(Execution& execution, bool was_running) {
    absl::Status status = RunSystemctl(host_, execution, {"daemon-reload"});
    if (absl::IsUnavailable(status) && !FailureOf(status)) {
      // Without systemd somebody else runs the daemon; if it answers, that is enough.
      if (host_.docker->Info().ok()) return absl::OkStatus();
      return FailureStatus(v1::Failure::NEEDS_OPERATOR,
                           "this node has no systemd, and Docker does not answer",
                           "Start dockerd by the node's own means, then retry.");
    }
    RETURN_IF_ERROR(status);
    RETURN_IF_ERROR(RunSystemctl(host_, execution, {"enable", "docker.service"}));
    // A service that failed too often refuses to start until its count is reset; a unit that was
    // never loaded has none to reset, which systemctl calls an error.
    if (absl::Status reset = RunSystemctl(host_, execution, {"reset-failed", "docker.service"});
        !reset.ok()) {
      execution.Log(std::string(reset.message()));
    }
    return RunSystemctl(host_, execution,
                        {"--no-block", was_running ? "restart" : "start", "docker.service"});
  }

  const v1::Docker want_;
  host::Host& host_;
  std::atomic<bool> applied_ = false;
  std::vector<host::DockerContainer> running_;  // when the install began
};

// The numbers of "3:28.0.4-1.el9": 28, 0, 4.
std::vector<int> NumbersOf(std::string_view version) {
  if (size_t epoch = version.find(':'); epoch != version.npos) version.remove_prefix(epoch + 1);
  if (!version.empty() && version.front() == 'v') version.remove_prefix(1);
  version = version.substr(0, version.find_first_of("-+~"));
  std::vector<int> numbers;
  for (absl::string_view part : absl::StrSplit(Absl(version), '.')) {
    int number = 0;
    numbers.push_back(absl::SimpleAtoi(part, &number) ? number : 0);
  }
  while (!numbers.empty() && numbers.back() == 0) numbers.pop_back();
  return numbers;
}

}  // namespace

int CompareVersions(std::string_view a, std::string_view b) {
  const std::vector<int> left = NumbersOf(a), right = NumbersOf(b);
  return left < right ? -1 : left == right ? 0 : 1;
}

absl::StatusOr<std::unique_ptr<Verb>> MakeInstallDocker(const v1::InstallDocker& want,
                                                        const v1::Subject&, host::Host& host) {
  const v1::Docker& docker = want.docker();
  if (docker.has_binary() &&
      (docker.binary().version().empty() || docker.binary().archive().url().empty())) {
    return absl::InvalidArgumentError("install_docker names no version or no archive");
  }
  if (!docker.has_binary() && (!docker.has_packages() || docker.packages().names().empty())) {
    return absl::InvalidArgumentError("install_docker names neither an archive nor packages");
  }
  return std::make_unique<InstallDocker>(docker, host);
}

}  // namespace npufleet::verbs
