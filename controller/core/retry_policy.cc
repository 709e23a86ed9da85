// SPDX-License-Identifier: Apache-2.0
#include "controller/core/retry_policy.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"

namespace npufleet::core {
namespace {

constexpr double kLeastJitter = 0.8;
constexpr double kJitterSpread = 0.4;
constexpr int kPatientAttempts = 4;  // times those of the spec
constexpr absl::Duration kPatientBudget = absl::Hours(24);
// Nothing older than a day and no more than so many are looked at.
constexpr size_t kRemembered = 64;

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
  const double jitter =
      kLeastJitter + kJitterSpread * static_cast<double>(Hash(task, failed_attempts) % 1000) / 1000;
  return absl::Floor(backoff * jitter, absl::Milliseconds(1));
}

bool WaitsPatiently(const RetryCase& failed) {
  return failed.prepares && failed.failure.failure_class == FailureClass::kTransient;
}

StageLimits LimitsOf(const RetryCase& failed, const RetryLimits& limits) {
  const auto found = limits.stages.find(std::string(failed.stage));
  return found == limits.stages.end() ? StageLimits() : found->second;
}

int AttemptsOf(const RetryCase& failed, const RetryLimits& limits) {
  const int attempts = LimitsOf(failed, limits).attempts.value_or(limits.attempts);
  switch (failed.failure.failure_class) {
    case FailureClass::kRedo:
      return std::min(attempts, limits.redos);
    case FailureClass::kReboot:
      return std::min(attempts, limits.reboots);
    default:
      return WaitsPatiently(failed) ? attempts * kPatientAttempts : attempts;
  }
}

absl::Duration BudgetOf(const RetryCase& failed, const RetryLimits& limits) {
  const absl::Duration budget = LimitsOf(failed, limits).budget.value_or(limits.budget);
  return WaitsPatiently(failed) ? std::max(budget, kPatientBudget) : budget;
}

// Of the attempts that failed one after another, those of this failure's class.
int OfThisClass(const RetryCase& failed) {
  return static_cast<int>(
      std::count_if(failed.past.begin(), failed.past.end(), [&](const PastFailure& one) {
        return !one.recovery && one.time >= failed.failing_since &&
               one.failure_class == failed.failure.failure_class;
      }));
}

int OfThisSignature(const RetryCase& failed, const RetryLimits& limits) {
  if (failed.failure.signature.empty() || WaitsPatiently(failed)) return 0;
  return static_cast<int>(
      std::count_if(failed.past.begin(), failed.past.end(), [&](const PastFailure& one) {
        return one.signature == failed.failure.signature &&
               one.time > failed.now - limits.signature_window;
      }));
}

std::string WhoMustAct(FailureClass failure_class) {
  switch (failure_class) {
    case FailureClass::kConfig:
      return "the spec must be changed first";
    case FailureClass::kHardware:
      return "a chip or link must be repaired first";
    case FailureClass::kNeedsOperator:
      return "a person must act first";
    default:
      return "";
  }
}

std::string WhyNoMore(const RetryCase& failed, absl::Duration after, const RetryLimits& limits) {
  if (std::string who = WhoMustAct(failed.failure.failure_class); !who.empty()) return who;
  const int allowed = AttemptsOf(failed, limits);
  const int of_all = LimitsOf(failed, limits).attempts.value_or(limits.attempts);
  if (failed.failed_attempts >= of_all && failed.failed_attempts >= allowed)
    return absl::StrCat("failed ", failed.failed_attempts, " times, the limit of the spec");
  if (const int times = OfThisClass(failed); times >= allowed)
    return absl::StrCat("failed ", times, " times in this way, its limit");
  if (const int times = OfThisSignature(failed, limits); times >= limits.same_signature)
    return absl::StrCat("the same failure (", failed.failure.signature, ") ", times, " times in ",
                        absl::FormatDuration(limits.signature_window));
  const absl::Duration budget = BudgetOf(failed, limits);
  if (failed.now + after - failed.failing_since > budget)
    return absl::StrCat("has failed for ", absl::FormatDuration(failed.now - failed.failing_since),
                        ", the limit is ", absl::FormatDuration(budget));
  return "";
}

}  // namespace

RetryCase CaseOf(const Task& task, const Failure& failure, absl::Time now) {
  return {.task = task.plan.id,
          .stage = task.plan.stage,
          .prepares = task.plan.prepares,
          .failure = failure,
          .failed_attempts = std::max(1, task.attempts),
          .now = now,
          .failing_since = std::min(task.failing_since, now),
          .past = task.past};
}

RetryDecision DecideRetry(const RetryCase& failed, const RetryLimits& limits) {
  using Kind = RetryDecision::Kind;
  const Failure& failure = failed.failure;
  RetryDecision decision = {.after = Backoff(failed.task, failed.failed_attempts, limits),
                            .attempts = AttemptsOf(failed, limits)};
  if (std::string why = WhyNoMore(failed, decision.after, limits); !why.empty()) {
    decision.kind = Kind::kGiveUp;
    decision.reason = std::move(why);
  } else if (failure.failure_class == FailureClass::kReboot) {
    decision.kind = Kind::kReboot;
    decision.reason = "the node must reboot";
  } else if (failure.failure_class == FailureClass::kRedo && !failure.redo_stage.empty() &&
             failure.redo_stage != failed.stage) {
    decision.kind = Kind::kRedo;
    decision.redo_stage = failure.redo_stage;
    decision.reason = absl::StrCat(failure.redo_stage, " is run again");
  } else {
    decision.kind = Kind::kRetry;
    decision.reason = absl::StrCat("attempt ", failed.failed_attempts + 1, " of ",
                                   decision.attempts, " in ", absl::FormatDuration(decision.after));
  }
  return decision;
}

absl::Duration LongestBackoff(const RetryLimits& limits) {
  return std::max(limits.initial_backoff, limits.max_backoff) * (kLeastJitter + kJitterSpread);
}

std::string RefuseRecovery(const RecoveryCase& died, const RetryLimits& limits) {
  const auto times = [&](absl::Duration window, const auto& counts) {
    return 1 + std::count_if(died.past.begin(), died.past.end(), [&](const PastFailure& one) {
             return counts(one) && one.time > died.now - window;
           });
  };
  const absl::Duration window = limits.signature_window + limits.same_signature * died.start_took;
  const auto alike =
      times(window, [&](const PastFailure& one) { return one.signature == died.signature; });
  if (!died.signature.empty() && alike >= limits.same_signature) {
    return absl::StrCat("the same failure (", std::string(died.signature), ") ", alike,
                        " times in ", absl::FormatDuration(absl::Trunc(window, absl::Seconds(1))));
  }
  const absl::Duration hour = absl::Hours(1) + limits.recoveries_per_hour * died.start_took;
  const auto deaths = times(hour, [](const PastFailure& one) { return one.recovery; });
  if (deaths <= limits.recoveries_per_hour) return "";
  return absl::StrCat("it failed ", deaths, " times within ",
                      absl::FormatDuration(absl::Trunc(hour, absl::Seconds(1))));
}

void Remember(PastFailure failure, std::vector<PastFailure>& past) {
  const absl::Time forgotten = failure.time - absl::Hours(24);
  past.erase(std::remove_if(past.begin(), past.end(),
                            [&](const PastFailure& one) { return one.time < forgotten; }),
             past.end());
  if (past.size() >= kRemembered) past.erase(past.begin());
  past.push_back(std::move(failure));
}

}  // namespace npufleet::core
