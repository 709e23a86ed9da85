// SPDX-License-Identifier: Apache-2.0
#include "controller/core/retry_policy.h"

#include "gtest/gtest.h"

namespace npufleet::core {
namespace {

using Kind = RetryDecision::Kind;

Failure Of(FailureClass failure_class, std::string redo = "") {
  return {.failure_class = failure_class, .redo_stage = std::move(redo), .symptom = "x"};
}

const RetryLimits kLimits = {
    .attempts = 3, .initial_backoff = absl::Seconds(2), .max_backoff = absl::Seconds(5)};

TEST(RetryPolicyTest, BacksOffDoublingUpToTheLimitWithJitterOfAFifth) {
  const RetryLimits limits = {
      .attempts = 10, .initial_backoff = absl::Seconds(2), .max_backoff = absl::Seconds(5)};
  const absl::Duration expected[] = {absl::Seconds(2), absl::Seconds(4), absl::Seconds(5),
                                     absl::Seconds(5)};
  for (int attempt = 1; attempt <= 4; ++attempt) {
    const RetryDecision decision =
        DecideRetry("t", "s", Of(FailureClass::kTransient), attempt, limits);
    EXPECT_EQ(decision.kind, Kind::kRetry);
    EXPECT_GE(decision.after, expected[attempt - 1] * 0.8);
    EXPECT_LE(decision.after, expected[attempt - 1] * 1.2);
  }
}

TEST(RetryPolicyTest, TheSameHistoryGivesTheSameTimes) {
  EXPECT_EQ(DecideRetry("a", "s", Of(FailureClass::kTransient), 2, kLimits).after,
            DecideRetry("a", "s", Of(FailureClass::kTransient), 2, kLimits).after);
}

TEST(RetryPolicyTest, GivesUpAfterTheLastAttempt) {
  EXPECT_EQ(DecideRetry("t", "s", Of(FailureClass::kTransient), 2, kLimits).kind, Kind::kRetry);
  EXPECT_EQ(DecideRetry("t", "s", Of(FailureClass::kTransient), 3, kLimits).kind, Kind::kGiveUp);
}

TEST(RetryPolicyTest, NeverRepeatsWhatOnlyAPersonCanMend) {
  for (const FailureClass failure_class :
       {FailureClass::kConfig, FailureClass::kHardware, FailureClass::kNeedsOperator}) {
    const RetryDecision decision = DecideRetry("t", "s", Of(failure_class), 1, kLimits);
    EXPECT_EQ(decision.kind, Kind::kGiveUp);
    EXPECT_FALSE(decision.reason.empty());
  }
}

TEST(RetryPolicyTest, RedoesTheStageThatIsNoLongerTrue) {
  const RetryDecision decision =
      DecideRetry("serve@a", "serve", Of(FailureClass::kRedo, "ray-head"), 1, kLimits);
  EXPECT_EQ(decision.kind, Kind::kRedo);
  EXPECT_EQ(decision.redo_stage, "ray-head");
}

TEST(RetryPolicyTest, ARedoOfItselfIsARetry) {
  EXPECT_EQ(DecideRetry("serve@a", "serve", Of(FailureClass::kRedo, "serve"), 1, kLimits).kind,
            Kind::kRetry);
}

TEST(RetryPolicyTest, ARebootIsAskedForOnlyWithinTheAttempts) {
  EXPECT_EQ(DecideRetry("t", "s", Of(FailureClass::kReboot), 1, kLimits).kind, Kind::kReboot);
  EXPECT_EQ(DecideRetry("t", "s", Of(FailureClass::kReboot), 3, kLimits).kind, Kind::kGiveUp);
}

}  // namespace
}  // namespace npufleet::core
