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

}  // namespace npufleet

#endif  // COMMON_CLOCK_H_
