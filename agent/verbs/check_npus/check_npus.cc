// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_npus/check_npus.h"

#include <algorithm>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/npu/inventory.h"
#include "agent/npu/npu_smi.h"
#include "agent/verbs/boot.h"
#include "agent/verbs/observation.h"

namespace npufleet::verbs {
namespace {

// Fault codes whose handling is "replace the chip" in the field; all others are shown, and decided
// by the stages that use the chip.
bool MustBeReplaced(const std::string& code) {
  return code == "80E18402" || code == "80E3A201" || code == "80E0020B";
}

class CheckNpus : public Verb {
 public:
  CheckNpus(const v1::CheckNpus& want, std::string task, host::Host& host)
      : chips_(want.chips().begin(), want.chips().end()), task_(std::move(task)), host_(host) {}

  bool UsesNpuTools() const override { return true; }

  v1::Observation Check() override {
    v1::Inventory inventory = npu::ReadInventory(host_);
    std::vector<std::string> token, missing;
    v1::Observation present = Present("");
    for (uint32_t id : chips_) {
      const v1::Chip* chip = Find(inventory, id);
      if (chip == nullptr || chip->health() == v1::Chip::GONE || chip->name().empty()) {
        missing.push_back(absl::StrCat(id));
        continue;
      }
      token.push_back(absl::StrCat(id, ":", chip->name()));
      if (chip->health() == v1::Chip::OK && chip->error_codes().empty()) continue;
      for (const std::string& code : chip->error_codes()) {
        if (MustBeReplaced(code))
          return Broken(absl::StrCat("chip ", id, " reports fault ", code), "RUN-09");
      }
      (*present.mutable_facts())[absl::StrCat("chip ", id)] = absl::StrCat(
          v1::Chip::Health_Name(chip->health()), chip->error_codes().empty() ? "" : " ",
          absl::StrJoin(chip->error_codes(), " "));
    }
    if (!missing.empty()) return Missing(inventory, missing);
    present.set_token(absl::StrJoin(token, " "));
    (*present.mutable_facts())["driver"] = inventory.driver_version();
    (*present.mutable_facts())["read by"] = inventory.source();
    return present;
  }

  // Chips come by themselves, or not at all.
  absl::Status Apply(Execution& execution) override {
    absl::Duration deadline = host_.clock->Elapsed() + kBootSettling;
    std::string said;
    while (true) {
      v1::Observation observation = Check();
      if (observation.state() == v1::Observation::PRESENT) return absl::OkStatus();
      if (observation.has_failure()) return FailureStatus(observation.failure());
      if (observation.reason() != said) {
        said = observation.reason();
        execution.Log(said);
        v1::Progress progress;
        progress.set_activity(absl::StrCat("waiting for the chips: ", said));
        execution.Report(progress);
      }
      if (execution.IsCancelled())
        return absl::CancelledError("cancelled while waiting for the chips");
      if (host_.clock->Elapsed() >= deadline) {
        return FailureStatus(v1::Failure::TRANSIENT, said, "See npu-smi info on the node.");
      }
      host_.clock->Sleep(absl::Seconds(2));
    }
  }

 private:
  // By the N of /dev/davinciN; where no column tells it, by the place of the chip among all.
  static const v1::Chip* Find(const v1::Inventory& inventory, uint32_t id) {
    for (const v1::Chip& chip : inventory.chips()) {
      uint32_t davinci = chip.has_physical_id() ? chip.physical_id() : chip.npu();
      if (davinci == id) return &chip;
    }
    return nullptr;
  }

  v1::Observation Missing(const v1::Inventory& inventory, const std::vector<std::string>& missing) {
    const std::string missing_chips =
        missing.size() == chips_.size()
            ? absl::StrCat("no chip answers")
            : absl::StrCat(missing.size(), " of ", chips_.size(),
                           " chips are missing: ", absl::StrJoin(missing, ", "));
    std::string reason = missing_chips;
    if (!inventory.warnings().empty()) absl::StrAppend(&reason, " (", inventory.warnings(0), ")");
    for (const std::string& warning : inventory.warnings()) {
      if (warning.find("no driver is installed") != warning.npos) {
        return AbsentFor(SignedFailure(v1::Failure::REDO, "", warning,
                                       "The driver is installed again.", "driver"));
      }
      // A tool that hangs or prints nonsense says nothing about the chips.
      for (const char* unreadable : {"DEADLINE_EXCEEDED", npu::kCutOff, npu::kNotUnderstood}) {
        if (warning.find(unreadable) != warning.npos)
          return Unknown(absl::StrCat(missing_chips, " (", warning, ")"));
      }
    }
    if (IsSettling(host_)) return Unknown(reason);
    return Broken(reason, "RBT-01");
  }

  v1::Observation Broken(const std::string& reason, std::string_view signature) {
    std::string node = task_.substr(task_.find('@') + 1);
    return AbsentFor(SignedFailure(
        v1::Failure::HARDWARE, signature, absl::StrCat(node, ": ", reason),
        "See npu-smi info, /dev/davinci* and dmesg on the node: reset the chip, reboot, check "
        "seating, or replace it; or leave it out by visibleChips."));
  }

  std::set<uint32_t> chips_;
  const std::string task_;
  host::Host& host_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeCheckNpus(const v1::CheckNpus& want,
                                                    const v1::Subject& subject, host::Host& host) {
  if (want.chips().empty()) return absl::InvalidArgumentError("check_npus names no chips");
  return std::make_unique<CheckNpus>(want, subject.task(), host);
}

}  // namespace npufleet::verbs
