// SPDX-License-Identifier: Apache-2.0
//
// What must hold, after every step and at the end.
#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "controller/store/task_row.h"
#include "tests/simulation/world.h"

namespace npufleet::simulation {
namespace {

using core::Action;
using core::Phase;
using core::Sight;

// What changed so lately need not be known to the controller yet: messages may be eight seconds
// late, and an agent looks at everything every six.
constexpr absl::Duration kNews = absl::Seconds(20);
constexpr absl::Duration kPatience = absl::Minutes(40);

core::Node Durable(core::Node node) {
  node.connected = false;
  node.lost_reason.clear();
  node.tasks.clear();
  return node;
}

// That it was looked at and found the same is no event.
bool SameButSeenAt(core::Task a, const core::Task& b) {
  a.seen_at = b.seen_at;
  return a == b;
}

}  // namespace

core::Task Durable(core::Task task) {
  task.checking.clear();
  task.awaiting_report = false;
  task.ended_unseen = false;
  task.current = false;
  task.awaits_lock = false;
  task.reason.clear();
  task.needs.clear();
  task.dependents.clear();
  task.former_dependents.clear();
  return task;
}

void World::CompareWithStore(const core::State& loaded) {
  if (loaded.tasks.size() != state_.tasks.size())
    return Violate(absl::StrCat("stored are ", loaded.tasks.size(), " tasks, in memory ",
                                state_.tasks.size()));
  for (const core::Task& task : loaded.tasks) {
    const core::Task* in_memory = state_.Find(task.plan.id);
    if (in_memory == nullptr || !SameButSeenAt(Durable(task), Durable(*in_memory))) {
      Violate(absl::StrCat("stored ", store::TaskToJson(task), " in memory ",
                           in_memory == nullptr ? "nothing" : store::TaskToJson(*in_memory)));
    }
  }
  for (const auto& [name, node] : state_.nodes) {
    auto found = loaded.nodes.find(name);
    const core::Node stored = found == loaded.nodes.end() ? core::Node{} : Durable(found->second);
    if (found == loaded.nodes.end() && node.boot_id.empty()) continue;  // never reached
    if (!(stored == Durable(node)))
      Violate(absl::StrCat("stored ", store::NodeToJson(stored), " in memory ",
                           store::NodeToJson(node)));
  }
  if (loaded.revision != state_.revision || loaded.paused != state_.paused ||
      loaded.cancelled != state_.cancelled || loaded.serving_since != state_.serving_since ||
      loaded.started_at != state_.started_at || !(loaded.retry == state_.retry)) {
    Violate("the rollout's row is not what is in memory");
  }
}

void World::CheckStart(const core::StartOperation& start) {
  Say(absl::StrCat("start ", start.operation, start.action == Action::kStop ? " stop" : ""));
  if (state_.paused || state_.cancelled)
    Violate(absl::StrCat(start.operation, " was started while paused or cancelled"));
  const auto& node = state_.nodes.at(start.node);
  const core::Task* task = state_.Find(start.task);
  // What may be cut by a reboot may be decided on in one step with it.
  const bool with_it = task != nullptr && task->plan.interruptible && !task->plan.running &&
                       node.reboot_since == schedule_.now();
  if (start.action != Action::kReboot && node.reboot && !with_it)
    Violate(absl::StrCat(start.operation, " was started on a node that was told to reboot"));
  const bool disturbs = start.action != Action::kApply || (task != nullptr && task->plan.disturbs);
  // What left with a former revision is stopped when its node is back, and takes nothing with it.
  const bool has_left = task != nullptr && task->retired;
  if (disturbs && !has_left && !excused_ && truth_.Answers()) {
    Violate(
        absl::StrCat(start.operation, " disturbs what serves, and nothing was lost or asked for"));
  }
  const bool takes_down = start.action == Action::kStop ||
                          (start.action == Action::kApply && task != nullptr && task->alive);
  if (takes_down && !has_left && knew_it_answers_ && truth_.Answers()) CheckItCanBeDone(start);
  if (start.action == Action::kReboot) {
    for (const auto& [name, node] : state_.nodes) {
      if (name != start.node && node.reboot)
        Violate(absl::StrCat(start.node, " is rebooted while ", name, " is"));
    }
  } else if (start.action == Action::kApply && task != nullptr) {
    CheckApply(start, *task);
  }
}

// What answers is not taken down for a change of which something is known to be impossible.
void World::CheckItCanBeDone(const core::StartOperation& start) {
  for (const auto& [name, node] : state_.nodes) {
    if (node.reboot_asked || node.reboot) return;  // ends it whatever comes after
  }
  for (const core::Task& task : state_.tasks) {
    if (task.retired || task.plan.id == start.task || task.operation || !task.seen.failure)
      continue;
    const bool is_known = task.seen.sight == Sight::kAbsent &&
                          task.seen.failure->failure_class != core::FailureClass::kRedo &&
                          task.seen_stamp == core::StampOf(state_, task);
    // What stands on something that is to change may be mended by that.
    const bool is_settled = std::all_of(task.needs.begin(), task.needs.end(),
                                        [&](int need) { return state_.tasks[need].current; });
    if (is_known && is_settled)
      Violate(absl::StrCat(start.operation, " takes down what answers, and ", task.plan.id,
                           " cannot be: ", task.seen.failure->symptom));
  }
}

// What died by itself, as the core is told now.
void World::Mourn(const core::Observed& seen) {
  const core::Task* task = state_.Find(seen.task);
  auto last = last_sight_.find(seen.task);
  const Plan plan = PlanOf(seen.task, state_.revision);
  if (plan == nullptr || !plan->running || last == last_sight_.end()) return;
  if (last->second != Sight::kPresent || seen.observation.sight != Sight::kAbsent) return;
  if (!task->alive || !seen.observation.token.empty()) return;
  std::vector<std::string> stack = plan->needs;
  while (!stack.empty()) {
    const std::string id = stack.back();
    stack.pop_back();
    const core::Task* below = state_.Find(id);
    auto told = told_.find(id);
    if (below == nullptr) continue;
    stack.insert(stack.end(), below->plan.needs.begin(), below->plan.needs.end());
    if (told == told_.end() || told->second.reason.empty() || below->operation) continue;
    if (agents_->IsConnected(below->plan.node)) to_look_at_[seen.task][id] = steps_;
  }
}

// All that it stands on is truly there, as far as a controller can know: what it was told of it
// last was true when it was looked at, and it is not long that it is otherwise.
void World::CheckBelow(const core::StartOperation& start, const core::Task& task) {
  const absl::Time now = schedule_.now();
  std::set<std::string> below;
  std::vector<std::string> stack = task.plan.needs;
  while (!stack.empty()) {
    const std::string id = stack.back();
    stack.pop_back();
    const Plan plan = PlanOf(id, state_.revision);
    if (plan == nullptr || !below.insert(id).second) continue;
    stack.insert(stack.end(), plan->needs.begin(), plan->needs.end());
    auto told = told_.find(id);
    if (told == told_.end()) {
      Violate(absl::StrCat(start.task, " was started, and ", id,
                           " was not looked at since its node came back"));
      continue;
    }
    std::string why;
    if (truth_.Holds(*plan, now, &why)) continue;
    // What has lost its ground looks as before; the ground is judged itself.
    const bool has_ground =
        std::all_of(plan->needs.begin(), plan->needs.end(), [&](const std::string& need) {
          const Plan ground = PlanOf(need, state_.revision);
          return ground == nullptr || truth_.Holds(*ground, now);
        });
    if (!has_ground) continue;
    // A broken chip is only shown while the server answers, and neither who asks again disturbs
    // anybody nor what a node that is added starts.
    const bool disturbs_nobody =
        (!task.plan.running && !task.plan.disturbs) || (knew_it_answers_ && !task.alive);
    if (plan->stage == "npu" && disturbs_nobody) continue;
    const bool is_late = now - agents_->LastHeld(id) > kNews && !agents_->IsLooking(id);
    if (!told->second.held || is_late)
      Violate(absl::StrCat(start.task, " was started though ", why));
  }
  auto died = to_look_at_.find(start.task);
  if (died == to_look_at_.end()) return;
  for (const auto& [id, since] : died->second) {
    auto told = told_.find(id);
    if (below.count(id) > 0 && (told == told_.end() || told->second.step <= since))
      Violate(absl::StrCat(start.task, " died and was started, and ", id,
                           " was not looked at in between"));
  }
  to_look_at_.erase(died);
}

void World::CheckApply(const core::StartOperation& start, const core::Task& task) {
  const absl::Time now = schedule_.now();
  if (last_sight_[start.task] == Sight::kUnknown && task.seen.sight == Sight::kUnknown)
    Violate(absl::StrCat(start.operation, " was started though it is unknown what is there"));
  for (const std::string& need : task.plan.needs) {
    const core::Task* below = state_.Find(need);
    if (below == nullptr || !below->current)
      Violate(absl::StrCat(start.task, " was started before ", need, " is current"));
    const Machine& machine = truth_.machines.at(NodeOf(need));
    auto broken = machine.broken.find(need);
    const bool is_there = machine.things.count(need) > 0;
    if (IsRunning(StageOf(need)) && !is_there &&
        (broken == machine.broken.end() || now - broken->second > kNews)) {
      Violate(absl::StrCat(start.task, " was started on ", need, ", which is long gone"));
    }
  }
  CheckBelow(start, task);
  const Machine& machine = truth_.machines.at(start.node);
  auto thing = machine.things.find(start.task);
  if (start.redo || !machine.up || thing == machine.things.end() ||
      now - thing->second.since < kNews) {
    return;
  }
  const core::Observation seen = truth_.Look(task.plan, start.stamp, now);
  if (seen.sight == Sight::kPresent)
    Violate(absl::StrCat(start.operation, " was started though it is there: ", seen.token));
}

void World::CheckAfterStep() {
  if (!excused_ || state_.not_current > 0 || state_.tasks.empty()) return;
  for (const auto& [name, node] : state_.nodes) {
    if (node.reboot || node.reboot_asked) return;
  }
  std::string why;
  if (truth_.Serves(graph(), schedule_.now(), &why)) excused_ = false;
}

void World::CheckPeace() {
  // Left alone it serves, or stands still for a reason that is told.
  const auto stands_still = [this] {
    if (!controller_up_) return false;
    const Phase phase = core::PhaseOf(state_);
    bool reboot_waits = false;  // for an operator, because something answers
    for (const auto& [name, node] : state_.nodes)
      reboot_waits = reboot_waits || (node.reboot_asked && !node.reboot);
    return (phase == Phase::kWaiting && reboot_waits && truth_.Answers()) ||
           phase == Phase::kServing || phase == Phase::kFailed || phase == Phase::kPaused ||
           phase == Phase::kCancelled || phase == Phase::kDeleted;
  };
  const absl::Time patience = schedule_.now() + kPatience;
  while (!stands_still() && schedule_.now() < patience && Turn()) {
  }
  if (!violations_.empty()) return;
  if (!stands_still())
    return Violate(absl::StrCat("neither serves nor says why not: ", core::ReasonOf(state_)));
  if (core::PhaseOf(state_) == Phase::kFailed && core::ReasonOf(state_).empty())
    return Violate("failed without a reason");
  // An operator then gets it going, once what was begun before a pause has failed or not.
  const absl::Time late = schedule_.now() + absl::Minutes(20);
  while (!IsServing() && !state_.operations.empty() && schedule_.now() < late && Turn()) {
  }
  if (!IsServing()) {
    Remark("peace");
    excused_ = true;
    if (graph().tasks.empty()) Apply(v1::Deployment(revisions_.at(state_.revision).deployment));
    std::vector<std::string> awaited;  // as `status` says: when it suits, ctl node reboot
    for (const auto& [name, node] : state_.nodes) {
      if (node.reboot_asked) awaited.push_back(name);
    }
    Tell(core::ResumeRequested());
    Tell(core::RetryRequested());
    for (const std::string& name : awaited) Tell(core::RebootRequested{name});
    if (!RunUntilServing(kPatience)) {
      if (violations_.empty())
        Violate(absl::StrCat("does not come to serve: ", core::ReasonOf(state_)));
      return;
    }
  }
  // It is still, it stays so over a restart of the controller, and it is true.
  RunFor(absl::Seconds(60));
  if (!violations_.empty()) return;
  const int before = accepted();
  if (!RunUntilServing(kPatience)) return Violate("did not go on serving");
  RestartController(absl::Seconds(1));
  RunFor(absl::Seconds(25));
  if (!violations_.empty()) return;
  std::string why;
  if (!IsServing()) {
    Violate(absl::StrCat("a restart of the controller ended serving: ", core::ReasonOf(state_)));
  } else if (!truth_.Serves(graph(), schedule_.now(), &why)) {
    Violate(absl::StrCat("it only thinks that it serves: ", why));
  } else if (accepted() != before) {
    Violate("something was run though nothing was lost");
  }
}

}  // namespace npufleet::simulation
