// SPDX-License-Identifier: Apache-2.0
//
// Threads for what must not run on gRPC's own: whatever writes to the disk or runs a program.
#ifndef AGENT_SERVICE_WORK_QUEUE_H_
#define AGENT_SERVICE_WORK_QUEUE_H_

#include <deque>
#include <functional>
#include <thread>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace npufleet::service {

class WorkQueue {
 public:
  explicit WorkQueue(int threads) {
    for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Work(); });
  }
  // Runs what was posted, then ends.
  ~WorkQueue() {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    for (std::thread& thread : threads_) thread.join();
  }

  void Post(std::function<void()> job) {
    absl::MutexLock lock(&mutex_);
    jobs_.push_back(std::move(job));
  }

 private:
  void Work() {
    const auto woken = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
      return stopping_ || !jobs_.empty();
    };
    while (true) {
      std::function<void()> job;
      {
        absl::MutexLock lock(&mutex_);
        mutex_.Await(absl::Condition(&woken));
        if (jobs_.empty()) return;
        job = std::move(jobs_.front());
        jobs_.pop_front();
      }
      job();
    }
  }

  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::deque<std::function<void()>> jobs_ ABSL_GUARDED_BY(mutex_);
  std::vector<std::thread> threads_;
};

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_WORK_QUEUE_H_
