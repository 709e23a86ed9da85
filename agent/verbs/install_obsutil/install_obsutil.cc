// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_obsutil/install_obsutil.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/installer.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "common/status_macros.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

constexpr char kProgram[] = "/usr/local/bin/obsutil";
constexpr char kUnpackFolder[] = "/usr/local/bin/.npufleet-obsutil";
constexpr char kHome[] = "/var/lib/npufleet/agent/obsutil";

// "obsutil version:5.7.3, obssdk version:3.24.9" -> 5.7.3; empty for other output.
std::string VersionIn(const std::string& output) {
  constexpr std::string_view kWord = "obsutil version:";
  const size_t at = output.find(kWord);
  if (at == std::string::npos) return "";
  const size_t start = output.find_first_not_of(' ', at + kWord.size());
  if (start == std::string::npos) return "";
  return npu::Printable(output.substr(start, output.find_first_of(", \r\n", start) - start), 40);
}

class InstallObsutil : public Verb {
 public:
  InstallObsutil(const v1::InstallObsutil& want, host::Host& host) : want_(want), host_(host) {}

  absl::Duration CheckPeriod() const override { return absl::Minutes(5); }

  v1::Observation Check() override {
    const absl::StatusOr<std::string> program = host_.subprocess->Which("obsutil");
    if (!program.ok()) return Absent("obsutil is not installed");
    const absl::StatusOr<std::string> version = VersionOf(*program);
    if (!version.ok()) return Absent(std::string(version.status().message()));
    if (*version == want_.version()) return Present(*version);
    return Absent(
        absl::StrCat("obsutil ", *version, " is installed, ", want_.version(), " is wanted"),
        *version);
  }

  absl::Status Apply(Execution& execution) override {
    ASSIGN_OR_RETURN(const std::string archive, FetchToNode(host_, execution, want_.archive()));
    if (execution.IsCancelled()) return absl::CancelledError("cancelled before the install");
    RETURN_IF_ERROR(host_.filesystem->RemoveAll(kUnpackFolder));
    RETURN_IF_ERROR(host_.filesystem->MakeFolders(kUnpackFolder));
    const absl::Status installed = UnpackAndMove(execution, archive);
    const absl::Status removed = host_.filesystem->RemoveAll(kUnpackFolder);
    if (!installed.ok()) Distrust(host_, want_.archive());
    return installed.ok() ? removed : installed;
  }

 private:
  absl::StatusOr<std::string> VersionOf(const std::string& program) {
    RETURN_IF_ERROR(host_.filesystem->MakeFolders(kHome, 0700));
    host::ProcessOptions options;
    options.deadline = absl::Seconds(20);
    options.environment["HOME"] = host_.filesystem->Real(kHome);
    ASSIGN_OR_RETURN(const host::ProcessResult result,
                     host_.subprocess->Run({program, "version"}, options));
    const std::string version = VersionIn(result.Combined());
    if (!version.empty()) return version;
    return absl::FailedPreconditionError(
        absl::StrCat(program, " does not tell its version: status ", result.exit_code, ", ",
                     absl::StrJoin(LastLines(result.Combined(), 1), "")));
  }

  absl::Status Unfit(const std::string& archive, std::string_view why,
                     const std::string& output) const {
    v1::Failure failure;
    failure.set_class_(v1::Failure::CONFIG);
    failure.set_symptom(absl::StrCat(archive, ": ", std::string(why)));
    failure.set_advice(
        "Name the archive of this version for this architecture (obsutil_linux_arm64.tar.gz) in "
        "obsutil.archive.");
    return FailureOfOutput("obsutil", output, std::move(failure));
  }

  // The archive holds one folder, obsutil_linux_arm64_5.7.3, with the program in it.
  std::string FindProgram() const {
    for (const std::string& name :
         host_.filesystem->List(kUnpackFolder).value_or(std::vector<std::string>())) {
      for (const char* below : {"/obsutil", ""}) {
        const std::string path = absl::StrCat(kUnpackFolder, "/", name, below);
        const auto info = host_.filesystem->LinkStat(path);
        const bool is_program = absl::EndsWith(path, "/obsutil") && info.ok() &&
                                !info->is_directory && !info->is_symlink;
        if (is_program) return path;
      }
    }
    return "";
  }

  absl::Status UnpackAndMove(Execution& execution, const std::string& archive) {
    host::ProcessOptions options;
    options.deadline = absl::Minutes(5);
    options.cancelled = [&] { return execution.IsCancelled(); };
    const std::vector<std::string> argv = {"tar",
                                           "-xzf",
                                           host_.filesystem->Real(archive),
                                           "--no-same-owner",
                                           "-C",
                                           host_.filesystem->Real(kUnpackFolder)};
    execution.Log(absl::StrCat("$ ", absl::StrJoin(argv, " ")));
    ASSIGN_OR_RETURN(const host::ProcessResult result, host_.subprocess->Run(argv, options));
    const std::string program = FindProgram();
    if (!result.ok()) {
      return Unfit(archive, absl::StrCat("tar cannot unpack it: status ", result.exit_code),
                   result.Combined());
    }
    if (program.empty()) return Unfit(archive, "it holds no obsutil", result.Combined());
    RETURN_IF_ERROR(host_.filesystem->SetMode(program, 0755));
    const absl::StatusOr<std::string> version = VersionOf(host_.filesystem->Real(program));
    if (!version.ok()) return Unfit(archive, Std(version.status().message()), "");
    if (*version != want_.version()) {
      return Unfit(archive,
                   absl::StrCat("it holds obsutil ", *version, ", the spec says ", want_.version()),
                   "");
    }
    RETURN_IF_ERROR(host_.filesystem->Rename(program, kProgram));
    execution.Log(absl::StrCat(kProgram, " ", *version));
    return absl::OkStatus();
  }

  const v1::InstallObsutil want_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeInstallObsutil(const v1::InstallObsutil& want,
                                                         const v1::Subject&, host::Host& host) {
  if (want.version().empty() || want.archive().url().empty()) {
    return absl::InvalidArgumentError("install_obsutil names no version or no archive");
  }
  return std::make_unique<InstallObsutil>(want, host);
}

}  // namespace npufleet::verbs
