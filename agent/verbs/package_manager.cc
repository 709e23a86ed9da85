// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/package_manager.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/signatures.h"
#include "common/failure.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

const char* ProgramOf(PackageManager manager) {
  switch (manager) {
    case PackageManager::kApt:
      return "apt-get";
    case PackageManager::kDnf:
      return "dnf";
    case PackageManager::kYum:
      return "yum";
  }
  return "yum";
}

// What it printed.
absl::StatusOr<std::string> Run(host::Host& host, Execution& execution, PackageManager manager,
                                const std::string& stage, const std::string& step,
                                const std::vector<std::string>& arguments) {
  ASSIGN_OR_RETURN(const std::string program, host.subprocess->Which(ProgramOf(manager)));
  std::vector<std::string> argv = {program};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  host::ProcessOptions options;
  options.deadline = absl::Minutes(30);
  options.environment["DEBIAN_FRONTEND"] = "noninteractive";
  options.cancelled = [&] { return execution.IsCancelled(); };
  options.on_line = [&](std::string_view line) { execution.Log(npu::Printable(line, 1000)); };
  const std::string shown = absl::StrJoin(argv, " ");
  execution.Log(absl::StrCat("$ ", shown));
  absl::StatusOr<host::ProcessResult> result = execution.RunDurably(step, argv, options);
  v1::Failure failure;
  failure.set_class_(v1::Failure::TRANSIENT);
  failure.set_advice(absl::StrCat("Run it by hand on the node: ", shown));
  if (absl::IsDeadlineExceeded(result.status())) {
    failure.set_symptom(absl::StrCat(shown, " did not end within 30 min and was killed"));
    return FailureStatus(failure);
  }
  RETURN_IF_ERROR(result.status());
  if (result->ok()) return result->Combined();
  failure.set_symptom(absl::StrCat(shown, " ended with status ", result->exit_code));
  return FailureOfOutput(stage, result->Combined(), std::move(failure));
}

// "5:28.0.4-1~ubuntu.22.04~jammy" -> "28.0.4".
std::string UpstreamVersion(absl::string_view version) {
  if (const size_t epoch = version.find(':'); epoch != version.npos)
    version.remove_prefix(epoch + 1);
  return std::string(version.substr(0, version.find_first_of("-+~")));
}

// apt takes only the whole version, epoch and revision included, which nobody writes in a spec.
absl::StatusOr<std::string> FindAptVersion(host::Host& host, const PackageWant& package) {
  ASSIGN_OR_RETURN(const host::ProcessResult result,
                   host.subprocess->Run({"apt-cache", "madison", package.name}));
  std::vector<std::string> others;
  for (absl::string_view line : absl::StrSplit(result.out, '\n')) {
    const std::vector<absl::string_view> columns = absl::StrSplit(line, '|');
    if (columns.size() < 2) continue;
    const std::string version(absl::StripAsciiWhitespace(columns[1]));
    if (version == package.version || UpstreamVersion(version) == package.version) return version;
    others.push_back(version);
  }
  return FailureStatus(
      v1::Failure::CONFIG,
      absl::StrCat("the node's repositories have no ", package.name, " ", package.version,
                   others.empty() ? "" : ", but ", absl::StrJoin(others, " ")),
      "Correct the version in the spec, or add the repository that has it.");
}

absl::StatusOr<std::string> ArgumentOf(host::Host& host, PackageManager manager,
                                       const PackageWant& package) {
  if (package.version.empty()) return package.name;
  if (manager != PackageManager::kApt) return absl::StrCat(package.name, "-", package.version);
  ASSIGN_OR_RETURN(const std::string version, FindAptVersion(host, package));
  return absl::StrCat(package.name, "=", version);
}

}  // namespace

absl::StatusOr<PackageManager> FindPackageManager(host::Host& host) {
  absl::StatusOr<std::map<std::string, std::string>> os = host.system->OsRelease();
  if (!os.ok())
    return absl::UnavailableError(absl::StrCat("/etc/os-release: ", os.status().message()));
  const std::string family = absl::StrCat(" ", (*os)["ID"], " ", (*os)["ID_LIKE"], " ");
  if (absl::StrContains(family, " debian ") || absl::StrContains(family, " ubuntu "))
    return PackageManager::kApt;
  if (host.subprocess->Which("dnf").ok()) return PackageManager::kDnf;
  if (host.subprocess->Which("yum").ok()) return PackageManager::kYum;
  return FailureStatus(v1::Failure::NEEDS_OPERATOR,
                       absl::StrCat((*os)["ID"], " has neither dnf, yum nor apt-get"),
                       "Install the packages by hand, and leave packages.install empty.");
}

absl::StatusOr<std::vector<std::string>> MissingPackages(host::Host& host, PackageManager manager,
                                                         const std::vector<std::string>& names) {
  std::vector<std::string> missing;
  for (const std::string& name : names) {
    const bool is_apt = manager == PackageManager::kApt;
    ASSIGN_OR_RETURN(const host::ProcessResult result,
                     host.subprocess->Run(
                         is_apt ? std::vector<std::string>{"dpkg-query", "-W", "-f=${Status}", name}
                                : std::vector<std::string>{"rpm", "-q", "--whatprovides", name}));
    const bool installed =
        result.ok() && (!is_apt || absl::StrContains(result.out, "install ok installed"));
    if (!installed) missing.push_back(name);
  }
  return missing;
}

absl::Status InstallFromRepositories(host::Host& host, Execution& execution, PackageManager manager,
                                     const std::string& stage,
                                     const std::vector<PackageWant>& packages) {
  std::vector<std::string> arguments = {"install", "-y"};
  std::string refreshed;
  if (manager == PackageManager::kApt) {
    ASSIGN_OR_RETURN(refreshed, Run(host, execution, manager, stage, "refresh", {"update"}));
    arguments.push_back("--no-install-recommends");
  }
  for (const PackageWant& package : packages) {
    ASSIGN_OR_RETURN(std::string argument, ArgumentOf(host, manager, package));
    arguments.push_back(std::move(argument));
  }
  const absl::Status installed =
      Run(host, execution, manager, stage, "install", arguments).status();
  // apt calls an update without its repositories a success, and then knows no package.
  if (absl::IsInvalidArgument(installed) && absl::StrContains(refreshed, "Failed to fetch")) {
    return FailureOfOutput(stage, refreshed, ToFailure(installed));
  }
  return installed;
}

absl::Status UpdateAllPackages(host::Host& host, Execution& execution, PackageManager manager,
                               const std::string& stage) {
  if (manager == PackageManager::kApt) {
    RETURN_IF_ERROR(
        Run(host, execution, manager, stage, "refresh-for-update", {"update"}).status());
    return Run(host, execution, manager, stage, "update", {"upgrade", "-y"}).status();
  }
  return Run(host, execution, manager, stage, "update", {"update", "-y"}).status();
}

}  // namespace npufleet::verbs
