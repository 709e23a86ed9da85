// SPDX-License-Identifier: Apache-2.0
//
// "Something changed", for many listeners and without polling.
#ifndef COMMON_CHANGE_SIGNAL_H_
#define COMMON_CHANGE_SIGNAL_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace npufleet {

// Threadsafe. Outlives its subscriptions.
class ChangeSignal {
 public:
  // Ends in its destructor; when that returns, the listener does not run and never will.
  class Subscription {
   public:
    ~Subscription() { signal_->Unsubscribe(key_); }
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

   private:
    friend class ChangeSignal;
    Subscription(ChangeSignal* signal, uint64_t key) : signal_(signal), key_(key) {}
    ChangeSignal* signal_;
    uint64_t key_;
  };

  // Grows with each Notify().
  uint64_t number() const {
    absl::MutexLock lock(&mutex_);
    return number_;
  }

  // Calls each listener on this thread.
  void Notify() {
    absl::MutexLock lock(&mutex_);
    ++number_;
    for (const auto& [key, listener] : listeners_) listener();
  }

  // `listener` must be short, must not block and must not call this object: it wakes somebody who
  // then looks.
  [[nodiscard]] std::unique_ptr<Subscription> Subscribe(std::function<void()> listener) {
    absl::MutexLock lock(&mutex_);
    listeners_.emplace(++last_key_, std::move(listener));
    return std::unique_ptr<Subscription>(new Subscription(this, last_key_));
  }

 private:
  void Unsubscribe(uint64_t key) {
    absl::MutexLock lock(&mutex_);
    listeners_.erase(key);
  }

  mutable absl::Mutex mutex_;
  uint64_t number_ ABSL_GUARDED_BY(mutex_) = 0;
  uint64_t last_key_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<uint64_t, std::function<void()>> listeners_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace npufleet

#endif  // COMMON_CHANGE_SIGNAL_H_
