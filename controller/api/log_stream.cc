// SPDX-License-Identifier: Apache-2.0
#include "controller/api/log_stream.h"

#include <thread>
#include <utility>

#include "common/grpc_status.h"

namespace npufleet::api {
namespace {

// Owned by gRPC until OnDone and by the thread until it ends.
class LogReactor : public grpc::ServerWriteReactor<v1::OperationEvent>,
                   public std::enable_shared_from_this<LogReactor> {
 public:
  void Start(StreamLog stream, StreamCount& count) {
    self_ = shared_from_this();
    std::thread([self = self_, stream = std::move(stream), &count]() mutable {
      const absl::Status status = stream(
          self->cancellation_, [&](const v1::OperationEvent& event) { return self->Write(event); });
      self->WaitForWrite();
      self->Finish(ToGrpcStatus(status));
      self.reset();
      stream = nullptr;
      count.Leave();
    }).detach();
  }

  void OnWriteDone(bool ok) override {
    {
      absl::MutexLock lock(&mutex_);
      writing_ = false;
      broken_ = broken_ || !ok;
    }
    if (!ok) cancellation_.Cancel();
  }

  void OnCancel() override {
    {
      absl::MutexLock lock(&mutex_);
      broken_ = true;
    }
    cancellation_.Cancel();
  }

  void OnDone() override { self_.reset(); }

 private:
  bool Write(const v1::OperationEvent& event) {
    if (!WaitForWrite()) return false;
    event_ = event;
    {
      absl::MutexLock lock(&mutex_);
      writing_ = true;
    }
    StartWrite(&event_);
    return true;
  }

  // Until the write that is under way has ended; false when nobody listens any more.
  bool WaitForWrite() {
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(
        +[](bool* writing) { return !*writing; }, &writing_));
    return !broken_;
  }

  Cancellation cancellation_;
  v1::OperationEvent event_;
  std::shared_ptr<LogReactor> self_;

  absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  bool broken_ ABSL_GUARDED_BY(mutex_) = false;
};

// Says at once that there are too many.
class RefusingReactor : public grpc::ServerWriteReactor<v1::OperationEvent> {
 public:
  RefusingReactor() {
    Finish(grpc::Status(grpc::StatusCode::RESOURCE_EXHAUSTED,
                        "too many logs are being watched; end one of them"));
  }
  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerWriteReactor<v1::OperationEvent>* StartLogStream(StreamLog stream, StreamCount& count) {
  if (!count.Enter()) return new RefusingReactor;
  auto reactor = std::make_shared<LogReactor>();
  reactor->Start(std::move(stream), count);
  return reactor.get();
}

}  // namespace npufleet::api
