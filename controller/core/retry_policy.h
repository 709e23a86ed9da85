// SPDX-License-Identifier: Apache-2.0
//
// The whole retry decision: (failure, what failed before, limits) -> what next, and why.
//
// clang-format off
// | class                            | what next                       | until                                |
// |----------------------------------|---------------------------------|--------------------------------------|
// | transient                        | the same again, after a backoff | attempts                             |
// | redo                             | the stage that it names, first  | attempts, at most limits.redos       |
// | reboot                           | the node reboots, first         | attempts, at most limits.reboots     |
// | config, hardware, needs_operator | a person                        | at once                              |
// clang-format on
//
// Attempts and budget are those of limits.stages for the stage where it has some, else those of
// all. Each of the first three ends with the budget, too, and when its signature came
// limits.same_signature times within limits.signature_window. What only prepares (a download)
// disturbs nobody while it waits for an origin: four times the attempts, a day, no such breaker.
#ifndef CONTROLLER_CORE_RETRY_POLICY_H_
#define CONTROLLER_CORE_RETRY_POLICY_H_

#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "controller/core/failure.h"
#include "controller/core/graph.h"
#include "controller/core/state.h"

namespace npufleet::core {

struct RetryDecision {
  enum class Kind { kRetry, kRedo, kReboot, kGiveUp };
  Kind kind = Kind::kGiveUp;
  absl::Duration after;    // with kRetry and kRedo: wait so long first
  std::string redo_stage;  // with kRedo
  int attempts = 0;        // so many are allowed in this case
  std::string reason;      // one sentence for people
};

struct RetryCase {
  std::string_view task;  // seeds the jitter of +-20 %: the same history gives the same times
  std::string_view stage;
  bool prepares = false;
  const Failure& failure;
  int failed_attempts = 1;               // one after another, this one, too
  absl::Time now;                        // of this failure
  absl::Time failing_since;              // of the first of them
  const std::vector<PastFailure>& past;  // this failure is the last of it
};

// Of a task that has failed with `failure`, which its past knows of. `task` and `failure` must
// outlive it.
RetryCase CaseOf(const Task& task, const Failure& failure, absl::Time now);

// No backoff is longer.
absl::Duration LongestBackoff(const RetryLimits& limits);

RetryDecision DecideRetry(const RetryCase& failed, const RetryLimits& limits);

// A running task that died by itself at `now`, or that must be started anew as it lives and does
// not work: it hangs.
struct RecoveryCase {
  std::string_view signature;  // of its last words, or of what was seen of it; empty: none, as when
                               // it was killed from outside
  absl::Duration start_took;   // the newest start
  const std::vector<PastFailure>& past;  // without this one
  absl::Time now;
};

// Whether it is started once more. Empty, or why not: it failed limits.recoveries_per_hour times
// within an hour, or with this signature limits.same_signature times within
// limits.signature_window. What takes long to come up cannot die so often: for each of these times
// its start is added to the hour and the window.
std::string RefuseRecovery(const RecoveryCase& died, const RetryLimits& limits);

// Adds to `past` what happened and forgets what counts no more.
void Remember(PastFailure failure, std::vector<PastFailure>& past);

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_RETRY_POLICY_H_
