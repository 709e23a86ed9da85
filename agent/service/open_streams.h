// SPDX-License-Identifier: Apache-2.0
//
// The streams under way, so that a stop in order can end them with their own status: a server that
// is shut down cancels them, which looks to the controller like a node that was cut off.
// Threadsafe.
#ifndef AGENT_SERVICE_OPEN_STREAMS_H_
#define AGENT_SERVICE_OPEN_STREAMS_H_

#include <set>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "absl/time/time.h"

namespace npufleet::service {

class OpenStreams {
 public:
  class Stream {
   public:
    virtual ~Stream() = default;
    // Ends as soon as what is under way is done. Does not wait for it.
    virtual void Close() = 0;
  };

  // Closes at once what is added after CloseAll().
  void Add(Stream* stream) {
    absl::MutexLock lock(&mutex_);
    streams_.insert(stream);
    if (closed_) stream->Close();
  }
  // When it returns, nobody calls `stream` any more.
  void Remove(Stream* stream) {
    absl::MutexLock lock(&mutex_);
    streams_.erase(stream);
  }

  // Returns whether all had ended within `limit`.
  bool CloseAll(absl::Duration limit) {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
    for (Stream* stream : streams_) stream->Close();
    const auto none = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) { return streams_.empty(); };
    return mutex_.AwaitWithTimeout(absl::Condition(&none), limit);
  }

 private:
  absl::Mutex mutex_;
  std::set<Stream*> streams_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_OPEN_STREAMS_H_
