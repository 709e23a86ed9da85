// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/rollout_view.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/spec/notes.h"
#include "common/time_conversion.h"
#include "controller/runtime/wire.h"

namespace npufleet::runtime {
namespace {

bool IsFinite(absl::Time time) {
  return time != absl::InfinitePast() && time != absl::InfiniteFuture();
}

}  // namespace

v1::Task::State StateOf(const core::Task& task) {
  if (task.operation) {
    return task.operation->action == core::Action::kStop ? v1::Task::STOPPING : v1::Task::RUNNING;
  }
  if (task.current) {
    return task.seen.sight == core::Sight::kDrifted ? v1::Task::DRIFTED : v1::Task::CURRENT;
  }
  if (task.given_up) return v1::Task::FAILED;
  if (!task.checking.empty()) return v1::Task::CHECKING;
  return task.seen.sight == core::Sight::kUnknown ? v1::Task::UNKNOWN : v1::Task::PENDING;
}

absl::Time CheckedAt(const core::Task& task, const Details& details) {
  if (task.seen.sight == core::Sight::kUnseen) return absl::InfinitePast();
  auto checked = details.checked.find(task.plan.id);
  return checked == details.checked.end() ? task.seen_at : std::max(task.seen_at, checked->second);
}

namespace {

v1::Task TaskOf(const core::Task& task, const Details& details) {
  v1::Task view;
  view.set_id(task.plan.id);
  view.set_stage(task.plan.stage);
  view.set_node(task.plan.node);
  view.set_state(StateOf(task));
  view.set_reason(task.reason);
  view.set_token(task.token);
  for (const std::string& need : task.plan.needs) view.add_needs(need);
  view.set_operation(task.last_operation);
  if (task.operation) {
    auto progress = details.progress.find(task.operation->operation);
    if (progress != details.progress.end()) *view.mutable_progress() = progress->second;
  }
  if (IsFinite(task.started_at)) *view.mutable_start_time() = ToTimestamp(task.started_at);
  if (IsFinite(task.ended_at)) *view.mutable_end_time() = ToTimestamp(task.ended_at);
  view.set_attempts(static_cast<uint32_t>(task.attempts));
  if (task.failure) *view.mutable_failure() = ToWire(*task.failure);
  if (const absl::Time checked = CheckedAt(task, details); IsFinite(checked)) {
    *view.mutable_observed_time() = ToTimestamp(checked);
  }
  auto observation = details.observations.find(task.plan.id);
  if (observation != details.observations.end())
    *view.mutable_facts() = observation->second.facts();
  if (IsFinite(task.retry_at) && !task.current)
    *view.mutable_retry_time() = ToTimestamp(task.retry_at);
  view.set_cancelling(task.cancelling && task.operation.has_value());
  return view;
}

v1::Rollout::Phase PhaseToWire(core::Phase phase) {
  switch (phase) {
    case core::Phase::kProgressing:
      return v1::Rollout::PROGRESSING;
    case core::Phase::kServing:
      return v1::Rollout::SERVING;
    case core::Phase::kWaiting:
      return v1::Rollout::WAITING;
    case core::Phase::kFailed:
      return v1::Rollout::FAILED;
    case core::Phase::kPaused:
      return v1::Rollout::PAUSED;
    case core::Phase::kCancelled:
      return v1::Rollout::CANCELLED;
    case core::Phase::kDeleted:
      return v1::Rollout::DELETED;
  }
  return v1::Rollout::PHASE_UNSPECIFIED;
}

// Ran within the newest stretch, and has ended.
bool RanIn(const core::Task& task, absl::Time from) {
  return IsFinite(task.started_at) && IsFinite(task.ended_at) && task.started_at >= from;
}

}  // namespace

v1::Rollout RolloutOf(const core::State& state, const Details& details) {
  v1::Rollout view;
  view.set_name(state.deployment);
  view.set_revision(state.revision);
  const core::Phase phase = core::PhaseOf(state);
  view.set_phase(PhaseToWire(phase));
  view.set_reason(core::ReasonOf(state));
  for (const core::Task& task : state.tasks) *view.add_tasks() = TaskOf(task, details);
  const v1::DeploymentSpec& spec = details.deployment.spec();
  for (const v1::Node& node : spec.nodes()) {
    if (node.role() == v1::Node::HEAD) {
      view.set_endpoint(absl::StrCat("http://", node.address(), ":", spec.engine().port()));
    }
  }
  view.set_served_model_name(spec.engine().served_model_name());
  if (IsFinite(state.started_at)) *view.mutable_start_time() = ToTimestamp(state.started_at);
  if (IsFinite(state.serving_since)) {
    *view.mutable_serving_time() = ToTimestamp(state.serving_since);
    *view.mutable_critical_path() = CriticalPathOf(state);
  }
  for (const std::string& note : spec::Notes(details.deployment)) view.add_notes(note);
  return view;
}

v1::CriticalPath CriticalPathOf(const core::State& state) {
  v1::CriticalPath path;
  if (!IsFinite(state.started_at) || !IsFinite(state.serving_since)) return path;
  const core::Task* last = nullptr;
  for (const core::Task& task : state.tasks) {
    if (RanIn(task, state.started_at) && (last == nullptr || task.ended_at > last->ended_at))
      last = &task;
  }
  absl::Duration work;
  std::vector<std::string> reversed;
  for (const core::Task* task = last; task != nullptr;) {
    reversed.push_back(task->plan.id);
    work += task->ended_at - task->started_at;
    const core::Task* before = nullptr;
    for (const core::Task& other : state.tasks) {
      if (!RanIn(other, state.started_at) || other.ended_at > task->started_at) continue;
      const bool holds_back =
          std::count(task->plan.needs.begin(), task->plan.needs.end(), other.plan.id) > 0 ||
          other.plan.node == task->plan.node;
      if (holds_back && (before == nullptr || other.ended_at > before->ended_at)) before = &other;
    }
    // A reboot between the two is work that the rules demand.
    if (before != nullptr) {
      const auto node = state.nodes.find(task->plan.node);
      if (node != state.nodes.end() && node->second.reboot_since >= before->ended_at &&
          node->second.reboot_since <= task->started_at) {
        work += task->started_at - node->second.reboot_since;
      }
    }
    task = before;
  }
  for (auto id = reversed.rbegin(); id != reversed.rend(); ++id) path.add_tasks(*id);
  const absl::Duration wall = state.serving_since - state.started_at;
  *path.mutable_wall() = ToProtoDuration(wall);
  *path.mutable_work() = ToProtoDuration(work);
  if (wall > absl::ZeroDuration()) {
    path.set_overhead_percent(100.0 * std::max(0.0, absl::FDivDuration(wall - work, wall)));
  }
  return path;
}

}  // namespace npufleet::runtime
