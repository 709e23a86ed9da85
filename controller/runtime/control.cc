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
#include "controller/runtime/clock_skew.h"
#include "controller/runtime/dry_run.h"
#include "controller/runtime/explanation.h"
#include "controller/runtime/runtime.h"
#include "controller/runtime/wire.h"
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

// That no deployment wants the node any more, and that nothing on it can be stopped still.
absl::Status MayLeave(const core::State& state, const std::string& node) {
  const core::Node& found = state.nodes.at(node);
  for (const int i : found.tasks) {
    if (state.tasks[i].retired) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        node, " is used by rollout ", state.deployment,
        ": apply a deployment without it first, or ctl rollout delete ", state.deployment));
  }
  if (!found.connected) return absl::OkStatus();
  return absl::FailedPreconditionError(absl::StrCat(state.tasks[found.tasks.front()].plan.id,
                                                    " still runs there and is being stopped: "
                                                    "see ctl rollout status ",
                                                    state.deployment));
}

}  // namespace

// --- Reading
// ---------------------------------------------------------------------------------------

absl::StatusOr<v1::Rollout> Runtime::GetRollout(const std::string& name) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(const Rollout* rollout, Find(name));
  return ViewOf(*rollout);
}

absl::StatusOr<Runtime::Rollout*> Runtime::Find(const std::string& name) {
  auto found = rollouts_.find(name);
  if (found != rollouts_.end()) return &found->second;
  std::vector<std::string> names;
  for (const auto& [known, rollout] : rollouts_) names.push_back(known);
  return absl::NotFoundError(
      absl::StrCat("no rollout \"", name, "\"; there ",
                   names.empty() ? "is none" : absl::StrCat("is ", absl::StrJoin(names, ", "))));
}

absl::Status Runtime::NoNode(const std::string& name) const {
  std::vector<std::string> names;
  for (const auto& [known, agent] : agents_) names.push_back(known);
  return absl::NotFoundError(absl::StrCat(
      "no node \"", name, "\"; ",
      names.empty() ? "none has joined" : absl::StrCat("known are ", absl::StrJoin(names, ", "))));
}

v1::Rollout Runtime::ViewOf(const Rollout& rollout) {
  v1::Rollout view = RolloutOf(rollout.state, rollout.details);
  view.set_change(rollout.change);
  for (auto& [name, node] : NodesOf(rollout.state)) *view.add_nodes() = node;
  return view;
}

std::map<std::string, v1::RolloutNode> Runtime::NodesOf(const core::State& state) {
  std::map<std::string, v1::RolloutNode> nodes;
  for (const auto& [name, node] : state.nodes) {
    auto agent = agents_.find(name);
    if (node.tasks.empty()) continue;
    const Contact contact = agent == agents_.end() ? Contact() : agent->second.contact;
    nodes[name] = NodeOf(name, contact, &node, options_.clock->Now());
  }
  return nodes;
}

absl::StatusOr<v1::Explanation> Runtime::ExplainTask(const v1::ExplainTaskRequest& request) {
  RETURN_IF_ERROR(GetRollout(request.rollout()).status());  // names what there is
  absl::MutexLock lock(&mutex_);
  const Rollout& rollout = rollouts_.at(request.rollout());
  const core::Task* task = rollout.state.Find(request.task());
  if (task != nullptr) {
    return Explain(rollout.state, rollout.details, NodesOf(rollout.state), *task,
                   options_.clock->Now());
  }
  std::vector<std::string> known;
  for (const core::Task& other : rollout.state.tasks) known.push_back(other.plan.id);
  return absl::NotFoundError(
      absl::StrCat("no task \"", request.task(), "\"; there is ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<v1::ListRolloutsReply> Runtime::ListRollouts() {
  v1::ListRolloutsReply reply;
  absl::MutexLock lock(&mutex_);
  for (const auto& [name, rollout] : rollouts_) *reply.add_rollouts() = ViewOf(rollout);
  return reply;
}

absl::StatusOr<v1::ListRevisionsReply> Runtime::ListRevisions(const std::string& rollout) {
  RETURN_IF_ERROR(GetRollout(rollout).status());
  return options_.store->ListRevisions(rollout);
}

absl::StatusOr<v1::ListEventsReply> Runtime::ListEvents(const v1::ListEventsRequest& request) {
  absl::StatusOr<v1::ListEventsReply> reply = options_.store->ListEvents(request);
  if (absl::IsNotFound(reply.status())) {
    RETURN_IF_ERROR(GetRollout(request.rollout()).status());  // names what there is
  }
  return reply;
}

v1::NodeStatus Runtime::StatusOf(const std::string& name, const Agent& agent) {
  v1::NodeStatus status;
  status.set_name(name);
  status.set_address(agent.address);
  const std::string claimed = RolloutOn(name);
  const core::Node* claimed_node =
      claimed.empty() ? nullptr : &rollouts_.at(claimed).state.nodes.at(name);
  const v1::RolloutNode node = NodeOf(name, agent.contact, claimed_node, options_.clock->Now());
  status.set_connected(agent.contact.connected);
  status.set_reach(node.reach());
  status.set_reason(node.reason());
  status.set_boot_id(agent.contact.boot_id);
  status.set_agent_version(agent.version);
  status.set_rollout(claimed);
  if (agent.last_seen != absl::InfinitePast()) {
    *status.mutable_clock_skew() = ToProtoDuration(agent.clock_skew);
    *status.mutable_last_seen() = ToTimestamp(agent.last_seen);
  }
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
  }
  return absl::OkStatus();
}

absl::Status Runtime::CheckHosts(const v1::Deployment& deployment) {
  std::map<std::string, std::shared_ptr<fleet::AgentClient>> clients;
  {
    absl::MutexLock lock(&mutex_);
    RETURN_IF_ERROR(CheckClaims(deployment));
    auto found = rollouts_.find(deployment.metadata().name());
    if (found != rollouts_.end() &&
        DigestOf(found->second.details.deployment) == DigestOf(deployment)) {
      return absl::OkStatus();
    }
    for (const v1::Node& node : deployment.spec().nodes()) {
      const Agent& agent = agents_.at(node.name());
      if (agent.contact.connected) clients[node.name()] = agent.client;
    }
  }
  const stages::DeploymentPlan plan = stages::PlanOf(deployment, 1);
  for (const core::TaskPlan& task : plan.graph.tasks) {
    const v1::Verb& verb = plan.verbs.at(task.id);
    auto client = clients.find(task.node);
    if (!verb.has_check_host() || client == clients.end()) continue;
    v1::CheckRequest request;
    *request.add_subjects() = SubjectOf(task.id, task.node, verb, "", {});
    const auto reply = client->second->CheckOnce(request, kReportPatience);
    if (!reply.ok()) continue;  // the rollout waits for it
    for (const v1::TaskObservation& seen : reply->observations()) {
      const v1::Failure& failure = seen.observation().failure();
      if (failure.class_() != v1::Failure::CONFIG) continue;
      return absl::InvalidArgumentError(
          absl::StrCat(task.node, ": ", failure.symptom(), ". ", failure.advice()));
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
      const Contact& contact = agent.contact;
      if (contact.connected)
        connected.push_back({node, contact.boot_id, contact.boot_id == options_.boot_id});
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
  RETURN_IF_ERROR(CheckHosts(resolved));
  bool unchanged = false;
  const absl::Time accepted = options_.clock->Now();
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
  *reply.mutable_time() = ToTimestamp(accepted);
  return reply;
}

absl::StatusOr<v1::Rollout> Runtime::Delete(const std::string& name, const std::string& author) {
  RETURN_IF_ERROR(GetRollout(name).status());
  RETURN_IF_ERROR(Call([this, &name, &author]() -> absl::Status {
    store::NewRevision revision;
    v1::Deployment former;
    {
      absl::MutexLock lock(&mutex_);
      ASSIGN_OR_RETURN(Rollout * rollout, Find(name));
      revision.revision = rollout->state.revision + 1;
      revision.deployment.mutable_metadata()->set_name(name);
      revision.author = author;
      former = std::exchange(rollout->details.deployment, revision.deployment);
    }
    core::SpecApplied empty;
    empty.graph.revision = revision.revision;
    absl::Status committed = Handle(name, {options_.clock->Now(), empty}, &revision);
    if (!committed.ok()) {
      absl::MutexLock lock(&mutex_);
      rollouts_.at(name).details.deployment = std::move(former);
    }
    return committed;
  }));
  return GetRollout(name);
}

absl::StatusOr<v1::Plan> Runtime::Plan(const v1::PlanDeploymentRequest& request) {
  ASSIGN_OR_RETURN(const v1::Deployment resolved, Resolve(request.deployment()));
  RETURN_IF_ERROR(CheckHosts(resolved));
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
      const Contact& contact = agent.contact;
      input.nodes.push_back({node.name(), contact.boot_id, contact.connected,
                             NodeOf(node.name(), contact, nullptr, options_.clock->Now()).reason(),
                             contact.boot_id == options_.boot_id});
      clients[node.name()] = agent.client;
    }
  }
  input.now = options_.clock->Now();
  input.commands = request.commands();
  input.check = [&](const std::string& node,
                    const v1::CheckRequest& request) -> absl::StatusOr<v1::CheckReply> {
    ASSIGN_OR_RETURN(v1::CheckReply reply, clients.at(node)->CheckOnce(request, absl::Seconds(60)));
    absl::MutexLock lock(&mutex_);
    for (int i = 0; i < reply.observations_size() && i < request.subjects_size(); ++i) {
      if (!request.subjects(i).verb().has_check_host()) continue;
      auto agent = agents_.find(node);  // it may have been removed meanwhile
      if (agent == agents_.end()) break;
      JudgeClock(node, agent->second.clock_skew, resolved,
                 reply.mutable_observations(i)->mutable_observation());
    }
    return reply;
  };
  v1::Plan plan = DryRun(std::move(input));
  for (const std::string& note : spec::Notes(resolved)) plan.add_notes(note);
  return plan;
}

absl::StatusOr<v1::Deployment> Runtime::FormerSpec(const std::string& name, uint64_t newest,
                                                   uint64_t asked) {
  ASSIGN_OR_RETURN(const v1::ListRevisionsReply revisions, options_.store->ListRevisions(name));
  std::vector<uint64_t> known;  // newest first; a revision without nodes is a delete
  for (const v1::Revision& revision : revisions.revisions()) {
    const bool chosen = asked == 0 ? revision.revision() < newest : revision.revision() == asked;
    if (revision.deployment().spec().nodes().empty()) continue;
    if (chosen && revision.revision() != newest) return Resolve(revision.deployment());
    if (revision.revision() != newest) known.push_back(revision.revision());
  }
  if (asked != 0 && asked == newest) {
    return absl::FailedPreconditionError(
        absl::StrCat("revision ", asked, " is the newest already: nothing to undo"));
  }
  if (asked == 0 || known.empty()) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, " has no revision before ", newest, ": nothing to undo"));
  }
  return absl::InvalidArgumentError(absl::StrCat(
      name, " has no revision ", asked, " to go back to; there is ", absl::StrJoin(known, ", ")));
}

absl::StatusOr<v1::Rollout> Runtime::Undo(const v1::ControlRolloutRequest& request,
                                          const std::string& author) {
  // Found and accepted in one turn of the loop: between the two no other apply makes a revision.
  RETURN_IF_ERROR(Call([&]() -> absl::Status {
    uint64_t newest;
    {
      absl::MutexLock lock(&mutex_);
      ASSIGN_OR_RETURN(const Rollout* rollout, Find(request.name()));
      newest = rollout->state.revision;
    }
    ASSIGN_OR_RETURN(const v1::Deployment former,
                     FormerSpec(request.name(), newest, request.to_revision()));
    bool unchanged = false;
    return Accept(former, author, &unchanged);
  }));
  return GetRollout(request.name());
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
    case v1::ControlRolloutRequest::UNDO:
      return Undo(request, author);
    default:
      return absl::InvalidArgumentError("no verb: RETRY, RESTART, PAUSE, RESUME, CANCEL or UNDO");
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
    if (agents_.count(name) == 0) return NoNode(name);
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
  const auto agent = agents_.find(name);
  if (agent == agents_.end()) return NoNode(name);
  return StatusOf(name, agent->second);
}

absl::StatusOr<v1::NodeStatus> Runtime::RemoveNode(const std::string& name) {
  v1::NodeStatus removed;
  std::shared_ptr<fleet::AgentClient> client;  // ends without the lock
  RETURN_IF_ERROR(Call([&]() -> absl::Status {
    std::string leaves;  // the rollout that it has left, and that could not stop what runs there
    {
      absl::MutexLock lock(&mutex_);
      auto agent = agents_.find(name);
      if (agent == agents_.end()) return NoNode(name);
      if (const std::string rollout = RolloutOn(name); !rollout.empty()) {
        RETURN_IF_ERROR(MayLeave(rollouts_.at(rollout).state, name));
        leaves = rollout;
      }
      removed = StatusOf(name, agent->second);
    }
    if (!leaves.empty())
      RETURN_IF_ERROR(Handle(leaves, {options_.clock->Now(), core::NodeRemoved{name}}));
    RETURN_IF_ERROR(options_.nodes->RemoveNode(name));
    absl::MutexLock lock(&mutex_);
    client = std::move(agents_.at(name).client);
    agents_.erase(name);
    return absl::OkStatus();
  }));
  Changed();
  return removed;
}

namespace {

// An agent's "unavailable" or "not allowed", passed on as it is, would read as the controller's.
absl::Status AgentsAnswer(const std::string& node, const absl::Status& status) {
  if (status.ok() || absl::IsCancelled(status) || absl::IsNotFound(status)) return status;
  return absl::FailedPreconditionError(absl::StrCat("the log is with the agent of ", node,
                                                    ", which does not give it: ", status.message(),
                                                    "; how the node is: ctl node show ", node));
}

}  // namespace

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
    if (client == nullptr) {
      return absl::NotFoundError(absl::StrCat(
          task.node(), " was removed from the fleet, and the log of ", task.id(), " with it"));
    }
    return AgentsAnswer(task.node(),
                        client->WatchLog(task.operation(), request.follow(), cancellation, write));
  }
  return absl::NotFoundError(
      absl::StrCat("no task \"", request.task(), "\"; there is ", absl::StrJoin(known, ", ")));
}

}  // namespace npufleet::runtime
