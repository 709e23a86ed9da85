// SPDX-License-Identifier: Apache-2.0
#include "agent/service/observe_stream.h"

#include <utility>

#include "common/time_conversion.h"

namespace npufleet::service {

ObserveStream::ObserveStream(OpenStreams& streams, operations::Observer& observer, WorkQueue& queue,
                             Clock& clock, const std::string& boot_id, const std::string& version)
    : streams_(streams), queue_(queue), clock_(clock), boot_id_(boot_id), version_(version) {
  view_ = observer.Open([this](operations::Observer::Seen seen) { OnSeen(std::move(seen)); });
  StartRead(&request_);
  streams_.Add(this);
}

void ObserveStream::OnReadDone(bool ok) {
  if (!ok) return CloseWhenIdle();  // the controller is gone, or wants no more
  {
    absl::MutexLock lock(&mutex_);
    if (closing_) return;
    working_ = true;
  }
  queue_.Post([this] { TakeRequest(); });
}

void ObserveStream::TakeRequest() {
  view_->Forget({request_.forget().begin(), request_.forget().end()});
  view_->Check({request_.check().begin(), request_.check().end()});
  bool closing = false;
  {
    absl::MutexLock lock(&mutex_);
    working_ = false;
    closing = closing_;
    if (!closing) StartRead(&request_);
  }
  if (closing) CloseWhenIdle();
}

void ObserveStream::OnSeen(operations::Observer::Seen seen) {
  absl::MutexLock lock(&mutex_);
  for (v1::TaskObservation& observation : seen.observations) {
    const std::string task = observation.task();
    unchanged_.erase(task);
    pending_[task] = std::move(observation);
  }
  for (const auto& [task, time] : seen.unchanged) unchanged_[task] = time;
  if (!writing_ && !closing_) SendPending();
}

void ObserveStream::SendPending() {
  reply_.Clear();
  reply_.set_boot_id(boot_id_);
  *reply_.mutable_time() = ToTimestamp(clock_.Now());
  reply_.set_agent_version(std::exchange(version_, ""));
  for (auto& [task, observation] : pending_) *reply_.add_observations() = std::move(observation);
  pending_.clear();
  for (const auto& [task, time] : unchanged_) {
    (*reply_.mutable_unchanged())[task] = ToTimestamp(time);
  }
  unchanged_.clear();
  writing_ = true;
  StartWrite(&reply_);
}

void ObserveStream::OnWriteDone(bool ok) {
  {
    absl::MutexLock lock(&mutex_);
    writing_ = false;
    if (ok && !closing_) {
      if (!pending_.empty()) SendPending();
      return;
    }
  }
  CloseWhenIdle();
}

void ObserveStream::OnCancel() { CloseWhenIdle(); }

void ObserveStream::Close() { CloseWhenIdle(); }

void ObserveStream::OnDone() {
  streams_.Remove(this);
  delete this;
}

void ObserveStream::CloseWhenIdle() {
  {
    absl::MutexLock lock(&mutex_);
    closing_ = true;
    if (finished_ || writing_ || working_) return;
    finished_ = true;
  }
  Finish(grpc::Status::OK);
}

}  // namespace npufleet::service
