// SPDX-License-Identifier: Apache-2.0
//
// What operators ask of the runtime, and what they see.
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/digest.h"
#include "common/spec/deployment.h"
#include "common/spec/notes.h"
#include "common/status_macros.h"
#include "common/time_conversion.h"
#include "controller/runtime/dry_run.h"
#include "controller/runtime/runtime.h"
#include "controller/stages/plan.h"
#include "controller/stages/stage.h"

namespace npufleet::runtime {
namespace {

// How long `apply` waits for the Checks that it asked for before it answers.
constexpr absl::Duration kReportPatience = absl::Seconds(5);

absl::StatusOr<v1::Deployment> Resolve(const v1::Deployment& deployment) {
  v1::Deployment resolved = spec::ResolveDefaults(deployment);
  RETURN_IF_ERROR(spec::ToStatus(spec::Validate(resolved)));
  return resolved;
}

}  // namespace

// --- Reading
// ---------------------------------------------------------------------------------------

absl::StatusOr<v1::Rollout> Runtime::GetRollout(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  auto found = rollouts_.find(name);
  if (found == rollouts_.end()) {
    std::vector<std::string> names;
    for (const auto& [known, rollout] : rollouts_) names.push_back(known);
    return absl::NotFoundError(
        absl::StrCat("no rollout \"", name, "\"; there ",
                     names.empty() ? "is none" : absl::StrCat("is ", absl::StrJoin(names, ", "))));
  }
  v1::Rollout view = RolloutOf(found->second.state, found->second.details);
  view.set_change(found->second.change);
  return view;
}

absl::StatusOr<v1::ListRolloutsReply> Runtime::ListRollouts() {
  v1::ListRolloutsReply reply;
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, rollout] : rollouts_) {
    *reply.add_rollouts() = RolloutOf(rollout.state, rollout.details);
    reply.mutable_rollouts(reply.rollouts_size() - 1)->set_change(rollout.change);
  }
  return reply;
}

absl::StatusOr<v1::ListRevisionsReply> Runtime::ListRevisions(const std::string& rollout) {
  RETURN_IF_ERROR(GetRollout(rollout).status());
  return options_.store->ListRevisions(rollout);
}

absl::StatusOr<v1::ListEventsReply> Runtime::ListEvents(const v1::ListEventsRequest& request) {
  return options_.store->ListEvents(request);
}

v1::NodeStatus Runtime::StatusOf(const std::string& name, const Agent& agent) {
  v1::NodeStatus status;
  status.set_name(name);
  status.set_address(agent.address);
  status.set_connected(agent.connected);
  status.set_reason(agent.reason);
  status.set_boot_id(agent.boot_id);
  status.set_agent_version(agent.version);
  status.set_rollout(RolloutOn(name));
  *status.mutable_clock_skew() = ToProtoDuration(agent.clock_skew);
  if (agent.last_seen != absl::InfinitePast())
    *status.mutable_last_seen() = ToTimestamp(agent.last_seen);
  if (agent.inventory) *status.mutable_inventory() = *agent.inventory;
  return status;
}

absl::StatusOr<v1::ListNodesReply> Runtime::ListNodes() {
  v1::ListNodesReply reply;
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, agent] : agents_) *reply.add_nodes() = StatusOf(name, agent);
  return reply;
}

absl::StatusOr<v1::Version> Runtime::GetVersion() {
  v1::Version version;
  version.set_version(options_.version);
  version.set_commit(options_.commit);
  version.set_epoch(epoch_);
  return version;
}

absl::Status Runtime::Ready() {
  absl::MutexLock lock(&mutex_);
  return ready_;
}

// --- Changing
// --------------------------------------------------------------------------------------

absl::Status Runtime::CheckClaims(const v1::Deployment& deployment) {
  for (const v1::Node& node : deployment.spec().nodes()) {
    auto agent = agents_.find(node.name());
    if (agent == agents_.end()) {
      std::vector<std::string> names;
      for (const auto& [known, other] : agents_) names.push_back(known);
      return absl::InvalidArgumentError(absl::StrCat(
          "node \"", node.name(), "\" has not joined; the fleet has ",
          names.empty() ? "no nodes" : absl::StrJoin(names, ", "),
          ". Join it: ctl token create --node ", node.name(), ", then npufleet-agent join on it"));
    }
    const std::string claimed = RolloutOn(node.name());
    if (!claimed.empty() && claimed != deployment.metadata().name()) {
      return absl::FailedPreconditionError(
          absl::StrCat("node \"", node.name(), "\" is claimed by rollout \"", claimed,
                       "\"; ctl rollout delete ", claimed, " sets it free"));
    }
    const absl::Duration skew = absl::AbsDuration(agent->second.clock_skew);
    const absl::Duration limit = FromProtoDuration(deployment.spec().preflight().max_clock_skew());
    if (agent->second.connected && skew > limit) {
      return absl::FailedPreconditionError(
          absl::StrCat("the clock of ", node.name(), " differs from the controller's by ",
                       absl::FormatDuration(skew), ", more than ", absl::FormatDuration(limit),
                       ": enable chrony or ntpd on both"));
    }
  }
  return absl::OkStatus();
}

absl::Status Runtime::Accept(const v1::Deployment& deployment, const std::string& author,
                             bool* unchanged) {
  const std::string& name = deployment.metadata().name();
  store::NewRevision revision;
  stages::DeploymentPlan plan;
  std::vector<core::NodeConnected> connected;
  Rollout former;
  bool fresh;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(CheckClaims(deployment));
    Rollout& rollout = rollouts_[name];
    former = rollout;
    fresh = rollout.state.deployment.empty();
    rollout.state.deployment = name;
    rollout.state.epoch = epoch_;
    *unchanged = rollout.state.revision > 0 && !rollout.state.tasks.empty() &&
                 DigestOf(deployment) == DigestOf(rollout.details.deployment);
    revision.revision = rollout.state.revision + (*unchanged ? 0 : 1);
    revision.author = author;
    revision.deployment = deployment;
    plan = stages::PlanOf(deployment, revision.revision);
    for (const auto& [node, agent] : agents_) {
      if (agent.connected)
        connected.push_back({node, agent.boot_id, agent.boot_id == options_.boot_id});
    }
    for (const auto& [task, verb] : plan.verbs) rollout.verbs[task] = verb;
    rollout.details.deployment = deployment;
  }
  const absl::Status committed =
      Handle(name, {options_.clock->Now(), core::SpecApplied{plan.graph}},
             *unchanged ? nullptr : &revision);
  if (!committed.ok()) {
    absl::MutexLock lock(&mutex_);
    if (fresh) {
      rollouts_.erase(name);
    } else {
      rollouts_[name] = std::move(former);
    }
    return committed;
  }
  for (const core::NodeConnected& node : connected) {
    bool known;
    {
      absl::MutexLock lock(&mutex_);
      const auto& nodes = rollouts_.at(name).state.nodes;
      auto found = nodes.find(node.node);
      known = found != nodes.end() && !found->second.connected;
    }
    if (known) RETURN_IF_ERROR(Handle(name, {options_.clock->Now(), node}));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::ApplyDeploymentReply> Runtime::Apply(const v1::Deployment& deployment,
                                                        const std::string& author) {
  ASSIGN_OR_RETURN(const v1::Deployment resolved, Resolve(deployment));
  bool unchanged = false;
  RETURN_IF_ERROR(Call([&] { return Accept(resolved, author, &unchanged); }));
  const std::string& name = resolved.metadata().name();
  {
    absl::MutexLock lock(&mutex_);
    const auto reported = [this, &name]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      for (const core::Task& task : rollouts_.at(name).state.tasks) {
        if (task.awaiting_report && rollouts_.at(name).state.nodes.at(task.plan.node).connected)
          return false;
      }
      return true;
    };
    mutex_.AwaitWithTimeout(absl::Condition(&reported), kReportPatience);
  }
  v1::ApplyDeploymentReply reply;
  ASSIGN_OR_RETURN(*reply.mutable_rollout(), GetRollout(name));
  for (const std::string& note : spec::Notes(resolved)) reply.add_notes(note);
  reply.set_unchanged(unchanged);
  return reply;
}

absl::StatusOr<v1::Rollout> Runtime::Delete(const std::string& name, const std::string& author) {
  RETURN_IF_ERROR(GetRollout(name).status());
  RETURN_IF_ERROR(Call([this, &name, &author] {
    store::NewRevision revision;
    {
      absl::MutexLock lock(&mutex_);
      revision.revision = rollouts_.at(name).state.revision + 1;
      revision.deployment.mutable_metadata()->set_name(name);
      revision.author = author;
      rollouts_.at(name).details.deployment = revision.deployment;
    }
    core::SpecApplied empty;
    empty.graph.revision = revision.revision;
    return Handle(name, {options_.clock->Now(), empty}, &revision);
  }));
  return GetRollout(name);
}

absl::StatusOr<v1::Plan> Runtime::Plan(const v1::Deployment& deployment) {
  ASSIGN_OR_RETURN(const v1::Deployment resolved, Resolve(deployment));
  DryRunInput input;
  const std::string& name = resolved.metadata().name();
  std::map<std::string, std::shared_ptr<fleet::AgentClient>> clients;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(CheckClaims(resolved));
    auto found = rollouts_.find(name);
    if (found != rollouts_.end()) input.state = found->second.state;
    input.state.deployment = name;
    input.plan = stages::PlanOf(resolved, input.state.revision + 1);
    for (const v1::Node& node : resolved.spec().nodes()) {
      const Agent& agent = agents_.at(node.name());
      input.nodes.push_back({node.name(), agent.boot_id, agent.connected, agent.reason,
                             agent.boot_id == options_.boot_id});
      clients[node.name()] = agent.client;
    }
  }
  input.now = options_.clock->Now();
  input.check = [&clients](const std::string& node, const v1::CheckRequest& request) {
    return clients.at(node)->CheckOnce(request, absl::Seconds(60));
  };
  v1::Plan plan = DryRun(std::move(input));
  for (const std::string& note : spec::Notes(resolved)) plan.add_notes(note);
  return plan;
}

absl::StatusOr<v1::Rollout> Runtime::ControlRollout(const v1::ControlRolloutRequest& request,
                                                    const std::string& author) {
  ASSIGN_OR_RETURN(const v1::Rollout rollout, GetRollout(request.name()));
  core::Event event;
  switch (request.verb()) {
    case v1::ControlRolloutRequest::RETRY:
      event.what = core::RetryRequested();
      break;
    case v1::ControlRolloutRequest::RESTART: {
      const std::vector<std::string> parts =
          absl::StrSplit(request.from(), absl::MaxSplits('@', 1));
      core::RestartRequested restart{.stage = request.from().empty() ? "serve" : parts[0],
                                     .node = parts.size() > 1 ? parts[1] : ""};
      std::set<std::string> known;
      bool found = false;
      for (const v1::Task& task : rollout.tasks()) {
        known.insert(task.stage());
        found = found || (task.stage() == restart.stage &&
                          (restart.node.empty() || task.node() == restart.node));
      }
      if (!found) {
        return absl::InvalidArgumentError(absl::StrCat("no stage \"", request.from(), "\" in ",
                                                       request.name(), "; it has ",
                                                       absl::StrJoin(known, ", ")));
      }
      event.what = restart;
      break;
    }
    case v1::ControlRolloutRequest::PAUSE:
      event.what = core::PauseRequested();
      break;
    case v1::ControlRolloutRequest::RESUME:
      event.what = core::ResumeRequested();
      break;
    case v1::ControlRolloutRequest::CANCEL:
      event.what = core::CancelRequested();
      break;
    default:
      return absl::InvalidArgumentError("no verb: RETRY, RESTART, PAUSE, RESUME or CANCEL");
  }
  RETURN_IF_ERROR(Call([&] {
    event.time = options_.clock->Now();
    return Handle(request.name(), event);
  }));
  return GetRollout(request.name());
}

absl::StatusOr<v1::NodeStatus> Runtime::RebootNode(const std::string& name,
                                                   const std::string& author) {
  std::string rollout;
  {
    absl::MutexLock lock(&mutex_);
    if (agents_.count(name) == 0)
      return absl::NotFoundError(absl::StrCat("no node \"", name, "\""));
    rollout = RolloutOn(name);
  }
  if (rollout.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " belongs to no rollout: reboot it with systemctl reboot"));
  }
  RETURN_IF_ERROR(Call([&] {
    return Handle(rollout, {options_.clock->Now(), core::RebootRequested{name}});
  }));
  absl::MutexLock lock(&mutex_);
  return StatusOf(name, agents_.at(name));
}

absl::Status Runtime::WatchTaskLog(const v1::WatchTaskLogRequest& request,
                                   Cancellation& cancellation,
                                   const std::function<bool(const v1::OperationEvent&)>& write) {
  ASSIGN_OR_RETURN(const v1::Rollout rollout, GetRollout(request.rollout()));
  std::vector<std::string> known;
  for (const v1::Task& task : rollout.tasks()) {
    known.push_back(task.id());
    if (task.id() != request.task()) continue;
    if (task.operation().empty()) {
      return absl::NotFoundError(
          absl::StrCat(task.id(), " has not run yet: it was found as wanted, or waits"));
    }
    auto client = ClientOf(task.node());
    if (client == nullptr)
      return absl::UnavailableError(absl::StrCat(task.node(), " is not known any more"));
    return client->WatchLog(task.operation(), request.follow(), cancellation, write);
  }
  return absl::NotFoundError(
      absl::StrCat("no task \"", request.task(), "\"; there is ", absl::StrJoin(known, ", ")));
}

}  // namespace npufleet::runtime
