// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/live_operation.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "common/time_conversion.h"
#include "common/utf8.h"

namespace npufleet::operations {
namespace {

constexpr size_t kLongestLine = 4096;
constexpr size_t kLongestSwept = 400;
constexpr int kMaxSwept = 20;
constexpr absl::Duration kDiskRetry = absl::Seconds(1);

}  // namespace

LiveOperation::LiveOperation(JournalEntry entry, Journal& journal, Clock& clock,
                             std::function<void()> on_pending, std::function<void()> on_published)
    : request_(entry.request),
      journal_(journal),
      clock_(clock),
      on_pending_(std::move(on_pending)),
      on_published_(std::move(on_published)),
      entry_(std::move(entry)) {
  absl::MutexLock lock(&mutex_);
  cancel_requested_ = entry_.cancel_requested;
  if (entry_.operation.last_sequence() > 1) {  // it goes on after a restart of the agent
    absl::StatusOr<std::vector<std::string>> tail = journal_.LogTail(id(), kLogTailLines);
    if (tail.ok()) tail_.assign(tail->begin(), tail->end());
  }
}

v1::OperationEvent LiveOperation::NewEvent() const {
  v1::OperationEvent event;
  *event.mutable_time() = ToTimestamp(clock_.Now());
  return event;
}

void LiveOperation::Log(std::string_view line) {
  v1::OperationEvent event = NewEvent();
  event.set_log_line(ValidUtf8(line.substr(0, kLongestLine)));
  {
    absl::MutexLock lock(&mutex_);
    tail_.push_back(event.log_line());
    if (tail_.size() > kLogTailLines) tail_.pop_front();
    lines_.push_back(std::move(event));
    // While the disk is full they pile up here.
    if (lines_.size() > Journal::kKeptEvents) lines_.pop_front();
  }
  on_pending_();
}

void LiveOperation::Report(const v1::Progress& progress) {
  v1::OperationEvent event = NewEvent();
  *event.mutable_progress() = progress;
  MakeValidUtf8(event);
  {
    absl::MutexLock lock(&mutex_);
    progress_ = std::move(event);
  }
  on_pending_();
}

void LiveOperation::AddSwept(std::string_view what) {
  const std::string line = absl::StrCat("swept: ", ValidUtf8(what.substr(0, kLongestSwept)));
  Log(line);
  const absl::Status written = WriteChange(
      [&](JournalEntry& entry) {
        if (entry.operation.swept_size() < kMaxSwept)
          entry.operation.add_swept(line.substr(sizeof("swept: ") - 1));
      },
      false);
  if (!written.ok()) log::Error("operation ", id(), ": ", line, ": ", written.message());
}

std::vector<std::string> LiveOperation::LogTail() const {
  absl::MutexLock lock(&mutex_);
  return {tail_.begin(), tail_.end()};
}

absl::Status LiveOperation::Flush() {
  absl::MutexLock write_lock(&write_mutex_);
  JournalEntry same;
  {
    absl::MutexLock lock(&mutex_);
    if (lines_.empty() && !progress_) return absl::OkStatus();
    same = entry_;
  }
  return Write(std::move(same), false);
}

absl::Status LiveOperation::WriteChange(const std::function<void(JournalEntry&)>& change,
                                        bool state_event) {
  absl::MutexLock write_lock(&write_mutex_);
  JournalEntry changed;
  {
    absl::MutexLock lock(&mutex_);
    changed = entry_;
  }
  change(changed);
  return Write(std::move(changed), state_event);
}

absl::Status LiveOperation::Write(JournalEntry changed, bool state_event) {
  std::deque<v1::OperationEvent> lines;
  std::optional<v1::OperationEvent> progress;
  {
    absl::MutexLock lock(&mutex_);
    lines.swap(lines_);
    progress = std::exchange(progress_, std::nullopt);
  }
  std::vector<v1::OperationEvent> events(lines.begin(), lines.end());
  if (progress) {
    *changed.operation.mutable_progress() = progress->progress();
    events.push_back(*progress);
  }
  if (state_event) events.push_back(NewEvent());
  uint64_t sequence = changed.operation.last_sequence();
  for (v1::OperationEvent& event : events) event.set_sequence(++sequence);
  changed.operation.set_last_sequence(sequence);
  if (state_event) *events.back().mutable_operation() = changed.operation;

  absl::Status written = journal_.Update(changed, events);
  {
    absl::MutexLock lock(&mutex_);
    if (written.ok()) {
      entry_ = std::move(changed);
    } else {
      lines_.insert(lines_.begin(), lines.begin(), lines.end());
      if (!progress_) progress_ = std::move(progress);
    }
  }
  if (written.ok()) on_published_();
  return written;
}

absl::Status LiveOperation::SetRunning() {
  return WriteChange([](JournalEntry& entry) { entry.operation.set_state(v1::Operation::RUNNING); },
                     true);
}

bool LiveOperation::applying() const {
  absl::MutexLock lock(&mutex_);
  return entry_.applying;
}

absl::Status LiveOperation::SetApplying() {
  return WriteChange([](JournalEntry& entry) { entry.applying = true; }, false);
}

absl::Status LiveOperation::RequestCancel() {
  {
    absl::MutexLock lock(&mutex_);
    cancel_requested_ = true;  // also when the journal has no room for it
  }
  return WriteChange([](JournalEntry& entry) { entry.cancel_requested = true; }, false);
}

v1::Operation LiveOperation::Snapshot() const {
  absl::MutexLock lock(&mutex_);
  return entry_.operation;
}

bool LiveOperation::TryToFinish(const Outcome& outcome, absl::Time end) {
  const absl::Status written = WriteChange(
      [&](JournalEntry& entry) {
        entry.operation.set_state(outcome.state);
        *entry.operation.mutable_end_time() = ToTimestamp(end);
        if (outcome.state == v1::Operation::SUCCEEDED) {
          *entry.operation.mutable_observation() = outcome.observation;
          entry.operation.set_changed(outcome.changed);
        } else if (outcome.state == v1::Operation::FAILED) {
          *entry.operation.mutable_failure() = outcome.failure;
        }
        MakeValidUtf8(entry.operation);
      },
      true);
  if (!written.ok())
    log::Error("operation ", id(), ": its end cannot be journaled: ", written.message());
  return written.ok();
}

bool LiveOperation::Finish(const Outcome& outcome) {
  const absl::Time end = clock_.Now();
  while (!TryToFinish(outcome, end)) {
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kDiskRetry)) return false;
  }
  return true;
}

void LiveOperation::Stop() {
  absl::MutexLock lock(&mutex_);
  stopping_ = true;
}

bool LiveOperation::stopping() const {
  absl::MutexLock lock(&mutex_);
  return stopping_;
}

bool LiveOperation::cancel_requested() const {
  absl::MutexLock lock(&mutex_);
  return cancel_requested_;
}

bool LiveOperation::IsCancelled() const {
  absl::MutexLock lock(&mutex_);
  return stopping_ || cancel_requested_;
}

void LiveOperation::WaitForCancel(absl::Duration limit) const {
  absl::MutexLock lock(&mutex_);
  const auto cancelled = [this]() ABSL_SHARED_LOCKS_REQUIRED(mutex_) {
    return stopping_ || cancel_requested_;
  };
  mutex_.AwaitWithTimeout(absl::Condition(&cancelled), limit);
}

}  // namespace npufleet::operations
