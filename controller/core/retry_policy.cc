// SPDX-License-Identifier: Apache-2.0
#include "controller/core/retry_policy.h"

#include <algorithm>
#include <cstdint>

#include "absl/strings/str_cat.h"

namespace npufleet::core {
namespace {

// FNV-1a: spread is all that is asked of it.
uint64_t Hash(std::string_view text, int salt) {
  uint64_t hash = 1469598103934665603ull ^ static_cast<uint64_t>(salt);
  for (const unsigned char c : text) hash = (hash ^ c) * 1099511628211ull;
  return hash;
}

absl::Duration Backoff(std::string_view task, int failed_attempts, const RetryLimits& limits) {
  absl::Duration backoff = limits.initial_backoff;
  for (int i = 1; i < failed_attempts && backoff < limits.max_backoff; ++i) backoff *= 2;
  backoff = std::min(backoff, limits.max_backoff);
  const double jitter = 0.8 + 0.4 * static_cast<double>(Hash(task, failed_attempts) % 1000) / 1000;
  return absl::Floor(backoff * jitter, absl::Milliseconds(1));
}

}  // namespace

RetryDecision DecideRetry(std::string_view task, std::string_view stage, const Failure& failure,
                          int failed_attempts, const RetryLimits& limits) {
  using Kind = RetryDecision::Kind;
  switch (failure.failure_class) {
    case FailureClass::kConfig:
      return {.kind = Kind::kGiveUp, .reason = "the spec must be changed first"};
    case FailureClass::kHardware:
      return {.kind = Kind::kGiveUp, .reason = "a chip or link must be repaired first"};
    case FailureClass::kNeedsOperator:
      return {.kind = Kind::kGiveUp, .reason = "a person must act first"};
    default:
      break;
  }
  if (failed_attempts >= limits.attempts) {
    return {.kind = Kind::kGiveUp,
            .reason = absl::StrCat("failed ", failed_attempts, " times, the limit of the spec")};
  }
  const absl::Duration after = Backoff(task, failed_attempts, limits);
  if (failure.failure_class == FailureClass::kReboot) {
    return {.kind = Kind::kReboot, .after = after, .reason = "the node must reboot"};
  }
  if (failure.failure_class == FailureClass::kRedo && !failure.redo_stage.empty() &&
      failure.redo_stage != stage) {
    return {.kind = Kind::kRedo,
            .after = after,
            .redo_stage = failure.redo_stage,
            .reason = absl::StrCat(failure.redo_stage, " is run again")};
  }
  return {.kind = Kind::kRetry,
          .after = after,
          .reason = absl::StrCat("attempt ", failed_attempts + 1, " of ", limits.attempts, " in ",
                                 absl::FormatDuration(after))};
}

}  // namespace npufleet::core
