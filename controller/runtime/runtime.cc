// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/runtime.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "controller/runtime/wire.h"
#include "controller/stages/plan.h"

namespace npufleet::runtime {
namespace {

constexpr absl::Duration kInventoryPeriod = absl::Seconds(15);
constexpr absl::Duration kInventoryDeadline = absl::Seconds(12);

// What a stage does to others, its locks and limits are this version's word, whatever version has
// stored the task; what is wanted and on what it stands is the revision's.
void TakeEffectsOfThisVersion(const v1::Deployment& deployment, core::State& state) {
  for (const core::TaskPlan& plan : stages::PlanOf(deployment, state.revision).graph.tasks) {
    auto found = state.index.find(plan.id);
    if (found == state.index.end() || state.tasks[found->second].retired) continue;
    core::TaskPlan& stored = state.tasks[found->second].plan;
    const core::TaskPlan former = std::exchange(stored, plan);
    stored.needs = former.needs;
    stored.want = former.want;
  }
}

}  // namespace

Runtime::Runtime(RuntimeOptions options) : options_(std::move(options)) {}

Runtime::~Runtime() {
  // Clients first: they post into the mailbox.
  std::map<std::string, Agent> agents;
  {
    absl::MutexLock lock(&mutex_);
    agents.swap(agents_);
  }
  {
    absl::MutexLock lock(&mailbox_mutex_);
    stopping_ = true;
    mailbox_changed_.SignalAll();
  }
  if (inventories_.joinable()) inventories_.join();
  agents.clear();
  if (loop_.joinable()) loop_.join();
}

absl::Status Runtime::Start() {
  ASSIGN_OR_RETURN(epoch_, options_.nodes->Epoch());
  RETURN_IF_ERROR(LoadRollouts());
  ASSIGN_OR_RETURN(const std::vector<store::Node> nodes, options_.nodes->ListNodes());
  std::vector<std::string> names;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [name, rollout] : rollouts_) names.push_back(name);
  }
  for (const std::string& name : names) {
    Post([this, name] { return Handle(name, {options_.clock->Now(), core::Loaded()}); });
  }
  for (const store::Node& node : nodes) Connect(node.name, node.address);
  loop_ = std::thread([this] { Run(); });
  inventories_ = std::thread([this] { ReadInventories(); });
  return absl::OkStatus();
}

absl::Status Runtime::LoadRollouts() {
  ASSIGN_OR_RETURN(std::vector<core::State> states, options_.store->LoadAll(epoch_));
  absl::MutexLock lock(&mutex_);
  for (core::State& state : states) {
    Rollout rollout;
    core::Reindex(state);
    if (state.revision > 0) {
      ASSIGN_OR_RETURN(rollout.details.deployment,
                       options_.store->LoadRevision(state.deployment, state.revision));
      // What a retired task is stopped with stands in a former revision.
      for (uint64_t revision = state.revision; revision > 0; --revision) {
        absl::StatusOr<v1::Deployment> deployment =
            options_.store->LoadRevision(state.deployment, revision);
        if (!deployment.ok()) continue;
        rollout.verbs.merge(stages::PlanOf(*deployment, revision).verbs);
        const bool all = std::all_of(
            state.tasks.begin(), state.tasks.end(),
            [&](const core::Task& task) { return rollout.verbs.count(task.plan.id) > 0; });
        if (all) break;
      }
    }
    rollout.state = std::move(state);
    TakeEffectsOfThisVersion(rollout.details.deployment, rollout.state);
    const std::string name = rollout.state.deployment;
    rollouts_.emplace(name, std::move(rollout));
  }
  return absl::OkStatus();
}

// --- Mailbox -----------------------------------------------------------------------------------

void Runtime::Post(Item item) {
  absl::MutexLock lock(&mailbox_mutex_);
  mailbox_.push_back(std::move(item));
  mailbox_changed_.Signal();
}

absl::Status Runtime::Call(Item item) {
  RETURN_IF_ERROR(Ready());
  struct Answer {
    absl::Mutex mutex;
    bool begun = false;
    bool abandoned = false;  // nobody waits any more, and what `item` refers to is gone
    absl::Notification done;
    absl::Status status;
  };
  auto answer = std::make_shared<Answer>();
  {
    absl::MutexLock lock(&mailbox_mutex_);
    if (stopping_) return absl::UnavailableError("the controller is stopping");
    mailbox_.push_back([item = std::move(item), answer] {
      {
        absl::MutexLock answer_lock(&answer->mutex);
        if (answer->abandoned) return absl::OkStatus();
        answer->begun = true;
      }
      answer->status = item();
      answer->done.Notify();
      return absl::OkStatus();
    });
    mailbox_changed_.Signal();
  }
  if (!answer->done.WaitForNotificationWithTimeout(absl::Seconds(30))) {
    absl::MutexLock answer_lock(&answer->mutex);
    if (!answer->begun) {
      answer->abandoned = true;
      return absl::UnavailableError("the controller is busy or cannot write its store");
    }
  }
  answer->done.WaitForNotification();
  return answer->status;
}

void Runtime::Run() {
  while (true) {
    absl::Time wake = absl::InfiniteFuture();
    std::string due;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& [name, rollout] : rollouts_) {
        if (rollout.state.NextWake() < wake) {
          wake = rollout.state.NextWake();
          due = name;
        }
      }
    }
    Item item;
    std::optional<std::deque<Item>> left;
    {
      absl::MutexLock lock(&mailbox_mutex_);
      while (mailbox_.empty() && !stopping_ && options_.clock->Now() < wake) {
        mailbox_changed_.WaitWithTimeout(&mailbox_mutex_, wake - options_.clock->Now());
      }
      if (stopping_) {
        left = std::exchange(mailbox_, {});
      } else if (!mailbox_.empty()) {
        item = std::move(mailbox_.front());
        mailbox_.pop_front();
      }
    }
    if (left.has_value()) {
      // Answers those who wait in Call. Not under the lock: they take others.
      for (Item& one : *left) one().IgnoreError();
      return;
    }
    if (item == nullptr) {
      item = [this, due] { return Handle(due, {options_.clock->Now(), core::TimePassed()}); };
    }
    // What cannot be committed changes nothing and is not lost: it stays first in line.
    while (true) {
      const absl::Status status = item();
      if (status.ok()) break;
      {
        absl::MutexLock lock(&mutex_);
        if (ready_.ok()) log::Error("read-only: ", status.ToString());
        ready_ = status;
      }
      absl::MutexLock lock(&mailbox_mutex_);
      if (stopping_) break;
      mailbox_changed_.WaitWithTimeout(&mailbox_mutex_, options_.commit_retry);
    }
  }
}

absl::Status Runtime::Handle(const std::string& name, core::Event event,
                             const store::NewRevision* revision) {
  core::State next;
  {
    absl::MutexLock lock(&mutex_);
    auto found = rollouts_.find(name);
    if (found == rollouts_.end()) return absl::OkStatus();
    next = found->second.state;
  }
  const core::StepResult result = core::Step(next, event);
  const bool durable = revision != nullptr || result.rollout_changed || !result.notes.empty() ||
                       !result.changed_tasks.empty() || !result.dropped_tasks.empty() ||
                       !result.changed_nodes.empty();
  if (durable) {
    RETURN_IF_ERROR(options_.store->Commit(next, result, event.time, revision));
  }
  {
    absl::MutexLock lock(&mutex_);
    ready_ = absl::OkStatus();
    Rollout& rollout = rollouts_[name];
    rollout.state = std::move(next);
    ++rollout.change;
  }
  for (const core::Note& note : result.notes) {
    log::Info(name, ": ", note.kind, " ", note.task.empty() ? note.node : note.task, ": ",
              note.message);
  }
  for (const core::Command& command : result.commands) Perform(name, command);
  Changed();
  return absl::OkStatus();
}

// --- Performing ----------------------------------------------------------------------------------

void Runtime::Perform(const std::string& name, const core::Command& command) {
  if (const auto* check = std::get_if<core::CheckTask>(&command)) {
    v1::Subject subject;
    {
      absl::MutexLock lock(&mutex_);
      const Rollout& rollout = rollouts_.at(name);
      auto verb = rollout.verbs.find(check->task);
      if (verb == rollout.verbs.end()) return;
      subject = SubjectOf(check->task, check->node, verb->second, check->stamp, check->inputs);
    }
    if (auto client = ClientOf(check->node)) client->Check(subject);
  } else if (const auto* start = std::get_if<core::StartOperation>(&command)) {
    v1::StartOperationRequest request;
    request.set_id(start->operation);
    request.set_epoch(epoch_);
    request.set_boot_id(start->boot_id);
    request.set_action(ToWire(start->action));
    request.set_redo(start->redo);
    {
      absl::MutexLock lock(&mutex_);
      const Rollout& rollout = rollouts_.at(name);
      v1::Verb verb;
      if (start->action == core::Action::kReboot) {
        verb.mutable_reboot_node()->set_boot_id(start->boot_id);
      } else if (auto found = rollout.verbs.find(start->task); found != rollout.verbs.end()) {
        verb = found->second;
      }
      *request.mutable_subject() =
          SubjectOf(start->task.empty() ? absl::StrCat("reboot@", start->node) : start->task,
                    start->node, verb, start->stamp, start->inputs);
    }
    if (auto client = ClientOf(start->node)) client->RunOperation(request);
  } else if (const auto* cancel = std::get_if<core::CancelOperation>(&command)) {
    if (auto client = ClientOf(cancel->node)) client->CancelOperation(cancel->operation);
  } else if (const auto* forget = std::get_if<core::ForgetTask>(&command)) {
    if (auto client = ClientOf(forget->node)) client->Forget(forget->task);
  }
}

void Runtime::PerformOutstanding(const std::string& node) {
  std::vector<std::pair<std::string, core::Command>> outstanding;
  {
    absl::MutexLock lock(&mutex_);
    for (const auto& [name, rollout] : rollouts_) {
      for (core::Command& command : core::Outstanding(rollout.state)) {
        if (std::visit([](const auto& told) { return told.node; }, command) == node)
          outstanding.emplace_back(name, std::move(command));
      }
    }
  }
  for (const auto& [name, command] : outstanding) Perform(name, command);
}

void Runtime::ReadInventories() {
  while (true) {
    std::vector<std::pair<std::string, std::shared_ptr<fleet::AgentClient>>> clients;
    {
      absl::MutexLock lock(&mutex_);
      for (const auto& [name, agent] : agents_) {
        if (agent.contact.connected) clients.emplace_back(name, agent.client);
      }
    }
    for (auto& [name, client] : clients) {
      {
        absl::MutexLock lock(&mailbox_mutex_);
        if (stopping_) return;
      }
      absl::StatusOr<v1::Inventory> inventory = client->GetInventory(kInventoryDeadline);
      client.reset();
      if (!inventory.ok()) continue;
      inventory->set_node(name);
      absl::MutexLock lock(&mutex_);
      auto found = agents_.find(name);
      if (found != agents_.end()) found->second.inventory = *std::move(inventory);
    }
    clients.clear();
    absl::MutexLock lock(&mailbox_mutex_);
    const auto stopping = [this]()
                              ABSL_EXCLUSIVE_LOCKS_REQUIRED(mailbox_mutex_) { return stopping_; };
    if (mailbox_mutex_.AwaitWithTimeout(absl::Condition(&stopping), kInventoryPeriod)) return;
  }
}

}  // namespace npufleet::runtime
