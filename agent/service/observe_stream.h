// SPDX-License-Identifier: Apache-2.0
//
// One Observe call. Answers that come while one is being sent are put together, the newest of each
// task, so that a slow controller costs no memory.
#ifndef AGENT_SERVICE_OBSERVE_STREAM_H_
#define AGENT_SERVICE_OBSERVE_STREAM_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/operations/observer.h"
#include "agent/service/open_streams.h"
#include "agent/service/work_queue.h"
#include "common/clock.h"
#include "grpcpp/grpcpp.h"
#include "npufleet/v1/agent.pb.h"

namespace npufleet::service {

// Deletes itself when gRPC is done with it.
class ObserveStream : public grpc::ServerBidiReactor<v1::ObserveRequest, v1::ObserveReply>,
                      public OpenStreams::Stream {
 public:
  ObserveStream(OpenStreams& streams, operations::Observer& observer, WorkQueue& queue,
                Clock& clock, const std::string& boot_id, const std::string& version);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void Close() override;

 private:
  void TakeRequest();  // on the queue
  void OnSeen(operations::Observer::Seen seen);
  void SendPending() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Ends the stream as soon as no write and no work of ours is under way.
  void CloseWhenIdle() ABSL_LOCKS_EXCLUDED(mutex_);

  OpenStreams& streams_;
  WorkQueue& queue_;
  Clock& clock_;
  const std::string boot_id_;
  v1::ObserveRequest request_;  // of the reader
  v1::ObserveReply reply_;      // of the writer

  absl::Mutex mutex_;
  std::map<std::string, v1::TaskObservation> pending_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, absl::Time> unchanged_ ABSL_GUARDED_BY(mutex_);
  std::string version_ ABSL_GUARDED_BY(mutex_);  // empty once it was sent
  bool working_ ABSL_GUARDED_BY(mutex_) = false;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<operations::Observer::View> view_;  // goes first
};

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_OBSERVE_STREAM_H_
