// SPDX-License-Identifier: Apache-2.0
//
// What has happened, in the past tense. Time is a field of the event: the core has no clock.
#ifndef CONTROLLER_CORE_EVENT_H_
#define CONTROLLER_CORE_EVENT_H_

#include <optional>
#include <string>
#include <variant>

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
  std::optional<Failure> failure;

  bool operator==(const Observation&) const = default;
};

struct SpecApplied {  // also undo and delete (the empty graph)
  Graph graph;
};
struct Loaded {};  // the controller has started and read the state from its store
struct NodeConnected {
  std::string node;
  std::string boot_id;
  bool hosts_controller = false;
};
struct NodeLost {
  std::string node;
  std::string reason;
};
struct Observed {
  std::string task;
  std::string stamp;  // of the subject that was checked
  Observation observation;
};
struct OperationEnded {
  enum class Result { kSucceeded, kFailed, kCancelled, kInterrupted, kRefused };
  std::string operation;
  Result result = Result::kFailed;
  Observation observation;  // kSucceeded: what the last Check saw
  Failure failure;          // kFailed; kRefused: symptom says why
};
struct TimePassed {};  // a time that State::NextWake named has come
struct RetryRequested {};
struct RestartRequested {
  std::string stage;
  std::string node;  // empty: on all
};
struct PauseRequested {};
struct ResumeRequested {};
struct CancelRequested {};
struct RebootRequested {  // by an operator: even while something serves there
  std::string node;
};

struct Event {
  absl::Time time;
  std::variant<SpecApplied, Loaded, NodeConnected, NodeLost, Observed, OperationEnded, TimePassed,
               RetryRequested, RestartRequested, PauseRequested, ResumeRequested, CancelRequested,
               RebootRequested>
      what;
};

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_EVENT_H_
