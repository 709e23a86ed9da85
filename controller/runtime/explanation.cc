// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/explanation.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "controller/core/retry_policy.h"
#include "controller/runtime/wire.h"

namespace npufleet::runtime {
namespace {

std::string Age(absl::Duration age) {
  const absl::Duration shown = age < absl::Seconds(1) ? absl::Trunc(age, absl::Milliseconds(1))
                                                      : absl::Trunc(age, absl::Seconds(1));
  return absl::FormatDuration(shown);
}

std::string Lower(std::string name) {
  return absl::StrReplaceAll(absl::AsciiStrToLower(name), {{"_", " "}});
}

bool IsNameCharacter(char c) { return absl::ascii_isalnum(c) || c == '-' || c == '@' || c == '.'; }

// Whether `text` names `name` as a whole word.
bool Names(const std::string& text, const std::string& name) {
  for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at + 1)) {
    const size_t end = at + name.size();
    if (at > 0 && IsNameCharacter(text[at - 1])) continue;
    if (end < text.size() && IsNameCharacter(text[end])) continue;
    return true;
  }
  return false;
}

class Explainer {
 public:
  Explainer(const core::State& state, const Details& details,
            const std::map<std::string, v1::RolloutNode>& nodes, absl::Time now)
      : state_(state), details_(details), nodes_(nodes), now_(now) {}

  v1::Explanation OfTask(const core::Task& task) {
    told_.insert(task.plan.id);
    v1::Explanation told;
    told.set_subject(task.plan.id);
    told.set_state(Lower(v1::Task::State_Name(StateOf(task))));
    const auto say = [&told](std::string sentence) { told.add_sentences(std::move(sentence)); };
    say(NewestCheck(task));
    say(Stamp(task));
    if (task.operation) say(UnderWay(task));
    if (task.redo) say("it is run again although it is there: a failure or an operator asked");
    if (!task.current && !task.reason.empty()) say(task.reason);
    if (task.current && task.seen.sight == core::Sight::kDrifted) {
      say(absl::StrCat("taken as found: ", task.seen.reason, "; to repair it: ctl rollout restart ",
                       state_.deployment, " --from ", task.plan.id));
    }
    if (const core::Failure* failure = FailureOf(task)) {
      *told.mutable_failure() = ToWire(*failure);
      say(WhatFollows(task, *failure));
    }
    if (!task.current && state_.paused) {
      say(absl::StrCat("the rollout is paused: ctl rollout resume ", state_.deployment));
    }
    if (!task.current && state_.cancelled) {
      say(absl::StrCat("the rollout is cancelled: ctl rollout resume ", state_.deployment));
    }
    if (!task.current) Because(task, told);
    return told;
  }

 private:
  std::string NewestCheck(const core::Task& task) const {
    if (!task.checking.empty()) return "it is being checked now";
    const absl::Time checked = CheckedAt(task, details_);
    if (checked == absl::InfinitePast()) return "nobody has looked at it since it mattered";
    const std::string age = absl::StrCat("checked ", Age(now_ - checked), " ago: ");
    switch (task.seen.sight) {
      case core::Sight::kPresent:
        return absl::StrCat(age, "present, ", task.seen.token);
      case core::Sight::kDrifted:
        return absl::StrCat(age, "drifted, ", task.seen.token, ": ", task.seen.reason);
      case core::Sight::kAbsent:
        return absl::StrCat(
            age, "absent: ", task.seen.reason,
            task.seen.token.empty() ? "" : absl::StrCat("; in its place is ", task.seen.token),
            task.seen.reboot_needed ? "; in effect from the next boot on" : "");
      default:
        return absl::StrCat(age, "cannot be seen: ", task.seen.reason);
    }
  }

  std::string Stamp(const core::Task& task) const {
    const std::string stamp = core::StampOf(state_, task);
    if (stamp.empty()) {
      std::string missing;
      for (const int need : task.needs) {
        const core::Task& other = state_.tasks[need];
        if (other.token.empty())
          absl::StrAppend(&missing, missing.empty() ? "" : ", ", other.plan.id);
      }
      return absl::StrCat("what it is made for is open: no token yet from ", missing);
    }
    const std::string name = stamp.substr(0, 8);
    if (task.seen_stamp.empty()) return absl::StrCat("wanted is stamp ", name);
    if (task.seen_stamp == stamp) {
      return absl::StrCat("that Check was for stamp ", name, ", which is what is wanted now");
    }
    return absl::StrCat("that Check was for stamp ", task.seen_stamp.substr(0, 8), ", wanted is ",
                        name, ": its want or a token under it has changed");
  }

  std::string UnderWay(const core::Task& task) const {
    std::string text = absl::StrCat(
        task.operation->action == core::Action::kStop ? "being stopped" : "being applied", " for ",
        Age(now_ - task.started_at), ", operation ", task.operation->operation);
    auto progress = details_.progress.find(task.operation->operation);
    if (progress != details_.progress.end() && !progress->second.activity().empty()) {
      absl::StrAppend(&text, ": ", progress->second.activity());
    }
    if (task.cancelling) absl::StrAppend(&text, "; it was told to end");
    return text;
  }

  static const core::Failure* FailureOf(const core::Task& task) {
    if (task.current) return nullptr;
    if (task.failure) return &*task.failure;
    return task.seen.failure ? &*task.seen.failure : nullptr;
  }

  // What the retry policy makes of it, and when.
  std::string WhatFollows(const core::Task& task, const core::Failure& failure) const {
    const core::RetryDecision decision = core::DecideRetry(
        core::CaseOf(task, failure, task.past.empty() ? now_ : task.past.back().time),
        state_.retry);
    const bool died = task.plan.running && task.attempts == 0 && !task.seen.failure;
    const std::string attempts =
        died ? "it ran, and died of this"
             : absl::StrCat(task.attempts, " of ", decision.attempts, " attempts have failed");
    if (task.given_up) {
      return absl::StrCat(
          attempts, "; given up",
          task.given_up_why.empty() ? "" : absl::StrCat(" (", task.given_up_why, ")"),
          "; tried again after `ctl rollout retry ", state_.deployment,
          "`, another spec, or when what it stands on changes");
    }
    if (task.operation) return absl::StrCat(attempts, "; the next one is under way");
    std::string text = attempts;
    switch (decision.kind) {
      case core::RetryDecision::Kind::kRedo:
        absl::StrAppend(&text, "; first ", decision.redo_stage, " is run again");
        break;
      case core::RetryDecision::Kind::kReboot:
        absl::StrAppend(&text, "; first ", task.plan.node, " reboots");
        break;
      default:
        break;
    }
    if (task.retry_at > now_) return absl::StrCat(text, "; again in ", Age(task.retry_at - now_));
    return absl::StrCat(text, "; again as soon as it may run");
  }

  // What it waits for: nodes, dependencies, and whatever else its reason names.
  void Because(const core::Task& task, v1::Explanation& told) {
    AddNode(task.plan.node, told);
    for (const int need : task.needs) {
      if (!state_.tasks[need].current) AddTask(state_.tasks[need], told);
    }
    for (const core::Task& other : state_.tasks) {
      if (Names(task.reason, other.plan.id)) AddTask(other, told);
    }
    for (const auto& [name, node] : nodes_) {
      if (!Names(task.reason, name)) continue;
      AddNode(name, told);
      for (const int i : state_.nodes.at(name).tasks) {
        if (state_.tasks[i].awaiting_report) AddTask(state_.tasks[i], told);
      }
    }
  }

  void AddTask(const core::Task& task, v1::Explanation& told) {
    if (told_.count(task.plan.id) > 0) return;
    *told.add_because() = OfTask(task);
  }

  void AddNode(const std::string& name, v1::Explanation& told) {
    auto node = nodes_.find(name);
    if (node == nodes_.end() || node->second.reason().empty()) return;
    if (!told_.insert(name).second) return;
    v1::Explanation& added = *told.add_because();
    added.set_subject(name);
    added.set_state(Lower(v1::Reach_Name(node->second.reach())));
    added.add_sentences(node->second.reason());
  }

  const core::State& state_;
  const Details& details_;
  const std::map<std::string, v1::RolloutNode>& nodes_;
  const absl::Time now_;
  std::set<std::string> told_;  // each thing once
};

}  // namespace

v1::Explanation Explain(const core::State& state, const Details& details,
                        const std::map<std::string, v1::RolloutNode>& nodes, const core::Task& task,
                        absl::Time now) {
  return Explainer(state, details, nodes, now).OfTask(task);
}

}  // namespace npufleet::runtime
