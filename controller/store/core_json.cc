// SPDX-License-Identifier: Apache-2.0
#include "controller/store/core_json.h"

#include <string_view>
#include <vector>

namespace npufleet::store {

std::string ReasonOf(const std::exception& error) {
  std::string_view reason = error.what();
  // "[json.exception.type_error.302] type must be string, but is number"
  if (reason.substr(0, 6) == "[json.") reason.remove_prefix(reason.find(']') + 2);
  return std::string(reason);
}

std::string WriteJson(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace npufleet::store

namespace npufleet::core {

using Json = nlohmann::json;
using store::ReadMember;
using store::ToMicros;

namespace {

// What was measured is finer than what was decided.
void ReadMicros(const Json& json, const char* name, absl::Duration& value) {
  int64_t micros = 0;
  if (ReadMember(json, name, micros)) value = absl::Microseconds(micros);
}

}  // namespace

void to_json(Json& json, const Failure& failure) {
  json = {{"class", static_cast<int>(failure.failure_class)},
          {"redoStage", failure.redo_stage},
          {"signature", failure.signature},
          {"symptom", failure.symptom},
          {"advice", failure.advice},
          {"logTail", failure.log_tail}};
}

void from_json(const Json& json, Failure& failure) {
  ReadMember(json, "class", failure.failure_class);
  ReadMember(json, "redoStage", failure.redo_stage);
  ReadMember(json, "signature", failure.signature);
  ReadMember(json, "symptom", failure.symptom);
  ReadMember(json, "advice", failure.advice);
  ReadMember(json, "logTail", failure.log_tail);
}

void to_json(Json& json, const Observation& seen) {
  json = {{"sight", static_cast<int>(seen.sight)},
          {"token", seen.token},
          {"reason", seen.reason},
          {"rebootNeeded", seen.reboot_needed}};
  if (seen.failure) json["failure"] = *seen.failure;
  if (seen.cause) json["cause"] = *seen.cause;
}

void from_json(const Json& json, Observation& seen) {
  ReadMember(json, "sight", seen.sight);
  ReadMember(json, "token", seen.token);
  ReadMember(json, "reason", seen.reason);
  ReadMember(json, "rebootNeeded", seen.reboot_needed);
  ReadMember(json, "failure", seen.failure);
  ReadMember(json, "cause", seen.cause);
}

void to_json(Json& json, const StartOperation& operation) {
  json = {{"operation", operation.operation}, {"task", operation.task},
          {"node", operation.node},           {"action", static_cast<int>(operation.action)},
          {"stamp", operation.stamp},         {"inputs", operation.inputs},
          {"bootId", operation.boot_id},      {"redo", operation.redo}};
}

void from_json(const Json& json, StartOperation& operation) {
  ReadMember(json, "operation", operation.operation);
  ReadMember(json, "task", operation.task);
  ReadMember(json, "node", operation.node);
  ReadMember(json, "action", operation.action);
  ReadMember(json, "stamp", operation.stamp);
  ReadMember(json, "inputs", operation.inputs);
  ReadMember(json, "bootId", operation.boot_id);
  ReadMember(json, "redo", operation.redo);
}

void to_json(Json& json, const PastFailure& failure) {
  json = {{"time", ToMicros(failure.time)},
          {"class", static_cast<int>(failure.failure_class)},
          {"signature", failure.signature},
          {"recovery", failure.recovery}};
}

void from_json(const Json& json, PastFailure& failure) {
  ReadMember(json, "time", failure.time);
  ReadMember(json, "class", failure.failure_class);
  ReadMember(json, "signature", failure.signature);
  ReadMember(json, "recovery", failure.recovery);
}

void to_json(Json& json, const Lock& lock) {
  json = {{"name", lock.name}, {"exclusive", lock.exclusive}};
}

void from_json(const Json& json, Lock& lock) {
  ReadMember(json, "name", lock.name);
  ReadMember(json, "exclusive", lock.exclusive);
}

void to_json(Json& json, const TaskPlan& plan) {
  json = {{"id", plan.id},
          {"stage", plan.stage},
          {"node", plan.node},
          {"needs", plan.needs},
          {"want", plan.want},
          {"running", plan.running},
          {"disturbs", plan.disturbs},
          {"prepares", plan.prepares},
          {"interruptible", plan.interruptible},
          {"condition", plan.condition},
          {"dear", plan.dear},
          {"locks", plan.locks},
          {"unknownLimitMs", absl::ToInt64Milliseconds(plan.unknown_limit)}};
}

void from_json(const Json& json, TaskPlan& plan) {
  ReadMember(json, "id", plan.id);
  ReadMember(json, "stage", plan.stage);
  ReadMember(json, "node", plan.node);
  ReadMember(json, "needs", plan.needs);
  ReadMember(json, "want", plan.want);
  ReadMember(json, "running", plan.running);
  ReadMember(json, "disturbs", plan.disturbs);
  ReadMember(json, "prepares", plan.prepares);
  ReadMember(json, "interruptible", plan.interruptible);
  ReadMember(json, "condition", plan.condition);
  ReadMember(json, "dear", plan.dear);
  ReadMember(json, "locks", plan.locks);
  ReadMember(json, "unknownLimitMs", plan.unknown_limit);
}

void to_json(Json& json, const StageLimits& limits) {
  json = Json::object();
  if (limits.attempts) json["attempts"] = *limits.attempts;
  if (limits.budget) json["budgetMs"] = absl::ToInt64Milliseconds(*limits.budget);
}

void from_json(const Json& json, StageLimits& limits) {
  ReadMember(json, "attempts", limits.attempts);
  ReadMember(json, "budgetMs", limits.budget);
}

void to_json(Json& json, const RetryLimits& limits) {
  json = {{"attempts", limits.attempts},
          {"initialBackoffMs", absl::ToInt64Milliseconds(limits.initial_backoff)},
          {"maxBackoffMs", absl::ToInt64Milliseconds(limits.max_backoff)},
          {"budgetMs", absl::ToInt64Milliseconds(limits.budget)},
          {"sameSignature", limits.same_signature},
          {"signatureWindowMs", absl::ToInt64Milliseconds(limits.signature_window)},
          {"recoveriesAnHour", limits.recoveries_per_hour},
          {"redos", limits.redos},
          {"reboots", limits.reboots},
          {"stages", limits.stages}};
}

void from_json(const Json& json, RetryLimits& limits) {
  ReadMember(json, "attempts", limits.attempts);
  ReadMember(json, "initialBackoffMs", limits.initial_backoff);
  ReadMember(json, "maxBackoffMs", limits.max_backoff);
  ReadMember(json, "budgetMs", limits.budget);
  ReadMember(json, "sameSignature", limits.same_signature);
  ReadMember(json, "signatureWindowMs", limits.signature_window);
  ReadMember(json, "recoveriesAnHour", limits.recoveries_per_hour);
  ReadMember(json, "redos", limits.redos);
  ReadMember(json, "reboots", limits.reboots);
  ReadMember(json, "stages", limits.stages);
}

void to_json(Json& json, const Graph& graph) {
  json = {{"revision", graph.revision}, {"tasks", graph.tasks}, {"retry", graph.retry}};
}

void from_json(const Json& json, Graph& graph) {
  ReadMember(json, "revision", graph.revision);
  ReadMember(json, "tasks", graph.tasks);
  ReadMember(json, "retry", graph.retry);
}

void to_json(Json& json, const Task& task) {
  json = {{"plan", task.plan},
          {"retired", task.retired},
          {"seen", task.seen},
          {"seenStamp", task.seen_stamp},
          {"seenAt", ToMicros(task.seen_at)},
          {"token", task.token},
          {"alive", task.alive},
          {"redo", task.redo},
          {"cancelling", task.cancelling},
          {"operations", task.operations},
          {"attempts", task.attempts},
          {"failingSince", ToMicros(task.failing_since)},
          {"past", task.past},
          {"settledWant", task.settled_want},
          {"appliedWant", task.applied_want},
          {"lostStamp", task.lost_stamp},
          {"formerNeeds", task.former_needs},
          {"newNeeds", task.new_needs},
          {"retryAt", ToMicros(task.retry_at)},
          {"givenUp", task.given_up},
          {"givenUpStamp", task.given_up_stamp},
          {"givenUpWhy", task.given_up_why},
          {"stopFailed", task.stop_failed},
          {"unknownSince", ToMicros(task.unknown_since)},
          {"startedAt", ToMicros(task.started_at)},
          {"endedAt", ToMicros(task.ended_at)},
          {"applyTookUs", absl::ToInt64Microseconds(task.apply_took)},
          {"stopTookUs", absl::ToInt64Microseconds(task.stop_took)},
          {"lastOperation", task.last_operation}};
  if (task.operation) json["operation"] = *task.operation;
  if (task.failure) json["failure"] = *task.failure;
}

void from_json(const Json& json, Task& task) {
  if (!ReadMember(json, "plan", task.plan)) throw store::WrongJson("a task without a plan");
  ReadMember(json, "retired", task.retired);
  ReadMember(json, "seen", task.seen);
  ReadMember(json, "seenStamp", task.seen_stamp);
  ReadMember(json, "seenAt", task.seen_at);
  ReadMember(json, "token", task.token);
  ReadMember(json, "alive", task.alive);
  ReadMember(json, "redo", task.redo);
  ReadMember(json, "cancelling", task.cancelling);
  ReadMember(json, "operations", task.operations);
  ReadMember(json, "attempts", task.attempts);
  ReadMember(json, "failingSince", task.failing_since);
  ReadMember(json, "past", task.past);
  ReadMember(json, "settledWant", task.settled_want);
  ReadMember(json, "appliedWant", task.applied_want);
  ReadMember(json, "lostStamp", task.lost_stamp);
  ReadMember(json, "formerNeeds", task.former_needs);
  ReadMember(json, "newNeeds", task.new_needs);
  ReadMember(json, "retryAt", task.retry_at);
  ReadMember(json, "givenUp", task.given_up);
  ReadMember(json, "givenUpStamp", task.given_up_stamp);
  ReadMember(json, "givenUpWhy", task.given_up_why);
  ReadMember(json, "stopFailed", task.stop_failed);
  ReadMember(json, "unknownSince", task.unknown_since);
  ReadMember(json, "startedAt", task.started_at);
  ReadMember(json, "endedAt", task.ended_at);
  ReadMicros(json, "applyTookUs", task.apply_took);
  ReadMicros(json, "stopTookUs", task.stop_took);
  ReadMember(json, "lastOperation", task.last_operation);
  ReadMember(json, "operation", task.operation);
  ReadMember(json, "failure", task.failure);
}

void to_json(Json& json, const Node& node) {
  json = {{"name", node.name},
          {"bootId", node.boot_id},
          {"hostsController", node.hosts_controller},
          {"rebootSince", ToMicros(node.reboot_since)},
          {"rebootTookUs", absl::ToInt64Microseconds(node.reboot_took)},
          {"reboots", node.reboots},
          {"rebootAsked", node.reboot_asked},
          {"rebootOrdered", node.reboot_ordered},
          {"rebootReason", node.reboot_reason}};
  if (node.reboot) json["reboot"] = *node.reboot;
}

void from_json(const Json& json, Node& node) {
  ReadMember(json, "name", node.name);
  ReadMember(json, "bootId", node.boot_id);
  ReadMember(json, "hostsController", node.hosts_controller);
  ReadMember(json, "rebootSince", node.reboot_since);
  ReadMicros(json, "rebootTookUs", node.reboot_took);
  ReadMember(json, "reboots", node.reboots);
  ReadMember(json, "rebootAsked", node.reboot_asked);
  ReadMember(json, "rebootOrdered", node.reboot_ordered);
  ReadMember(json, "rebootReason", node.reboot_reason);
  ReadMember(json, "reboot", node.reboot);
}

void to_json(Json& json, const State& state) {
  json = {{"deployment", state.deployment},
          {"epoch", state.epoch},
          {"revision", state.revision},
          {"retry", state.retry},
          {"paused", state.paused},
          {"cancelled", state.cancelled},
          {"startedAt", ToMicros(state.started_at)},
          {"servingSince", ToMicros(state.serving_since)},
          {"tasks", state.tasks}};
  Json& nodes = json["nodes"] = Json::array();
  for (const auto& [name, node] : state.nodes) nodes.push_back(node);
}

void from_json(const Json& json, State& state) {
  ReadMember(json, "deployment", state.deployment);
  ReadMember(json, "epoch", state.epoch);
  ReadMember(json, "revision", state.revision);
  ReadMember(json, "retry", state.retry);
  ReadMember(json, "paused", state.paused);
  ReadMember(json, "cancelled", state.cancelled);
  ReadMember(json, "startedAt", state.started_at);
  ReadMember(json, "servingSince", state.serving_since);
  ReadMember(json, "tasks", state.tasks);
  std::vector<Node> nodes;
  ReadMember(json, "nodes", nodes);
  for (Node& node : nodes) {
    const std::string name = node.name;
    state.nodes[name] = std::move(node);
  }
}

}  // namespace npufleet::core
