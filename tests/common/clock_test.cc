// SPDX-License-Identifier: Apache-2.0
#include "common/clock.h"

#include "gtest/gtest.h"

namespace npufleet {
namespace {

class TwoClocks : public Clock {
 public:
  absl::Time Now() override { return wall; }
  absl::Duration Elapsed() override { return steady; }

  void Pass(absl::Duration time) {
    wall += time;
    steady += time;
  }

  absl::Time wall = absl::FromUnixSeconds(1'000'000);
  absl::Duration steady = absl::Seconds(5);
};

TEST(SetBackClockTest, OnlyAStepBackIsNoticedAndOnce) {
  TwoClocks clocks;
  SetBackClock watched(clocks);
  clocks.Pass(absl::Hours(3));
  EXPECT_FALSE(watched.Look());
  clocks.wall += absl::Hours(8);
  EXPECT_FALSE(watched.Look());
  clocks.wall -= absl::Milliseconds(500);
  EXPECT_FALSE(watched.Look());
  clocks.wall -= absl::Hours(8);
  EXPECT_TRUE(watched.Look());
  EXPECT_FALSE(watched.Look());
}

}  // namespace
}  // namespace npufleet
