// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/world.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "controller/store/task_row.h"
#include "tests/simulation/deployment.h"

namespace npufleet::simulation {

using core::Sight;
using Result = core::OperationEnded::Result;

World::World(uint64_t seed, int nodes, Faults faults) : random_(seed), faults_(faults) {
  state_.deployment = "qwen";
  state_.epoch = 1;
  deployment_ = MakeDeployment(nodes);
  for (const v1::Node& node : deployment_.spec().nodes()) machines_[node.name()].name = node.name();
  Apply(deployment_);
  for (auto& [name, machine] : machines_) {
    At(absl::Milliseconds(Pick(500)), [this, &machine] { FindNode(machine); });
  }
}

void World::Apply(const v1::Deployment& deployment) {
  deployment_ = deployment;
  const uint64_t revision = state_.revision + 1;
  plan_ = stages::PlanOf(deployment_, revision);
  asked_for_change_ = true;
  Tell({now_, core::SpecApplied{plan_.graph}});
}

std::string World::BootId(const Machine& machine) const {
  return absl::StrCat(machine.name, "-boot-", machine.boot);
}

const core::TaskPlan* World::PlanOfTask(const std::string& task) const {
  const core::Task* found = state_.Find(task);
  return found == nullptr ? nullptr : &found->plan;
}

void World::At(absl::Duration after, std::function<void()> what) {
  due_.push({now_ + after, order_++, std::move(what)});
}

bool World::Turn() {
  const absl::Time wake = state_.NextWake();
  if (due_.empty() && wake == absl::InfiniteFuture()) return false;
  if (due_.empty() || wake < due_.top().at) {
    now_ = std::max(now_, wake);
    Tell({now_, core::TimePassed()});
    return true;
  }
  Due next = due_.top();
  due_.pop();
  const absl::Duration passed = next.at - now_;
  now_ = next.at;
  if (faults_.enabled &&
      Chance() < faults_.per_second * std::min(1.0, absl::ToDoubleSeconds(passed) + 0.01)) {
    Misfortune();
  }
  next.what();
  if (faults_.enabled && Chance() < faults_.crash) RestartController();
  if (faults_.enabled && Chance() < faults_.operators) Operator();
  return true;
}

void World::Tell(core::Event event) {
  const core::StepResult result = core::Step(state_, event);
  for (const core::Note& note : result.notes) {
    history_.push_back(absl::StrCat(absl::FormatTime("%M:%E3S", now_, absl::UTCTimeZone()), " ",
                                    note.kind, " ", note.task, note.node, " ", note.message));
  }
  // The commit: exactly what the step named as changed.
  for (const std::string& id : result.changed_tasks) {
    if (const core::Task* task = state_.Find(id)) {
      task_rows_[id] = store::TaskToJson(*task);
      positions_[id] = state_.index.at(id);
    }
  }
  for (const std::string& id : result.dropped_tasks) {
    task_rows_.erase(id);
    positions_.erase(id);
  }
  for (const std::string& name : result.changed_nodes)
    node_rows_[name] = store::NodeToJson(state_.nodes[name]);
  if (result.rollout_changed) {
    rollout_row_.revision = state_.revision;
    rollout_row_.paused = state_.paused;
    rollout_row_.cancelled = state_.cancelled;
    rollout_row_.retry = state_.retry;
    rollout_row_.started_at = state_.started_at;
    rollout_row_.serving_since = state_.serving_since;
  }
  for (const core::Command& command : result.commands) Perform(command);
}

void World::Perform(const core::Command& command) {
  if (const auto* check = std::get_if<core::CheckTask>(&command)) {
    Machine& machine = machines_[check->node];
    const uint64_t connection = machine.epoch_of_connection;
    At(absl::Milliseconds(1 + Pick(200)), [this, &machine, check = *check, connection] {
      if (machine.connected && machine.epoch_of_connection == connection) {
        Report(machine, check.task, check.stamp);
      }
    });
  } else if (const auto* start = std::get_if<core::StartOperation>(&command)) {
    CheckStart(*start);
    Machine& machine = machines_[start->node];
    const uint64_t life = controller_life_;
    At(absl::Milliseconds(1 + Pick(50)), [this, &machine, start = *start, life] {
      if (life == controller_life_ && machine.connected && IsUp(machine)) Begin(machine, start);
    });
  } else if (const auto* cancel = std::get_if<core::CancelOperation>(&command)) {
    Machine& machine = machines_[cancel->node];
    At(absl::Milliseconds(1 + Pick(50)), [this, &machine, id = cancel->operation] {
      auto found = machine.journal.find(id);
      if (found == machine.journal.end() || found->second.ended || !IsUp(machine)) return;
      found->second.ended = true;
      found->second.result.operation = id;
      found->second.result.result = Result::kCancelled;
      if (machine.connected) Tell({now_, found->second.result});
    });
  }
}

// What the agent does with a StartOperation, once or again.
void World::Begin(Machine& machine, const core::StartOperation& start) {
  auto known = machine.journal.find(start.operation);
  if (known != machine.journal.end()) {
    if (!(known->second.start == start))
      Violate(absl::StrCat("another body for ", start.operation));
    if (known->second.ended) Tell({now_, known->second.result});
    return;
  }
  if (start.boot_id != BootId(machine)) {
    core::OperationEnded refused;
    refused.operation = start.operation;
    refused.result = Result::kRefused;
    refused.failure.symptom = "another boot";
    Tell({now_, refused});
    return;
  }
  ++operations_started_;
  Job job;
  job.start = start;
  job.boot = machine.boot;
  machine.journal[start.operation] = job;
  if (start.action == core::Action::kReboot) {
    At(absl::Milliseconds(100), [this, &machine, boot = machine.boot] {
      if (machine.boot == boot && machine.up) Reboot(machine);
    });
    return;
  }
  const bool slow = absl::StartsWith(start.task, "model") || absl::StartsWith(start.task, "serve");
  At(absl::Milliseconds(100 + Pick(slow ? 60'000 : 5'000)),
     [this, &machine, id = start.operation] { End(machine, id); });
}

void World::End(Machine& machine, const std::string& operation) {
  Job& job = machine.journal[operation];
  if (job.ended || job.boot != machine.boot || !machine.up) return;
  job.ended = true;
  job.result.operation = operation;
  const std::string& id = job.start.task;
  const core::TaskPlan* plan = PlanOfTask(id);
  if (job.start.action == core::Action::kStop) {
    Kill(id);
    job.result.result = Result::kSucceeded;
    job.result.observation = {.sight = Sight::kAbsent, .reason = "stopped"};
  } else if (faults_.enabled && Chance() < faults_.operation) {
    job.result.result = Result::kFailed;
    job.result.failure.failure_class = absl::StartsWith(id, "serve") && Chance() < 0.5
                                           ? core::FailureClass::kRedo
                                           : core::FailureClass::kTransient;
    job.result.failure.redo_stage = "ray-head";
    job.result.failure.symptom = "bad luck";
  } else {
    bool ground = true;  // nothing can be started on what is not there
    if (plan != nullptr && plan->running) {
      for (const std::string& need : plan->needs) {
        const core::TaskPlan* below = PlanOfTask(need);
        ground = ground && (below == nullptr || !below->running || Alive(need));
      }
    }
    if (!ground) {
      job.result.result = Result::kFailed;
      job.result.failure.failure_class = core::FailureClass::kTransient;
      job.result.failure.symptom = "what it stands on is gone";
    } else if (plan != nullptr && plan->stage != "probe") {
      if (plan->disturbs) {
        Kill(id);
        // What an installer takes down with it.
        for (auto& [task, other] : state_.index) {
          const core::TaskPlan* above = PlanOfTask(task);
          if (plan->running || above->node != plan->node || !above->running) continue;
          if (Alive(task)) Violate(absl::StrCat(id, " took down ", task));
        }
      }
      machine.things[id] = {absl::StrCat("t", ++tokens_), job.start.stamp, plan->want,
                            machine.boot};
      if (!plan->running) machine.things[id].token = absl::StrCat("v", plan->want.substr(0, 8));
      job.result.result = Result::kSucceeded;
      job.result.observation = Look(machine, id, job.start.stamp);
    } else {
      job.result.result = Result::kSucceeded;
      job.result.observation = Look(machine, id, job.start.stamp);
      if (job.result.observation.sight != Sight::kPresent) {
        job.result.result = Result::kFailed;
        job.result.failure.failure_class = core::FailureClass::kRedo;
        job.result.failure.redo_stage = "serve";
        job.result.failure.symptom = "no tokens";
      }
    }
  }
  if (machine.connected) Tell({now_, job.result});
}

core::Observation World::Look(const Machine& machine, const std::string& task,
                              const std::string& stamp) const {
  const core::TaskPlan* plan = PlanOfTask(task);
  if (plan == nullptr) return {.sight = Sight::kAbsent, .reason = "nobody wants it"};
  if (plan->stage == "preflight") return {.sight = Sight::kPresent, .token = "os"};
  if (plan->stage == "probe") {
    if (Serving()) return {.sight = Sight::kPresent, .token = "tokens"};
    return {.sight = Sight::kAbsent, .reason = "no tokens"};
  }
  auto found = machine.things.find(task);
  if (plan->stage == "npu" || plan->stage == "fabric") {
    return {.sight = Sight::kPresent, .token = "chips"};
  }
  if (found == machine.things.end()) return {.sight = Sight::kAbsent, .reason = "not there"};
  const Thing& thing = found->second;
  if (plan->running) {
    if (thing.stamp == stamp) return {.sight = Sight::kPresent, .token = thing.token};
    return {.sight = Sight::kAbsent, .token = thing.token, .reason = "made for another want"};
  }
  if (thing.want != plan->want) return {.sight = Sight::kAbsent, .reason = "another version"};
  if (plan->stage == "driver" && thing.boot == machine.boot) {
    return {.sight = Sight::kAbsent, .reason = "installed", .reboot_needed = true};
  }
  return {.sight = Sight::kPresent, .token = thing.token};
}

void World::Report(Machine& machine, const std::string& task, const std::string& stamp) {
  Tell({now_, core::Observed{task, stamp, Look(machine, task, stamp)}});
}

bool World::Alive(const std::string& task) const {
  const core::TaskPlan* plan = PlanOfTask(task);
  if (plan == nullptr) return false;
  const Machine& machine = machines_.at(plan->node);
  return machine.up && machine.things.count(task) > 0;
}

void World::Kill(const std::string& task) {
  const core::Task* found = state_.Find(task);
  if (found == nullptr) return;
  machines_[found->plan.node].things.erase(task);
  if (!found->plan.running) return;
  for (const int dependent : found->dependents) {
    const core::TaskPlan& plan = state_.tasks[dependent].plan;
    if (plan.running && Alive(plan.id)) Kill(plan.id);
  }
}

bool World::Serving() const {
  for (const core::Task& task : state_.tasks) {
    if (task.plan.running && !Alive(task.plan.id)) return false;
  }
  return true;
}

void World::LoseNode(Machine& machine) {
  if (!machine.connected) return;
  machine.connected = false;
  ++machine.epoch_of_connection;
  Tell({now_, core::NodeLost{machine.name, "gone"}});
}

void World::FindNode(Machine& machine) {
  if (machine.connected || !IsUp(machine)) return;
  machine.connected = true;
  ++machine.epoch_of_connection;
  Tell({now_, core::NodeConnected{machine.name, BootId(machine), machine.name == "node-0"}});
  // The client asks again for each operation that it has no end of.
  std::vector<core::StartOperation> outstanding;
  for (const core::Task& task : state_.tasks) {
    if (task.operation && task.operation->node == machine.name)
      outstanding.push_back(*task.operation);
  }
  const core::Node& node = state_.nodes[machine.name];
  if (node.reboot) outstanding.push_back(*node.reboot);
  for (const core::StartOperation& start : outstanding) {
    auto known = machine.journal.find(start.operation);
    if (known != machine.journal.end() && !known->second.ended &&
        known->second.boot != machine.boot) {
      known->second.ended = true;
      known->second.result.operation = start.operation;
      known->second.result.result = Result::kInterrupted;
    }
    Begin(machine, start);
  }
}

void World::Reboot(Machine& machine) {
  machine.up = false;
  for (const core::Task& task : state_.tasks) {
    if (task.plan.running && task.plan.node == machine.name && Alive(task.plan.id))
      Kill(task.plan.id);
  }
  std::set<std::string> gone;
  for (const auto& [task, thing] : machine.things) {
    const core::Task* found = state_.Find(task);
    if (found == nullptr || found->plan.running) gone.insert(task);
  }
  for (const std::string& task : gone) Kill(task);
  At(absl::Milliseconds(Pick(3000)), [this, &machine] { LoseNode(machine); });
  At(absl::Seconds(5 + Pick(20)), [this, &machine] {
    if (machine.up) return;
    LoseNode(machine);
    ++machine.boot;
    machine.up = true;
    FindNode(machine);
  });
}

void World::Misfortune() {
  asked_for_change_ = true;
  auto victim = std::next(machines_.begin(), Pick(static_cast<int>(machines_.size())));
  Machine& machine = victim->second;
  const int kind = Pick(4);
  if (kind == 0 && machine.up) {
    history_.push_back(absl::StrCat("!! power cut ", machine.name));
    Reboot(machine);
  } else if (kind == 1 && machine.cable) {
    history_.push_back(absl::StrCat("!! cable ", machine.name));
    machine.cable = false;
    At(absl::Milliseconds(Pick(2000)), [this, &machine] { LoseNode(machine); });
    At(absl::Seconds(2 + Pick(30)), [this, &machine] {
      machine.cable = true;
      LoseNode(machine);
      FindNode(machine);
    });
  } else if (!state_.tasks.empty()) {
    const core::Task& task = state_.tasks[Pick(static_cast<int>(state_.tasks.size()))];
    if (!task.plan.running || !Alive(task.plan.id)) return;
    history_.push_back(absl::StrCat("!! killed ", task.plan.id));
    std::map<std::string, bool> alive;
    for (const core::Task& other : state_.tasks) alive[other.plan.id] = Alive(other.plan.id);
    Kill(task.plan.id);
    for (const core::Task& other : state_.tasks) {
      if (!alive[other.plan.id] || Alive(other.plan.id)) continue;
      Machine& where = machines_[other.plan.node];
      At(absl::Milliseconds(Pick(1000)),
         [this, &where, id = other.plan.id, stamp = other.seen_stamp] {
           if (where.connected && IsUp(where)) Report(where, id, stamp);
         });
    }
  }
}

void World::Operator() {
  asked_for_change_ = true;
  switch (Pick(6)) {
    case 0: {
      static constexpr const char* kStages[] = {"container", "serve", "ray-head", "docker",
                                                "image"};
      const std::string stage = kStages[Pick(5)];
      history_.push_back(absl::StrCat("!! restart ", stage));
      Tell({now_, core::RestartRequested{stage, ""}});
      break;
    }
    case 1:
      history_.push_back("!! pause");
      Tell({now_, core::PauseRequested()});
      At(absl::Seconds(Pick(60)), [this] { Tell({now_, core::ResumeRequested()}); });
      break;
    case 2: {
      v1::Deployment changed = deployment_;
      const int kind = Pick(4);
      if (kind == 0)
        changed.mutable_spec()->mutable_image()->set_name(absl::StrCat("vllm:", ++tokens_));
      if (kind == 1)
        changed.mutable_spec()->mutable_engine()->set_block_size(static_cast<uint32_t>(++tokens_));
      if (kind == 2) changed.mutable_spec()->mutable_driver()->set_version(absl::StrCat(++tokens_));
      if (kind == 3)
        changed.mutable_spec()->mutable_model()->set_path(absl::StrCat("/data/", ++tokens_));
      history_.push_back(absl::StrCat("!! spec ", kind));
      Apply(changed);
      break;
    }
    case 3:
      history_.push_back("!! retry");
      Tell({now_, core::RetryRequested()});
      break;
    case 4:
      history_.push_back("!! cancel");
      Tell({now_, core::CancelRequested()});
      At(absl::Seconds(Pick(60)), [this] { Tell({now_, core::ResumeRequested()}); });
      break;
    case 5: {
      auto victim = std::next(machines_.begin(), Pick(static_cast<int>(machines_.size())));
      history_.push_back(absl::StrCat("!! reboot ", victim->first));
      Tell({now_, core::RebootRequested{victim->first}});
      break;
    }
  }
}

void World::StopFaults() {
  faults_.enabled = false;
  asked_for_change_ = true;
  Tell({now_, core::ResumeRequested()});
  Tell({now_, core::RetryRequested()});
}

void World::RestartController() {
  ++controller_life_;
  core::State loaded;
  loaded.deployment = state_.deployment;
  loaded.epoch = state_.epoch;
  loaded.revision = rollout_row_.revision;
  loaded.paused = rollout_row_.paused;
  loaded.cancelled = rollout_row_.cancelled;
  loaded.retry = rollout_row_.retry;
  loaded.started_at = rollout_row_.started_at;
  loaded.serving_since = rollout_row_.serving_since;
  std::vector<std::pair<int, std::string>> order;
  for (const core::Task& task : state_.tasks)
    order.emplace_back(state_.index.at(task.plan.id), task.plan.id);
  std::sort(order.begin(), order.end());
  for (const auto& [position, id] : order) {
    auto row = task_rows_.find(id);
    if (row == task_rows_.end()) {
      Violate(absl::StrCat(id, " was never stored"));
      continue;
    }
    absl::StatusOr<core::Task> task = store::TaskFromJson(row->second);
    // Stored state is the state in memory, but for when it was last looked at.
    core::Task in_memory = *state_.Find(id);
    in_memory.seen_at = task->seen_at;
    if (store::TaskToJson(in_memory) != row->second) {
      Violate(absl::StrCat("stored ", row->second, " but is ", store::TaskToJson(in_memory)));
    }
    loaded.tasks.push_back(*std::move(task));
  }
  for (const auto& [name, row] : node_rows_) loaded.nodes[name] = *store::NodeFromJson(row);
  state_ = std::move(loaded);
  core::Reindex(state_);
  for (auto& [name, machine] : machines_) {
    machine.connected = false;
    ++machine.epoch_of_connection;
  }
  Tell({now_, core::Loaded()});
  for (auto& [name, machine] : machines_) {
    At(absl::Milliseconds(Pick(500)), [this, &machine] { FindNode(machine); });
  }
}

void World::Violate(std::string what) {
  violations_.push_back(
      absl::StrCat(absl::FormatTime("%M:%E3S", now_, absl::UTCTimeZone()), " ", what));
}

void World::CheckStart(const core::StartOperation& start) {
  if (start.action == core::Action::kReboot) return;
  const core::TaskPlan& plan = *PlanOfTask(start.task);
  if (state_.paused || state_.cancelled)
    Violate(absl::StrCat(start.operation, " started while paused"));
  for (const core::Task& other : state_.tasks) {
    if (!other.operation || other.plan.id == start.task || other.plan.node != plan.node) continue;
    if (start.action == core::Action::kStop || other.operation->action == core::Action::kStop)
      continue;
    for (const core::Lock& mine : plan.locks) {
      for (const core::Lock& held : other.plan.locks) {
        if (mine.name == held.name && (mine.exclusive || held.exclusive)) {
          Violate(absl::StrCat(start.operation, " against the lock ", mine.name, " of ",
                               other.plan.id));
        }
      }
    }
  }
  if (start.action == core::Action::kApply) {
    for (const std::string& need : plan.needs) {
      const core::Task* below = state_.Find(need);
      if (below != nullptr && !below->current) Violate(absl::StrCat(start.task, " before ", need));
    }
  }
  if (!asked_for_change_ && Serving()) {
    Violate(absl::StrCat(start.operation, " though everything served and nobody asked"));
  }
  if (core::PhaseOf(state_) == core::Phase::kServing) asked_for_change_ = false;
}

}  // namespace npufleet::simulation
