// SPDX-License-Identifier: Apache-2.0
#include "controller/store/task_row.h"

#include <limits>

#include "absl/strings/str_cat.h"
#include "nlohmann/json.hpp"

namespace npufleet::core {

using Json = nlohmann::json;

void to_json(Json& json, const Failure& failure) {
  json = {{"class", static_cast<int>(failure.failure_class)},
          {"redoStage", failure.redo_stage},
          {"signature", failure.signature},
          {"symptom", failure.symptom},
          {"advice", failure.advice},
          {"logTail", failure.log_tail}};
}

void from_json(const Json& json, Failure& failure) {
  failure.failure_class = static_cast<FailureClass>(json.value("class", 0));
  failure.redo_stage = json.value("redoStage", "");
  failure.signature = json.value("signature", "");
  failure.symptom = json.value("symptom", "");
  failure.advice = json.value("advice", "");
  failure.log_tail = json.value("logTail", std::vector<std::string>());
}

void to_json(Json& json, const Observation& seen) {
  json = {{"sight", static_cast<int>(seen.sight)},
          {"token", seen.token},
          {"reason", seen.reason},
          {"rebootNeeded", seen.reboot_needed}};
  if (seen.failure) json["failure"] = *seen.failure;
}

void from_json(const Json& json, Observation& seen) {
  seen.sight = static_cast<Sight>(json.value("sight", 0));
  seen.token = json.value("token", "");
  seen.reason = json.value("reason", "");
  seen.reboot_needed = json.value("rebootNeeded", false);
  if (json.contains("failure")) seen.failure = json.at("failure").get<Failure>();
}

void to_json(Json& json, const StartOperation& operation) {
  json = {{"operation", operation.operation}, {"task", operation.task},
          {"node", operation.node},           {"action", static_cast<int>(operation.action)},
          {"stamp", operation.stamp},         {"inputs", operation.inputs},
          {"bootId", operation.boot_id},      {"redo", operation.redo}};
}

void from_json(const Json& json, StartOperation& operation) {
  operation.operation = json.value("operation", "");
  operation.task = json.value("task", "");
  operation.node = json.value("node", "");
  operation.action = static_cast<Action>(json.value("action", 0));
  operation.stamp = json.value("stamp", "");
  operation.inputs = json.value("inputs", std::map<std::string, std::string>());
  operation.boot_id = json.value("bootId", "");
  operation.redo = json.value("redo", false);
}

void to_json(Json& json, const PastFailure& failure) {
  json = {{"time", store::ToMicros(failure.time)},
          {"class", static_cast<int>(failure.failure_class)},
          {"signature", failure.signature},
          {"recovery", failure.recovery}};
}

void from_json(const Json& json, PastFailure& failure) {
  failure.time = store::FromMicros(json.value("time", int64_t{0}));
  failure.failure_class = static_cast<FailureClass>(json.value("class", 0));
  failure.signature = json.value("signature", "");
  failure.recovery = json.value("recovery", false);
}

void to_json(Json& json, const Lock& lock) {
  json = {{"name", lock.name}, {"exclusive", lock.exclusive}};
}

void from_json(const Json& json, Lock& lock) {
  lock.name = json.value("name", "");
  lock.exclusive = json.value("exclusive", false);
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
  plan.id = json.value("id", "");
  plan.stage = json.value("stage", "");
  plan.node = json.value("node", "");
  plan.needs = json.value("needs", std::vector<std::string>());
  plan.want = json.value("want", "");
  plan.running = json.value("running", false);
  plan.disturbs = json.value("disturbs", false);
  plan.prepares = json.value("prepares", false);
  plan.interruptible = json.value("interruptible", false);
  plan.condition = json.value("condition", false);
  plan.dear = json.value("dear", false);
  plan.locks = json.value("locks", std::vector<Lock>());
  plan.unknown_limit = absl::Milliseconds(json.value("unknownLimitMs", int64_t{600000}));
}

}  // namespace npufleet::core

namespace npufleet::store {
namespace {

using Json = nlohmann::json;

// Foreign bytes (an installer's output) need not be UTF-8, and a stored value must be.
std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

template <typename Value, typename Read>
absl::StatusOr<Value> Parse(const std::string& text, Read read) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) {
    return absl::DataLossError(absl::StrCat("not a JSON object: ", text.substr(0, 80)));
  }
  try {
    Value value;
    read(json, value);
    return value;
  } catch (const Json::exception& error) {
    return absl::DataLossError(absl::StrCat(error.what(), " in ", text.substr(0, 80)));
  }
}

}  // namespace

int64_t ToMicros(absl::Time time) {
  if (time == absl::InfiniteFuture()) return std::numeric_limits<int64_t>::max();
  if (time == absl::InfinitePast()) return std::numeric_limits<int64_t>::min();
  return absl::ToUnixMicros(time);
}

absl::Time FromMicros(int64_t micros) {
  if (micros == std::numeric_limits<int64_t>::max()) return absl::InfiniteFuture();
  if (micros == std::numeric_limits<int64_t>::min()) return absl::InfinitePast();
  return absl::FromUnixMicros(micros);
}

std::string TaskToJson(const core::Task& task) {
  Json json = {{"plan", task.plan},
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
               {"retryAt", ToMicros(task.retry_at)},
               {"givenUp", task.given_up},
               {"givenUpStamp", task.given_up_stamp},
               {"unknownSince", ToMicros(task.unknown_since)},
               {"startedAt", ToMicros(task.started_at)},
               {"endedAt", ToMicros(task.ended_at)},
               {"applyTookUs", absl::ToInt64Microseconds(task.apply_took)},
               {"stopTookUs", absl::ToInt64Microseconds(task.stop_took)},
               {"lastOperation", task.last_operation}};
  if (task.operation) json["operation"] = *task.operation;
  if (task.failure) json["failure"] = *task.failure;
  return Dump(json);
}

absl::StatusOr<core::Task> TaskFromJson(const std::string& text) {
  return Parse<core::Task>(text, [](const Json& json, core::Task& task) {
    const int64_t past = ToMicros(absl::InfinitePast());
    task.plan = json.at("plan").get<core::TaskPlan>();
    task.retired = json.value("retired", false);
    task.seen = json.value("seen", core::Observation());
    task.seen_stamp = json.value("seenStamp", "");
    task.seen_at = FromMicros(json.value("seenAt", past));
    task.token = json.value("token", "");
    task.alive = json.value("alive", false);
    task.redo = json.value("redo", false);
    task.cancelling = json.value("cancelling", false);
    task.operations = json.value("operations", uint64_t{0});
    task.attempts = json.value("attempts", 0);
    task.failing_since = FromMicros(json.value("failingSince", ToMicros(absl::InfiniteFuture())));
    task.past = json.value("past", std::vector<core::PastFailure>());
    task.settled_want = json.value("settledWant", "");
    task.applied_want = json.value("appliedWant", "");
    task.lost_stamp = json.value("lostStamp", "");
    task.former_needs = json.value("formerNeeds", std::vector<std::string>());
    task.retry_at = FromMicros(json.value("retryAt", past));
    task.given_up = json.value("givenUp", false);
    task.given_up_stamp = json.value("givenUpStamp", "");
    task.unknown_since = FromMicros(json.value("unknownSince", ToMicros(absl::InfiniteFuture())));
    task.started_at = FromMicros(json.value("startedAt", past));
    task.ended_at = FromMicros(json.value("endedAt", past));
    task.apply_took = absl::Microseconds(json.value("applyTookUs", int64_t{0}));
    task.stop_took = absl::Microseconds(json.value("stopTookUs", int64_t{0}));
    task.last_operation = json.value("lastOperation", "");
    if (json.contains("operation"))
      task.operation = json.at("operation").get<core::StartOperation>();
    if (json.contains("failure")) task.failure = json.at("failure").get<core::Failure>();
  });
}

std::string NodeToJson(const core::Node& node) {
  Json json = {{"name", node.name},
               {"bootId", node.boot_id},
               {"hostsController", node.hosts_controller},
               {"rebootSince", ToMicros(node.reboot_since)},
               {"rebootTookUs", absl::ToInt64Microseconds(node.reboot_took)},
               {"reboots", node.reboots},
               {"rebootAsked", node.reboot_asked},
               {"rebootOrdered", node.reboot_ordered},
               {"rebootReason", node.reboot_reason}};
  if (node.reboot) json["reboot"] = *node.reboot;
  return Dump(json);
}

absl::StatusOr<core::Node> NodeFromJson(const std::string& text) {
  return Parse<core::Node>(text, [](const Json& json, core::Node& node) {
    node.name = json.value("name", "");
    node.boot_id = json.value("bootId", "");
    node.hosts_controller = json.value("hostsController", false);
    node.reboot_since = FromMicros(json.value("rebootSince", ToMicros(absl::InfinitePast())));
    node.reboot_took = absl::Microseconds(json.value("rebootTookUs", int64_t{0}));
    node.reboots = json.value("reboots", uint64_t{0});
    node.reboot_asked = json.value("rebootAsked", false);
    node.reboot_ordered = json.value("rebootOrdered", false);
    node.reboot_reason = json.value("rebootReason", "");
    if (json.contains("reboot")) node.reboot = json.at("reboot").get<core::StartOperation>();
  });
}

std::string RetryToJson(const core::RetryLimits& limits) {
  return Dump({{"attempts", limits.attempts},
               {"initialBackoffMs", absl::ToInt64Milliseconds(limits.initial_backoff)},
               {"maxBackoffMs", absl::ToInt64Milliseconds(limits.max_backoff)},
               {"budgetMs", absl::ToInt64Milliseconds(limits.budget)},
               {"sameSignature", limits.same_signature},
               {"signatureWindowMs", absl::ToInt64Milliseconds(limits.signature_window)},
               {"recoveriesAnHour", limits.recoveries_an_hour}});
}

absl::StatusOr<core::RetryLimits> RetryFromJson(const std::string& text) {
  return Parse<core::RetryLimits>(text, [](const Json& json, core::RetryLimits& limits) {
    limits.attempts = json.value("attempts", limits.attempts);
    limits.initial_backoff = absl::Milliseconds(json.value("initialBackoffMs", int64_t{2000}));
    limits.max_backoff = absl::Milliseconds(json.value("maxBackoffMs", int64_t{300000}));
    const auto duration = [&](const char* name, absl::Duration otherwise) {
      return absl::Milliseconds(json.value(name, absl::ToInt64Milliseconds(otherwise)));
    };
    limits.budget = duration("budgetMs", limits.budget);
    limits.same_signature = json.value("sameSignature", limits.same_signature);
    limits.signature_window = duration("signatureWindowMs", limits.signature_window);
    limits.recoveries_an_hour = json.value("recoveriesAnHour", limits.recoveries_an_hour);
  });
}

}  // namespace npufleet::store
