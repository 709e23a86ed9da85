// SPDX-License-Identifier: Apache-2.0
//
// The only reader of real time in the product. Whatever needs the time is given a Clock.
#ifndef COMMON_CLOCK_H_
#define COMMON_CLOCK_H_

#include "absl/time/time.h"

namespace npufleet {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() = 0;  // wall clock, for people and for other machines. Threadsafe.
  // Steady: for intervals and deadlines only.
  virtual absl::Duration Elapsed() = 0;  // since an arbitrary start; never goes back. Threadsafe.

  // Blocks the caller for `duration` of this clock; a test's clock moves on instead. Threadsafe.
  virtual void Sleep(absl::Duration duration);

  static Clock& Real();
};

// Notices a wall clock that is set back. Timed waits of absl go by it, and those that are under way
// last as much longer: whoever cannot do with that starts anew. Not threadsafe.
class SetBackClock {
 public:
  explicit SetBackClock(Clock& clock) : clock_(clock), ahead_(Ahead()) {}

  // Whether it has been set back by more than a second since the last look, which NTP's slewing
  // is not.
  bool Look();

 private:
  absl::Time Ahead() { return clock_.Now() - clock_.Elapsed(); }

  Clock& clock_;
  absl::Time ahead_;  // the wall clock at the steady one's start
};

}  // namespace npufleet

#endif  // COMMON_CLOCK_H_
