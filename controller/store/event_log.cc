// SPDX-License-Identifier: Apache-2.0
#include "controller/store/event_log.h"

#include <iterator>
#include <set>
#include <type_traits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/string_views.h"
#include "controller/store/core_json.h"

namespace npufleet::store {
namespace {

using What = decltype(core::Event::what);
using Result = core::OperationEnded::Result;

constexpr char kFormat[] = "npufleet events";
constexpr int kVersion = 1;

// What no rollout comes near: a log beyond is garbage, and a replay of it could take forever.
constexpr size_t kMostTasks = 10'000;
constexpr int kMostAttempts = 1'000'000;

// In the order of the variants.
constexpr const char* kEvents[] = {
    "SpecApplied",     "Loaded",          "NodeConnected",   "NodeLost",         "Observed",
    "OperationEnded",  "TimePassed",      "RetryRequested",  "RestartRequested", "PauseRequested",
    "ResumeRequested", "CancelRequested", "RebootRequested", "NodeRemoved",
};
static_assert(std::size(kEvents) == std::variant_size_v<What>);
constexpr const char* kCommands[] = {"CheckTask", "StartOperation", "CancelOperation",
                                     "ForgetTask"};
static_assert(std::size(kCommands) == std::variant_size_v<core::Command>);
constexpr const char* kResults[] = {"succeeded", "failed", "cancelled", "interrupted", "refused"};

template <size_t size>
size_t IndexOf(const char* const (&names)[size], const std::string& name) {
  for (size_t i = 0; i < size; ++i) {
    if (name == names[i]) return i;
  }
  throw WrongJson(absl::StrCat("there is no \"", name.substr(0, 60), "\""));
}

template <typename Value>
void Require(const Json& json, const char* name, Value& value) {
  if (!ReadMember(json, name, value)) throw WrongJson(absl::StrCat("has no \"", name, "\""));
}

// --- Events --------------------------------------------------------------------------------------

void Write(const core::SpecApplied& event, Json& json) { json["graph"] = event.graph; }
void Write(const core::NodeConnected& event, Json& json) {
  json["node"] = event.node;
  json["bootId"] = event.boot_id;
  json["hostsController"] = event.hosts_controller;
}
void Write(const core::NodeLost& event, Json& json) {
  json["node"] = event.node;
  json["reason"] = event.reason;
}
void Write(const core::Observed& event, Json& json) {
  json["task"] = event.task;
  json["stamp"] = event.stamp;
  json["observation"] = event.observation;
}
void Write(const core::OperationEnded& event, Json& json) {
  json["operation"] = event.operation;
  json["result"] = kResults[static_cast<int>(event.result)];
  json["observation"] = event.observation;
  json["failure"] = event.failure;
  if (!event.swept.empty()) json["swept"] = event.swept;
}
void Write(const core::RestartRequested& event, Json& json) {
  json["stage"] = event.stage;
  json["node"] = event.node;
}
void Write(const core::RebootRequested& event, Json& json) { json["node"] = event.node; }
void Write(const core::NodeRemoved& event, Json& json) { json["node"] = event.node; }
template <typename Event>
void Write(const Event&, Json&) {
  static_assert(std::is_empty_v<Event>);
}

void Read(const Json& json, core::SpecApplied& event) { Require(json, "graph", event.graph); }
void Read(const Json& json, core::NodeConnected& event) {
  Require(json, "node", event.node);
  Require(json, "bootId", event.boot_id);
  ReadMember(json, "hostsController", event.hosts_controller);
}
void Read(const Json& json, core::NodeLost& event) {
  Require(json, "node", event.node);
  ReadMember(json, "reason", event.reason);
}
void Read(const Json& json, core::Observed& event) {
  Require(json, "task", event.task);
  Require(json, "stamp", event.stamp);
  Require(json, "observation", event.observation);
}
void Read(const Json& json, core::OperationEnded& event) {
  Require(json, "operation", event.operation);
  std::string result;
  Require(json, "result", result);
  event.result = static_cast<Result>(IndexOf(kResults, result));
  ReadMember(json, "observation", event.observation);
  ReadMember(json, "failure", event.failure);
  ReadMember(json, "swept", event.swept);
}
void Read(const Json& json, core::RestartRequested& event) {
  Require(json, "stage", event.stage);
  ReadMember(json, "node", event.node);
}
void Read(const Json& json, core::RebootRequested& event) { Require(json, "node", event.node); }
void Read(const Json& json, core::NodeRemoved& event) { Require(json, "node", event.node); }
template <typename Event>
void Read(const Json&, Event&) {
  static_assert(std::is_empty_v<Event>);
}

// --- Commands ------------------------------------------------------------------------------------

void Write(const core::CheckTask& command, Json& json) {
  json["task"] = command.task;
  json["node"] = command.node;
  json["stamp"] = command.stamp;
  json["inputs"] = command.inputs;
}
void Write(const core::StartOperation& command, Json& json) { json = command; }
void Write(const core::CancelOperation& command, Json& json) {
  json["operation"] = command.operation;
  json["node"] = command.node;
}
void Write(const core::ForgetTask& command, Json& json) {
  json["task"] = command.task;
  json["node"] = command.node;
}

void Read(const Json& json, core::CheckTask& command) {
  Require(json, "task", command.task);
  Require(json, "node", command.node);
  ReadMember(json, "stamp", command.stamp);
  ReadMember(json, "inputs", command.inputs);
}
void Read(const Json& json, core::StartOperation& command) { from_json(json, command); }
void Read(const Json& json, core::CancelOperation& command) {
  Require(json, "operation", command.operation);
  ReadMember(json, "node", command.node);
}
void Read(const Json& json, core::ForgetTask& command) {
  Require(json, "task", command.task);
  ReadMember(json, "node", command.node);
}

// The alternative `index` of the variant.
template <typename Variant, size_t i = 0>
Variant ReadAlternative(size_t index, const Json& json) {
  if constexpr (i + 1 < std::variant_size_v<Variant>) {
    if (index != i) return ReadAlternative<Variant, i + 1>(index, json);
  }
  std::variant_alternative_t<i, Variant> value;
  Read(json, value);
  return value;
}

// --- What a replay relies on ---------------------------------------------------------------------

void CheckRetry(const core::RetryLimits& retry) {
  std::vector<int> limits = {retry.attempts, retry.redos, retry.reboots, retry.same_signature,
                             retry.recoveries_per_hour};
  for (const auto& [stage, of_stage] : retry.stages)
    limits.push_back(of_stage.attempts.value_or(0));
  for (const int limit : limits) {
    if (limit < 0 || limit > kMostAttempts)
      throw WrongJson(absl::StrCat("retry: ", limit, " is not in 0 to ", kMostAttempts));
  }
}

void CheckGraph(const core::Graph& graph) {
  if (graph.tasks.size() > kMostTasks) throw WrongJson("too many tasks");
  std::set<std::string> before;
  for (const core::TaskPlan& plan : graph.tasks) {
    if (plan.id.empty()) throw WrongJson("a task without an id");
    for (const std::string& need : plan.needs) {
      if (before.count(need) == 0)
        throw WrongJson(absl::StrCat(plan.id, " needs ", need, ", which does not stand before it"));
    }
    if (!before.insert(plan.id).second) throw WrongJson(absl::StrCat(plan.id, " is there twice"));
  }
  CheckRetry(graph.retry);
}

// Retired tasks stand last, in any order: they may be long, but not in a circle.
void CheckState(const core::State& state) {
  if (state.tasks.size() > kMostTasks) throw WrongJson("too many tasks");
  std::set<std::string> open;
  for (const core::Task& task : state.tasks) {
    if (task.plan.id.empty()) throw WrongJson("a task without an id");
    if (!open.insert(task.plan.id).second)
      throw WrongJson(absl::StrCat(task.plan.id, " is there twice"));
    if (task.attempts < 0 || task.attempts > kMostAttempts)
      throw WrongJson(absl::StrCat(task.plan.id, " with ", task.attempts, " attempts"));
  }
  for (bool moved = true; moved && !open.empty();) {
    moved = false;
    for (const core::Task& task : state.tasks) {
      if (open.count(task.plan.id) == 0) continue;
      bool waits = false;
      for (const std::string& need : task.plan.needs) waits = waits || open.count(need) > 0;
      if (waits) continue;
      open.erase(task.plan.id);
      moved = true;
    }
  }
  if (!open.empty()) throw WrongJson(absl::StrCat(*open.begin(), " needs itself"));
  CheckRetry(state.retry);
}

// --- Lines ---------------------------------------------------------------------------------------

Json ToJson(const LoggedEvent& logged) {
  Json json = Json::object();
  std::visit([&](const auto& what) { Write(what, json); }, logged.event.what);
  if (logged.commands) {
    Json& commands = json["commands"] = Json::array();
    for (const core::Command& command : *logged.commands)
      commands.push_back(CommandToJson(command));
  }
  return json;
}
Json ToJson(const Snapshot& snapshot) { return {{"state", snapshot.state}}; }
Json ToJson(const Remark& remark) { return {{"text", remark.text}}; }

LoggedEvent ReadEvent(const Json& json, absl::Time time, const std::string& kind) {
  LoggedEvent logged;
  logged.event = {time, ReadAlternative<What>(IndexOf(kEvents, kind), json)};
  if (const auto* applied = std::get_if<core::SpecApplied>(&logged.event.what)) {
    CheckGraph(applied->graph);
  }
  std::vector<Json> commands;
  if (!ReadMember(json, "commands", commands)) return logged;
  logged.commands.emplace();
  for (const Json& command : commands) {
    std::string name;
    Require(command, "command", name);
    logged.commands->push_back(ReadAlternative<core::Command>(IndexOf(kCommands, name), command));
  }
  return logged;
}

LogEntry ReadEntry(const Json& json) {
  absl::Time time;
  std::string kind;
  Require(json, "time", time);
  Require(json, "kind", kind);
  if (time == absl::InfiniteFuture() || time == absl::InfinitePast())
    throw WrongJson("time: it never comes");
  if (kind == "Snapshot") {
    Snapshot snapshot{.time = time};
    Require(json, "state", snapshot.state);
    CheckState(snapshot.state);
    return snapshot;
  }
  if (kind == "Remark") {
    Remark remark{.time = time};
    Require(json, "text", remark.text);
    return remark;
  }
  return ReadEvent(json, time, kind);
}

Json ParseLine(absl::string_view line) {
  try {
    return Json::parse(line.begin(), line.end());
  } catch (const Json::exception& error) {
    // "parse error at line 1, column 8: …": which line it is the caller knows.
    std::string reason = ReasonOf(error);
    if (const size_t column = reason.find("column "); column != std::string::npos)
      reason = reason.substr(column);
    throw WrongJson(absl::StrCat("no JSON: ", reason));
  }
}

EventLog ReadHeader(const Json& json) {
  EventLog log;
  std::string format;
  int version = 0;
  if (!json.is_object() || !ReadMember(json, "log", format) || format != kFormat)
    throw WrongJson(absl::StrCat("no event log: it begins with {\"log\":\"", kFormat, "\"…}"));
  Require(json, "version", version);
  if (version != kVersion)
    throw WrongJson(absl::StrCat("an event log of version ", version, "; version ", kVersion,
                                 " is what this program reads"));
  Require(json, "rollout", log.rollout);
  Require(json, "epoch", log.epoch);
  ReadMember(json, "remarks", log.remarks);
  return log;
}

}  // namespace

absl::Time TimeOf(const LogEntry& entry) {
  if (const auto* logged = std::get_if<LoggedEvent>(&entry)) return logged->event.time;
  if (const auto* snapshot = std::get_if<Snapshot>(&entry)) return snapshot->time;
  return std::get<Remark>(entry).time;
}

std::string KindOf(const LogEntry& entry) {
  if (const auto* logged = std::get_if<LoggedEvent>(&entry))
    return kEvents[logged->event.what.index()];
  return std::holds_alternative<Snapshot>(entry) ? "Snapshot" : "Remark";
}

nlohmann::json CommandToJson(const core::Command& command) {
  Json json = Json::object();
  std::visit([&](const auto& what) { Write(what, json); }, command);
  json["command"] = kCommands[command.index()];
  return json;
}

std::string HeaderToLine(const EventLog& log) {
  return WriteJson({{"log", kFormat},
                    {"version", kVersion},
                    {"rollout", log.rollout},
                    {"epoch", log.epoch},
                    {"remarks", log.remarks}}) +
         "\n";
}

std::string EntryToLine(const LogEntry& entry) {
  Json json = std::visit([](const auto& one) { return ToJson(one); }, entry);
  json["time"] = ToMicros(TimeOf(entry));
  json["kind"] = KindOf(entry);
  return WriteJson(json) + "\n";
}

std::string EventLogToText(const EventLog& log) {
  std::string text = HeaderToLine(log);
  for (const LogEntry& entry : log.entries) text += EntryToLine(entry);
  return text;
}

absl::StatusOr<EventLog> EventLogFromText(std::string_view text, std::string_view file) {
  EventLog log;
  int number = 0;
  bool has_header = false;
  try {
    for (const absl::string_view piece : absl::StrSplit(Absl(text), '\n')) {
      ++number;
      const absl::string_view line = absl::StripAsciiWhitespace(piece);
      if (line.empty()) continue;
      const Json json = ParseLine(line);
      if (has_header) {
        log.entries.push_back(ReadEntry(json));
      } else {
        log = ReadHeader(json);
        has_header = true;
      }
    }
    if (!has_header) throw WrongJson("empty");
  } catch (const std::exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(std::string(file), ":", number, ": ", ReasonOf(error)));
  }
  return log;
}

}  // namespace npufleet::store
