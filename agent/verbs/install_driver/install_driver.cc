// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_driver/install_driver.h"

#include <algorithm>
#include <atomic>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/verbs/install_driver/driver_state.h"
#include "agent/verbs/installer.h"
#include "agent/verbs/mark.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "common/spec/driver_version.h"
#include "common/status_macros.h"
#include "common/string_views.h"
#include "common/time_conversion.h"

namespace npufleet::verbs {
namespace {

constexpr char kVerb[] = "install_driver";
constexpr char kUser[] = "HwHiAiUser";

class InstallDriver : public Verb {
 public:
  InstallDriver(const v1::InstallDriver& want, host::Host& host)
      : want_(want),
        install_path_(want.install_path().empty() ? "/usr/local/Ascend" : want.install_path()),
        deadline_(want.has_install_deadline() ? FromProtoDuration(want.install_deadline())
                                              : absl::Minutes(30)),
        host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<PackageState> driver = ReadPackageState(host_, install_path_, "driver");
    absl::StatusOr<PackageState> firmware = ReadPackageState(host_, install_path_, "firmware");
    if (!driver.ok()) return Unknown(std::string(driver.status().message()));
    if (!firmware.ok()) return Unknown(std::string(firmware.status().message()));
    std::string token = TokenOf(*driver, *firmware);
    if (!applied_) {
      if (std::optional<std::string> mark = ReadMark(host_, kVerb)) {
        return Absent(absl::StrCat("an install was interrupted (torn): ", *mark), token);
      }
    }
    bool accepted = IsAccepted(driver->version);
    std::string difference = Difference(*driver, *firmware, accepted);
    if (!difference.empty()) {
      // Somebody changed by hand what we had installed for this very want: it works, and is not
      // ours to undo.
      bool by_hand =
          driver->noted == want_.version() && !driver->version.empty() && driver->in_effect &&
          (want_.firmware_version().empty() || firmware->noted == want_.firmware_version());
      v1::Observation observation = Absent(difference, token);
      if (by_hand) {
        observation.set_state(v1::Observation::DRIFTED);
        return observation;
      }
      absl::Status allowed = MayReplace("driver", driver->version, want_.version());
      if (allowed.ok() && !want_.firmware_version().empty()) {
        allowed = MayReplace("firmware", firmware->version, want_.firmware_version());
      }
      // Said before what runs above is stopped for an install that cannot be.
      if (allowed.ok()) allowed = CheckTools();
      if (!allowed.ok()) *observation.mutable_failure() = ToFailure(allowed);
      return observation;
    }
    bool firmware_counts = !accepted && !want_.firmware_version().empty();
    if (!driver->in_effect || (firmware_counts && !firmware->in_effect)) {
      v1::Observation observation =
          Absent(absl::StrCat(driver->in_effect ? "firmware " : "driver ",
                              driver->in_effect ? firmware->version : driver->version,
                              " is installed, and in effect after a reboot"));
      observation.set_reboot_needed(true);
      return observation;
    }
    return Present(token);
  }

  absl::Status Apply(Execution& execution) override {
    ASSIGN_OR_RETURN(const Work work, WorkNow());
    if (!work.driver && !work.firmware) return absl::OkStatus();
    NoteKernelHeaders(execution);
    std::vector<InstallerRun> runs;
    if (work.driver) {
      ASSIGN_OR_RETURN(const std::string path, FetchToNode(host_, execution, want_.driver()));
      runs.push_back(DriverRun(path, work.is_upgrade));
    }
    if (work.firmware) {
      ASSIGN_OR_RETURN(const std::string path, FetchToNode(host_, execution, want_.firmware()));
      InstallerRun run = {"driver", "firmware", path, {"--full", "--quiet"}, "", deadline_};
      runs.insert(work.is_upgrade ? runs.begin() : runs.end(), run);
    }
    if (execution.IsCancelled()) return absl::CancelledError("cancelled before the install");
    RETURN_IF_ERROR(WriteMark(
        host_, kVerb,
        absl::StrCat("driver ", want_.version(), ", firmware ", want_.firmware_version())));
    applied_ = true;
    RETURN_IF_ERROR(MakeUser(execution));
    for (const InstallerRun& run : runs) RETURN_IF_ERROR(Install(execution, run));
    return absl::OkStatus();
  }

  std::vector<v1::Artifact> Artifacts() override {
    const absl::StatusOr<Work> work = WorkNow();
    std::vector<v1::Artifact> artifacts;
    if (work.ok() && work->driver) artifacts.push_back(want_.driver());
    if (work.ok() && work->firmware) artifacts.push_back(want_.firmware());
    return artifacts;
  }

 private:
  // What an Apply installs now.
  struct Work {
    bool driver = false;
    bool firmware = false;
    bool is_upgrade = false;  // there is a driver
  };

  // Refused where the install would be, before anything is fetched for it.
  absl::StatusOr<Work> WorkNow() const {
    ASSIGN_OR_RETURN(const PackageState driver, ReadPackageState(host_, install_path_, "driver"));
    ASSIGN_OR_RETURN(const PackageState firmware,
                     ReadPackageState(host_, install_path_, "firmware"));
    const bool torn = ReadMark(host_, kVerb).has_value();
    const bool accepted = IsAccepted(driver.version);
    Work work;
    work.driver = torn || (driver.version != want_.version() && !accepted);
    work.firmware = !want_.firmware_version().empty() && want_.firmware().url() != "" &&
                    (torn || (firmware.version != want_.firmware_version() && !accepted));
    work.is_upgrade = !driver.version.empty();
    if (work.driver) RETURN_IF_ERROR(MayReplace("driver", driver.version, want_.version()));
    if (work.firmware) {
      RETURN_IF_ERROR(MayReplace("firmware", firmware.version, want_.firmware_version()));
    }
    if (work.driver || work.firmware) RETURN_IF_ERROR(CheckTools());
    return work;
  }

  bool IsAccepted(const std::string& version) const {
    const auto& accepted = want_.accepted_versions();
    return std::any_of(accepted.begin(), accepted.end(), [&](const std::string& entry) {
      return spec::AcceptsDriverVersion(entry, version);
    });
  }

  // Firmware of a newer generation may not go back at all, and what was upgraded by hand was so for
  // a reason.
  absl::Status MayReplace(std::string_view package, const std::string& installed,
                          const std::string& wanted) const {
    if (want_.allow_downgrade() || installed.empty() ||
        spec::CompareDriverVersions(installed, wanted) <= 0) {
      return absl::OkStatus();
    }
    return FailureStatus(
        v1::Failure::CONFIG,
        absl::StrCat(Absl(package), " ", installed, " is installed, and ", wanted,
                     " would be a downgrade"),
        absl::StrCat("Add ", installed,
                     " to driver.acceptedVersions, or set driver.allowDowngrade: true."));
  }

  // A driver without a module for this very kernel is built on the node. Whether this one is, only
  // its installer knows: it is told beside its log, for the case that it fails.
  void NoteKernelHeaders(Execution& execution) const {
    const std::string release = host_.system->KernelRelease();
    const std::string build = absl::StrCat("/lib/modules/", release, "/build");
    std::vector<std::string> missing;
    if (!host_.filesystem->Exists(build)) missing.push_back(build);
    for (const char* tool : {"gcc", "make", "dkms"}) {
      if (!host_.subprocess->Which(tool).ok()) missing.push_back(tool);
    }
    if (missing.empty()) return;
    execution.Log(absl::StrCat("not here, and needed only if the package has no module for kernel ",
                               release, ": ", absl::StrJoin(missing, " ")));
  }

  static std::string TokenOf(const PackageState& driver, const PackageState& firmware) {
    if (driver.version.empty()) return "";
    return absl::StrCat(driver.version, "/", firmware.version.empty() ? "-" : firmware.version);
  }

  // What is missing or other than wanted; empty when nothing is.
  std::string Difference(const PackageState& driver, const PackageState& firmware,
                         bool accepted) const {
    if (driver.version.empty()) return "no driver is installed";
    if (accepted) return "";
    if (driver.version != want_.version()) {
      return absl::StrCat("driver ", driver.version, " is installed, ", want_.version(),
                          " is wanted");
    }
    if (want_.firmware_version().empty() || firmware.version == want_.firmware_version()) return "";
    if (firmware.version.empty()) return "no firmware is installed";
    return absl::StrCat("firmware ", firmware.version, " is installed, ", want_.firmware_version(),
                        " is wanted");
  }

  InstallerRun DriverRun(const std::string& path, bool is_upgrade) const {
    InstallerRun run = {"driver", "driver", path, {is_upgrade ? "--upgrade" : "--full", "--quiet"},
                        "",       deadline_};
    // An upgrade keeps path and permissions of the first install, and refuses the options.
    if (!is_upgrade && install_path_ != "/usr/local/Ascend") {
      run.arguments.push_back(absl::StrCat("--install-path=", install_path_));
    }
    if (!is_upgrade && want_.install_for_all()) run.arguments.push_back("--install-for-all");
    return run;
  }

  // The installer asks for these itself, but only after a long download.
  absl::Status CheckTools() const {
    if (host_.filesystem->root() != "/")
      return absl::OkStatus();  // a demonstration's installers need none
    std::vector<std::string> missing;
    for (const char* tool : {"awk", "lspci", "ifconfig", "modprobe", "udevadm", "ldconfig",
                             "lsattr", "chattr", "useradd"}) {
      if (!host_.subprocess->Which(tool).ok()) missing.push_back(tool);
    }
    if (missing.empty()) return absl::OkStatus();
    return FailureOfOutput(
        "driver", absl::StrCat("The list of missing tools: ", absl::StrJoin(missing, ","), ","),
        {});
  }

  bool Lists(const char* file, const std::string& name) const {
    absl::StatusOr<std::string> text = host_.filesystem->Read(file);
    if (!text.ok()) return false;
    std::vector<std::string> lines = absl::StrSplit(*text, '\n');
    return std::any_of(lines.begin(), lines.end(), [&](const std::string& line) {
      return absl::StartsWith(line, absl::StrCat(name, ":"));
    });
  }

  absl::Status MakeUser(Execution& execution) {
    if (!Lists("/etc/group", kUser)) RETURN_IF_ERROR(RunTool(execution, {"groupadd", kUser}));
    if (!Lists("/etc/passwd", kUser)) {
      RETURN_IF_ERROR(
          RunTool(execution, {"useradd", "-g", kUser, "-d", absl::StrCat("/home/", kUser), "-m",
                              kUser, "-s", "/bin/bash"}));
    }
    return absl::OkStatus();
  }

  absl::Status RunTool(Execution& execution, const std::vector<std::string>& argv) {
    constexpr int kExistsAlready = 9;
    execution.Log(absl::StrCat("$ ", absl::StrJoin(argv, " ")));
    absl::StatusOr<host::ProcessResult> result = host_.subprocess->Run(argv);
    if (result.ok() && (result->ok() || result->exit_code == kExistsAlready))
      return absl::OkStatus();
    std::string why = result.ok() ? result->Combined() : std::string(result.status().message());
    return SignedFailure(v1::Failure::NEEDS_OPERATOR, "DRV-01",
                         absl::StrCat(argv[0], " failed: ", why),
                         "Make user and group HwHiAiUser on the node by hand, then retry.");
  }

  absl::Status Install(Execution& execution, const InstallerRun& run) {
    const bool is_driver = run.step == "driver";
    const absl::Time began = host_.clock->Now();
    ASSIGN_OR_RETURN(const host::ProcessResult result, RunInstaller(host_, execution, run));
    if (execution.IsCancelled()) return absl::CancelledError("cancelled during the install");
    ASSIGN_OR_RETURN(const PackageState state, ReadPackageState(host_, install_path_, run.step));
    // Firmware ends with 2 when it only needs a reboot.
    const bool ended_well = result.ok() || (!is_driver && result.exit_code == 2);
    const std::string& wanted = is_driver ? want_.version() : want_.firmware_version();
    if (!ended_well || state.version != wanted) {
      Distrust(host_, is_driver ? want_.driver() : want_.firmware());
      return FailedInstall(host_, run, result, began);
    }
    return NoteInstalled(host_, run.step, wanted,
                         absl::StrContains(result.Combined(), "takes effect immediately"));
  }

  const v1::InstallDriver want_;
  const std::string install_path_;
  const absl::Duration deadline_;
  host::Host& host_;
  std::atomic<bool> applied_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeInstallDriver(const v1::InstallDriver& want,
                                                        const v1::Subject&, host::Host& host) {
  if (want.version().empty() || want.driver().url().empty()) {
    return absl::InvalidArgumentError(
        "install_driver names no version or no package of the driver");
  }
  return std::make_unique<InstallDriver>(want, host);
}

}  // namespace npufleet::verbs
