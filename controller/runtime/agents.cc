// SPDX-License-Identifier: Apache-2.0
//
// What agents tell the runtime.
#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/time_conversion.h"
#include "controller/runtime/clock_skew.h"
#include "controller/runtime/runtime.h"
#include "controller/runtime/wire.h"

namespace npufleet::runtime {
namespace {

// Ages are told by the node's own clock: it need not be ours.
absl::Duration AgeOf(const google::protobuf::Timestamp& time, const v1::ObserveReply& reply) {
  return std::max(absl::ZeroDuration(), FromTimestamp(reply.time()) - FromTimestamp(time));
}

}  // namespace

void Runtime::Connect(const std::string& name, const std::string& address) {
  fleet::AgentEvents events;
  events.replied = [this, name](const v1::ObserveReply& reply, bool first) {
    if (!first) OnSignOfLife(name, reply);
    // What has not changed does not wait in line: while the store is full it would be ever longer.
    if (!first && reply.observations().empty()) return;
    Post([this, name, reply, first, received = options_.clock->Now()] {
      return OnReply(name, reply, first, received);
    });
  };
  events.lost = [this, name](const std::string& reason) {
    Post([this, name, reason] { return OnLost(name, reason); });
  };
  events.unreached = [this, name](const std::string& reason) { OnUnreached(name, reason); };
  events.progressed = [this](const std::string& operation, const v1::Progress& progress) {
    OnProgress(operation, progress);
  };
  events.ended = [this](const v1::Operation& operation) {
    Post([this, ended = EndOf(operation)] { return OnEnded(ended); });
  };
  events.refused = [this](const std::string& operation, const absl::Status& why) {
    core::OperationEnded ended;
    ended.operation = operation;
    ended.result = core::OperationEnded::Result::kRefused;
    ended.failure.symptom = std::string(why.message());
    Post([this, ended] { return OnEnded(ended); });
  };
  auto client =
      std::make_shared<fleet::AgentClient>(address, options_.credentials, std::move(events));
  std::shared_ptr<fleet::AgentClient> former;
  {
    absl::MutexLock lock(&mutex_);
    Agent& agent = agents_[name];
    former = std::exchange(agent.client, client);
    agent.address = address;
  }
  // Without the lock, and before the new one starts: what the former one tells at its end comes
  // first, whoever else still holds it.
  if (former != nullptr) former->End();
  client->Start();
  Post([this, name] {
    PerformOutstanding(name);
    return absl::OkStatus();
  });
}

void Runtime::NodeJoined(const std::string& name, const std::string& address) {
  {
    absl::MutexLock lock(&mutex_);
    auto found = agents_.find(name);
    // Joined again under the same address: the connection picks up the new certificate by itself.
    if (found != agents_.end() && found->second.address == address) return;
  }
  Connect(name, address);
  Changed();
}

std::string Runtime::RolloutOn(const std::string& node) {
  for (const auto& [name, rollout] : rollouts_) {
    auto found = rollout.state.nodes.find(node);
    if (found != rollout.state.nodes.end() && !found->second.tasks.empty()) return name;
  }
  return "";
}

std::shared_ptr<fleet::AgentClient> Runtime::ClientOf(const std::string& node) {
  absl::MutexLock lock(&mutex_);
  auto found = agents_.find(node);
  return found == agents_.end() ? nullptr : found->second.client;
}

absl::Status Runtime::OnReply(const std::string& node, const v1::ObserveReply& reply, bool first,
                              absl::Time received) {
  const absl::Time now = options_.clock->Now();
  std::string rollout;
  std::map<std::string, v1::Observation> judged;
  {
    absl::MutexLock lock(&mutex_);
    auto found = agents_.find(node);
    if (found == agents_.end()) return absl::OkStatus();
    Agent& agent = found->second;
    if (!agent.contact.connected) agent.contact = {.since = now};
    agent.contact.connected = true;
    agent.contact.reason.clear();
    agent.contact.boot_id = reply.boot_id();
    if (!reply.agent_version().empty()) agent.version = reply.agent_version();
    if (first) agent.clock_skew = FromTimestamp(reply.time()) - received;
    agent.last_seen = now;
    rollout = RolloutOn(node);
    if (!rollout.empty()) {
      Rollout& own = rollouts_.at(rollout);
      const v1::Deployment& deployment = own.details.deployment;
      for (const v1::TaskObservation& seen : reply.observations()) {
        v1::Observation& observation = judged[seen.task()] = seen.observation();
        auto verb = own.verbs.find(seen.task());
        if (verb != own.verbs.end() && verb->second.has_check_host()) {
          JudgeClock(node, agent.clock_skew, deployment, &observation);
        }
        own.details.observations[seen.task()] = observation;
        own.details.checked[seen.task()] = now - AgeOf(seen.time(), reply);
      }
    }
  }
  if (first) log::Info(node, ": connected, boot ", reply.boot_id());
  if (rollout.empty()) {
    if (first) Changed();
    return absl::OkStatus();
  }
  if (first) {
    RETURN_IF_ERROR(Handle(
        rollout,
        {now, core::NodeConnected{node, reply.boot_id(), reply.boot_id() == options_.boot_id}}));
  }
  for (const v1::TaskObservation& seen : reply.observations()) {
    log::Debug(
        rollout, ": Observed ", seen.task(), ": ",
        v1::Observation::State_Name(seen.observation().state()), " ", seen.observation().token(),
        seen.observation().reason(), " at ",
        absl::FormatTime(absl::RFC3339_full, FromTimestamp(seen.time()), absl::UTCTimeZone()));
    RETURN_IF_ERROR(Handle(
        rollout, {now, core::Observed{seen.task(), seen.stamp(), FromWire(judged[seen.task()])}}));
  }
  return absl::OkStatus();
}

void Runtime::OnSignOfLife(const std::string& node, const v1::ObserveReply& reply) {
  const absl::Time now = options_.clock->Now();
  std::string rollout;
  {
    absl::MutexLock lock(&mutex_);
    auto found = agents_.find(node);
    if (found == agents_.end()) return;
    Agent& agent = found->second;
    const absl::Duration former_skew =
        std::exchange(agent.clock_skew, FromTimestamp(reply.time()) - now);
    agent.last_seen = now;
    rollout = RolloutOn(node);
    if (rollout.empty()) return;
    Details& details = rollouts_.at(rollout).details;
    for (const auto& [task, time] : reply.unchanged())
      details.checked[task] = now - AgeOf(time, reply);
    if (ClockIsOff(former_skew, details.deployment) ==
        ClockIsOff(agent.clock_skew, details.deployment))
      return;
  }
  Post([this, rollout, node] {
    LookAtClockAgain(rollout, node);
    return absl::OkStatus();
  });
}

void Runtime::LookAtClockAgain(const std::string& rollout, const std::string& node) {
  std::vector<core::CheckTask> checks;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = rollouts_.find(rollout);
    if (found == rollouts_.end()) return;  // deleted meanwhile
    const Rollout& own = found->second;
    for (const core::Task& task : own.state.tasks) {
      auto verb = own.verbs.find(task.plan.id);
      if (task.plan.node != node || verb == own.verbs.end() || !verb->second.has_check_host())
        continue;
      checks.push_back({task.plan.id, node, core::StampOf(own.state, task), {}});
    }
  }
  for (const core::CheckTask& check : checks) Perform(rollout, check);
}

absl::Status Runtime::OnLost(const std::string& node, const std::string& reason) {
  std::string rollout;
  {
    absl::MutexLock lock(&mutex_);
    auto found = agents_.find(node);
    if (found == agents_.end()) return absl::OkStatus();
    Contact& contact = found->second.contact;
    contact = {.reason = reason, .since = options_.clock->Now(), .boot_id = contact.boot_id};
    rollout = RolloutOn(node);
  }
  log::Warning(node, ": ", reason);
  if (!rollout.empty()) {
    RETURN_IF_ERROR(Handle(rollout, {options_.clock->Now(), core::NodeLost{node, reason}}));
  }
  Changed();
  return absl::OkStatus();
}

void Runtime::OnUnreached(const std::string& node, const std::string& reason) {
  {
    absl::MutexLock lock(&mutex_);
    auto found = agents_.find(node);
    if (found == agents_.end() || found->second.contact.attempt == reason) return;
    found->second.contact.attempt = reason;
    const std::string rollout = RolloutOn(node);
    if (!rollout.empty()) ++rollouts_.at(rollout).change;
  }
  Changed();
}

absl::Status Runtime::OnEnded(const core::OperationEnded& ended) {
  std::string rollout;
  {
    absl::MutexLock lock(&mutex_);
    for (auto& [name, candidate] : rollouts_) {
      if (candidate.state.operations.contains(ended.operation)) rollout = name;
      candidate.details.progress.erase(ended.operation);
    }
  }
  return rollout.empty() ? absl::OkStatus() : Handle(rollout, {options_.clock->Now(), ended});
}

void Runtime::OnProgress(const std::string& operation, const v1::Progress& progress) {
  {
    absl::MutexLock lock(&mutex_);
    for (auto& [name, rollout] : rollouts_) {
      if (!rollout.state.operations.contains(operation)) continue;
      rollout.details.progress[operation] = progress;
      ++rollout.change;
    }
  }
  Changed();
}

}  // namespace npufleet::runtime
