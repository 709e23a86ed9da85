// SPDX-License-Identifier: Apache-2.0
//
// What has happened, in the past tense. Time is a field of the event: the core has no clock.
#ifndef CONTROLLER_CORE_EVENT_H_
#define CONTROLLER_CORE_EVENT_H_

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "absl/time/time.h"
#include "controller/core/failure.h"
#include "controller/core/graph.h"

namespace npufleet::core {

enum class Sight {
  kUnseen,  // nobody has looked since it mattered
  kPresent,
  kAbsent,
  kDrifted,  // there and working, but another than wanted
  kUnknown,  // we cannot see
};

struct Observation {
  Sight sight = Sight::kUnseen;
  std::string token;  // with kAbsent: of what stands in its place
  std::string reason;
  bool reboot_needed = false;
  std::optional<Failure> failure;  // with kAbsent: an Apply could not help
  std::optional<Failure> cause;    // with kAbsent: why what ran is gone

  bool operator==(const Observation&) const = default;
};

struct SpecApplied {  // also undo and delete (the empty graph)
  Graph graph;

  bool operator==(const SpecApplied&) const = default;
};
struct Loaded {  // the controller has started and read the state from its store
  bool operator==(const Loaded&) const = default;
};
struct NodeConnected {
  std::string node;
  std::string boot_id;
  bool hosts_controller = false;

  bool operator==(const NodeConnected&) const = default;
};
struct NodeLost {
  std::string node;
  std::string reason;

  bool operator==(const NodeLost&) const = default;
};
struct Observed {
  std::string task;
  std::string stamp;  // of the subject that was checked
  Observation observation;

  bool operator==(const Observed&) const = default;
};
struct OperationEnded {
  enum class Result { kSucceeded, kFailed, kCancelled, kInterrupted, kRefused };
  std::string operation;
  Result result = Result::kFailed;
  Observation observation;         // kSucceeded: what the last Check saw
  Failure failure;                 // kFailed; kRefused: symptom says why
  std::vector<std::string> swept;  // what of former starts was in its way and is gone

  bool operator==(const OperationEnded&) const = default;
};
struct TimePassed {  // a time that State::NextWake named has come
  bool operator==(const TimePassed&) const = default;
};
struct RetryRequested {
  bool operator==(const RetryRequested&) const = default;
};
struct RestartRequested {
  std::string stage;
  std::string node;  // empty: on all

  bool operator==(const RestartRequested&) const = default;
};
struct PauseRequested {
  bool operator==(const PauseRequested&) const = default;
};
struct ResumeRequested {
  bool operator==(const ResumeRequested&) const = default;
};
struct CancelRequested {
  bool operator==(const CancelRequested&) const = default;
};
struct NodeRemoved {  // by an operator: it does not answer, and only what is retired was on it
  std::string node;

  bool operator==(const NodeRemoved&) const = default;
};
struct RebootRequested {  // by an operator: even while something serves there
  std::string node;

  bool operator==(const RebootRequested&) const = default;
};

struct Event {
  absl::Time time;
  std::variant<SpecApplied, Loaded, NodeConnected, NodeLost, Observed, OperationEnded, TimePassed,
               RetryRequested, RestartRequested, PauseRequested, ResumeRequested, CancelRequested,
               RebootRequested, NodeRemoved>
      what;

  bool operator==(const Event&) const = default;
};

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_EVENT_H_
