// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/wire.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace npufleet::runtime {
namespace {

core::FailureClass FromWire(v1::Failure::Class failure_class) {
  switch (failure_class) {
    case v1::Failure::TRANSIENT:
      return core::FailureClass::kTransient;
    case v1::Failure::REDO:
      return core::FailureClass::kRedo;
    case v1::Failure::REBOOT:
      return core::FailureClass::kReboot;
    case v1::Failure::CONFIG:
      return core::FailureClass::kConfig;
    case v1::Failure::HARDWARE:
      return core::FailureClass::kHardware;
    default:
      return core::FailureClass::kNeedsOperator;
  }
}

v1::Failure::Class ToWire(core::FailureClass failure_class) {
  switch (failure_class) {
    case core::FailureClass::kTransient:
      return v1::Failure::TRANSIENT;
    case core::FailureClass::kRedo:
      return v1::Failure::REDO;
    case core::FailureClass::kReboot:
      return v1::Failure::REBOOT;
    case core::FailureClass::kConfig:
      return v1::Failure::CONFIG;
    case core::FailureClass::kHardware:
      return v1::Failure::HARDWARE;
    case core::FailureClass::kNeedsOperator:
      return v1::Failure::NEEDS_OPERATOR;
  }
  return v1::Failure::NEEDS_OPERATOR;
}

core::Sight FromWire(v1::Observation::State state) {
  switch (state) {
    case v1::Observation::PRESENT:
      return core::Sight::kPresent;
    case v1::Observation::ABSENT:
      return core::Sight::kAbsent;
    case v1::Observation::DRIFTED:
      return core::Sight::kDrifted;
    default:
      return core::Sight::kUnknown;
  }
}

}  // namespace

core::Failure FromWire(const v1::Failure& failure) {
  return {.failure_class = FromWire(failure.class_()),
          .redo_stage = failure.redo_stage(),
          .signature = failure.signature(),
          .symptom = failure.symptom(),
          .advice = failure.advice(),
          .log_tail = {failure.log_tail().begin(), failure.log_tail().end()}};
}

v1::Failure ToWire(const core::Failure& failure) {
  v1::Failure converted;
  converted.set_class_(ToWire(failure.failure_class));
  converted.set_redo_stage(failure.redo_stage);
  converted.set_signature(failure.signature);
  converted.set_symptom(failure.symptom);
  converted.set_advice(failure.advice);
  for (const std::string& line : failure.log_tail) converted.add_log_tail(line);
  return converted;
}

core::Observation FromWire(const v1::Observation& observation) {
  core::Observation converted;
  converted.sight = FromWire(observation.state());
  converted.token = observation.token();
  converted.reason = observation.reason();
  converted.reboot_needed = observation.reboot_needed();
  if (observation.has_failure()) converted.failure = FromWire(observation.failure());
  if (observation.has_cause()) converted.cause = FromWire(observation.cause());
  return converted;
}

core::OperationEnded EndOf(const v1::Operation& operation) {
  using Result = core::OperationEnded::Result;
  core::OperationEnded ended;
  ended.operation = operation.id();
  ended.swept.assign(operation.swept().begin(), operation.swept().end());
  switch (operation.state()) {
    case v1::Operation::SUCCEEDED:
      ended.result = Result::kSucceeded;
      ended.observation = FromWire(operation.observation());
      break;
    case v1::Operation::CANCELLED:
      ended.result = Result::kCancelled;
      break;
    case v1::Operation::INTERRUPTED:
      ended.result = Result::kInterrupted;
      break;
    default:
      ended.result = Result::kFailed;
      ended.failure = FromWire(operation.failure());
  }
  return ended;
}

v1::Subject SubjectOf(const std::string& task, const std::string& node, const v1::Verb& verb,
                      const std::string& stamp, const std::map<std::string, std::string>& inputs) {
  v1::Subject subject;
  subject.set_task(task);
  *subject.mutable_verb() = verb;
  subject.set_stamp(stamp);
  const std::string here = absl::StrCat("@", node);
  for (const auto& [need, token] : inputs) {
    const std::string name =
        absl::EndsWith(need, here) ? need.substr(0, need.size() - here.size()) : need;
    (*subject.mutable_inputs())[name] = token;
  }
  return subject;
}

v1::Operation::Action ToWire(core::Action action) {
  return action == core::Action::kStop ? v1::Operation::STOP : v1::Operation::APPLY;
}

}  // namespace npufleet::runtime
