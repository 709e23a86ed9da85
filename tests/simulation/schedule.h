// SPDX-License-Identifier: Apache-2.0
//
// The clock that is turned by hand, and the dice. Values of one seed are the same on every machine.
#ifndef TESTS_SIMULATION_SCHEDULE_H_
#define TESTS_SIMULATION_SCHEDULE_H_

#include <cstdint>
#include <functional>
#include <queue>
#include <random>
#include <utility>
#include <vector>

#include "absl/time/time.h"

namespace npufleet::simulation {

class Schedule {
 public:
  explicit Schedule(uint64_t seed) : random_(seed) {}

  absl::Time now() const { return now_; }
  // Of what is to happen next; InfiniteFuture: nothing.
  absl::Time next() const { return due_.empty() ? absl::InfiniteFuture() : due_.top().at; }

  void At(absl::Duration after, std::function<void()> what) {
    due_.push({now_ + after, order_++, std::move(what)});
  }
  void Advance(absl::Time to) { now_ = std::max(now_, to); }
  void RunNext() {
    // It is popped before it runs, and what is in a queue cannot be moved out of it otherwise.
    std::function<void()> what = std::move(const_cast<Due&>(due_.top()).what);
    now_ = due_.top().at;
    due_.pop();
    what();
  }

  int Pick(int n) { return static_cast<int>(random_() % static_cast<uint64_t>(n)); }
  absl::Duration Within(absl::Duration longest) {
    return absl::Milliseconds(1 + Pick(static_cast<int>(absl::ToInt64Milliseconds(longest))));
  }

 private:
  struct Due {
    absl::Time at;
    uint64_t order = 0;
    std::function<void()> what;
    bool operator<(const Due& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  std::mt19937_64 random_;
  absl::Time now_ = absl::FromUnixSeconds(1'700'000'000);
  std::priority_queue<Due> due_;
  uint64_t order_ = 0;
};

}  // namespace npufleet::simulation

#endif  // TESTS_SIMULATION_SCHEDULE_H_
