// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/run_operation.h"

#include <exception>
#include <utility>

#include "absl/strings/str_cat.h"
#include "agent/verbs/mark.h"
#include "common/failure.h"
#include "common/status_macros.h"
#include "common/string_views.h"
#include "common/utf8.h"

namespace npufleet::operations {
namespace {

class OperationExecution : public verbs::Execution {
 public:
  OperationExecution(LiveOperation& operation, const Workplace& workplace)
      : operation_(operation), workplace_(workplace) {}

  void Log(std::string_view line) override { operation_.Log(line); }
  void Report(const v1::Progress& progress) override { operation_.Report(progress); }
  void Swept(std::string_view what) override { operation_.AddSwept(what); }
  bool IsCancelled() override { return operation_.IsCancelled(); }
  bool AgentStops() override { return operation_.stopping(); }

  absl::StatusOr<host::ProcessResult> RunDurably(std::string_view step,
                                                 const std::vector<std::string>& argv,
                                                 const host::ProcessOptions& options) override {
    if (argv.empty()) return absl::InvalidArgumentError("a step without a program");
    std::vector<std::string> resolved = argv;
    ASSIGN_OR_RETURN(resolved[0], workplace_.host.subprocess->Which(argv[0]));
    host::ProcessOptions own = options;
    own.cancelled = [this, given = options.cancelled] {
      return operation_.cancel_requested() || (given && given());
    };
    if (!own.on_line) own.on_line = [this](std::string_view line) { operation_.Log(line); };
    return workplace_.steps.Run(operation_.id(), step, resolved, own);
  }

 private:
  LiveOperation& operation_;
  const Workplace& workplace_;
};

template <typename Call>
absl::Status Guarded(const Call& call) {
  try {
    return call();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("a defect of the agent: ", error.what()));
  }
}

Outcome Succeeded(const v1::Observation& observation, bool changed) {
  Outcome outcome;
  outcome.observation = observation;
  outcome.changed = changed;
  return outcome;
}

Outcome Cancelled() {
  Outcome outcome;
  outcome.state = v1::Operation::CANCELLED;
  return outcome;
}

Outcome Failed(v1::Failure failure, const LiveOperation& operation) {
  Outcome outcome;
  outcome.state = v1::Operation::FAILED;
  outcome.failure = std::move(failure);
  if (outcome.failure.log_tail().empty()) {
    for (std::string& line : operation.LogTail()) outcome.failure.add_log_tail(std::move(line));
  }
  return outcome;
}

bool IsThereOrAfterReboot(const v1::Observation& seen) {
  return seen.state() == v1::Observation::PRESENT ||
         (seen.state() == v1::Observation::ABSENT && seen.reboot_needed());
}

// Apply ended well, but the node does not show it.
v1::Failure NotSeen(const v1::Observation& seen, std::string_view verb, bool installs) {
  if (seen.has_failure()) return seen.failure();
  v1::Failure failure;
  const std::string ended = absl::StrCat(Absl(verb), " ended without an error, but ");
  switch (seen.state()) {
    case v1::Observation::DRIFTED:
      failure.set_class_(v1::Failure::NEEDS_OPERATOR);
      failure.set_symptom(absl::StrCat(ended, "what is there is another: ", seen.reason()));
      failure.set_advice(
          "see in the operation's log what was done, and what else changes this node");
      break;
    case v1::Observation::ABSENT:
      // The same installer will do the same again; what was started and died may live next time.
      failure.set_class_(installs ? v1::Failure::NEEDS_OPERATOR : v1::Failure::TRANSIENT);
      failure.set_symptom(absl::StrCat(ended, "it is not there: ", seen.reason()));
      failure.set_advice("see in the operation's log what was done");
      break;
    default:
      failure.set_class_(v1::Failure::TRANSIENT);
      failure.set_symptom(absl::StrCat(ended, "its result cannot be seen: ", seen.reason()));
  }
  return failure;
}

Outcome ConcludeFrom(const v1::Observation& seen, LiveOperation& operation,
                     const Workplace& workplace) {
  const std::string verb = NameOf(operation.request().subject().verb());
  const bool marked = verbs::ReadMark(workplace.host, verb).has_value();
  if (!IsThereOrAfterReboot(seen)) return Failed(NotSeen(seen, verb, marked), operation);
  if (marked) {
    absl::Status removed = verbs::RemoveMark(workplace.host, verb);
    if (!removed.ok()) return FailedWith(Annotate(removed, "removing the install mark"), operation);
  }
  return Succeeded(seen, true);
}

std::optional<Outcome> Apply(verbs::Verb& verb, LiveOperation& operation,
                             const Workplace& workplace) {
  if (!operation.applying()) {
    v1::Observation first = CheckSafely(verb);
    if (operation.stopping()) return std::nullopt;
    if (operation.cancel_requested()) return Cancelled();
    if (!operation.request().redo() && IsThereOrAfterReboot(first)) return Succeeded(first, false);
    if (first.state() == v1::Observation::ABSENT && first.has_failure()) {
      return Failed(first.failure(), operation);
    }
    absl::Status noted = operation.SetApplying();
    if (!noted.ok()) return FailedWith(noted, operation);
  } else if (!operation.request().redo() && !operation.cancel_requested()) {
    // What came up while no agent was there must not be started anew; a torn install says ABSENT.
    v1::Observation found = CheckSafely(verb);
    if (operation.stopping()) return std::nullopt;
    if (found.state() == v1::Observation::PRESENT) return Succeeded(found, true);
  }
  OperationExecution execution(operation, workplace);
  absl::Status applied = Guarded([&] { return verb.Apply(execution); });
  if (operation.stopping()) return std::nullopt;
  if (!applied.ok()) {
    return operation.cancel_requested() ? Cancelled() : FailedWith(applied, operation);
  }
  v1::Observation second = CheckSafely(verb);
  if (verb.SurvivesReboot() && second.state() != v1::Observation::PRESENT) {
    operation.WaitForCancel(workplace.reboot_patience);
    if (operation.stopping()) return std::nullopt;
    if (operation.cancel_requested()) return Cancelled();
    second = CheckSafely(verb);
  }
  if (operation.stopping()) return std::nullopt;
  return ConcludeFrom(second, operation, workplace);
}

std::optional<Outcome> Stop(verbs::Verb& verb, LiveOperation& operation,
                            const Workplace& workplace) {
  absl::Status noted = operation.SetApplying();
  if (!noted.ok()) return FailedWith(noted, operation);
  OperationExecution execution(operation, workplace);
  absl::Status stopped = Guarded([&] { return verb.Stop(execution); });
  if (operation.stopping()) return std::nullopt;
  if (!stopped.ok()) {
    return operation.cancel_requested() ? Cancelled() : FailedWith(stopped, operation);
  }
  const v1::Observation seen = CheckSafely(verb);
  const bool is_there = seen.state() == v1::Observation::PRESENT ||
                        seen.state() == v1::Observation::DRIFTED || !seen.token().empty();
  if (!is_there) return Succeeded(seen, true);
  v1::Failure failure;
  failure.set_class_(v1::Failure::TRANSIENT);
  failure.set_symptom(absl::StrCat(
      "it was stopped without an error, and still runs: ", seen.token(), " ", seen.reason()));
  failure.set_advice("see in the operation's log what was done");
  return Failed(failure, operation);
}

}  // namespace

std::optional<Outcome> RunOperation(verbs::Verb& verb, LiveOperation& operation,
                                    const Workplace& workplace) {
  if (operation.stopping()) return std::nullopt;
  // What had begun is asked once more even so: a step of it may still run and has to be killed.
  if (operation.cancel_requested() && !operation.applying()) return Cancelled();
  return operation.request().action() == v1::Operation::STOP ? Stop(verb, operation, workplace)
                                                             : Apply(verb, operation, workplace);
}

Outcome FailedWith(const absl::Status& status, const LiveOperation& operation) {
  return Failed(ToFailure(status), operation);
}

v1::Observation CheckSafely(verbs::Verb& verb) {
  v1::Observation seen;
  try {
    seen = verb.Check();
  } catch (const std::exception& error) {
    seen.Clear();
    seen.set_state(v1::Observation::UNKNOWN);
    seen.set_reason(absl::StrCat("a defect of the agent: ", error.what()));
  }
  MakeValidUtf8(seen);
  return seen;
}

std::string NameOf(const v1::Verb& verb) {
  const auto* field =
      verb.GetReflection()->GetOneofFieldDescriptor(verb, verb.GetDescriptor()->oneof_decl(0));
  return field != nullptr ? field->name() : "";
}

}  // namespace npufleet::operations
