// SPDX-License-Identifier: Apache-2.0
//
// What agents tell the runtime.
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/time_conversion.h"
#include "controller/runtime/runtime.h"
#include "controller/runtime/wire.h"

namespace npufleet::runtime {

void Runtime::Connect(const std::string& name, const std::string& address) {
  fleet::AgentEvents events;
  events.replied = [this, name](const v1::ObserveReply& reply, bool first) {
    Post([this, name, reply, first] { return OnReply(name, reply, first); });
  };
  events.lost = [this, name](const std::string& reason) {
    Post([this, name, reason] { return OnLost(name, reason); });
  };
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
  client->Start();
  std::shared_ptr<fleet::AgentClient> former;  // destroyed without the lock
  absl::MutexLock lock(&mutex_);
  Agent& agent = agents_[name];
  former = std::exchange(agent.client, std::move(client));
  agent.address = address;
}

void Runtime::NodeJoined(const std::string& name, const std::string& address) {
  std::shared_ptr<fleet::AgentClient> former;
  {
    absl::MutexLock lock(&mutex_);
    auto found = agents_.find(name);
    // Joined again under the same address: the connection picks up the new certificate by itself.
    if (found != agents_.end() && found->second.address == address) return;
    if (found != agents_.end()) former = std::move(found->second.client);
  }
  former.reset();
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

absl::Status Runtime::OnReply(const std::string& node, const v1::ObserveReply& reply, bool first) {
  const absl::Time now = options_.clock->Now();
  std::string rollout;
  {
    absl::MutexLock lock(&mutex_);
    auto found = agents_.find(node);
    if (found == agents_.end()) return absl::OkStatus();
    Agent& agent = found->second;
    agent.connected = true;
    agent.reason.clear();
    agent.boot_id = reply.boot_id();
    if (!reply.agent_version().empty()) agent.version = reply.agent_version();
    if (first) agent.clock_skew = FromTimestamp(reply.time()) - now;
    agent.last_seen = now;
    rollout = RolloutOn(node);
    if (!rollout.empty()) {
      for (const v1::TaskObservation& seen : reply.observations()) {
        rollouts_.at(rollout).details.observations[seen.task()] = seen.observation();
      }
    }
  }
  if (first) log::Info(node, ": connected, boot ", reply.boot_id());
  if (rollout.empty()) {
    Changed();
    return absl::OkStatus();
  }
  if (first) {
    RETURN_IF_ERROR(Handle(
        rollout,
        {now, core::NodeConnected{node, reply.boot_id(), reply.boot_id() == options_.boot_id}}));
  }
  for (const v1::TaskObservation& seen : reply.observations()) {
    RETURN_IF_ERROR(Handle(
        rollout, {now, core::Observed{seen.task(), seen.stamp(), FromWire(seen.observation())}}));
  }
  return absl::OkStatus();
}

absl::Status Runtime::OnLost(const std::string& node, const std::string& reason) {
  std::string rollout;
  {
    absl::MutexLock lock(&mutex_);
    auto found = agents_.find(node);
    if (found == agents_.end()) return absl::OkStatus();
    found->second.connected = false;
    found->second.reason = reason;
    rollout = RolloutOn(node);
  }
  log::Warning(node, ": ", reason);
  if (!rollout.empty()) {
    RETURN_IF_ERROR(Handle(rollout, {options_.clock->Now(), core::NodeLost{node, reason}}));
  }
  Changed();
  return absl::OkStatus();
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
