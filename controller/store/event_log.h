// SPDX-License-Identifier: Apache-2.0
//
// The events of one rollout as JSON lines, from which the same state follows (replay.h): a run of
// the simulator, or a field bug on a laptop. Pure: text and values; who reads the file is the
// caller.
//
//   {"log":"npufleet events","version":1,"rollout":"qwen","epoch":1,"remarks":["seed 17"]}
//   {"time":1700000000000000,"kind":"SpecApplied","graph":{…},"commands":[{"command":…},…]}
//   {"time":1700000000250000,"kind":"NodeLost","node":"node-b","reason":"no sign of life"}
//   {"time":1700000003000000,"kind":"Remark","text":"the controller dies"}
//   {"time":1700000004000000,"kind":"Snapshot","state":{…}}
//   {"time":1700000004000000,"kind":"Loaded"}
//
// Times are microseconds since 1970. The kinds are the events of core/event.h, with their fields;
// `commands` is what the core that was recorded decided, and may be left out.
#ifndef CONTROLLER_STORE_EVENT_LOG_H_
#define CONTROLLER_STORE_EVENT_LOG_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "controller/core/command.h"
#include "controller/core/event.h"
#include "controller/core/state.h"
#include "nlohmann/json_fwd.hpp"

namespace npufleet::store {

struct LoggedEvent {
  core::Event event;
  std::optional<std::vector<core::Command>> commands;  // that came of it; nullopt: nobody noted

  bool operator==(const LoggedEvent&) const = default;
};

// What was stored, in place of all that was in memory: a log that begins in the middle, or a
// controller that has started again.
struct Snapshot {
  absl::Time time;
  core::State state;  // stored fields only
};

struct Remark {  // changes nothing
  absl::Time time;
  std::string text;
};

using LogEntry = std::variant<LoggedEvent, Snapshot, Remark>;

struct EventLog {
  std::string rollout;
  uint64_t epoch = 0;
  std::vector<std::string> remarks;
  std::vector<LogEntry> entries;  // in the order in which they happened
};

absl::Time TimeOf(const LogEntry& entry);
std::string KindOf(const LogEntry& entry);

// Each with its newline. A log may be written line by line as it happens.
std::string HeaderToLine(const EventLog& log);
std::string EntryToLine(const LogEntry& entry);
std::string EventLogToText(const EventLog& log);

// InvalidArgument: "FILE:LINE: what is wrong". Whatever is read can be replayed: the tasks of a
// graph have names of their own and need what stands before them. Threadsafe.
absl::StatusOr<EventLog> EventLogFromText(std::string_view text, std::string_view file);

// {"command":"StartOperation","operation":…}
nlohmann::json CommandToJson(const core::Command& command);

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_EVENT_LOG_H_
