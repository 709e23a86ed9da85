// SPDX-License-Identifier: Apache-2.0
//
// A clock that stands still until a test moves it. Threadsafe.
#ifndef TESTS_FAKES_FAKE_CLOCK_H_
#define TESTS_FAKES_FAKE_CLOCK_H_

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace npufleet::fakes {

class FakeClock : public Clock {
 public:
  absl::Time Now() override {
    absl::MutexLock lock(&mutex_);
    return now_;
  }
  absl::Duration Elapsed() override {
    absl::MutexLock lock(&mutex_);
    return elapsed_;
  }
  // Does not wait: time has passed when it returns.
  void Sleep(absl::Duration duration) override { Advance(duration); }

  void Advance(absl::Duration duration) {
    absl::MutexLock lock(&mutex_);
    now_ += duration;
    elapsed_ += duration;
  }
  // Moves the wall clock only, as an operator or NTP does.
  void SetWall(absl::Time now) {
    absl::MutexLock lock(&mutex_);
    now_ = now;
  }

 private:
  absl::Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_) = absl::FromUnixSeconds(1750000000);
  absl::Duration elapsed_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(1000);
};

}  // namespace npufleet::fakes

#endif  // TESTS_FAKES_FAKE_CLOCK_H_
