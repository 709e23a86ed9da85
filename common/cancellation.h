// SPDX-License-Identifier: Apache-2.0
//
// Tells a blocking call to stop, without polling.
#ifndef COMMON_CANCELLATION_H_
#define COMMON_CANCELLATION_H_

#include <functional>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace npufleet {

// Threadsafe.
class Cancellation {
 public:
  bool cancelled() const {
    absl::MutexLock lock(&mutex_);
    return cancelled_;
  }

  // The first call runs what OnCancel() left here, on this thread.
  void Cancel() {
    absl::MutexLock lock(&mutex_);
    if (cancelled_) return;
    cancelled_ = true;
    if (on_cancel_) on_cancel_();
  }

  // Runs at Cancel(), at once when that was already. Replaces what was here; an empty function
  // takes it away, and when that returns it does not run. Must be short and must not call this
  // object: grpc::ClientContext::TryCancel().
  void OnCancel(std::function<void()> on_cancel) {
    absl::MutexLock lock(&mutex_);
    on_cancel_ = std::move(on_cancel);
    if (cancelled_ && on_cancel_) on_cancel_();
  }

 private:
  mutable absl::Mutex mutex_;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  std::function<void()> on_cancel_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace npufleet

#endif  // COMMON_CANCELLATION_H_
