// SPDX-License-Identifier: Apache-2.0
#include "controller/runtime/clock_skew.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace npufleet::runtime {
namespace {

using testing::HasSubstr;

class ClockSkewTest : public testing::Test {
 protected:
  ClockSkewTest() {
    deployment_.mutable_spec()->mutable_preflight()->mutable_max_clock_skew()->set_seconds(5);
    good_.set_state(v1::Observation::PRESENT);
    good_.set_token("Debian 12");
  }

  v1::Observation Judged(absl::Duration skew) {
    v1::Observation seen = good_;
    JudgeClock("node-b", skew, deployment_, &seen);
    return seen;
  }

  v1::Deployment deployment_;
  v1::Observation good_;
};

TEST_F(ClockSkewTest, TheLimitIsThatOfTheSpecInBothDirections) {
  for (const int sign : {1, -1}) {
    EXPECT_FALSE(ClockIsOff(sign * absl::Milliseconds(4900), deployment_));
    EXPECT_FALSE(ClockIsOff(sign * absl::Seconds(5), deployment_));
    EXPECT_TRUE(ClockIsOff(sign * absl::Milliseconds(5100), deployment_));
    EXPECT_EQ(Judged(sign * absl::Milliseconds(4900)).state(), v1::Observation::PRESENT);
    EXPECT_EQ(Judged(sign * absl::Milliseconds(5100)).state(), v1::Observation::ABSENT);
  }
}

TEST_F(ClockSkewTest, TheFailureNamesNodeSkewAndLimit) {
  const v1::Failure failure = Judged(absl::Milliseconds(5100)).failure();
  EXPECT_THAT(failure.symptom(), HasSubstr("node-b"));
  EXPECT_THAT(failure.symptom(), HasSubstr("5.1s"));
  EXPECT_THAT(failure.symptom(), HasSubstr("5s"));
}

TEST_F(ClockSkewTest, WhatIsWrongOtherwiseIsSaidFirst) {
  good_.set_state(v1::Observation::ABSENT);
  good_.mutable_failure()->set_symptom("the disk is too small");
  EXPECT_EQ(Judged(absl::Minutes(1)).failure().symptom(), "the disk is too small");
}

}  // namespace
}  // namespace npufleet::runtime
