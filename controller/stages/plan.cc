// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/plan.h"

#include <set>

#include "absl/strings/str_cat.h"
#include "absl/time/time.h"
#include "common/digest.h"
#include "controller/stages/stage.h"

namespace npufleet::stages {
namespace {

absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

bool IsAt(Where where, const v1::Node& node) {
  switch (where) {
    case Where::kEachNode:
      return true;
    case Where::kHead:
      return node.role() == v1::Node::HEAD;
    case Where::kWorkers:
      return node.role() != v1::Node::HEAD;
  }
  return false;
}

class Planner {
 public:
  Planner(const v1::DeploymentSpec& spec, DeploymentPlan& plan) : spec_(spec), plan_(plan) {
    for (const Stage& stage : Catalogue()) by_name_[stage.name] = &stage;
  }

  void Add(const Stage& stage, const v1::Node& node) {
    core::TaskPlan task;
    task.id = TaskId(stage.name, node.name());
    task.stage = std::string(stage.name);
    task.node = node.name();
    task.running = stage.effects.running;
    task.disturbs = stage.effects.disturbs;
    task.prepares = stage.effects.prepares;
    task.interruptible = stage.effects.interruptible;
    task.condition = stage.effects.condition;
    task.locks = stage.locks;
    task.unknown_limit = stage.unknown_limit;
    task.dear = stage.dear;
    for (const Need& need : stage.needs) AddNeed(need, node, task);
    v1::Verb verb = stage.verb(spec_, node);
    task.want = DigestOf(verb);
    plan_.verbs[task.id] = std::move(verb);
    plan_.graph.tasks.push_back(std::move(task));
  }

 private:
  void AddNeed(const Need& need, const v1::Node& node, core::TaskPlan& task) {
    const Stage& stage = *by_name_.at(need.stage);
    if (stage.wanted != nullptr && !stage.wanted(spec_)) {
      // What a stage that is left out stood on is needed directly.
      for (const Need& below : stage.needs) {
        AddNeed({below.stage, need.of == Need::Of::kSameNode ? below.of : need.of}, node, task);
      }
      return;
    }
    for (const v1::Node& other : spec_.nodes()) {
      const bool chosen = need.of == Need::Of::kAllNodes ||
                          (need.of == Need::Of::kHead && other.role() == v1::Node::HEAD) ||
                          (need.of == Need::Of::kSameNode && other.name() == node.name());
      if (!chosen || !IsAt(stage.where, other)) continue;
      const std::string id = TaskId(need.stage, other.name());
      if (seen_.insert({task.id, id}).second) task.needs.push_back(id);
    }
  }

  const v1::DeploymentSpec& spec_;
  DeploymentPlan& plan_;
  std::map<std::string_view, const Stage*> by_name_;
  std::set<std::pair<std::string, std::string>> seen_;
};

core::RetryLimits LimitsOf(const v1::RetryPolicy& policy) {
  // A revision that an older controller has stored lacks what its spec did not know.
  core::RetryLimits limits;
  if (policy.has_attempts()) limits.attempts = static_cast<int>(policy.attempts());
  if (policy.has_initial_backoff()) limits.initial_backoff = ToDuration(policy.initial_backoff());
  if (policy.has_max_backoff()) limits.max_backoff = ToDuration(policy.max_backoff());
  if (policy.has_budget()) limits.budget = ToDuration(policy.budget());
  if (policy.has_redos()) limits.redos = static_cast<int>(policy.redos());
  if (policy.has_reboots()) limits.reboots = static_cast<int>(policy.reboots());
  if (policy.has_same_signature())
    limits.same_signature = static_cast<int>(policy.same_signature());
  if (policy.has_signature_window())
    limits.signature_window = ToDuration(policy.signature_window());
  if (policy.has_recoveries_per_hour())
    limits.recoveries_per_hour = static_cast<int>(policy.recoveries_per_hour());
  for (const auto& [stage, policy_of_stage] : policy.stages()) {
    core::StageLimits& of_stage = limits.stages[stage];
    if (policy_of_stage.has_attempts())
      of_stage.attempts = static_cast<int>(policy_of_stage.attempts());
    if (policy_of_stage.has_budget()) of_stage.budget = ToDuration(policy_of_stage.budget());
  }
  return limits;
}

}  // namespace

std::string TaskId(std::string_view stage, std::string_view node) {
  return absl::StrCat(std::string(stage), "@", std::string(node));
}

DeploymentPlan PlanOf(const v1::Deployment& deployment, uint64_t revision) {
  const v1::DeploymentSpec& spec = deployment.spec();
  DeploymentPlan plan;
  plan.graph.revision = revision;
  plan.graph.retry = LimitsOf(spec.retry());
  Planner planner(spec, plan);
  for (const Stage& stage : Catalogue()) {
    if (stage.wanted != nullptr && !stage.wanted(spec)) continue;
    for (const v1::Node& node : spec.nodes()) {
      if (IsAt(stage.where, node)) planner.Add(stage, node);
    }
  }
  return plan;
}

}  // namespace npufleet::stages
