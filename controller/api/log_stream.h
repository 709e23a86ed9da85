// SPDX-License-Identifier: Apache-2.0
//
// A server stream whose content comes from a blocking call on a thread of its own: the log of a
// task.
#ifndef CONTROLLER_API_LOG_STREAM_H_
#define CONTROLLER_API_LOG_STREAM_H_

#include <functional>
#include <memory>

#include "absl/base/thread_annotations.h"
#include "absl/status/status.h"
#include "absl/synchronization/mutex.h"
#include "common/cancellation.h"
#include "grpcpp/support/server_callback.h"
#include "npufleet/v1/operation.pb.h"

namespace npufleet::api {

// How many of these threads live. Threadsafe; its destructor waits until there are none.
class StreamCount {
 public:
  explicit StreamCount(int limit) : limit_(limit) {}
  ~StreamCount() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](int* count) { return *count == 0; }, &count_));
  }
  bool Enter() {
    absl::MutexLock lock(&mutex_);
    if (count_ == limit_) return false;
    ++count_;
    return true;
  }
  void Leave() {
    absl::MutexLock lock(&mutex_);
    --count_;
  }

 private:
  const int limit_;
  absl::Mutex mutex_;
  int count_ ABSL_GUARDED_BY(mutex_) = 0;
};

using WriteEvent = std::function<bool(const v1::OperationEvent&)>;
using StreamLog = std::function<absl::Status(Cancellation&, const WriteEvent&)>;

// Runs `stream` on a new thread. Its writes block until gRPC has taken the one before. The reactor
// frees itself; ResourceExhausted reaches the client when `count` is at its limit.
grpc::ServerWriteReactor<v1::OperationEvent>* StartLogStream(StreamLog stream, StreamCount& count);

}  // namespace npufleet::api

#endif  // CONTROLLER_API_LOG_STREAM_H_
