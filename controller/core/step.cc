// SPDX-License-Identifier: Apache-2.0
#include "controller/core/step.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/core/evaluation.h"
#include "controller/core/retry_policy.h"

namespace npufleet::core {
namespace {

class Stepper {
 public:
  Stepper(State& state, absl::Time now)
      : state_(state), now_(now), evaluation_(state, now, result_) {}

  StepResult Run(const Event& event) {
    const bool was_serving = state_.serving_since != absl::InfiniteFuture();
    std::visit([this](const auto& what) { On(what); }, event.what);
    const std::string happened = result_.notes.empty() ? "" : Told(result_.notes.front());
    evaluation_.ConsiderReboots();  // first: nothing is started on what is stopped for one
    evaluation_.Run();
    evaluation_.ConsiderReboots();
    evaluation_.Run();
    DropRetired();
    const bool serving = state_.not_current == 0 && WantsSomething(state_);
    if (serving && !was_serving) {
      state_.serving_since = now_;
      result_.rollout_changed = true;
      result_.notes.push_back({"Serving", "", "", absl::StrCat(state_.deployment, " serves")});
    } else if (!serving && was_serving) {
      state_.serving_since = absl::InfiniteFuture();
      state_.started_at = now_;
      result_.rollout_changed = true;
      // What is waited for now is no cause: what this step began with is.
      result_.notes.push_back({"Incident", "", "", happened.empty() ? ReasonOf(state_) : happened});
    }
    return std::move(result_);
  }

 private:
  // Empty: it says of nothing in particular what happened, as when an operator asks for something.
  static std::string Told(const Note& note) {
    const std::string& subject = note.task.empty() ? note.node : note.task;
    if (subject.empty()) return "";
    return absl::StrCat(absl::StartsWith(note.message, subject) ? "" : absl::StrCat(subject, ": "),
                        note.message);
  }

  // --- What an operator asks for ---------------------------------------------------------------

  void On(const SpecApplied& event) {
    std::vector<Task> old = std::move(state_.tasks);
    std::map<std::string, int> old_index;
    for (int i = 0; i < static_cast<int>(old.size()); ++i) old_index[old[i].plan.id] = i;
    state_.tasks.clear();
    std::set<std::string> wanted;
    std::set<std::string> rewanted;
    for (const TaskPlan& plan : event.graph.tasks) {
      wanted.insert(plan.id);
      Task task;
      if (auto found = old_index.find(plan.id); found != old_index.end()) {
        task = std::move(old[found->second]);
        if (task.plan.want != plan.want) {
          rewanted.insert(plan.id);
          // What stands there may be of this want, though it was never seen to be.
          if (task.applied_want == task.plan.want) task.settled_want = task.plan.want;
        }
        if (plan.running ? task.alive || task.operation : !task.token.empty())
          KeepFormerNeeds(task, plan);
      }
      task.plan = plan;
      task.retired = false;
      Evaluation::Forgive(task);
      state_.tasks.push_back(std::move(task));
    }
    for (Task& task : old) {
      if (task.plan.id.empty() || wanted.count(task.plan.id) > 0) continue;
      task.retired = true;
      task.current = false;
      state_.tasks.push_back(std::move(task));
    }
    state_.revision = event.graph.revision;
    state_.retry = event.graph.retry;
    state_.paused = false;
    state_.cancelled = false;
    if (state_.serving_since == absl::InfiniteFuture()) state_.started_at = now_;
    Reindex(state_);
    for (auto& [name, node] : state_.nodes) {
      if (!node.tasks.empty() || !node.reboot_asked) continue;
      node.reboot_asked = node.reboot_ordered = false;  // it is not ours to reboot any more
      node.reboot_reason.clear();
      result_.changed_nodes.insert(name);
    }
    for (Task& task : state_.tasks) {
      // Its result would be a fact about the node all the same, but nobody wants it any more.
      if (rewanted.count(task.plan.id) > 0 && task.plan.interruptible) evaluation_.Cancel(task);
      task.awaiting_report = !task.retired && !task.operation &&
                             state_.nodes[task.plan.node].connected &&
                             (task.awaiting_report || !StillStands(task));
      task.checking.clear();
      result_.changed_tasks.insert(task.plan.id);
    }
    result_.rollout_changed = true;
    result_.notes.push_back({"SpecApplied", "", "", absl::StrCat("revision ", state_.revision)});
    evaluation_.TouchAll();
  }

  // Of what was made in a former revision, the needs that only one of the two names.
  static void KeepFormerNeeds(Task& task, const TaskPlan& plan) {
    std::set<std::string> made_on(task.former_needs.begin(), task.former_needs.end());
    made_on.insert(task.plan.needs.begin(), task.plan.needs.end());
    for (const std::string& need : task.new_needs) made_on.erase(need);
    task.new_needs.clear();
    for (const std::string& need : plan.needs) {
      if (made_on.count(need) == 0) task.new_needs.push_back(need);
    }
    for (const std::string& need : plan.needs) made_on.erase(need);
    task.former_needs.clear();
    if (plan.running) task.former_needs.assign(made_on.begin(), made_on.end());
  }

  void DropFormerNeeds(Task& task) {
    if (task.former_needs.empty() && task.new_needs.empty()) return;
    const int i = state_.index[task.plan.id];
    for (const std::string& need : task.former_needs) {
      auto found = state_.index.find(need);
      if (found == state_.index.end()) continue;
      std::vector<int>& above = state_.tasks[found->second].former_dependents;
      above.erase(std::remove(above.begin(), above.end(), i), above.end());
    }
    task.former_needs.clear();
    task.new_needs.clear();
    result_.changed_tasks.insert(task.plan.id);
  }

  // Of a dear Check that goes on in its own period: what it said last, for what is wanted now.
  bool StillStands(const Task& task) const {
    const bool is_there = task.seen.sight == Sight::kPresent || task.seen.sight == Sight::kDrifted;
    return task.plan.dear && is_there && task.current && task.seen_stamp == StampOf(state_, task);
  }

  void On(const RetryRequested&) {
    for (Task& task : state_.tasks) Forgive(task);
    for (auto& [name, node] : state_.nodes) {
      if (!node.reboot_asked || node.reboot_ordered || node.reboot) continue;
      node.reboot_asked = false;  // by a failure, which is forgiven
      node.reboot_reason.clear();
      result_.changed_nodes.insert(name);
    }
    Unpause("RetryRequested");
  }

  void On(const RestartRequested& event) {
    for (Task& task : state_.tasks) {
      if (task.retired || task.plan.stage != event.stage) continue;
      if (!event.node.empty() && task.plan.node != event.node) continue;
      Forgive(task);
      task.redo = true;
    }
    Unpause("RestartRequested");
  }

  void On(const PauseRequested&) {
    state_.paused = true;
    Said("PauseRequested", "nothing new is started");
  }

  void On(const ResumeRequested&) { Unpause("ResumeRequested"); }

  void On(const CancelRequested&) {
    state_.cancelled = true;
    std::string going_on;
    for (Task& task : state_.tasks) {
      if (!task.operation) continue;
      // Half an installer or half a stop is worse than either end.
      if (task.plan.interruptible && task.operation->action == Action::kApply) {
        evaluation_.Cancel(task);
      } else {
        absl::StrAppend(&going_on, going_on.empty() ? "; to its end goes " : ", ", task.plan.id);
      }
    }
    Said("CancelRequested",
         absl::StrCat("what may be interrupted ends, nothing is started", going_on));
  }

  void On(const RebootRequested& event) {
    auto found = state_.nodes.find(event.node);
    if (found == state_.nodes.end()) return;
    found->second.reboot_asked = true;
    found->second.reboot_ordered = true;
    found->second.reboot_reason = "an operator asked for it";
    result_.changed_nodes.insert(event.node);
    evaluation_.TouchNode(event.node);
  }

  void On(const NodeRemoved& event) {
    auto found = state_.nodes.find(event.node);
    if (found == state_.nodes.end()) return;
    for (const int i : found->second.tasks) {
      Task& task = state_.tasks[i];
      if (!task.retired) continue;
      if (task.operation) state_.operations.erase(task.operation->operation);
      task.operation.reset();
      task.alive = false;
      result_.changed_tasks.insert(task.plan.id);
    }
    evaluation_.TouchAll();
  }

  void Unpause(std::string_view kind) {
    state_.paused = false;
    state_.cancelled = false;
    if (state_.serving_since == absl::InfiniteFuture()) state_.started_at = now_;
    Said(kind, "going on");
  }

  void Said(std::string_view kind, std::string_view message) {
    result_.rollout_changed = true;
    result_.notes.push_back({std::string(kind), "", "", std::string(message)});
    evaluation_.TouchAll();
  }

  void Forgive(Task& task) {
    Evaluation::Forgive(task);
    // What was given up on may have been mended by hand: look again before anything is run.
    if (!task.current) task.seen_stamp.clear();
    result_.changed_tasks.insert(task.plan.id);
  }

  // What was stored by a clock that has been set back since is waited for no longer than from now.
  void ForgetTimesToCome() {
    const auto until_now = [this](absl::Time& time) {
      if (time != absl::InfiniteFuture()) time = std::min(time, now_);
    };
    for (Task& task : state_.tasks) {
      const Task before = task;
      if (task.retry_at > now_ + LongestBackoff(state_.retry)) task.retry_at = now_;
      until_now(task.failing_since);
      until_now(task.unknown_since);
      for (PastFailure& past : task.past) until_now(past.time);
      if (!(task == before)) result_.changed_tasks.insert(task.plan.id);
    }
    for (auto& [name, node] : state_.nodes) {
      if (!node.reboot || node.reboot_since <= now_) continue;
      node.reboot_since = now_;
      result_.changed_nodes.insert(name);
    }
  }

  // --- What happens to nodes -------------------------------------------------------------------

  void On(const Loaded&) {
    Reindex(state_);
    ForgetTimesToCome();
    evaluation_.TouchAll();
  }

  void On(const NodeConnected& event) {
    auto found = state_.nodes.find(event.node);
    if (found == state_.nodes.end()) return;
    Node& node = found->second;
    const bool rebooted = !node.boot_id.empty() && node.boot_id != event.boot_id;
    const bool was_connected = node.connected;
    const bool was_lost = !node.lost_reason.empty();
    node.connected = true;
    node.lost_reason.clear();
    node.hosts_controller = event.hosts_controller;
    if (rebooted || !was_connected) {
      result_.notes.push_back(
          {rebooted ? "NodeRebooted" : "NodeConnected", "", event.node,
           absl::StrCat(event.node,
                        rebooted   ? " has rebooted"
                        : was_lost ? " is connected again, in the same boot: it was cut off, or "
                                     "its agent ended"
                                   : " is connected")});
    }
    node.boot_id = event.boot_id;
    if (rebooted) {
      if (node.reboot) {
        state_.operations.erase(node.reboot->operation);
        node.reboot_took = now_ - node.reboot_since;
      }
      node.reboot.reset();
      node.reboot_asked = false;
      node.reboot_ordered = false;
      node.reboot_reason.clear();
    }
    for (const int i : node.tasks) {
      Task& task = state_.tasks[i];
      task.checking.clear();
      task.awaiting_report = !task.retired && !task.operation;
      task.ended_unseen = task.operation.has_value();
      if (rebooted) {
        result_.changed_tasks.insert(task.plan.id);
        task.seen.sight = Sight::kUnseen;
        task.seen.reboot_needed = false;
        if (task.stop_failed || task.unknown_since != absl::InfiniteFuture()) task.given_up = false;
        if (task.stop_failed) task.failure.reset();  // what could not be stopped went with the boot
        task.stop_failed = false;
        task.unknown_since = absl::InfiniteFuture();
        task.lost_stamp.clear();
        if (task.retired && task.plan.running) task.alive = false;  // gone with the boot
      }
    }
    for (Task& task : state_.tasks) {
      if (task.current || task.operation || !task.seen.failure) continue;
      if (task.seen.failure->failure_class == FailureClass::kRedo) LookAgain(task);
    }
    result_.changed_nodes.insert(event.node);
    evaluation_.TouchNode(event.node);
    evaluation_.TouchBlocked();
  }

  void On(const NodeLost& event) {
    auto found = state_.nodes.find(event.node);
    if (found == state_.nodes.end()) return;
    Node& node = found->second;
    if (node.connected) {
      result_.notes.push_back(
          {"NodeLost", "", event.node, absl::StrCat(event.node, ": ", event.reason)});
    }
    node.connected = false;
    node.lost_reason = event.reason;
    for (const int i : node.tasks) {
      state_.tasks[i].checking.clear();
      state_.tasks[i].awaiting_report = false;
    }
    result_.changed_nodes.insert(event.node);
    evaluation_.TouchNode(event.node);
    evaluation_.TouchBlocked();
  }

  // --- What agents report ----------------------------------------------------------------------

  void See(Task& task, Observation observation, const std::string& stamp) {
    // A full disk stops a download before it starts; it is no reason to doubt what stands.
    if (task.plan.condition && observation.sight == Sight::kAbsent && !task.token.empty() &&
        task.seen_stamp == stamp) {
      observation.sight = Sight::kDrifted;
      observation.token = task.token;
      observation.failure.reset();
    }
    // What answers is not failed for what is under it (a chip that must be replaced): that is
    // shown, and counts once the server has died. Nothing is changed on it meanwhile
    // (BrokenUnderServer).
    if (observation.sight == Sight::kAbsent && observation.failure && task.current &&
        task.seen_stamp == stamp && IsUnderTheServer(task) && IsServing(state_)) {
      observation.sight = Sight::kDrifted;
      observation.token = task.token;
    }
    // What works is taken as found, unless an operator changed this very want: then it is replaced.
    if (observation.sight == Sight::kDrifted && !task.settled_want.empty() &&
        task.settled_want != task.plan.want) {
      observation.sight = Sight::kAbsent;
    }
    // A failed precondition that has changed is worth another look; one that has not is not.
    if (task.given_up && task.seen.failure && !(task.seen == observation)) task.given_up = false;
    // Given up for what could not be seen, it is seen again.
    if (task.unknown_since != absl::InfiniteFuture() && observation.sight != Sight::kUnknown)
      task.given_up = false;
    if (!(task.seen == observation) || task.seen_stamp != stamp) {
      result_.changed_tasks.insert(task.plan.id);
    }
    const bool was_alive = task.alive;
    const bool probe_fails = task.dependents.empty() && task.seen.sight == Sight::kPresent &&
                             observation.sight != Sight::kPresent;
    const std::string old_token = task.token;
    task.seen = observation;
    task.seen_stamp = stamp;
    task.seen_at = now_;
    switch (observation.sight) {
      case Sight::kPresent:
        if (stamp == StampOf(state_, task) && task.settled_want != task.plan.want) {
          task.settled_want = task.plan.want;
          result_.changed_tasks.insert(task.plan.id);
        }
        task.token = observation.token;
        task.alive = task.plan.running;
        break;
      case Sight::kDrifted:
        // What stands on it was made for its former token, and is as good as before.
        if (task.token.empty()) task.token = observation.token;
        task.alive = task.plan.running;
        break;
      case Sight::kAbsent:
        task.token.clear();
        task.alive = task.plan.running && !observation.token.empty();
        break;
      case Sight::kUnseen:
      case Sight::kUnknown:
        break;  // what was last known stands
    }
    if (!task.alive) task.stop_failed = false;
    if (probe_fails) LookAtWhatIsBroken();
    const bool made_for_this =
        observation.sight == Sight::kPresent && stamp == StampOf(state_, task);
    const bool is_gone = task.plan.running ? !task.alive && !task.operation : task.token.empty();
    if (made_for_this || is_gone) DropFormerNeeds(task);
    if (observation.sight != Sight::kUnknown) task.unknown_since = absl::InfiniteFuture();
    if (task.token != old_token) {
      for (const int dependent : task.dependents) evaluation_.Touch(dependent);
    }
    if (was_alive && !task.alive && !task.operation) {
      task.lost_stamp = stamp;
      // An Apply that failed has told its own cause.
      if (task.attempts == 0) task.failure = observation.cause;
      const Failure* cause = CauseOfDeath(task);
      evaluation_.Note("TaskLost", task,
                       absl::StrCat(task.plan.id, ": ", observation.reason,
                                    cause ? absl::StrCat(": ", cause->symptom) : ""));
      LookBelow(task);
      LookAtWhatIsBroken();
    }
  }

  // What was only shown while the server answered counts from now on.
  void LookAtWhatIsBroken() {
    for (int i = 0; i < static_cast<int>(state_.tasks.size()); ++i) {
      Task& task = state_.tasks[i];
      if (task.retired || task.seen.sight != Sight::kDrifted || !task.seen.failure) continue;
      LookAgain(task);
      evaluation_.Touch(i);
    }
  }

  bool IsUnderTheServer(const Task& task) const {
    return !task.plan.running &&
           !evaluation_.RunningAbove(state_.index.find(task.plan.id)->second).empty();
  }

  // What has gone may have gone with what it stood on, whose report comes a moment later; and what
  // there is something to say of (a chip with a fault code, another daemon than wanted) may be why.
  // Nothing is run again before these have been looked at afresh.
  void LookBelow(const Task& task) {
    std::set<int> seen;
    std::vector<int> stack(task.needs);
    while (!stack.empty()) {
      const int i = stack.back();
      stack.pop_back();
      if (!seen.insert(i).second) continue;
      Task& below = state_.tasks[i];
      stack.insert(stack.end(), below.needs.begin(), below.needs.end());
      if (!below.plan.running && below.seen.reason.empty()) continue;
      if (below.operation || below.retired || below.awaiting_report) continue;
      if (!state_.nodes[below.plan.node].connected) continue;
      below.awaiting_report = true;
      below.checking.clear();
      evaluation_.Touch(i);
    }
  }

  void On(const Observed& event) {
    auto found = state_.index.find(event.task);
    if (found == state_.index.end()) return;
    Task& task = state_.tasks[found->second];
    if (task.checking == event.stamp) task.checking.clear();
    const bool first_report = task.awaiting_report;
    if (task.checking.empty()) task.awaiting_report = false;
    if (task.operation) return;  // its end brings a newer one
    const Observation before = task.seen;
    const bool same_stamp = task.seen_stamp == event.stamp;
    See(task, event.observation, event.stamp);
    if (same_stamp && task.seen == before && task.current && !first_report) return;
    if (AsksForRedo(task)) {
      Failed(task, *event.observation.failure);
      // What is given up stays seen as it is: another look would find the same, and fail anew.
      if (!task.given_up) LookAgain(task);
    }
    evaluation_.Touch(found->second);
    evaluation_.TouchBlocked();
  }

  // A Check that has found what is under it at fault: an Apply would find the same, and later.
  bool AsksForRedo(const Task& task) const {
    std::string why;
    return task.seen.sight == Sight::kAbsent && task.seen.failure &&
           task.seen.failure->failure_class == FailureClass::kRedo && !task.given_up &&
           !state_.paused && !state_.cancelled && task.seen_stamp == StampOf(state_, task) &&
           evaluation_.GroundReported(task, &why);
  }

  void On(const OperationEnded& event) {
    auto found = state_.operations.find(event.operation);
    if (found == state_.operations.end()) return;  // answered before
    const int i = found->second;
    if (i < 0) {
      RebootEnded(event);
      return;
    }
    state_.operations.erase(found);
    Task& task = state_.tasks[i];
    const StartOperation operation = *std::move(task.operation);
    task.operation.reset();
    result_.changed_tasks.insert(task.plan.id);
    const bool cancelled_by_us = task.cancelling;
    task.cancelling = false;
    task.ended_at = now_;
    for (const std::string& what : event.swept) evaluation_.Note("Swept", task, what);
    using Result = OperationEnded::Result;
    switch (event.result) {
      case Result::kSucceeded:
        Succeeded(task, operation, event.observation);
        break;
      case Result::kFailed:
        if (cancelled_by_us) {
          LookAtWhatIsLeft(task, operation);
        } else {
          LookAtWhatIsLeft(task, operation);
          task.stop_failed = operation.action == Action::kStop;
          Failed(task, event.failure);
        }
        break;
      case Result::kRefused:
        task.retry_at = now_ + state_.retry.initial_backoff;
        task.stop_failed = operation.action == Action::kStop;
        evaluation_.Note("OperationRefused", task, event.failure.symptom);
        LookAtWhatIsLeft(task, operation);
        break;
      case Result::kCancelled:
      case Result::kInterrupted:
        evaluation_.Note(
            event.result == Result::kCancelled ? "OperationCancelled" : "OperationInterrupted",
            task,
            absl::StrCat(task.plan.id, event.result == Result::kCancelled ? " was cancelled"
                                                                          : " was interrupted"));
        LookAtWhatIsLeft(task, operation);
        break;
    }
    evaluation_.Touch(i);
    evaluation_.TouchBlocked();
  }

  // An Apply that did not succeed may have left something that runs, unless the node has rebooted.
  void LookAtWhatIsLeft(Task& task, const StartOperation& operation) {
    if (operation.action == Action::kApply && task.plan.running &&
        operation.boot_id == state_.nodes[task.plan.node].boot_id) {
      task.alive = true;
    }
    LookAgain(task);
  }

  // Nothing is known of it until it has been checked afresh.
  void LookAgain(Task& task) {
    task.seen.sight = Sight::kUnseen;
    task.seen_stamp.clear();
    task.checking.clear();
    result_.changed_tasks.insert(task.plan.id);
  }

  void Succeeded(Task& task, const StartOperation& operation, const Observation& observation) {
    if (operation.action == Action::kStop) {
      // Never on an exit code alone, not even an agent's.
      const bool is_unseen = observation.sight == Sight::kUnknown;
      if (is_unseen || !observation.token.empty()) {
        LookAgain(task);
        task.stop_failed = true;
        Failed(task, {.failure_class = FailureClass::kTransient,
                      .symptom = is_unseen ? absl::StrCat("whether it has ended cannot be seen: ",
                                                          observation.reason)
                                           : absl::StrCat("it still runs after its Stop: ",
                                                          observation.token),
                      .advice = "Read the operation's log (ctl rollout logs)."});
        return;
      }
      task.alive = false;  // not lost: we stopped it
      if (task.stop_failed) {
        task.failure.reset();
        task.given_up = false;
      }
      See(task, {.sight = Sight::kAbsent, .reason = "stopped"}, "");
      LookAtWhatIsBroken();
      task.attempts = 0;
      task.stop_took = now_ - task.started_at;
      evaluation_.Note("Stopped", task, absl::StrCat(task.plan.id, " is stopped"));
      return;
    }
    task.redo = false;
    task.apply_took = now_ - task.started_at;
    See(task, observation, operation.stamp);
    if (task.ended_unseen) {
      // It may have ended long ago, while its node was out of reach: nothing is done on its word.
      task.awaiting_report = !task.retired;
      task.checking.clear();
      task.ended_unseen = false;
    } else if (!task.retired) {
      // Reports do not wait for operations: what was seen at its very end may have been said
      // already, and not been listened to. Said again, it cannot be missed.
      result_.commands.push_back(
          CheckTask{task.plan.id, task.plan.node, operation.stamp, operation.inputs});
    }
    evaluation_.Note("OperationSucceeded", task,
                     observation.reboot_needed
                         ? absl::StrCat(task.plan.id, " is in effect from the next boot on")
                         : absl::StrCat(task.plan.id, " is there: ", observation.token));
  }

  void Failed(Task& task, const Failure& failure) {
    ++task.attempts;
    task.failing_since = std::min(task.failing_since, now_);
    Remember({now_, failure.failure_class, failure.signature}, task.past);
    task.failure = failure;
    RetryDecision decision = DecideRetry(CaseOf(task, failure, now_), state_.retry);
    std::vector<int> redone;
    if (decision.kind == RetryDecision::Kind::kRedo) redone = WhatIsRedone(task, decision);
    evaluation_.Note("OperationFailed", task, absl::StrCat(failure.symptom, "; ", decision.reason));
    task.retry_at = now_ + decision.after;
    switch (decision.kind) {
      case RetryDecision::Kind::kRetry:
        break;
      case RetryDecision::Kind::kRedo:
        for (const int i : redone) Redo(state_.tasks[i], failure);
        LookBelow(task);
        break;
      case RetryDecision::Kind::kReboot: {
        Node& node = state_.nodes[task.plan.node];
        node.reboot_asked = true;
        node.reboot_reason = failure.symptom;
        result_.changed_nodes.insert(node.name);
        break;
      }
      case RetryDecision::Kind::kGiveUp:
        evaluation_.GiveUp(task, failure, decision.reason);
        break;
    }
  }

  // What a kRedo does again; when that is nothing, the decision says what is done instead.
  std::vector<int> WhatIsRedone(const Task& task, RetryDecision& decision) const {
    // While a node is out of reach nobody knows what is at fault: asked again when it is back.
    std::string why;
    const std::vector<int> redone = StageUnder(task, decision.redo_stage);
    if (!evaluation_.GroundReported(task, &why)) {
      decision.kind = RetryDecision::Kind::kRetry;
      decision.reason = std::move(why);
      return {};
    }
    if (!MayBeRedoneFor(task, redone)) {
      decision.kind = RetryDecision::Kind::kRetry;
      decision.after = std::max(decision.after, state_.retry.initial_backoff);
      decision.reason = absl::StrCat("what answers is not stopped for it; again in ",
                                     absl::FormatDuration(decision.after));
      return {};
    }
    for (const int i : redone) {
      const Task& running = state_.tasks[i];
      if (!running.alive || running.redo) continue;  // that is ordered, and counted, already
      why = RefuseRecovery({.signature = task.failure->signature,
                            .start_took = running.apply_took,
                            .past = running.past,
                            .now = now_},
                           state_.retry);
      if (why.empty()) continue;
      decision.kind = RetryDecision::Kind::kGiveUp;
      decision.reason = absl::StrCat(running.plan.id, ": ", why);
      return {};
    }
    return redone;
  }

  void Redo(Task& task, const Failure& failure) {
    // A recovery of what runs, as a death of it is.
    if (task.alive && !task.redo) {
      Remember({.time = now_,
                .failure_class = failure.failure_class,
                .signature = failure.signature,
                .recovery = true},
               task.past);
    }
    task.redo = true;
    result_.changed_tasks.insert(task.plan.id);
    evaluation_.Touch(state_.index[task.plan.id]);
  }

  // The stage as it stands under `task`: on its own node when it is there, else on all.
  std::vector<int> StageUnder(const Task& task, const std::string& stage) const {
    std::vector<int> found;
    for (const bool own_node : {true, false}) {
      for (int i = 0; i < static_cast<int>(state_.tasks.size()); ++i) {
        const Task& other = state_.tasks[i];
        if (other.retired || other.plan.stage != stage) continue;
        if (!own_node || other.plan.node == task.plan.node) found.push_back(i);
      }
      if (!found.empty()) break;
    }
    return found;
  }

  // What answers is not done again for a node that has yet to join it: that tries again, and is
  // given up in the end.
  bool MayBeRedoneFor(const Task& task, const std::vector<int>& redone) const {
    const std::set<int> answers = WhatAnswers(state_);
    if (answers.count(state_.index.find(task.plan.id)->second) > 0) return true;
    return std::none_of(redone.begin(), redone.end(), [&](int i) { return answers.count(i) > 0; });
  }

  void RebootEnded(const OperationEnded& event) {
    if (event.result == OperationEnded::Result::kSucceeded ||
        event.result == OperationEnded::Result::kInterrupted) {
      return;  // NodeConnected with another boot id is what counts
    }
    state_.operations.erase(event.operation);
    for (auto& [name, node] : state_.nodes) {
      if (!node.reboot || node.reboot->operation != event.operation) continue;
      node.reboot.reset();
      node.reboot_asked = false;
      node.reboot_ordered = false;
      result_.changed_nodes.insert(name);
      result_.notes.push_back({"RebootFailed", "", name, event.failure.symptom});
      for (const int i : node.tasks) {
        Task& task = state_.tasks[i];
        if (evaluation_.EndsWithTheBoot(task)) {
          Failure failure = *task.failure;
          absl::StrAppend(&failure.symptom, "; ", event.failure.symptom);
          evaluation_.GiveUp(task, failure, "the reboot failed");
        } else if (task.seen.reboot_needed) {
          evaluation_.GiveUp(task, event.failure, "the reboot failed");
        }
      }
      evaluation_.TouchNode(name);
      evaluation_.TouchBlocked();
    }
  }

  void On(const TimePassed&) {
    while (!state_.wakes.empty() && state_.wakes.begin()->first <= now_) {
      evaluation_.Touch(state_.wakes.begin()->second);
      state_.wakes.erase(state_.wakes.begin());
    }
  }

  // --- Retired tasks ---------------------------------------------------------------------------

  void DropRetired() {
    std::vector<Task> kept;
    for (Task& task : state_.tasks) {
      const bool done = task.retired && !task.operation && !(task.plan.running && task.alive);
      if (!done) continue;
      result_.dropped_tasks.insert(task.plan.id);
      result_.changed_tasks.erase(task.plan.id);
      result_.commands.push_back(ForgetTask{task.plan.id, task.plan.node});
    }
    if (result_.dropped_tasks.empty()) return;
    for (Task& task : state_.tasks) {
      if (result_.dropped_tasks.count(task.plan.id) == 0) kept.push_back(std::move(task));
    }
    state_.tasks = std::move(kept);
    Reindex(state_);
    evaluation_.TouchAll();
    evaluation_.ConsiderReboots();  // whose times to wake went with the others
    evaluation_.Run();
  }

  State& state_;
  const absl::Time now_;
  StepResult result_;
  Evaluation evaluation_;
};

}  // namespace

StepResult Step(State& state, const Event& event) { return Stepper(state, event.time).Run(event); }

}  // namespace npufleet::core
