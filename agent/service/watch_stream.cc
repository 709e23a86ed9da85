// SPDX-License-Identifier: Apache-2.0
#include "agent/service/watch_stream.h"

#include <utility>
#include <vector>

#include "agent/service/grpc_status.h"

namespace npufleet::service {
namespace {

constexpr int kBatch = 200;

}  // namespace

WatchStream::WatchStream(OpenStreams& streams, operations::Runner& runner, WorkQueue& queue,
                         const v1::WatchOperationRequest& request)
    : streams_(streams),
      runner_(runner),
      queue_(queue),
      id_(request.id()),
      after_(request.after_sequence()) {
  subscription_ = runner_.changes().Subscribe([this] { Wake(); });
  streams_.Add(this);
  Wake();
}

void WatchStream::Wake() {
  absl::MutexLock lock(&mutex_);
  changed_ = true;
  if (active_ || finished_) return;
  active_ = true;
  queue_.Post([this] { ReadMore(); });
}

void WatchStream::ReadMore() {
  {
    absl::MutexLock lock(&mutex_);
    changed_ = false;
  }
  // The operation first: if it is over now, its last event is among those read after.
  absl::StatusOr<v1::Operation> operation = runner_.Get(id_);
  if (!operation.ok()) return EndWith(ToGrpc(operation.status()));
  absl::StatusOr<std::vector<v1::OperationEvent>> events = runner_.EventsAfter(id_, after_, kBatch);
  if (!events.ok()) return EndWith(ToGrpc(events.status()));
  if (!events->empty()) {
    batch_.assign(events->begin(), events->end());
    return SendNext();
  }
  if (operations::IsOver(operation->state())) return EndWith(grpc::Status::OK);
  {
    absl::MutexLock lock(&mutex_);
    if (!cancelled_) {
      active_ = changed_;
      if (active_) queue_.Post([this] { ReadMore(); });
      return;
    }
  }
  EndWith(grpc::Status::CANCELLED);
}

void WatchStream::SendNext() {
  after_ = batch_.front().sequence();
  StartWrite(&batch_.front());
}

void WatchStream::OnWriteDone(bool ok) {
  const bool last =
      batch_.front().has_operation() && operations::IsOver(batch_.front().operation().state());
  batch_.pop_front();
  bool cancelled = false;
  {
    absl::MutexLock lock(&mutex_);
    cancelled = cancelled_;
  }
  if (!ok || cancelled) return EndWith(grpc::Status::CANCELLED);
  if (last) return EndWith(grpc::Status::OK);
  if (!batch_.empty()) return SendNext();
  queue_.Post([this] { ReadMore(); });
}

void WatchStream::OnDone() {
  streams_.Remove(this);
  delete this;
}

void WatchStream::OnCancel() { Close(); }

// Not with OK: the operation goes on.
void WatchStream::Close() {
  {
    absl::MutexLock lock(&mutex_);
    cancelled_ = true;
    if (active_ || finished_) return;  // who is active will see it
    active_ = true;
  }
  EndWith(grpc::Status::CANCELLED);
}

void WatchStream::EndWith(const grpc::Status& status) {
  {
    absl::MutexLock lock(&mutex_);
    finished_ = true;
  }
  Finish(status);
}

}  // namespace npufleet::service
