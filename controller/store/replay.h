// SPDX-License-Identifier: Apache-2.0
//
// What an event log tells: its events once more through core::Step. Pure.
#ifndef CONTROLLER_STORE_REPLAY_H_
#define CONTROLLER_STORE_REPLAY_H_

#include <optional>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "controller/core/command.h"
#include "controller/core/state.h"
#include "controller/core/step.h"
#include "controller/store/event_log.h"

namespace npufleet::store {

// One line about an event or a command: "Observed", "driver@node-b", "absent: no driver".
struct Account {
  std::string what;
  std::string subject;  // a task, a node, a stage or an operation; empty: the rollout
  std::string detail;

  bool operator==(const Account&) const = default;
};

struct ReplayedEntry {
  absl::Duration after;  // since the first entry of the log
  Account account;
  std::vector<core::Note> notes;
  // Of a snapshot: what it says is outstanding, and is commanded again.
  std::vector<core::Command> commands;
  // What the log says came of it, when that is something else: it was written by another core.
  std::optional<std::vector<core::Command>> recorded;
};

struct OpenTask {
  std::string id;
  std::string reason;
};

struct Replay {
  std::vector<ReplayedEntry> entries;  // one for each of the log
  core::State state;                   // at the end
  core::Phase phase = core::Phase::kWaiting;
  std::string reason;
  std::vector<OpenTask> open;  // what is not current, in the order of the graph
  int otherwise = 0;           // how many entries have `recorded`
};

Replay ReplayLog(const EventLog& log);

Account Tell(const LogEntry& entry);
// "apply", "stop", "reboot", "check", "cancel", "forget".
Account Tell(const core::Command& command);

// "progressing", "serving" …
std::string NameOf(core::Phase phase);

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_REPLAY_H_
