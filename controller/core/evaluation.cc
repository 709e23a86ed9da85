// SPDX-License-Identifier: Apache-2.0
#include "controller/core/evaluation.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "absl/strings/str_cat.h"
#include "controller/core/retry_policy.h"

namespace npufleet::core {
namespace {

// A node that was told to reboot and is not back by then needs a person.
constexpr absl::Duration kRebootBudget = absl::Minutes(20);

bool IsThere(Sight sight) { return sight == Sight::kPresent || sight == Sight::kDrifted; }

std::map<std::string, std::string> InputsOf(const State& state, const Task& task) {
  std::map<std::string, std::string> inputs;
  for (const int need : task.needs) {
    inputs[state.tasks[need].plan.id] = state.tasks[need].token;
  }
  return inputs;
}

std::string OperationId(const State& state, std::string_view subject, uint64_t number) {
  return absl::StrCat(state.epoch, "/", state.deployment, "/", state.revision, "/",
                      std::string(subject), "/", number);
}

}  // namespace

void Evaluation::TouchAll() {
  for (int i = 0; i < static_cast<int>(state_.tasks.size()); ++i) Touch(i);
}

void Evaluation::TouchNode(const std::string& node) {
  auto found = state_.nodes.find(node);
  if (found == state_.nodes.end()) return;
  for (const int i : found->second.tasks) Touch(i);
}

void Evaluation::TouchBlocked() {
  for (const int i : state_.blocked) Touch(i);
}

void Evaluation::Note(std::string_view kind, const Task& task, std::string_view message) {
  result_.notes.push_back({std::string(kind), task.plan.id, task.plan.node, std::string(message)});
}

void Evaluation::Run() {
  while (true) {
    if (dirty_.empty()) {
      // What is blocked waits for others along no edge of the graph: it is looked at once more
      // whenever one of those has moved, also one that comes later in the graph.
      if (!moved_) return;
      moved_ = false;
      TouchBlocked();
      continue;
    }
    const int i = *dirty_.begin();
    dirty_.erase(dirty_.begin());
    Task& task = state_.tasks[i];
    const bool was_current = task.current;
    const bool was_awaited = task.awaiting_report;
    const auto kept = [&task] {
      return std::make_tuple(task.attempts, task.failure.has_value(), task.given_up, task.retry_at,
                             task.unknown_since, task.past.size(), task.settled_want.size(),
                             task.lost_stamp.size());
    };
    const auto before = kept();
    state_.blocked.erase(i);
    task.awaits_lock = false;
    if (task.retired) {
      EvaluateRetired(i);
    } else {
      Evaluate(i);
    }
    if (kept() != before) result_.changed_tasks.insert(task.plan.id);
    if (task.current != was_current) state_.not_current += task.current ? -1 : 1;
    moved_ = moved_ || task.current != was_current || task.awaiting_report != was_awaited;
    if (task.current != was_current) {
      for (const int dependent : task.dependents) Touch(dependent);
    }
  }
}

bool Evaluation::DependenciesCurrent(const Task& task, const Task** missing) const {
  for (const int need : task.needs) {
    if (!state_.tasks[need].current) {
      *missing = &state_.tasks[need];
      return false;
    }
  }
  return true;
}

void Evaluation::Evaluate(int i) {
  Task& task = state_.tasks[i];
  const Task* missing = nullptr;
  const bool ready = DependenciesCurrent(task, &missing);
  const std::string stamp = StampOf(state_, task);
  const bool seen_here = !stamp.empty() && task.seen_stamp == stamp;
  if (task.given_up && task.given_up_stamp != stamp) {
    task.given_up = false;
    task.attempts = 0;
    task.failing_since = absl::InfiniteFuture();
  }
  task.current = ready && seen_here && IsThere(task.seen.sight) && !task.redo && !task.operation;
  if (task.current) {
    // What cannot be stopped is there all the same, and no reason to try that for ever.
    if (!task.stop_failed) {
      task.attempts = 0;
      task.failing_since = absl::InfiniteFuture();
      task.failure.reset();
      task.given_up = false;
      task.retry_at = absl::InfinitePast();
    }
    task.lost_stamp.clear();
    task.unknown_since = absl::InfiniteFuture();
    task.reason = task.seen.reason;
  }

  const Node& node = state_.nodes[task.plan.node];
  if (!node.connected) {
    if (!task.current) {
      task.reason = node.lost_reason.empty() ? absl::StrCat(node.name, " has not been reached yet")
                                             : absl::StrCat(node.name, ": ", node.lost_reason);
    }
    return;
  }
  // Looking disturbs nobody: whatever could be checked on a node that came back is checked at once,
  // all of it in parallel.
  if (task.awaiting_report && task.checking.empty() && !task.operation) {
    if (!stamp.empty()) {
      CheckNow(task, stamp);
    } else if (!task.seen_stamp.empty() &&
               (task.alive || (task.dependents.empty() && task.seen.sight == Sight::kPresent))) {
      // A server of a former revision and its probe: whether it still answers matters.
      CheckNow(task, task.seen_stamp);
    } else {
      // It can be asked only when what it needs is there: until then nothing of before counts.
      task.awaiting_report = false;
      task.seen_stamp.clear();
      result_.changed_tasks.insert(task.plan.id);
    }
  }
  if (task.current) return;
  if (task.operation) {
    task.reason = task.operation->action == Action::kStop ? "stopping" : "under way";
    return;
  }
  if (task.stop_failed && task.given_up) {
    task.reason = CannotBeStopped(task);
    return;
  }
  if (!ready) {
    task.reason = absl::StrCat("waiting: ", missing->plan.id);
    return;
  }
  if (!seen_here || task.seen.sight == Sight::kUnseen) {
    task.reason = "checking";
    if (task.checking != stamp) CheckNow(task, stamp);
    return;
  }
  if (task.given_up) {
    task.reason = WhatWasGivenUp(task);
    return;
  }
  if (task.seen.sight == Sight::kUnknown) {
    WaitOutUnknown(task);
    return;
  }
  ConsiderApply(i);
}

void Evaluation::CheckNow(Task& task, const std::string& stamp) {
  task.checking = stamp;
  result_.commands.push_back(
      CheckTask{task.plan.id, task.plan.node, stamp, InputsOf(state_, task)});
}

void Evaluation::WaitOutUnknown(Task& task) {
  if (task.unknown_since == absl::InfiniteFuture()) task.unknown_since = now_;
  const absl::Time limit = task.unknown_since + task.plan.unknown_limit;
  if (now_ >= limit) {
    GiveUp(task,
           {.failure_class = FailureClass::kNeedsOperator,
            .symptom =
                absl::StrCat("could not be seen for ",
                             absl::FormatDuration(task.plan.unknown_limit), ": ", task.seen.reason),
            .advice = absl::StrCat("Look at ", task.plan.node, "; then: ctl rollout retry ",
                                   state_.deployment)},
           "its limit for that has passed");
    return;
  }
  task.reason = absl::StrCat("cannot see: ", task.seen.reason);
  Wake(limit, state_.index[task.plan.id]);
}

void Evaluation::GiveUp(Task& task, const Failure& failure, std::string_view why) {
  task.failure = failure;
  task.given_up = true;
  task.given_up_stamp = StampOf(state_, task);
  task.given_up_why = std::string(why);
  result_.changed_tasks.insert(task.plan.id);
  task.reason = WhatWasGivenUp(task);
  Note("TaskGaveUp", task, task.reason);
}

std::string Evaluation::WhatWasGivenUp(const Task& task) {
  return absl::StrCat(task.failure ? task.failure->symptom : task.seen.reason, " (given up",
                      task.given_up_why.empty() ? "" : ": ", task.given_up_why, ")");
}

bool Evaluation::ReachableAndReported(const std::string& name, std::string* why) const {
  const Node& node = state_.nodes.at(name);
  if (!node.connected) {
    *why = absl::StrCat("waiting: ", name, " is not reachable");
    return false;
  }
  for (const int i : node.tasks) {
    if (state_.tasks[i].awaiting_report) {
      *why = absl::StrCat("waiting: the state of ", name, " is being read");
      return false;
    }
  }
  return true;
}

bool Evaluation::GroundReported(const Task& task, std::string* why) const {
  if (!ReachableAndReported(task.plan.node, why)) return false;
  for (const int need : task.needs) {
    const Task& below = state_.tasks[need];
    if (below.plan.running ? !GroundReported(below, why)
                           : !ReachableAndReported(below.plan.node, why)) {
      return false;
    }
  }
  return true;
}

void Evaluation::Block(int i, std::string reason) {
  state_.tasks[i].reason = std::move(reason);
  state_.blocked.insert(i);
}

void Evaluation::ConsiderApply(int i) {
  Task& task = state_.tasks[i];
  if (state_.paused) return Block(i, "paused");
  if (state_.cancelled) return Block(i, "cancelled");
  if (task.seen.failure && task.seen.sight == Sight::kAbsent &&
      task.seen.failure->failure_class != FailureClass::kRedo) {
    return GiveUp(task, *task.seen.failure, "running it again cannot help");
  }
  Node& node = state_.nodes[task.plan.node];
  if (task.seen.reboot_needed || node.reboot || node.reboot_asked) {
    Block(i, AwaitedReboot(node));
    ConsiderReboot(node);
    return;
  }
  if (const Node* under = task.plan.running ? NodeUnderThatReboots(i) : nullptr)
    return Block(i, AwaitedReboot(*under));
  if (task.retry_at > now_) {
    task.reason =
        absl::StrCat(task.failure ? task.failure->symptom : task.seen.reason, "; again in ",
                     absl::FormatDuration(absl::Ceil(task.retry_at - now_, absl::Seconds(1))));
    Wake(task.retry_at, i);
    return;
  }
  std::string why;
  if (!GroundReported(task, &why)) return Block(i, why);
  for (const Task& other : state_.tasks) {
    // It disturbs nobody, and a stop may wait for it.
    if (task.plan.prepares || task.plan.condition) break;
    // What is on a node that does not answer may never be stopped, and is waited for by nobody.
    if (other.retired && other.plan.running && state_.nodes[other.plan.node].connected) {
      return Block(
          i, absl::StrCat("waiting: ", other.plan.id, " of the former revision is stopped first"));
    }
  }
  // What is starting reads what it stands on: weights that are replaced under it would be loaded in
  // part. What has started has done so.
  for (const int above : task.dependents) {
    const Task& starting = state_.tasks[above];
    if (starting.operation && starting.operation->action == Action::kApply)
      return Block(i, absl::StrCat("waiting: ", starting.plan.id, " is being started on it"));
  }
  if (task.plan.disturbs && !ClearAbove(i)) return;
  if (!AcquireLocks(task)) {
    state_.blocked.insert(i);
    return;
  }
  if (MayRecover(task, StampOf(state_, task))) Start(task, Action::kApply);
}

const Node* Evaluation::NodeUnderThatReboots(int i) const {
  std::set<int> seen;
  std::vector<int> stack = {i};
  while (!stack.empty()) {
    const Task& task = state_.tasks[stack.back()];
    stack.pop_back();
    const Node& node = state_.nodes.at(task.plan.node);
    if (task.plan.running && (node.reboot || node.reboot_asked)) return &node;
    for (const int need : task.needs) {
      if (seen.insert(need).second) stack.push_back(need);
    }
  }
  return nullptr;
}

bool Evaluation::MayRecover(Task& task, const std::string& stamp) {
  // What went with what it stood on, with its node or by our hand is no sign against it.
  if (task.lost_stamp.empty() || task.lost_stamp != stamp || task.redo) return true;
  const Failure* cause = CauseOfDeath(task);
  const std::string why =
      RefuseRecovery({.signature = cause ? cause->signature : std::string_view(),
                      .start_took = task.apply_took,
                      .past = task.past,
                      .now = now_},
                     state_.retry);
  if (!why.empty()) {
    Failure failure =
        cause ? *cause
              : Failure{.failure_class = FailureClass::kNeedsOperator,
                        .symptom = task.seen.reason,
                        .advice = absl::StrCat(
                            "See why it dies (ctl rollout logs); then: ctl rollout retry ",
                            state_.deployment)};
    failure.symptom = absl::StrCat(why, ": ", failure.symptom);
    GiveUp(task, failure, "starting it again does not help");
    return false;
  }
  Remember({.time = now_,
            .failure_class = cause ? cause->failure_class : FailureClass::kTransient,
            .signature = cause ? cause->signature : "",
            .recovery = true},
           task.past);
  task.lost_stamp.clear();
  return true;
}

void Evaluation::Forgive(Task& task) {
  task.given_up = false;
  task.attempts = 0;
  task.failing_since = absl::InfiniteFuture();
  task.stop_failed = false;
  task.past.clear();
  task.retry_at = absl::InfinitePast();
  task.unknown_since = absl::InfiniteFuture();
}

std::vector<int> Evaluation::RunningAbove(int i) const {
  std::vector<int> found;
  std::set<int> seen;
  std::vector<int> stack = {i};
  while (!stack.empty()) {
    const Task& task = state_.tasks[stack.back()];
    stack.pop_back();
    for (const std::vector<int>* above : {&task.dependents, &task.former_dependents}) {
      for (const int j : *above) {
        if (!StandsOn(state_.tasks[j], task) || !seen.insert(j).second) continue;
        if (state_.tasks[j].plan.running) found.push_back(j);
        // A condition stands on nothing: it is asked, and once met it stays so.
        if (!state_.tasks[j].plan.condition) stack.push_back(j);
      }
    }
  }
  return found;
}

bool Evaluation::ClearAbove(int i) {
  Task& task = state_.tasks[i];
  std::vector<int> standing;
  for (const int j : RunningAbove(i)) {
    const Task& other = state_.tasks[j];
    if (other.alive || other.operation) standing.push_back(j);
  }
  const bool disturbs_itself = task.plan.running && task.alive;
  if (standing.empty() && !disturbs_itself) return true;
  const Task* unprepared = nullptr;
  const bool reboots = state_.nodes[task.plan.node].reboot_asked;  // prepares wait for that
  if (!reboots && IsServing(state_) && !PreparesDone(&unprepared)) {
    Block(i, absl::StrCat("waiting: ", unprepared->plan.id,
                          " first, while the service still answers"));
    return false;
  }
  if (!reboots && IsServing(state_)) {
    if (const Task* unseen = NotLookedAt()) {
      Block(i, absl::StrCat("waiting: ", unseen->plan.id,
                            " is looked at first, while the service still answers"));
      return false;
    }
    if (const Task* broken = BrokenUnderServer()) {
      Block(i, absl::StrCat("waiting: ", broken->plan.id, " (", WhyOf(*broken).symptom,
                            "); what answers is left alone, as it might not come up again"));
      return false;
    }
  }
  if (standing.empty()) return true;
  for (const int j : standing) {
    Task& other = state_.tasks[j];
    if (other.retired) continue;  // has its own turn, and its own order
    if (other.operation) {
      if (other.operation->action == Action::kApply) Cancel(other);
      continue;
    }
    bool top = true;
    for (const int above : RunningAbove(j)) {
      top = top && !state_.tasks[above].alive && !state_.tasks[above].operation;
    }
    const Node& node = state_.nodes[other.plan.node];
    if (node.reboot) top = false;  // it ends with the boot
    std::string why;
    if (top && ReachableAndReported(node.name, &why) && StopIsDue(other)) {
      Start(other, Action::kStop);
    } else if (top && other.retry_at > now_) {
      Wake(other.retry_at, i);
    }
  }
  const Task& first = state_.tasks[standing.front()];
  Block(i, absl::StrCat("waiting: ", first.plan.id, " is stopped first",
                        first.stop_failed && first.failure
                            ? absl::StrCat(" (", first.failure->symptom, ")")
                            : ""));
  return false;
}

const Task* Evaluation::NotLookedAt() const {
  const Task* missing = nullptr;
  for (const Task& task : state_.tasks) {
    if (task.retired || task.current || task.operation || !DependenciesCurrent(task, &missing))
      continue;
    const bool given_up = task.given_up && task.given_up_stamp == StampOf(state_, task);
    const bool seen = task.seen_stamp == StampOf(state_, task) &&
                      task.seen.sight != Sight::kUnseen && task.seen.sight != Sight::kUnknown;
    if (!seen && !given_up) return &task;
  }
  return nullptr;
}

const Task* Evaluation::BrokenUnderServer() const {
  const Task* missing = nullptr;
  for (const Task& task : state_.tasks) {
    // What stands on something that is to change cannot be looked at: it may be mended, or be by
    // that.
    if (task.retired || task.operation || !DependenciesCurrent(task, &missing)) continue;
    const bool drifted = task.current && task.seen.sight == Sight::kDrifted && task.seen.failure;
    if (drifted || (!task.current && CannotBeDone(task))) return &task;
  }
  return nullptr;
}

bool Evaluation::CannotBeDone(const Task& task) const {
  const std::string stamp = StampOf(state_, task);
  if (task.given_up && task.given_up_stamp == stamp && task.failure) return true;
  return task.seen_stamp == stamp && task.seen.sight == Sight::kAbsent && task.seen.failure &&
         task.seen.failure->failure_class != FailureClass::kRedo;
}

const Failure& Evaluation::WhyOf(const Task& broken) {
  return broken.given_up && broken.failure ? *broken.failure : *broken.seen.failure;
}

std::string Evaluation::CannotBeStopped(const Task& task) {
  return absl::StrCat("cannot be stopped: ", WhatWasGivenUp(task));
}

std::string Evaluation::AwaitedReboot(const Node& node) const {
  const bool serves = !node.reboot && !node.reboot_ordered && HoldsWhatAnswers(node);
  return absl::StrCat(
      "waiting: reboot of ", node.name,
      serves
          ? absl::StrCat(", not while it serves (when it suits: ctl node reboot ", node.name, ")")
          : "");
}

bool Evaluation::HoldsWhatAnswers(const Node& node) const {
  const std::set<int> answers = WhatAnswers(state_);
  return std::any_of(node.tasks.begin(), node.tasks.end(),
                     [&](int i) { return state_.tasks[i].alive && answers.count(i) > 0; });
}

bool Evaluation::StopIsDue(const Task& task) const {
  return !task.stop_failed || (task.retry_at <= now_ && !task.given_up);
}

bool Evaluation::EndsWithTheBoot(const Task& task) const {
  return task.alive && !task.operation && task.stop_failed && task.failure &&
         (task.given_up || task.failure->failure_class == FailureClass::kReboot);
}

bool Evaluation::PreparesDone(const Task** missing) const {
  // What stands on something disturbing that is itself still to be done cannot be prepared now.
  std::vector<bool> behind(state_.tasks.size(), false);
  for (int i = 0; i < static_cast<int>(state_.tasks.size()); ++i) {
    const Task& task = state_.tasks[i];
    if (task.retired) continue;
    for (const int need : task.needs) {
      if (behind[need] || (state_.tasks[need].plan.disturbs && !state_.tasks[need].current)) {
        behind[i] = true;
      }
    }
    if (task.plan.prepares && !task.current && !behind[i]) {
      *missing = &task;
      return false;
    }
  }
  return true;
}

bool Evaluation::AcquireLocks(Task& task) {
  const Node& node = state_.nodes[task.plan.node];
  for (const Lock& lock : task.plan.locks) {
    for (const int j : node.tasks) {
      const Task& other = state_.tasks[j];
      if (&other == &task || (!other.operation && !other.awaits_lock)) continue;
      for (const Lock& held : other.plan.locks) {
        if (held.name != lock.name || (!held.exclusive && !lock.exclusive)) continue;
        // Two exclusives that both only wait: the earlier task goes first.
        if (!other.operation && lock.exclusive && state_.index[task.plan.id] < j) continue;
        task.awaits_lock = lock.exclusive;
        task.reason =
            absl::StrCat("waiting: ", lock.name, " on ", node.name, " is held by ", other.plan.id);
        return false;
      }
    }
  }
  return true;
}

void Evaluation::Start(Task& task, Action action) {
  ++task.operations;
  StartOperation operation;
  operation.operation = OperationId(state_, task.plan.id, task.operations);
  operation.task = task.plan.id;
  operation.node = task.plan.node;
  operation.action = action;
  operation.stamp = StampOf(state_, task);
  operation.inputs = InputsOf(state_, task);
  operation.boot_id = state_.nodes[task.plan.node].boot_id;
  operation.redo = task.redo && action == Action::kApply;
  if (action == Action::kApply) {
    task.applied_want = task.plan.want;
    task.new_needs.clear();  // it is about to be made on them
  }
  Note(action == Action::kStop ? "StopStarted" : "OperationStarted", task,
       action == Action::kStop ? absl::StrCat("stopping ", task.plan.id)
       : task.redo             ? absl::StrCat("running ", task.plan.id, " again")
                               : task.seen.reason);
  task.reason = action == Action::kStop ? "stopping" : "under way";
  task.started_at = now_;
  task.ended_at = absl::InfinitePast();
  task.last_operation = operation.operation;
  if (task.current) ++state_.not_current;
  task.current = false;
  state_.operations[operation.operation] = state_.index[task.plan.id];
  task.operation = operation;
  task.ended_unseen = false;
  task.cancelling = false;
  result_.commands.push_back(std::move(operation));
  result_.changed_tasks.insert(task.plan.id);
  for (const int dependent : task.dependents) Touch(dependent);
}

void Evaluation::Cancel(Task& task) {
  if (!task.operation || task.cancelling) return;
  task.cancelling = true;
  result_.commands.push_back(CancelOperation{task.operation->operation, task.plan.node});
  result_.changed_tasks.insert(task.plan.id);
}

bool Evaluation::NodeIsQuiet(const Node& node, std::string* busy) const {
  for (const int i : node.tasks) {
    const Task& task = state_.tasks[i];
    // A download goes on after the reboot; an installer must not be cut.
    if (task.operation && !task.plan.interruptible) {
      *busy = task.plan.id;
      return false;
    }
  }
  return true;
}

void Evaluation::ConsiderReboots() {
  if (state_.paused || state_.cancelled) return;
  for (auto& [name, node] : state_.nodes) {
    if (node.reboot) ForgetLateReboot(node);
    if (node.reboot_asked && !node.tasks.empty()) ConsiderReboot(node);
  }
}

void Evaluation::ForgetLateReboot(Node& node) {
  const absl::Time limit = node.reboot_since + kRebootBudget;
  if (now_ < limit) {
    if (!state_.tasks.empty()) Wake(limit, 0);
    return;
  }
  state_.operations.erase(node.reboot->operation);
  node.reboot.reset();
  result_.notes.push_back(
      {"RebootOverdue", "", node.name,
       absl::StrCat(node.name, " was told to reboot ", absl::FormatDuration(kRebootBudget),
                    " ago and is not back from it: look at its console")});
  result_.changed_nodes.insert(node.name);
  TouchBlocked();
  TouchNode(node.name);
}

bool Evaluation::ConsiderReboot(Node& node) {
  if (node.reboot) return false;
  std::string why;
  if (!ReachableAndReported(node.name, &why) || !NodeIsQuiet(node, &why)) return false;
  // Nothing but an operator ends what answers.
  if (!node.reboot_ordered && HoldsWhatAnswers(node)) return false;
  for (const auto& [name, other] : state_.nodes) {
    if (&other == &node) continue;
    bool other_wants = other.reboot.has_value();
    if (node.hosts_controller) {
      for (const int i : other.tasks) {
        const Task& task = state_.tasks[i];
        // An install that is under way may be in effect from the next boot on.
        const bool installs = task.operation && task.plan.disturbs && !task.plan.running;
        other_wants = other_wants || task.seen.reboot_needed || (installs && other.connected);
      }
    }
    if (other_wants) return false;  // one at a time, and the controller's own node last
  }
  bool standing = false;
  for (const int i : node.tasks) {
    Task& task = state_.tasks[i];
    if (!task.plan.running || (!task.alive && !task.operation)) continue;
    const std::vector<int> above = RunningAbove(i);
    const auto ends_with_the_boot = [this](int j) { return EndsWithTheBoot(state_.tasks[j]); };
    if (EndsWithTheBoot(task) || std::any_of(above.begin(), above.end(), ends_with_the_boot))
      continue;
    if (ClearAbove(i) && !task.operation) {
      if (StopIsDue(task)) {
        Start(task, Action::kStop);
      } else if (task.retry_at > now_) {
        Wake(task.retry_at, i);
      }
    }
    standing = true;
  }
  if (standing) return false;
  ++node.reboots;
  StartOperation operation;
  operation.operation = OperationId(state_, absl::StrCat("reboot@", node.name), node.reboots);
  operation.node = node.name;
  operation.action = Action::kReboot;
  operation.boot_id = node.boot_id;
  node.reboot = operation;
  node.reboot_since = now_;
  state_.operations[operation.operation] = -1;
  result_.notes.push_back(
      {"RebootStarted", "", node.name,
       absl::StrCat("rebooting ", node.name, ": ",
                    node.reboot_reason.empty()
                        ? "what was installed is in effect from the next boot on"
                        : node.reboot_reason)});
  result_.changed_nodes.insert(node.name);
  result_.commands.push_back(std::move(operation));
  return true;
}

void Evaluation::EvaluateRetired(int i) {
  Task& task = state_.tasks[i];
  const Node& node = state_.nodes[task.plan.node];
  // On a node that does not answer it may never be stopped, and is waited for by nobody.
  task.current = !node.connected;
  if (task.operation) {
    // Half an installer is worse than either end.
    const bool is_start = task.operation->action == Action::kApply;
    if (is_start && task.plan.interruptible) Cancel(task);
    return;
  }
  if (!task.plan.running || !task.alive) return;  // dropped by Step
  std::string why;
  if (!node.connected || state_.paused || state_.cancelled)
    return Block(i, "waiting to be stopped");
  if (node.reboot) return Block(i, AwaitedReboot(node));
  if (EndsWithTheBoot(task)) {
    return Block(i, task.given_up ? CannotBeStopped(task) : AwaitedReboot(node));
  }
  if (task.retry_at > now_) return Wake(task.retry_at, i);
  if (!ClearAbove(i)) return;
  Start(task, Action::kStop);
}

}  // namespace npufleet::core
