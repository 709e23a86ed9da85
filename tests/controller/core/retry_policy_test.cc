// SPDX-License-Identifier: Apache-2.0
#include "controller/core/retry_policy.h"

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace npufleet::core {
namespace {

using Kind = RetryDecision::Kind;
using testing::HasSubstr;
using testing::SizeIs;

const absl::Time kStart = absl::FromUnixSeconds(1'000'000);
const RetryLimits kLimits = {
    .attempts = 3, .initial_backoff = absl::Seconds(2), .max_backoff = absl::Seconds(5)};

Failure Of(FailureClass failure_class, std::string redo = "") {
  return {.failure_class = failure_class, .redo_stage = std::move(redo), .symptom = "x"};
}

// A task whose Apply fails, once a minute.
class RetryPolicyTest : public testing::Test {
 protected:
  RetryPolicyTest() { task_.plan = {.id = "serve@a", .stage = "serve", .node = "a"}; }

  RetryDecision Fail(const Failure& failure) {
    now_ += absl::Minutes(1);
    ++task_.attempts;
    task_.failing_since = std::min(task_.failing_since, now_);
    Remember({now_, failure.failure_class, failure.signature}, task_.past);
    return DecideRetry(CaseOf(task_, failure, now_), limits_);
  }
  // Why it is not started again; empty: it is.
  std::string Die(std::string_view signature = "",
                  absl::Duration start_took = absl::ZeroDuration()) {
    const std::string why = RefuseRecovery(
        {.signature = signature, .start_took = start_took, .past = task_.past, .now = now_},
        limits_);
    if (why.empty())
      Remember({.time = now_, .signature = std::string(signature), .recovery = true}, task_.past);
    return why;
  }
  // As after a success.
  void Recover() {
    task_.attempts = 0;
    task_.failing_since = absl::InfiniteFuture();
  }

  absl::Time now_ = kStart;
  RetryLimits limits_ = kLimits;
  Task task_;
};

TEST_F(RetryPolicyTest, BacksOffDoublingUpToTheLimitWithJitterOfAFifth) {
  limits_.attempts = 10;
  const absl::Duration expected[] = {absl::Seconds(2), absl::Seconds(4), absl::Seconds(5),
                                     absl::Seconds(5)};
  for (const absl::Duration backoff : expected) {
    const RetryDecision decision = Fail(Of(FailureClass::kTransient));
    EXPECT_EQ(decision.kind, Kind::kRetry);
    EXPECT_GE(decision.after, backoff * 0.8);
    EXPECT_LE(decision.after, backoff * 1.2);
  }
}

TEST_F(RetryPolicyTest, TheSameHistoryGivesTheSameTimes) {
  const Failure failure = Of(FailureClass::kTransient);
  Fail(failure);
  EXPECT_EQ(DecideRetry(CaseOf(task_, failure, now_), limits_).after,
            DecideRetry(CaseOf(task_, failure, now_), limits_).after);
}

TEST_F(RetryPolicyTest, GivesUpAfterTheLastAttempt) {
  EXPECT_EQ(Fail(Of(FailureClass::kTransient)).kind, Kind::kRetry);
  const RetryDecision second = Fail(Of(FailureClass::kTransient));
  EXPECT_EQ(second.kind, Kind::kRetry);
  EXPECT_THAT(second.reason, HasSubstr("attempt 3 of 3"));
  const RetryDecision third = Fail(Of(FailureClass::kTransient));
  EXPECT_EQ(third.kind, Kind::kGiveUp);
  EXPECT_THAT(third.reason, HasSubstr("failed 3 times"));
}

TEST_F(RetryPolicyTest, ASuccessStartsTheAttemptsAnew) {
  Fail(Of(FailureClass::kTransient));
  Fail(Of(FailureClass::kTransient));
  Recover();
  EXPECT_EQ(Fail(Of(FailureClass::kTransient)).kind, Kind::kRetry);
}

TEST_F(RetryPolicyTest, NeverRepeatsWhatOnlyAPersonCanMend) {
  for (const FailureClass failure_class :
       {FailureClass::kConfig, FailureClass::kHardware, FailureClass::kNeedsOperator}) {
    Recover();
    const RetryDecision decision = Fail(Of(failure_class));
    EXPECT_EQ(decision.kind, Kind::kGiveUp);
    EXPECT_FALSE(decision.reason.empty());
  }
}

TEST_F(RetryPolicyTest, RedoesTheStageThatIsNoLongerTrueAtMostThreeTimes) {
  limits_.attempts = 10;
  for (int i = 0; i < 2; ++i) {
    const RetryDecision decision = Fail(Of(FailureClass::kRedo, "ray-head"));
    EXPECT_EQ(decision.kind, Kind::kRedo);
    EXPECT_EQ(decision.redo_stage, "ray-head");
  }
  EXPECT_EQ(Fail(Of(FailureClass::kRedo, "ray-head")).kind, Kind::kGiveUp);
}

TEST_F(RetryPolicyTest, ARedoOfItselfIsARetry) {
  EXPECT_EQ(Fail(Of(FailureClass::kRedo, "serve")).kind, Kind::kRetry);
}

TEST_F(RetryPolicyTest, RebootsOnceForAFailureAndNotTwice) {
  limits_.attempts = 10;
  EXPECT_EQ(Fail(Of(FailureClass::kReboot)).kind, Kind::kReboot);
  EXPECT_EQ(Fail(Of(FailureClass::kReboot)).kind, Kind::kGiveUp);
}

TEST_F(RetryPolicyTest, AClassHasItsOwnLimitAmongOthers) {
  limits_.attempts = 10;
  EXPECT_EQ(Fail(Of(FailureClass::kTransient)).kind, Kind::kRetry);
  EXPECT_EQ(Fail(Of(FailureClass::kTransient)).kind, Kind::kRetry);
  EXPECT_EQ(Fail(Of(FailureClass::kReboot)).kind, Kind::kReboot);
}

TEST_F(RetryPolicyTest, EndsWithTheTimeBudget) {
  limits_.attempts = 1000;
  limits_.budget = absl::Minutes(10);
  int failed = 0;
  while (Fail(Of(FailureClass::kTransient)).kind == Kind::kRetry) ++failed;
  EXPECT_EQ(failed, 10);
}

TEST_F(RetryPolicyTest, TheSameSignatureThreeTimesInHalfAnHourStopsWhateverSucceededBetween) {
  limits_.attempts = 10;
  Failure failure = Of(FailureClass::kTransient);
  failure.signature = "SRV-12";
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(Fail(failure).kind, Kind::kRetry);
    Recover();
  }
  const RetryDecision decision = Fail(failure);
  EXPECT_EQ(decision.kind, Kind::kGiveUp);
  EXPECT_THAT(decision.reason, HasSubstr("SRV-12"));
}

TEST_F(RetryPolicyTest, TheSameSignatureNowAndThenDoesNotStop) {
  limits_.attempts = 10;
  Failure failure = Of(FailureClass::kTransient);
  failure.signature = "SRV-12";
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(Fail(failure).kind, Kind::kRetry);
    Recover();
    now_ += absl::Minutes(20);
  }
}

TEST_F(RetryPolicyTest, ADownloadWaitsPatientlyForItsOrigin) {
  task_.plan.prepares = true;
  Failure failure = Of(FailureClass::kTransient);
  failure.signature = "NET-01";
  int failed = 1;
  while (Fail(failure).kind == Kind::kRetry) ++failed;
  EXPECT_EQ(failed, 4 * kLimits.attempts);
}

TEST_F(RetryPolicyTest, WhatDiesTooOftenWithinAnHourIsNotStartedAgain) {
  limits_.recoveries_per_hour = 3;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(Die(), "");
    now_ += absl::Minutes(15);
  }
  EXPECT_THAT(Die(), HasSubstr("4 times within 1h"));
  now_ += absl::Minutes(16);
  EXPECT_EQ(Die(), "");
}

TEST_F(RetryPolicyTest, ASignatureThatADeadServerLeavesAgainAndAgainStopsIt) {
  EXPECT_EQ(Die("SRV-08"), "");
  EXPECT_EQ(Die("SRV-09"), "");
  EXPECT_EQ(Die("SRV-08"), "");
  now_ += absl::Minutes(29);
  EXPECT_THAT(Die("SRV-08"), HasSubstr("the same failure (SRV-08) 3 times in 30m"));
  now_ += absl::Minutes(2);
  EXPECT_EQ(Die("SRV-08"), "");
}

TEST_F(RetryPolicyTest, AFailedStartAndADeathOfTheSameSignatureAreCountedTogether) {
  Failure failure = Of(FailureClass::kTransient);
  failure.signature = "SRV-08";
  limits_.attempts = 10;
  Fail(failure);
  Fail(failure);
  EXPECT_THAT(Die("SRV-08"), HasSubstr("3 times"));
}

TEST_F(RetryPolicyTest, DeathsWithoutAWordAreNoSignature) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Die(), "");
}

// A model of 470 GB takes half an hour to load: three deaths within half an hour, or ten within an
// hour, cannot be.
TEST_F(RetryPolicyTest, TheTimeThatAStartTakesIsAddedForEach) {
  const absl::Duration start = absl::Minutes(30);
  EXPECT_EQ(Die("SRV-08", start), "");
  now_ += start;
  EXPECT_EQ(Die("SRV-08", start), "");
  now_ += start;
  EXPECT_THAT(Die("SRV-08", start), HasSubstr("3 times in 2h"));
  task_.past.clear();
  for (int i = 0; i < limits_.recoveries_per_hour; ++i) {
    EXPECT_EQ(Die("", start), "");
    now_ += start;
  }
  EXPECT_THAT(Die("", start), HasSubstr("11 times within 6h"));
}

TEST_F(RetryPolicyTest, AStageMayHaveLimitsOfItsOwn) {
  limits_.stages["serve"] = {.attempts = 1};
  EXPECT_EQ(Fail(Of(FailureClass::kTransient)).kind, Kind::kGiveUp);
  limits_.stages["serve"] = {.attempts = 100, .budget = absl::Minutes(10)};
  limits_.signature_window = absl::Seconds(1);
  int failed = 1;
  while (Fail(Of(FailureClass::kTransient)).kind == Kind::kRetry) ++failed;
  EXPECT_EQ(failed, 10);
  limits_.stages.clear();
  EXPECT_THAT(Fail(Of(FailureClass::kTransient)).reason, HasSubstr("the limit of the spec"));
}

TEST_F(RetryPolicyTest, RedosAndRebootsHaveLimitsOfTheSpec) {
  limits_.attempts = 10;
  limits_.redos = 1;
  limits_.reboots = 0;
  EXPECT_EQ(Fail(Of(FailureClass::kRedo, "ray-head")).kind, Kind::kGiveUp);
  EXPECT_EQ(Fail(Of(FailureClass::kReboot)).kind, Kind::kGiveUp);
  limits_.redos = 2;
  EXPECT_EQ(Fail(Of(FailureClass::kRedo, "ray-head")).kind, Kind::kGiveUp);
  Recover();
  EXPECT_EQ(Fail(Of(FailureClass::kRedo, "ray-head")).kind, Kind::kRedo);
}

TEST_F(RetryPolicyTest, WhatHappenedIsForgottenAfterADayAndNeverGrows) {
  Remember({.time = kStart}, task_.past);
  Remember({.time = kStart + absl::Hours(25)}, task_.past);
  EXPECT_THAT(task_.past, SizeIs(1));
  for (int i = 0; i < 1000; ++i) Remember({.time = kStart + absl::Hours(26)}, task_.past);
  EXPECT_THAT(task_.past, SizeIs(64));
}

}  // namespace
}  // namespace npufleet::core
