// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/check_npus/check_npus.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "agent/npu/chip_users.h"
#include "agent/npu/fault_codes.h"
#include "agent/npu/inventory.h"
#include "agent/npu/npu_smi.h"
#include "agent/npu/tool.h"
#include "agent/verbs/boot.h"
#include "agent/verbs/check_npus/faulty_chip.h"
#include "agent/verbs/check_npus/reset_history.h"
#include "agent/verbs/observation.h"
#include "agent/verbs/signatures.h"
#include "common/failure.h"
#include "common/status_macros.h"
#include "common/string_views.h"

namespace npufleet::verbs {
namespace {

using npu::FaultAction;

// While a chip waits for its reset: the time between two servers is short.
constexpr absl::Duration kWaitingPeriod = absl::Seconds(5);
// DCMI is one short-lived child; npu-smi is one for each chip and question.
constexpr absl::Duration kDcmiPeriod = absl::Seconds(10);
// npu-smi itself waits 6 minutes for the chips to boot, and says 150 s of a 910B server.
constexpr absl::Duration kResetDeadline = absl::Minutes(10);
// After a reset, a chip may answer before its alarms are told as ended.
constexpr absl::Duration kCodesSettling = absl::Seconds(30);
constexpr absl::Duration kBetweenLooks = absl::Seconds(2);
// It asks whether to go on, and on a server whose chips HCCS joins a second time, as all of them
// will be reset; there is no option that answers (npu_chip_set.c of hicann/driver).
constexpr char kYesToAll[] = "y\ny\n";

struct Survey {
  v1::Observation observation;
  std::vector<FaultyChip> due;   // to be reset now: nothing uses the chips
  std::vector<FaultyChip> stay;  // were reset in this boot, to no effect
  bool waits = false;            // a reset is due, and something uses the chips or may
  bool under_way = false;        // a reset was begun in this boot, and its end not seen
};

class CheckNpus : public Verb {
 public:
  CheckNpus(const v1::CheckNpus& want, std::string task, host::Host& host)
      : chips_(want.chips().begin(), want.chips().end()), task_(std::move(task)), host_(host) {}

  bool UsesNpuTools() const override { return true; }
  absl::Duration CheckPeriod() const override {
    return waits_ ? kWaitingPeriod : by_dcmi_ ? kDcmiPeriod : Verb::CheckPeriod();
  }

  v1::Observation Check() override {
    Survey survey = Look();
    waits_ = survey.waits;
    return std::move(survey.observation);
  }

  // Resets what is to be reset; else chips come by themselves, or not at all.
  absl::Status Apply(Execution& execution) override {
    absl::Duration deadline = host_.clock->Elapsed() + kBootSettling;
    std::string said;
    while (true) {
      const Survey survey = Look();
      const v1::Observation& observation = survey.observation;
      if (observation.state() == v1::Observation::PRESENT) return absl::OkStatus();
      if (execution.IsCancelled())
        return absl::CancelledError("cancelled while waiting for the chips");
      if (!survey.due.empty()) {
        RETURN_IF_ERROR(Reset(execution, survey.due.front()));
        deadline = host_.clock->Elapsed() + kBootSettling;
        continue;
      }
      if (!survey.stay.empty()) return DidNotHelp(survey.stay.front(), "RUN-11", "");
      if (observation.has_failure() && !survey.under_way)
        return FailureStatus(observation.failure());
      if (observation.reason() != said) {
        said = observation.reason();
        execution.Log(said);
        ReportActivity(execution, absl::StrCat("waiting for the chips: ", said));
      }
      if (host_.clock->Elapsed() >= deadline) {
        return observation.has_failure()
                   ? FailureStatus(observation.failure())
                   : FailureStatus(v1::Failure::TRANSIENT, said, "See npu-smi info on the node.");
      }
      host_.clock->Sleep(kBetweenLooks);
    }
  }

 private:
  // --- Looking ----------------------------------------------------------------------------------

  Survey Look() {
    const v1::Inventory inventory = npu::ReadInventory(host_);
    by_dcmi_ = inventory.source() == "dcmi";
    Survey survey;
    std::vector<std::string> token, missing;
    std::vector<FaultyChip> faulty;
    for (uint32_t id : chips_) {
      const v1::Chip* chip = Find(inventory, id);
      if (chip == nullptr) {
        missing.push_back(absl::StrCat(id));
        continue;
      }
      token.push_back(absl::StrCat(id, ":", chip->name()));
      if (auto codes = CodesFor(*chip, FaultAction::kReplace); !codes.empty()) {
        survey.observation = Broken(
            absl::StrCat("chip ", id, " reports fault ", absl::StrJoin(codes, " ")), "RUN-09");
        return survey;
      }
      FaultyChip found = {id, chip->npu(), chip->chip(), CodesFor(*chip, FaultAction::kResetChip)};
      if (!found.codes.empty()) faulty.push_back(std::move(found));
    }
    if (!missing.empty()) {
      survey.observation = Missing(inventory, missing);
      survey.under_way = ResetIsUnderWay();
      return survey;
    }
    survey.observation = Present(absl::StrJoin(token, " "));
    const std::string reset = faulty.empty() ? "" : ConsiderResets(faulty, survey);
    if (survey.observation.state() == v1::Observation::PRESENT)
      Tell(inventory, reset, survey.observation);
    return survey;
  }

  // What the chips say, for people; the codes in the reason, too, as facts alone are not news.
  void Tell(const v1::Inventory& inventory, const std::string& reset,
            v1::Observation& observation) const {
    auto& facts = *observation.mutable_facts();
    std::vector<std::string> reasons;
    for (uint32_t id : chips_) {
      const v1::Chip* chip = Find(inventory, id);
      if (chip == nullptr || (chip->health() == v1::Chip::OK && chip->error_codes().empty()))
        continue;
      const std::string name = absl::StrCat("chip ", id);
      const std::string codes = DescribeFaults(*chip, reset);
      facts[name] =
          absl::StrCat(v1::Chip::Health_Name(chip->health()), codes.empty() ? "" : " ", codes);
      if (!codes.empty()) reasons.push_back(absl::StrCat(name, ": ", codes));
    }
    facts["driver"] = inventory.driver_version();
    facts["read by"] = inventory.source();
    observation.set_reason(absl::StrJoin(reasons, "; "));
  }

  // By the N of /dev/davinciN; where no column tells it, by the place of the chip among all.
  // Nothing when it is gone.
  static const v1::Chip* Find(const v1::Inventory& inventory, uint32_t id) {
    for (const v1::Chip& chip : inventory.chips()) {
      uint32_t davinci = chip.has_physical_id() ? chip.physical_id() : chip.npu();
      if (davinci != id) continue;
      return chip.health() == v1::Chip::GONE || chip.name().empty() ? nullptr : &chip;
    }
    return nullptr;
  }

  // Fills in what is due, and says what a code that calls for a reset leads to while it is not.
  std::string ConsiderResets(const std::vector<FaultyChip>& faulty, Survey& survey) {
    const ResetHistory history(host_);
    const absl::StatusOr<std::string> boot_id = host_.system->BootId();
    if (!boot_id.ok()) return Postpone(boot_id.status(), survey);
    std::vector<FaultyChip> due, stay;
    for (const FaultyChip& chip : faulty) {
      switch (history.Judge(chip.id, chip.codes, *boot_id)) {
        case ResetHistory::Verdict::kReset:
          due.push_back(chip);
          break;
        case ResetHistory::Verdict::kReboot:
          stay.push_back(chip);
          break;
        case ResetHistory::Verdict::kReplace:
          survey.observation = Unmended(chip);
          return "";
      }
    }
    const absl::StatusOr<std::vector<npu::ChipUser>> users = npu::ReadChipUsers(host_);
    if (!users.ok() && history.IsUnderWay(*boot_id)) {
      survey.under_way = true;
      survey.observation = Absent("a reset of the chips is under way");
      return "";
    }
    if (!users.ok()) return Postpone(users.status(), survey);
    if (!users->empty()) {
      survey.waits = true;
      std::vector<std::string> shown;
      for (const npu::ChipUser& user : *users)
        shown.push_back(absl::StrCat("process ", user.pid, " on NPU ", user.npu));
      (*survey.observation.mutable_facts())["in use"] = absl::StrJoin(shown, ", ");
      return "reset once nothing uses the chips";
    }
    if (due.empty()) {
      survey.observation =
          Absent(absl::StrCat("chip ", stay.front().id, " still reports fault ",
                              absl::StrJoin(stay.front().codes, " "), " after a reset"));
      survey.observation.set_reboot_needed(true);
    } else {
      std::vector<std::string> reasons;
      for (const FaultyChip& chip : due) reasons.push_back(chip.What());
      survey.observation = Absent(absl::StrJoin(reasons, "; "));
    }
    survey.due = std::move(due);
    survey.stay = std::move(stay);
    return "";
  }

  static std::string Postpone(const absl::Status& why, Survey& survey) {
    survey.waits = true;
    return absl::StrCat("reset once it can be seen that nothing uses the chips (",
                        npu::Printable(Std(why.message()), 200), ")");
  }

  bool ResetIsUnderWay() {
    const absl::StatusOr<std::string> boot_id = host_.system->BootId();
    return boot_id.ok() && ResetHistory(host_).IsUnderWay(*boot_id);
  }

  // npu-smi says what its library could not do before it says why.
  static std::string TellingMost(const v1::Inventory& inventory) {
    for (const std::string& warning : inventory.warnings()) {
      if (warning.find("ret is") != warning.npos) return warning;
    }
    return inventory.warnings(0);
  }

  v1::Observation Missing(const v1::Inventory& inventory, const std::vector<std::string>& missing) {
    const std::string missing_chips =
        missing.size() == chips_.size()
            ? absl::StrCat("no chip answers")
            : absl::StrCat(missing.size(), " of ", chips_.size(),
                           " chips are missing: ", absl::StrJoin(missing, ", "));
    std::string reason = missing_chips;
    if (!inventory.warnings().empty()) absl::StrAppend(&reason, " (", TellingMost(inventory), ")");
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

  v1::Observation Unmended(const FaultyChip& chip) {
    return Broken(absl::StrCat("chip ", chip.id, " reports fault ", absl::StrJoin(chip.codes, " "),
                               " again and again, whatever is reset"),
                  "RUN-09");
  }

  v1::Observation Broken(const std::string& reason, std::string_view signature) {
    return AbsentFor(SignedFailure(
        v1::Failure::HARDWARE, signature, absl::StrCat(NodeName(), ": ", reason),
        "See npu-smi info, /dev/davinci* and dmesg on the node: reset the chip, reboot, check "
        "seating, or replace it; or leave it out by visibleChips."));
  }

  std::string NodeName() const { return task_.substr(task_.find('@') + 1); }

  // --- Resetting --------------------------------------------------------------------------------

  // OK when the chip came back without the codes.
  absl::Status Reset(Execution& execution, const FaultyChip& chip) {
    ASSIGN_OR_RETURN(const std::string boot_id, host_.system->BootId());
    ResetHistory history(host_);
    // A reset that nobody remembers could be done for ever.
    RETURN_IF_ERROR(
        Annotate(history.Record(chip.id, chip.codes, boot_id, ResetHistory::Result::kBegun),
                 "noting a reset"));
    execution.Log(chip.What());
    ReportActivity(execution, absl::StrCat("resetting chip ", chip.id));
    host::ProcessOptions options = npu::NpuToolOptions(host_, kResetDeadline);
    options.stdin_text = kYesToAll;
    // By its number: a step that ended is not run again, and this chip's may be its second here.
    const absl::StatusOr<host::ProcessResult> result =
        execution.RunDurably(absl::StrCat("reset-", chip.id, "-", history.EndedBefore(chip.id)),
                             {"npu-smi", "set", "-t", "reset", "-i", absl::StrCat(chip.npu), "-c",
                              absl::StrCat(chip.chip), "-m", "1"},
                             options);
    // Unavailable: the agent stops, and the reset goes on.
    if (absl::IsCancelled(result.status()) || absl::IsUnavailable(result.status()))
      return result.status();
    const std::string said =
        result.ok() ? result->Combined() : npu::Printable(result.status().ToString());
    const bool ended_well = result.ok() && result->ok();
    std::optional<v1::Failure> why;
    if (!ended_well) why = MatchSignature("npu", said);
    if (why && why->class_() != v1::Failure::REBOOT) {
      RETURN_IF_ERROR(history.Forget(chip.id));
      return FailureOfOutput("npu", said, *why);
    }
    if (!result.ok() && !absl::IsDeadlineExceeded(result.status())) {
      RETURN_IF_ERROR(history.Forget(chip.id));
      return FailureStatus(v1::Failure::NEEDS_OPERATOR,
                           absl::StrCat(NodeName(), ": npu-smi cannot be run: ", said),
                           absl::StrCat("Reset chip ", chip.id, " by hand, or reboot the node."));
    }
    const absl::Duration patience = ended_well ? kCodesSettling : absl::ZeroDuration();
    ASSIGN_OR_RETURN(const bool helped, Helped(execution, chip.id, patience));
    RETURN_IF_ERROR(
        history.Record(chip.id, chip.codes, boot_id,
                       helped ? ResetHistory::Result::kHelped : ResetHistory::Result::kDidNotHelp));
    if (helped) return absl::OkStatus();
    return DidNotHelp(chip, why ? why->signature() : "RUN-11", said);
  }

  // Waits for all wanted chips, then up to `patience` for the end of the codes of this one.
  absl::StatusOr<bool> Helped(Execution& execution, uint32_t id, absl::Duration patience) {
    const absl::Duration begin = host_.clock->Elapsed();
    std::optional<absl::Duration> answered;
    ReportActivity(execution, absl::StrCat("waiting for chip ", id, " after its reset"));
    while (true) {
      const v1::Inventory inventory = npu::ReadInventory(host_);
      const v1::Chip* chip = Find(inventory, id);
      const absl::Duration now = host_.clock->Elapsed();
      const bool all_answer = chip != nullptr && chip->health() != v1::Chip::HEALTH_UNKNOWN &&
                              std::all_of(chips_.begin(), chips_.end(), [&](uint32_t other) {
                                return Find(inventory, other) != nullptr;
                              });
      if (all_answer) {
        if (CodesFor(*chip, FaultAction::kResetChip).empty()) return true;
        if (!answered) answered = now;
        if (now - *answered >= patience) return false;
      }
      if (now - begin >= kBootSettling) return false;
      if (execution.IsCancelled()) return absl::CancelledError("cancelled after a reset");
      host_.clock->Sleep(kBetweenLooks);
    }
  }

  // A reset in this boot was in vain: the node must reboot, or nothing can help.
  absl::Status DidNotHelp(const FaultyChip& chip, std::string_view signature,
                          std::string_view said) {
    ASSIGN_OR_RETURN(const std::string boot_id, host_.system->BootId());
    if (ResetHistory(host_).Judge(chip.id, chip.codes, boot_id) == ResetHistory::Verdict::kReplace)
      return FailureStatus(Unmended(chip).failure());
    v1::Failure failure;
    failure.set_class_(v1::Failure::REBOOT);
    failure.set_signature(std::string(signature));
    failure.set_symptom(absl::StrCat(NodeName(), ": a reset of chip ", chip.id,
                                     " did not end its fault ", absl::StrJoin(chip.codes, " ")));
    failure.set_advice(
        "The node is rebooted, and the chip reset once more; if the fault stays even then, the "
        "chip must be replaced.");
    for (std::string& line : LastLines(said)) failure.add_log_tail(std::move(line));
    return FailureStatus(failure);
  }

  static void ReportActivity(Execution& execution, std::string activity) {
    v1::Progress progress;
    progress.set_activity(std::move(activity));
    execution.Report(progress);
  }

  std::set<uint32_t> chips_;
  const std::string task_;
  host::Host& host_;
  std::atomic<bool> waits_ = false;
  std::atomic<bool> by_dcmi_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Verb>> MakeCheckNpus(const v1::CheckNpus& want,
                                                    const v1::Subject& subject, host::Host& host) {
  if (want.chips().empty()) return absl::InvalidArgumentError("check_npus names no chips");
  return std::make_unique<CheckNpus>(want, subject.task(), host);
}

}  // namespace npufleet::verbs
