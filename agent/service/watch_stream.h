// SPDX-License-Identifier: Apache-2.0
//
// One WatchOperation call: sends what is in the journal, then what comes, and ends with the event
// that ends the operation.
#ifndef AGENT_SERVICE_WATCH_STREAM_H_
#define AGENT_SERVICE_WATCH_STREAM_H_

#include <deque>
#include <memory>
#include <string>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/operations/runner.h"
#include "agent/service/open_streams.h"
#include "agent/service/work_queue.h"
#include "grpcpp/grpcpp.h"
#include "npufleet/v1/agent.pb.h"

namespace npufleet::service {

// Deletes itself when gRPC is done with it.
class WatchStream : public grpc::ServerWriteReactor<v1::OperationEvent>,
                    public OpenStreams::Stream {
 public:
  WatchStream(OpenStreams& streams, operations::Runner& runner, WorkQueue& queue,
              const v1::WatchOperationRequest& request);

  void OnWriteDone(bool ok) override;
  void OnCancel() override;
  void OnDone() override;
  void Close() override;

 private:
  void Wake();
  void ReadMore();  // on the queue
  void SendNext();  // batch_ is not empty
  void EndWith(const grpc::Status& status);

  OpenStreams& streams_;
  operations::Runner& runner_;
  WorkQueue& queue_;
  const std::string id_;
  // Used by whoever is active: one read of the journal or one write at a time.
  uint64_t after_;
  std::deque<v1::OperationEvent> batch_;

  absl::Mutex mutex_;
  bool active_ ABSL_GUARDED_BY(mutex_) = false;
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
  std::unique_ptr<ChangeSignal::Subscription> subscription_;  // goes first
};

}  // namespace npufleet::service

#endif  // AGENT_SERVICE_WATCH_STREAM_H_
