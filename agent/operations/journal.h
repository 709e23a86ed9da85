// SPDX-License-Identifier: Apache-2.0
//
// The agent's memory of its operations: one SQLite file. What a call stored is on disk (fsync) when
// it returns. It stores the wire's messages, so that an older journal is read by the rules of
// protobuf. Threadsafe. Errors are those of common/sqlite.h; a full disk is ResourceExhausted.
#ifndef AGENT_OPERATIONS_JOURNAL_H_
#define AGENT_OPERATIONS_JOURNAL_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/status/statusor.h"
#include "absl/synchronization/mutex.h"
#include "common/sqlite.h"
#include "npufleet/v1/agent.pb.h"

namespace npufleet::operations {

struct JournalEntry {
  v1::Operation operation;
  v1::StartOperationRequest request;
  bool applying = false;  // Apply or Stop had begun
  bool cancel_requested = false;
};

class Journal {
 public:
  static constexpr int64_t kKeptOperations = 2000;  // beside all that are not over
  static constexpr uint64_t kKeptEvents =
      5000;  // the newest of an operation, beside changes of state

  static absl::StatusOr<std::unique_ptr<Journal>> Open(const std::string& path);

  // The greatest epoch that Accept was given; 0 at first.
  absl::StatusOr<uint64_t> Epoch();
  // The new operation, its first event and the epoch of its request. AlreadyExists for a known id.
  absl::Status Accept(const JournalEntry& entry, const v1::OperationEvent& event);
  // The present form of a known operation, and the events that led there; all or nothing.
  absl::Status Update(const JournalEntry& entry, const std::vector<v1::OperationEvent>& events);

  absl::StatusOr<std::optional<JournalEntry>> Find(std::string_view id);
  // Those not over, oldest first.
  absl::StatusOr<std::vector<JournalEntry>> Live();

  struct Page {
    std::vector<v1::Operation> operations;  // newest first
    int64_t next = 0;                       // 0: there are no more
  };
  // `before` is a former page's `next`; 0 for the first page.
  absl::StatusOr<Page> List(int64_t before, int size);

  // Those with a greater sequence, in order.
  absl::StatusOr<std::vector<v1::OperationEvent>> EventsAfter(std::string_view id,
                                                              uint64_t sequence, int limit);
  // The newest log lines, oldest first.
  absl::StatusOr<std::vector<std::string>> LogTail(std::string_view id, int lines);

  // Drops the oldest operations that are over. Returns the ids that went.
  absl::StatusOr<std::vector<std::string>> Prune(int64_t kept = kKeptOperations);

 private:
  explicit Journal(sqlite::Database database) : database_(std::move(database)) {}

  absl::StatusOr<int64_t> PositionOf(std::string_view id) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::Status InsertEvents(int64_t position, const std::vector<v1::OperationEvent>& events)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  absl::Mutex mutex_;
  sqlite::Database database_ ABSL_GUARDED_BY(mutex_);
};

// True for SUCCEEDED, FAILED, CANCELLED and INTERRUPTED.
bool IsOver(v1::Operation::State state);

}  // namespace npufleet::operations

#endif  // AGENT_OPERATIONS_JOURNAL_H_
