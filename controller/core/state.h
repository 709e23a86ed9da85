// SPDX-License-Identifier: Apache-2.0
//
// The state of one rollout. Values only; what is marked transient is not stored and is rebuilt by
// the events Loaded and NodeConnected.
#ifndef CONTROLLER_CORE_STATE_H_
#define CONTROLLER_CORE_STATE_H_

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "controller/core/command.h"
#include "controller/core/event.h"
#include "controller/core/failure.h"
#include "controller/core/graph.h"

namespace npufleet::core {

// What once went wrong with a task; kept over successes, so that what fails again and again is
// seen.
struct PastFailure {
  absl::Time time;
  FailureClass failure_class = FailureClass::kTransient;
  std::string signature;
  bool recovery = false;  // it died by itself, and was started again

  bool operator==(const PastFailure&) const = default;
};

// One task.
//
//            stamp changed, node came back                  absent, and all that it needs is
//            current
//   current ───────────────────────────────> to be checked ─────────────────────────────> applying
//      ^                                          │ present                                  │
//      └──────────────────────────────────────────┴──────────────── succeeded ───────────────┤
//                                                          retry at <── failed, cancelled ───┘
struct Task {
  TaskPlan plan;
  bool retired = false;  // the newest graph lacks it: stopped, then dropped

  Observation seen;
  std::string seen_stamp;  // what `seen` was checked against
  absl::Time seen_at;
  std::string token;         // of the newest present or drifted; empty once absent
  bool alive = false;        // running tasks: something of it is there, wanted or not
  bool redo = false;         // run it again though it is present
  std::string settled_want;  // the newest for which it was seen present
  std::string applied_want;  // the newest for which an Apply was started
  std::string lost_stamp;    // running tasks: that it was made for when it died by itself
  // Running tasks: on what it may have been started in a former revision, beside what the present
  // one names. None once it is known to be made for this one, or gone.
  std::vector<std::string> former_needs;
  // Of what was made for a former revision: what the present one names and it was made without, as
  // of a node that is added. None once it is made for this one, or gone.
  std::vector<std::string> new_needs;

  std::optional<StartOperation> operation;  // outstanding
  bool cancelling = false;
  uint64_t operations = 0;                            // how many were started: numbers their ids
  int attempts = 0;                                   // failed ones since it was last current
  absl::Time failing_since = absl::InfiniteFuture();  // the first of them
  std::vector<PastFailure> past;                      // newest last
  absl::Time retry_at = absl::InfinitePast();
  std::optional<Failure> failure;  // the newest, until it is current
  bool given_up = false;
  std::string given_up_stamp;  // another one makes it try again
  std::string given_up_why;
  bool stop_failed = false;  // the newest Stop of what is alive
  absl::Time unknown_since = absl::InfiniteFuture();
  absl::Time started_at = absl::InfinitePast();  // of the newest operation
  absl::Time ended_at = absl::InfinitePast();
  absl::Duration apply_took;  // the newest that succeeded; zero: none has
  absl::Duration stop_took;
  std::string last_operation;

  // Transient.
  std::string checking;          // stamp of the outstanding Check; empty: none
  bool awaiting_report = false;  // of its node's return
  bool ended_unseen = false;     // its node came back while its operation was outstanding
  bool current = false;
  bool awaits_lock = false;  // an exclusive one
  std::string reason;
  std::vector<int> needs;
  std::vector<int> dependents;
  std::vector<int> former_dependents;

  bool operator==(const Task&) const = default;
};

struct Node {
  std::string name;
  std::string boot_id;
  bool hosts_controller = false;
  std::optional<StartOperation> reboot;  // outstanding
  absl::Time reboot_since = absl::InfinitePast();
  absl::Duration reboot_took;   // the newest that we commanded; zero: none was
  uint64_t reboots = 0;         // numbers their ids
  bool reboot_asked = false;    // by a failure or an operator
  bool reboot_ordered = false;  // by an operator: even while something serves
  std::string reboot_reason;

  // Transient.
  bool connected = false;
  std::string lost_reason;
  std::vector<int> tasks;

  bool operator==(const Node&) const = default;
};

enum class Phase { kProgressing, kServing, kWaiting, kFailed, kPaused, kCancelled, kDeleted };

struct State {
  std::string deployment;
  uint64_t epoch = 0;
  uint64_t revision = 0;
  RetryLimits retry;
  bool paused = false;
  bool cancelled = false;
  absl::Time started_at = absl::InfinitePast();  // of the newest apply, incident or restart
  absl::Time serving_since = absl::InfiniteFuture();

  std::vector<Task> tasks;  // retired ones last
  std::map<std::string, Node> nodes;

  // Transient.
  absl::flat_hash_map<std::string, int> index;       // task id -> position
  absl::flat_hash_map<std::string, int> operations;  // outstanding id -> position; -1: a reboot
  std::set<std::pair<absl::Time, int>> wakes;
  int not_current = 0;    // how many tasks
  std::set<int> blocked;  // want an Apply or Stop, and wait for something that is no dependency

  const Task* Find(std::string_view id) const;
  // When TimePassed is due; InfiniteFuture: never.
  absl::Time NextWake() const;
};

// Rebuilds what is transient and derived from the tasks and nodes (after a load).
void Reindex(State& state);

// What was commanded and not answered yet, to be performed again after a load: operations, and the
// wish that some of them end.
std::vector<Command> Outstanding(const State& state);

// The digest that a task is made for: its want and the tokens of all that it needs; empty while one
// of them has no token.
std::string StampOf(const State& state, const Task& task);

// Of a running task that died by itself: its last words. Null: it left none, or has failed since.
const Failure* CauseOfDeath(const Task& task);

// Something of the newest revision is in it, and not only what is left of a former one.
bool WantsSomething(const State& state);

Phase PhaseOf(const State& state);
// One sentence: what the rollout waits for or why it has stopped; empty when it serves.
std::string ReasonOf(const State& state);
// Positions of what the server that answers stands on, the probe with it: no running task of these
// is known lost or was told to stop, and the last probe got tokens. Empty: none answers.
std::set<int> WhatAnswers(const State& state);
bool IsServing(const State& state);
// Whether `above` is made on `below`, one of its needs.
bool StandsOn(const Task& above, const Task& below);

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_STATE_H_
