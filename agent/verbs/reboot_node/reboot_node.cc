// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/reboot_node/reboot_node.h"

#include "absl/strings/str_cat.h"
#include "agent/verbs/observation.h"
#include "common/status_macros.h"

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kSyncDeadline = absl::Minutes(2);
constexpr absl::Duration kShutdownLimit = absl::Minutes(15);
constexpr absl::Duration kPeriod = absl::Milliseconds(500);

class RebootNode : public Verb {
 public:
  RebootNode(const v1::RebootNode& reboot, host::Host& host) : reboot_(reboot), host_(host) {}

  v1::Observation Check() override {
    absl::StatusOr<std::string> boot_id = host_.system->BootId();
    if (!boot_id.ok()) return Unknown(std::string(boot_id.status().message()));
    if (*boot_id != reboot_.boot_id()) return Present(*boot_id);
    return Absent("the node has not rebooted yet");
  }

  absl::Status Apply(Execution& execution) override {
    ASSIGN_OR_RETURN(const std::string boot_id, host_.system->BootId());
    if (boot_id != reboot_.boot_id()) return absl::OkStatus();
    if (execution.IsCancelled()) return absl::CancelledError();
    execution.Log(absl::StrCat("rebooting: ", reboot_.reason()));
    host::ProcessOptions options;
    options.deadline = kSyncDeadline;
    absl::StatusOr<host::ProcessResult> synced = host_.subprocess->Run({"sync"}, options);
    if (!synced.ok()) execution.Log(absl::StrCat("sync: ", synced.status().ToString()));
    RETURN_IF_ERROR(Annotate(host_.system->Reboot(), "rebooting"));

    // The shutdown ends this process. What is written before it has to say that it still runs.
    const absl::Duration end = host_.clock->Elapsed() + kShutdownLimit;
    while (host_.clock->Elapsed() < end) {
      if (execution.IsCancelled()) return absl::CancelledError();
      host_.clock->Sleep(kPeriod);
    }
    return FailureStatus(
        v1::Failure::NEEDS_OPERATOR,
        absl::StrCat("the node did not go down within ", absl::FormatDuration(kShutdownLimit)),
        "See systemctl list-jobs for what holds the shutdown up.");
  }

  absl::Duration CheckPeriod() const override { return absl::Seconds(5); }
  bool SurvivesReboot() const override { return true; }

 private:
  const v1::RebootNode reboot_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeRebootNode(const v1::RebootNode& reboot,
                                                     const v1::Subject& subject, host::Host& host) {
  if (reboot.boot_id().empty()) return absl::InvalidArgumentError("reboot_node: no boot_id");
  return std::make_unique<RebootNode>(reboot, host);
}

}  // namespace npufleet::verbs
