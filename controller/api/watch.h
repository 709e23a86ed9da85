// SPDX-License-Identifier: Apache-2.0
//
// A server stream that is woken by changes: it reads, writes what is new, and sleeps until the next
// change. Nothing polls. One write is under way at a time, so a slow client holds back only itself.
#ifndef CONTROLLER_API_WATCH_H_
#define CONTROLLER_API_WATCH_H_

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/change_signal.h"
#include "common/grpc_status.h"
#include "common/thread_pool.h"
#include "grpcpp/support/server_callback.h"

namespace npufleet::api {

// Deletes itself when gRPC is done with it. `signal` and `pool` outlive it.
template <typename Reply>
class WatchReactor : public grpc::ServerWriteReactor<Reply> {
 public:
  // What is new since the last call, in order; empty: nothing. Called on the pool, one call at a
  // time.
  using Read = std::function<absl::StatusOr<std::vector<Reply>>()>;

  WatchReactor(ChangeSignal& signal, ThreadPool& pool, Read read)
      : pool_(pool), read_(std::move(read)) {
    // Subscribed before the first read: a change in between is seen twice rather than never.
    subscription_ = signal.Subscribe([this] { Wake(); });
    Wake();
  }

  void OnWriteDone(bool ok) override {
    if (!ok) return End(grpc::Status::CANCELLED);
    {
      absl::MutexLock lock(&mutex_);
      ++next_;
    }
    Continue();
  }

  void OnCancel() override {
    {
      absl::MutexLock lock(&mutex_);
      cancelled_ = true;
      if (busy_ || ended_) return;  // who is busy sees it, and ends
      ended_ = true;
    }
    this->Finish(grpc::Status::CANCELLED);
  }

  void OnDone() override {
    subscription_.reset();  // from here on nobody wakes us
    delete this;
  }

 private:
  void Wake() {
    absl::MutexLock lock(&mutex_);
    changed_ = true;
    if (busy_ || ended_) return;
    busy_ = true;
    pool_.Schedule([this] { Continue(); });
  }

  // Runs while busy_ is ours: on the pool or in OnWriteDone. This object may be gone when it
  // returns.
  void Continue() {
    bool cancelled = false;
    const Reply* reply = nullptr;
    {
      absl::MutexLock lock(&mutex_);
      cancelled = cancelled_;
      if (next_ < batch_.size()) {
        reply = &batch_[next_];
      } else if (!cancelled) {
        if (!changed_) {
          busy_ = false;
          return;
        }
        changed_ = false;
      }
    }
    if (cancelled) return End(grpc::Status::CANCELLED);
    if (reply != nullptr) return this->StartWrite(reply);
    // A read may block, so it is always on the pool.
    pool_.Schedule([this] { ReadOn(); });
  }

  void ReadOn() {
    absl::StatusOr<std::vector<Reply>> batch = read_();
    if (!batch.ok()) return End(ToGrpcStatus(batch.status()));
    {
      absl::MutexLock lock(&mutex_);
      batch_ = *std::move(batch);
      next_ = 0;
    }
    Continue();
  }

  void End(const grpc::Status& status) {
    {
      absl::MutexLock lock(&mutex_);
      ended_ = true;
    }
    this->Finish(status);
  }

  ThreadPool& pool_;
  const Read read_;
  std::unique_ptr<ChangeSignal::Subscription> subscription_;

  absl::Mutex mutex_;
  std::vector<Reply> batch_ ABSL_GUARDED_BY(mutex_);  // of whoever is busy
  size_t next_ ABSL_GUARDED_BY(mutex_) = 0;
  bool changed_ ABSL_GUARDED_BY(mutex_) = false;
  bool busy_ ABSL_GUARDED_BY(mutex_) = false;  // a read or a write is under way
  bool cancelled_ ABSL_GUARDED_BY(mutex_) = false;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace npufleet::api

#endif  // CONTROLLER_API_WATCH_H_
