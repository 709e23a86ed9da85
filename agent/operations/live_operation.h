// SPDX-License-Identifier: Apache-2.0
//
// One operation that is not over: its state, and its events on their way to the journal. Log lines
// and progress are collected and journaled together; only what is on disk is published, so that a
// sequence number that a watcher saw is never given again. Threadsafe.
#ifndef AGENT_OPERATIONS_LIVE_OPERATION_H_
#define AGENT_OPERATIONS_LIVE_OPERATION_H_

#include <deque>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "agent/operations/journal.h"
#include "common/clock.h"

namespace npufleet::operations {

// How an operation ends.
struct Outcome {
  v1::Operation::State state = v1::Operation::SUCCEEDED;
  v1::Observation observation;  // with SUCCEEDED
  bool changed = false;         // with SUCCEEDED
  v1::Failure failure;          // with FAILED
};

class LiveOperation {
 public:
  static constexpr int kLogTailLines = 40;

  // `entry` is in the journal. `on_pending` is called when there is something to Flush(),
  // `on_published` when events reached the journal; neither may call this object.
  LiveOperation(JournalEntry entry, Journal& journal, Clock& clock,
                std::function<void()> on_pending, std::function<void()> on_published);

  const v1::StartOperationRequest& request() const { return request_; }
  const std::string& id() const { return request_.id(); }

  void Log(std::string_view line);
  void Report(const v1::Progress& progress);  // only the newest before a flush is kept
  std::vector<std::string> LogTail() const;
  // A line of the log, and of what the operation says at its end; only so many are kept.
  void AddSwept(std::string_view what);

  // Journals what is pending. After an error it is still pending.
  absl::Status Flush();

  absl::Status SetRunning();
  bool applying() const;
  absl::Status SetApplying();
  absl::Status RequestCancel();
  v1::Operation Snapshot() const;

  // Journals the end, once. Returns whether it is journaled.
  bool TryToFinish(const Outcome& outcome, absl::Time end);
  // The same over and over while the disk is full; gives up only when stopping.
  bool Finish(const Outcome& outcome);

  // The agent stops: whatever runs for this operation is to return, and nothing is concluded from
  // it.
  void Stop();
  bool stopping() const;
  bool cancel_requested() const;
  // True when the operation's work is to return soon, for either reason.
  bool IsCancelled() const;
  // Until IsCancelled() or the time is over.
  void WaitForCancel(absl::Duration limit) const;

 private:
  v1::OperationEvent NewEvent() const;
  absl::Status WriteChange(const std::function<void(JournalEntry&)>& change, bool state_event);
  absl::Status Write(JournalEntry changed, bool state_event)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(write_mutex_);

  const v1::StartOperationRequest request_;
  Journal& journal_;
  Clock& clock_;
  const std::function<void()> on_pending_;
  const std::function<void()> on_published_;

  // One writer at a time, so that events reach the journal in the order of their numbers.
  absl::Mutex write_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);

  mutable absl::Mutex mutex_;
  JournalEntry entry_ ABSL_GUARDED_BY(mutex_);                    // as it is in the journal
  std::deque<v1::OperationEvent> lines_ ABSL_GUARDED_BY(mutex_);  // not yet numbered
  std::optional<v1::OperationEvent> progress_ ABSL_GUARDED_BY(mutex_);
  std::deque<std::string> tail_ ABSL_GUARDED_BY(mutex_);
  bool cancel_requested_ ABSL_GUARDED_BY(mutex_) = false;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_LIVE_OPERATION_H_
