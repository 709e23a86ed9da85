// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/probe_engine/patience.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace npufleet::verbs {
namespace {

constexpr absl::Duration kLimit = absl::Seconds(120);
constexpr absl::Duration kPoll = absl::Milliseconds(50);  // as agent/host/http.cc asks

struct End {
  absl::Duration when;
  bool busy = false;
};

// Of an engine that generates ten tokens a second until it hangs. It is asked every kPoll, and each
// look takes `look`.
End WaitFor(absl::Duration hang, absl::Duration look) {
  const auto tokens = [hang](absl::Duration now) {
    return absl::ToDoubleSeconds(std::min(now, hang)) * 10;
  };
  Patience patience(kLimit, absl::ZeroDuration(), tokens(absl::ZeroDuration()));
  for (absl::Duration now;; now += kPoll) {
    if (patience.WantsLook(now)) {
      const double seen = tokens(now);
      patience.Looked(now, now + look, seen);
      now += look;
    }
    if (patience.IsOver(now)) return {now, patience.IsBusy(now)};
  }
}

TEST(PatienceTest, AHangAtAnyMomentIsFoundOutWithinTheLimitAndALook) {
  for (const absl::Duration look : {absl::Milliseconds(3), absl::Seconds(1)}) {
    for (absl::Duration hang; hang < kLimit - kLimit / kLooksPerLimit - 2 * look;
         hang += absl::Milliseconds(370)) {
      const End end = WaitFor(hang, look);
      EXPECT_FALSE(end.busy) << hang;
      EXPECT_LE(end.when, hang + kLimit + kLimit / kLooksPerLimit + 2 * look) << hang;
    }
  }
}

TEST(PatienceTest, WhatGeneratesAtItsLimitIsBusy) {
  for (const absl::Duration look : {absl::Milliseconds(3), absl::Seconds(1)}) {
    const End end = WaitFor(absl::Hours(1), look);
    EXPECT_TRUE(end.busy);
    EXPECT_LE(end.when, kLimit + kPoll + look);
  }
}

TEST(PatienceTest, ACounterThatCannotBeReadIsNoLife) {
  Patience patience(kLimit, absl::ZeroDuration(), std::nullopt);
  patience.Looked(absl::Seconds(10), absl::Seconds(10), 7);
  EXPECT_FALSE(patience.IsOver(kLimit - absl::Seconds(1)));
  EXPECT_TRUE(patience.IsOver(kLimit)) << "the first number that is read says nothing of growth";
  EXPECT_FALSE(patience.IsBusy(kLimit));
}

}  // namespace
}  // namespace npufleet::verbs
