// SPDX-License-Identifier: Apache-2.0
//
// The whole retry decision: (failure, failed attempts, limits) -> what next, and why.
#ifndef CONTROLLER_CORE_RETRY_POLICY_H_
#define CONTROLLER_CORE_RETRY_POLICY_H_

#include <string>
#include <string_view>

#include "absl/time/time.h"
#include "controller/core/failure.h"
#include "controller/core/graph.h"

namespace npufleet::core {

struct RetryDecision {
  enum class Kind { kRetry, kRedo, kReboot, kGiveUp };
  Kind kind = Kind::kGiveUp;
  absl::Duration after;    // with kRetry and kRedo: wait so long first
  std::string redo_stage;  // with kRedo
  std::string reason;      // one sentence for people
};

// `failed_attempts` counts this failure, too (1 for the first). `task` seeds the jitter of +-20 %,
// so that the same history gives the same times.
RetryDecision DecideRetry(std::string_view task, std::string_view stage, const Failure& failure,
                          int failed_attempts, const RetryLimits& limits);

}  // namespace npufleet::core

#endif  // CONTROLLER_CORE_RETRY_POLICY_H_
