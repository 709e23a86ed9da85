// SPDX-License-Identifier: Apache-2.0
#include "controller/store/replay.h"

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"

namespace npufleet::store {
namespace {

using core::FailureClass;
using core::Sight;
using Result = core::OperationEnded::Result;

std::string NameOf(FailureClass failure_class) {
  switch (failure_class) {
    case FailureClass::kTransient:
      return "transient";
    case FailureClass::kRedo:
      return "redo";
    case FailureClass::kReboot:
      return "reboot";
    case FailureClass::kConfig:
      return "config";
    case FailureClass::kHardware:
      return "hardware";
    case FailureClass::kNeedsOperator:
      return "needs operator";
  }
  return "";
}

std::string TextOf(const core::Failure& failure) {
  std::string text = NameOf(failure.failure_class);
  if (!failure.redo_stage.empty()) absl::StrAppend(&text, " of ", failure.redo_stage);
  if (!failure.signature.empty()) absl::StrAppend(&text, ", ", failure.signature);
  return absl::StrCat(text, ": ", failure.symptom);
}

std::string NameOf(Sight sight) {
  switch (sight) {
    case Sight::kUnseen:
      return "unseen";
    case Sight::kPresent:
      return "present";
    case Sight::kAbsent:
      return "absent";
    case Sight::kDrifted:
      return "drifted";
    case Sight::kUnknown:
      return "unknown";
  }
  return "";
}

std::string TextOf(const core::Observation& seen) {
  std::string text = NameOf(seen.sight);
  if (!seen.token.empty()) {
    absl::StrAppend(&text, seen.sight == Sight::kAbsent ? ", in its place " : " ", seen.token);
  }
  if (seen.reboot_needed) text += ", in effect from the next boot on";
  if (!seen.reason.empty()) absl::StrAppend(&text, ": ", seen.reason);
  if (seen.failure) absl::StrAppend(&text, " (", TextOf(*seen.failure), ")");
  return text;
}

std::string Count(size_t count, std::string_view what) {
  return absl::StrCat(count, " ", std::string(what), count == 1 ? "" : "s");
}

struct Teller {
  Account operator()(const core::SpecApplied& event) const {
    return {"", "",
            absl::StrCat("revision ", event.graph.revision, ", ",
                         Count(event.graph.tasks.size(), "task"))};
  }
  Account operator()(const core::Loaded&) const {
    return {"", "", "the controller has read its store"};
  }
  Account operator()(const core::NodeConnected& event) const {
    return {"", event.node,
            absl::StrCat("boot ", event.boot_id,
                         event.hosts_controller ? ", the controller's own node" : "")};
  }
  Account operator()(const core::NodeLost& event) const { return {"", event.node, event.reason}; }
  Account operator()(const core::Observed& event) const {
    return {"", event.task, TextOf(event.observation)};
  }
  Account operator()(const core::OperationEnded& event) const {
    std::string detail;
    switch (event.result) {
      case Result::kSucceeded:
        detail = absl::StrCat("succeeded: ", TextOf(event.observation));
        break;
      case Result::kFailed:
        detail = absl::StrCat("failed: ", TextOf(event.failure));
        break;
      case Result::kCancelled:
        detail = "cancelled";
        break;
      case Result::kInterrupted:
        detail = "interrupted";
        break;
      case Result::kRefused:
        detail = absl::StrCat("refused: ", event.failure.symptom);
        break;
    }
    return {"", event.operation, detail};
  }
  Account operator()(const core::TimePassed&) const { return {}; }
  Account operator()(const core::RetryRequested&) const { return {}; }
  Account operator()(const core::RestartRequested& event) const {
    return {"", event.node.empty() ? event.stage : absl::StrCat(event.stage, "@", event.node), ""};
  }
  Account operator()(const core::PauseRequested&) const { return {}; }
  Account operator()(const core::ResumeRequested&) const { return {}; }
  Account operator()(const core::CancelRequested&) const { return {}; }
  Account operator()(const core::RebootRequested& event) const { return {"", event.node, ""}; }
  Account operator()(const core::NodeRemoved& event) const { return {"", event.node, ""}; }

  Account operator()(const LoggedEvent& logged) const {
    return std::visit(*this, logged.event.what);
  }
  Account operator()(const Snapshot& snapshot) const {
    return {
        "", "",
        absl::StrCat("revision ", snapshot.state.revision, ", ",
                     Count(snapshot.state.tasks.size(), "task"), ", ",
                     Count(core::Outstanding(snapshot.state).size(), "command"), " outstanding")};
  }
  Account operator()(const Remark& remark) const { return {"", "", remark.text}; }

  Account operator()(const core::CheckTask& command) const { return {"check", command.task, ""}; }
  Account operator()(const core::StartOperation& command) const {
    const char* what = command.action == core::Action::kApply  ? "apply"
                       : command.action == core::Action::kStop ? "stop"
                                                               : "reboot";
    return {what, command.task.empty() ? command.node : command.task,
            absl::StrCat(command.operation, command.redo ? ", though it is there" : "")};
  }
  Account operator()(const core::CancelOperation& command) const {
    return {"cancel", command.operation, ""};
  }
  Account operator()(const core::ForgetTask& command) const { return {"forget", command.task, ""}; }
};

// Moves `state` on by one entry.
ReplayedEntry Replayed(const LogEntry& entry, core::State& state) {
  ReplayedEntry replayed{.account = Tell(entry)};
  if (const auto* snapshot = std::get_if<Snapshot>(&entry)) {
    state = snapshot->state;
    core::Reindex(state);
    replayed.commands = core::Outstanding(state);
  } else if (const auto* logged = std::get_if<LoggedEvent>(&entry)) {
    core::StepResult result = core::Step(state, logged->event);
    replayed.notes = std::move(result.notes);
    replayed.commands = std::move(result.commands);
    if (logged->commands && *logged->commands != replayed.commands)
      replayed.recorded = logged->commands;
  }
  return replayed;
}

}  // namespace

std::string NameOf(core::Phase phase) {
  switch (phase) {
    case core::Phase::kProgressing:
      return "progressing";
    case core::Phase::kServing:
      return "serving";
    case core::Phase::kWaiting:
      return "waiting";
    case core::Phase::kFailed:
      return "failed";
    case core::Phase::kPaused:
      return "paused";
    case core::Phase::kCancelled:
      return "cancelled";
    case core::Phase::kDeleted:
      return "deleted";
  }
  return "";
}

Account Tell(const LogEntry& entry) {
  Account account = std::visit(Teller(), entry);
  account.what = KindOf(entry);
  return account;
}

Account Tell(const core::Command& command) { return std::visit(Teller(), command); }

Replay ReplayLog(const EventLog& log) {
  Replay replay;
  replay.state.deployment = log.rollout;
  replay.state.epoch = log.epoch;
  for (const LogEntry& entry : log.entries) {
    replay.entries.push_back(Replayed(entry, replay.state));
    ReplayedEntry& newest = replay.entries.back();
    newest.after = TimeOf(entry) - TimeOf(log.entries.front());
    if (newest.recorded) ++replay.otherwise;
  }
  replay.phase = core::PhaseOf(replay.state);
  replay.reason = core::ReasonOf(replay.state);
  for (const core::Task& task : replay.state.tasks) {
    if (!task.current) replay.open.push_back({task.plan.id, task.reason});
  }
  return replay;
}

}  // namespace npufleet::store
