// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/fetch_installers/fetch_installers.h"

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/verbs/fetched_file.h"
#include "agent/verbs/install_docker/install_docker.h"
#include "agent/verbs/install_driver/install_driver.h"
#include "agent/verbs/install_runtime/install_runtime.h"
#include "agent/verbs/installer.h"
#include "agent/verbs/observation.h"
#include "common/shown_url.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr char kToken[] = "fetched";

class FetchInstallers : public Verb {
 public:
  FetchInstallers(std::vector<std::unique_ptr<Verb>> installs, host::Host& host)
      : installs_(std::move(installs)), host_(host) {}

  v1::Observation Check() override {
    std::vector<std::string> here, missing, reasons;
    for (const v1::Artifact& artifact : Needed()) {
      if (IsVerified(host_, artifact)) {
        here.push_back(PlaceOf(artifact));
      } else {
        missing.push_back(ShownUrl(artifact.url()));
        reasons.push_back(WhatIsMissing(host_, artifact));
      }
    }
    if (!missing.empty()) {
      v1::Observation observation = Absent(absl::StrJoin(reasons, ", "));
      (*observation.mutable_facts())["missing"] = absl::StrJoin(missing, "\n");
      return observation;
    }
    v1::Observation observation = Present(kToken);
    // A fact, and no reason: there is nothing to look at again when a server above it has died.
    if (!here.empty()) (*observation.mutable_facts())["here"] = absl::StrJoin(here, "\n");
    return observation;
  }

  absl::Status Apply(Execution& execution) override {
    for (const v1::Artifact& artifact : Needed()) {
      if (execution.IsCancelled()) return absl::CancelledError("cancelled between two downloads");
      RETURN_IF_ERROR(FetchToNode(host_, execution, artifact).status());
    }
    return absl::OkStatus();
  }

 private:
  // What the installs that are due would fetch. One that is in place, or taken as found, or that no
  // Apply could help, fetches nothing: its own Check says why.
  std::vector<v1::Artifact> Needed() {
    std::vector<v1::Artifact> needed;
    for (const std::unique_ptr<Verb>& install : installs_) {
      const v1::Observation seen = install->Check();
      if (seen.state() != v1::Observation::ABSENT || seen.has_failure()) continue;
      for (v1::Artifact& artifact : install->Artifacts()) needed.push_back(std::move(artifact));
    }
    return needed;
  }

  const std::vector<std::unique_ptr<Verb>> installs_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeFetchInstallers(const v1::FetchInstallers& want,
                                                          const v1::Subject& subject,
                                                          host::Host& host) {
  std::vector<std::unique_ptr<Verb>> installs;
  ASSIGN_OR_RETURN(installs.emplace_back(), MakeInstallDriver(want.driver(), subject, host));
  ASSIGN_OR_RETURN(installs.emplace_back(), MakeInstallDocker(want.docker(), subject, host));
  ASSIGN_OR_RETURN(installs.emplace_back(), MakeInstallRuntime(want.runtime(), subject, host));
  return std::make_unique<FetchInstallers>(std::move(installs), host);
}

}  // namespace npufleet::verbs
