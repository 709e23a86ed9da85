// SPDX-License-Identifier: Apache-2.0
#include "tests/simulation/world.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "controller/store/task_row.h"
#include "tests/simulation/deployment.h"

namespace npufleet::simulation {
namespace {

constexpr char kDeployment[] = "qwen";
constexpr int64_t kMostSteps = 50'000;
// Everything that waits has ended by then: backoffs, limits of the unseen, hung verbs.
constexpr absl::Duration kPatience = absl::Minutes(40);

uint64_t RevisionOf(const std::string& operation) {
  const std::vector<std::string> parts = absl::StrSplit(operation, '/');
  uint64_t revision = 0;
  return parts.size() > 2 && absl::SimpleAtoi(parts[2], &revision) ? revision : 0;
}

}  // namespace

World::World(const Script& script, bool keep_history)
    : script_(script),
      keep_history_(keep_history),
      schedule_(script.seed),
      truth_(script.seed),
      started_(schedule_.now()) {
  const v1::Deployment deployment = MakeDeployment(script.nodes);
  for (const v1::Node& node : deployment.spec().nodes())
    truth_.machines[node.name()].name = node.name();
  agents_ = std::make_unique<Agents>(schedule_, truth_, script.seed, static_cast<Listener&>(*this));
  state_.deployment = kDeployment;
  state_.epoch = 1;
  log_.rollout = kDeployment;
  log_.epoch = state_.epoch;
  if (script.seed % 32 == 0) {
    absl::StatusOr<std::unique_ptr<store::RolloutStore>> opened =
        store::RolloutStore::Open(":memory:");
    if (opened.ok()) {
      store_ = *std::move(opened);
    } else {
      Violate(opened.status().ToString());
    }
  }
  for (const Fault& fault : script_.faults) {
    // Nobody remembers then what this node was given.
    truth_.foreign_docker_is_fine = truth_.foreign_docker_is_fine || fault.what == "delete" ||
                                    fault.target == "fewer" || fault.what == "verb-lie";
    if (fault.at_step) {
      step_faults_.push_back(fault);
    } else {
      schedule_.At(absl::Milliseconds(fault.when), [this, fault] { Do(fault); });
    }
  }
  std::stable_sort(step_faults_.begin(), step_faults_.end(),
                   [](const Fault& a, const Fault& b) { return a.when < b.when; });
  Apply(deployment);
}

void World::Say(const std::string& line) {
  if (!keep_history_) return;
  history_.push_back(
      absl::StrCat(absl::ToInt64Milliseconds(schedule_.now() - started_), " #", steps_, " ", line));
}

void World::Remark(const std::string& line) {
  Say(line);
  if (keep_history_) log_.entries.push_back(store::Remark{schedule_.now(), line});
}

void World::Violate(const std::string& what) {
  Remark(absl::StrCat("VIOLATED: ", what));
  violations_.push_back(what);
}

// --- Time --------------------------------------------------------------------------------------

bool World::Turn() {
  if (next_step_fault_ < step_faults_.size() && step_faults_[next_step_fault_].when <= steps_) {
    Do(step_faults_[next_step_fault_++]);
    return true;
  }
  const absl::Time wake = controller_up_ ? state_.NextWake() : absl::InfiniteFuture();
  if (wake < schedule_.next()) {
    schedule_.Advance(wake);
    Tell(core::TimePassed());
  } else if (schedule_.next() < absl::InfiniteFuture()) {
    schedule_.RunNext();
  } else {
    return false;
  }
  if (steps_ > kMostSteps) Violate("no end of it");
  return violations_.empty();
}

void World::RunFor(absl::Duration time) {
  const absl::Time end = schedule_.now() + time;
  while (std::min(schedule_.next(), state_.NextWake()) <= end && Turn()) {
  }
  schedule_.Advance(end);
}

bool World::RunUntilServing(absl::Duration limit) {
  const absl::Time end = schedule_.now() + limit;
  while (!IsServing() && schedule_.now() < end && Turn()) {
  }
  return IsServing() && violations_.empty();
}

void World::Run() {
  absl::Duration last = absl::ZeroDuration();
  for (const Fault& fault : script_.faults) {
    // A step has no time of its own, but a rollout and a recovery have been by then.
    last = std::max(
        last, fault.at_step ? absl::Seconds(100) : absl::Milliseconds(fault.when + fault.amount));
  }
  RunFor(last + absl::Seconds(45));
  agents_->Disarm();
  step_faults_.clear();
  crash_at_commit_.clear();
  if (!violations_.empty()) return;
  CheckPeace();
}

// --- The loop of the controller ------------------------------------------------------------------

void World::Tell(decltype(core::Event::what) what) {
  if (controller_up_) Step({schedule_.now(), std::move(what)});
}

void World::Connected(const std::string& node, const std::string& boot_id) {
  if (controller_up_) {
    for (auto told = told_.begin(); told != told_.end();)
      told = NodeOf(told->first) == node ? told_.erase(told) : std::next(told);
    for (auto& [task, below] : to_look_at_) {
      for (auto at = below.begin(); at != below.end();)
        at = NodeOf(at->first) == node ? below.erase(at) : std::next(at);
    }
  }
  Tell(core::NodeConnected{node, boot_id, node == "node-0"});
}
void World::Lost(const std::string& node, const std::string& reason) {
  Tell(core::NodeLost{node, reason});
}
void World::Seen(const core::Observed& seen, bool held) {
  if (keep_history_)
    Say(absl::StrCat("seen ", seen.task, " ", static_cast<int>(seen.observation.sight), " ",
                     seen.observation.token, " ", seen.observation.reason));
  const core::Task* task = state_.Find(seen.task);
  // While an operation is under way, its end is what counts.
  if (controller_up_ && task != nullptr && !task->operation) {
    Mourn(seen);
    told_[seen.task] = {held, steps_, seen.observation.reason};
  }
  last_sight_[seen.task] = seen.observation.sight;
  Tell(seen);
}
void World::Ended(const core::OperationEnded& ended, bool held) {
  auto found = state_.operations.find(ended.operation);
  if (controller_up_ && found != state_.operations.end() && found->second >= 0) {
    const std::string& task = state_.tasks[found->second].plan.id;
    told_[task] = {held, steps_, ended.observation.reason};
    to_look_at_.erase(task);
  }
  Tell(ended);
}

void World::Step(core::Event event) {
  ++steps_;
  const absl::Time time = event.time;
  knew_it_answers_ = core::IsServing(state_);
  const core::StepResult result = core::Step(state_, event);
  if (keep_history_) {
    log_.entries.push_back(store::LoggedEvent{event, result.commands});
    for (const core::Note& note : result.notes)
      Say(absl::StrCat(note.kind, " ", note.task, note.task.empty() ? note.node : "", " ",
                       note.message));
  }
  const bool crash = !crash_at_commit_.empty() && !result.changed_tasks.empty();
  if (crash && crash_at_commit_ == "before") return ControllerDies(crash_lasts_, false);
  Commit(result, time);
  if (crash) return ControllerDies(crash_lasts_);
  CheckAfterStep();
  const uint64_t life = life_;
  for (const core::Command& command : result.commands) {
    if (life_ == life) Perform(command);
  }
}

void World::Commit(const core::StepResult& result, absl::Time time) {
  if (state_.serving_since == time) revisions_[state_.revision].served = true;
  if (store_ != nullptr) {
    absl::Status committed = store_->Commit(state_, result, time, nullptr);
    if (!committed.ok()) Violate(committed.ToString());
    return;
  }
  for (const std::string& id : result.changed_tasks) {
    const core::Task* task = state_.Find(id);
    if (task != nullptr) stored_tasks_[id] = *task;
  }
  for (const std::string& id : result.dropped_tasks) stored_tasks_.erase(id);
  for (const std::string& name : result.changed_nodes) stored_nodes_[name] = state_.nodes.at(name);
  if (result.rollout_changed) {
    stored_rollout_.revision = state_.revision;
    stored_rollout_.paused = state_.paused;
    stored_rollout_.cancelled = state_.cancelled;
    stored_rollout_.retry = state_.retry;
    stored_rollout_.started_at = state_.started_at;
    stored_rollout_.serving_since = state_.serving_since;
  }
}

Plan World::PlanOf(const std::string& task, uint64_t revision) const {
  for (auto at = revisions_.rbegin(); at != revisions_.rend(); ++at) {
    if (at->first > revision) continue;
    auto found = at->second.plans.find(task);
    if (found != at->second.plans.end()) return found->second;
  }
  return nullptr;
}

void World::Perform(const core::Command& command, bool again) {
  if (const auto* check = std::get_if<core::CheckTask>(&command)) {
    agents_->Check(check->node, PlanOf(check->task, state_.revision), check->stamp);
  } else if (const auto* start = std::get_if<core::StartOperation>(&command)) {
    if (!again) CheckStart(*start);
    agents_->Run(*start,
                 start->task.empty() ? nullptr : PlanOf(start->task, RevisionOf(start->operation)));
  } else if (const auto* cancel = std::get_if<core::CancelOperation>(&command)) {
    agents_->Cancel(cancel->node, cancel->operation);
  } else if (const auto* forget = std::get_if<core::ForgetTask>(&command)) {
    agents_->Forget(forget->node, forget->task);
  }
}

void World::Apply(const v1::Deployment& deployment) {
  const Revision& newest = revisions_[state_.revision];
  const bool unchanged = !newest.graph.tasks.empty() &&
                         newest.deployment.SerializeAsString() == deployment.SerializeAsString();
  const uint64_t revision = state_.revision + (unchanged ? 0 : 1);
  Revision& made = revisions_[revision];
  made = {.deployment = deployment, .graph = stages::PlanOf(deployment, revision).graph};
  for (const core::TaskPlan& plan : made.graph.tasks)
    made.plans[plan.id] = std::make_shared<const core::TaskPlan>(plan);
  excused_ = excused_ || !unchanged;
  Tell(core::SpecApplied{made.graph});
  for (const v1::Node& node : deployment.spec().nodes()) {
    if (controller_up_ && agents_->IsConnected(node.name()) &&
        !state_.nodes.at(node.name()).connected) {
      Connected(node.name(), agents_->BootId(node.name()));
    }
  }
}

void World::Delete() {
  Revision& made = revisions_[state_.revision + 1];
  made = {.deployment = revisions_.at(state_.revision).deployment};
  made.graph.revision = state_.revision + 1;
  excused_ = true;
  Tell(core::SpecApplied{made.graph});
}

// --- Death and return ----------------------------------------------------------------------------

void World::PowerLost(absl::Duration off) { ControllerDies(off + absl::Seconds(1)); }

void World::RestartController(absl::Duration down) { ControllerDies(down); }

void World::ControllerDies(absl::Duration down, bool committed) {
  Remark("the controller dies");
  crash_at_commit_.clear();
  if (controller_up_) memory_is_stored_ = committed;
  controller_up_ = false;
  const uint64_t life = ++life_;
  told_.clear();
  to_look_at_.clear();
  agents_->ControllerGone();
  schedule_.At(down, [this, life] {
    if (life_ == life) ControllerStarts();
  });
}

// A task as it comes back.
core::Task World::Stored(const core::Task& task) {
  // Through text, which took half of the time of all seeds, in one of four.
  if (script_.seed % 4 != 0) return Durable(task);
  absl::StatusOr<core::Task> read = store::TaskFromJson(store::TaskToJson(task));
  if (!read.ok()) Violate(read.status().ToString());
  return read.ok() ? *std::move(read) : Durable(task);
}

core::State World::Load() {
  core::State loaded;
  if (store_ != nullptr) {
    absl::StatusOr<std::vector<core::State>> all = store_->LoadAll(state_.epoch);
    if (all.ok() && all->size() == 1) return std::move(all->front());
    Violate(absl::StrCat("the store has no rollout: ", all.status().ToString()));
    return loaded;
  }
  loaded = stored_rollout_;
  loaded.deployment = kDeployment;
  loaded.epoch = state_.epoch;
  for (const auto& [id, stored] : stored_tasks_) loaded.tasks.push_back(Stored(stored));
  for (const auto& [name, stored] : stored_nodes_) {
    absl::StatusOr<core::Node> node = store::NodeFromJson(store::NodeToJson(stored));
    if (node.ok()) loaded.nodes[name] = *std::move(node);
  }
  return loaded;
}

void World::ControllerStarts() {
  Remark("the controller starts");
  core::State loaded = Load();
  if (store_ == nullptr) {
    // The store keeps positions; here they are those of the graph, and retired tasks are last.
    std::map<std::string, size_t> order;
    for (const core::TaskPlan& plan : revisions_[loaded.revision].graph.tasks)
      order.emplace(plan.id, order.size());
    const auto rank = [&](const core::Task& task) {
      auto found = order.find(task.plan.id);
      return found == order.end() ? order.size() : found->second;
    };
    std::stable_sort(loaded.tasks.begin(), loaded.tasks.end(),
                     [&](const core::Task& a, const core::Task& b) { return rank(a) < rank(b); });
  }
  if (memory_is_stored_) CompareWithStore(loaded);
  state_ = std::move(loaded);
  core::Reindex(state_);
  if (keep_history_) log_.entries.push_back(store::Snapshot{schedule_.now(), state_});
  controller_up_ = true;
  if (state_.revision == 0) Apply(MakeDeployment(script_.nodes));
  Tell(core::Loaded());
  for (const core::Command& command : core::Outstanding(state_)) Perform(command, /*again=*/true);
  agents_->ControllerBack();
}

}  // namespace npufleet::simulation
