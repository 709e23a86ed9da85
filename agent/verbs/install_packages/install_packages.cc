// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_packages/install_packages.h"

#include <atomic>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/verbs/mark.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/package_manager.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kVerb[] = "install_packages";
// That everything was updated once cannot be read off the node.
constexpr char kUpdatedNote[] = "/var/lib/npufleet/agent/packages-updated";

class InstallPackages : public Verb {
 public:
  InstallPackages(const v1::InstallPackages& want, host::Host& host) : want_(want), host_(host) {
    std::set<std::string> sorted(want.install().begin(), want.install().end());
    names_.assign(sorted.begin(), sorted.end());
  }

  absl::Duration CheckPeriod() const override { return absl::Minutes(5); }

  v1::Observation Check() override {
    const std::string token = absl::StrJoin(names_, " ");
    if (names_.empty() && !want_.update()) return Present(token);
    absl::StatusOr<PackageManager> manager = FindPackageManager(host_);
    if (absl::IsUnavailable(manager.status()))
      return Unknown(std::string(manager.status().message()));
    if (!manager.ok()) return AbsentFor(manager.status());
    if (IsSkipped(*manager)) {
      v1::Observation observation = Present(token);
      (*observation.mutable_facts())["skipped"] =
          "this system has apt, and packages.skipOnApt is set";
      return observation;
    }
    if (!applied_) {
      if (std::optional<std::string> mark = ReadMark(host_, kVerb)) {
        return Absent(absl::StrCat("an install was interrupted (torn): ", *mark));
      }
    }
    absl::StatusOr<std::vector<std::string>> missing = MissingPackages(host_, *manager, names_);
    if (!missing.ok()) return Unknown(std::string(missing.status().message()));
    if (!missing->empty())
      return Absent(absl::StrCat("not installed: ", absl::StrJoin(*missing, " ")));
    if (want_.update() && !host_.filesystem->Exists(kUpdatedNote))
      return Absent("the packages were not updated yet");
    return Present(token);
  }

  absl::Status Apply(Execution& execution) override {
    ASSIGN_OR_RETURN(const PackageManager manager, FindPackageManager(host_));
    if (IsSkipped(manager)) return absl::OkStatus();
    ASSIGN_OR_RETURN(std::vector<std::string> missing, MissingPackages(host_, manager, names_));
    // After an interruption the package manager has to finish what it began, whatever its database
    // says.
    if (ReadMark(host_, kVerb)) missing = names_;
    RETURN_IF_ERROR(WriteMark(host_, kVerb, absl::StrJoin(names_, " ")));
    applied_ = true;
    if (want_.update() && !host_.filesystem->Exists(kUpdatedNote)) {
      RETURN_IF_ERROR(UpdateAllPackages(host_, execution, manager, "packages"));
      RETURN_IF_ERROR(host_.filesystem->Write(kUpdatedNote, absl::FormatTime(host_.clock->Now())));
    }
    if (missing.empty()) return absl::OkStatus();
    std::vector<PackageWant> packages;
    for (const std::string& name : missing) packages.push_back({name, ""});
    return InstallFromRepositories(host_, execution, manager, "packages", packages);
  }

 private:
  bool IsSkipped(PackageManager manager) const {
    return manager == PackageManager::kApt && want_.skip_on_apt();
  }

  const v1::InstallPackages want_;
  host::Host& host_;
  std::vector<std::string> names_;
  std::atomic<bool> applied_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeInstallPackages(const v1::InstallPackages& want,
                                                          const v1::Subject&, host::Host& host) {
  return std::make_unique<InstallPackages>(want, host);
}

}  // namespace npufleet::verbs
