// SPDX-License-Identifier: Apache-2.0
#include "common/clock.h"

#include <chrono>
#include <utility>

#include "absl/time/clock.h"

namespace npufleet {
namespace {

class RealClock : public Clock {
 public:
  absl::Time Now() override { return absl::Now(); }
  absl::Duration Elapsed() override {
    return absl::FromChrono(std::chrono::steady_clock::now().time_since_epoch());
  }
};

}  // namespace

void Clock::Sleep(absl::Duration duration) { absl::SleepFor(duration); }

bool SetBackClock::Look() {
  const absl::Time former = std::exchange(ahead_, Ahead());
  return ahead_ < former - absl::Seconds(1);
}

Clock& Clock::Real() {
  static RealClock* clock = new RealClock;
  return *clock;
}

}  // namespace npufleet
