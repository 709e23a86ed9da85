// SPDX-License-Identifier: Apache-2.0
#include "agent/operations/journal.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"
#include "common/string_views.h"

namespace npufleet::operations {
namespace {

using sqlite::Statement;
using sqlite::Transaction;

// Never edited: a released step stays as it is, a change is a new step.
const std::vector<std::string>& Migrations() {
  static const auto* migrations = new std::vector<std::string>{
      R"(CREATE TABLE operations (
           position INTEGER PRIMARY KEY AUTOINCREMENT,
           id TEXT NOT NULL UNIQUE,
           live INTEGER NOT NULL,
           applying INTEGER NOT NULL,
           cancel_requested INTEGER NOT NULL,
           operation BLOB NOT NULL,
           request BLOB NOT NULL
         ) STRICT;
         CREATE INDEX live_operations ON operations (position) WHERE live;
         CREATE TABLE events (
           position INTEGER NOT NULL REFERENCES operations ON DELETE CASCADE,
           sequence INTEGER NOT NULL,
           kind INTEGER NOT NULL,
           event BLOB NOT NULL,
           PRIMARY KEY (position, sequence)
         ) STRICT, WITHOUT ROWID;
         CREATE TABLE epoch (only INTEGER PRIMARY KEY CHECK (only = 1), seen INTEGER NOT NULL) STRICT;
         INSERT INTO epoch VALUES (1, 0);)",
  };
  return *migrations;
}

template <typename Message>
absl::StatusOr<Message> Parse(const std::string& bytes, std::string_view what) {
  Message message;
  if (!message.ParseFromString(bytes)) {
    return absl::DataLossError(absl::StrCat("the journal's ", Absl(what), " cannot be read"));
  }
  return message;
}

constexpr char kEntryColumns[] = "operation, request, applying, cancel_requested, id";

absl::StatusOr<JournalEntry> EntryAt(const Statement& row) {
  const std::string name = absl::StrCat("operation ", row.Text(4));
  JournalEntry entry;
  ASSIGN_OR_RETURN(entry.operation, Parse<v1::Operation>(row.Blob(0), name));
  ASSIGN_OR_RETURN(entry.request, Parse<v1::StartOperationRequest>(row.Blob(1), name));
  entry.applying = row.Int(2) != 0;
  entry.cancel_requested = row.Int(3) != 0;
  return entry;
}

}  // namespace

bool IsOver(v1::Operation::State state) {
  return state == v1::Operation::SUCCEEDED || state == v1::Operation::FAILED ||
         state == v1::Operation::CANCELLED || state == v1::Operation::INTERRUPTED;
}

absl::StatusOr<std::unique_ptr<Journal>> Journal::Open(const std::string& path) {
  ASSIGN_OR_RETURN(sqlite::Database database, sqlite::Database::Open(path));
  RETURN_IF_ERROR(database.Migrate(Migrations()));
  return std::unique_ptr<Journal>(new Journal(std::move(database)));
}

absl::StatusOr<uint64_t> Journal::Epoch() {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Statement get, database_.Prepare("SELECT seen FROM epoch"));
  RETURN_IF_ERROR(get.Step().status());
  return static_cast<uint64_t>(get.Int(0));
}

absl::Status Journal::Accept(const JournalEntry& entry, const v1::OperationEvent& event) {
  absl::MutexLock lock(&mutex_);
  Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.status());
  ASSIGN_OR_RETURN(
      Statement insert,
      database_.Prepare("INSERT INTO operations (id, live, applying, cancel_requested, "
                        "operation, request) VALUES (?, ?, ?, ?, ?, ?)"));
  RETURN_IF_ERROR(insert.BindText(1, entry.operation.id())
                      .BindInt(2, !IsOver(entry.operation.state()))
                      .BindInt(3, entry.applying)
                      .BindInt(4, entry.cancel_requested)
                      .BindBlob(5, entry.operation.SerializeAsString())
                      .BindBlob(6, entry.request.SerializeAsString())
                      .Run());
  RETURN_IF_ERROR(InsertEvents(database_.LastInsertRowId(), {event}));
  ASSIGN_OR_RETURN(Statement epoch, database_.Prepare("UPDATE epoch SET seen = max(seen, ?)"));
  RETURN_IF_ERROR(epoch.BindInt(1, static_cast<int64_t>(entry.request.epoch())).Run());
  return transaction.Commit();
}

absl::Status Journal::Update(const JournalEntry& entry,
                             const std::vector<v1::OperationEvent>& events) {
  absl::MutexLock lock(&mutex_);
  Transaction transaction(database_);
  RETURN_IF_ERROR(transaction.status());
  ASSIGN_OR_RETURN(int64_t position, PositionOf(entry.operation.id()));
  ASSIGN_OR_RETURN(Statement update,
                   database_.Prepare("UPDATE operations SET live = ?, applying = ?, "
                                     "cancel_requested = ?, operation = ? WHERE position = ?"));
  RETURN_IF_ERROR(update.BindInt(1, !IsOver(entry.operation.state()))
                      .BindInt(2, entry.applying)
                      .BindInt(3, entry.cancel_requested)
                      .BindBlob(4, entry.operation.SerializeAsString())
                      .BindInt(5, position)
                      .Run());
  RETURN_IF_ERROR(InsertEvents(position, events));
  return transaction.Commit();
}

absl::StatusOr<int64_t> Journal::PositionOf(std::string_view id) {
  ASSIGN_OR_RETURN(Statement get,
                   database_.Prepare("SELECT position FROM operations WHERE id = ?"));
  ASSIGN_OR_RETURN(bool found, get.BindText(1, id).Step());
  if (!found) return absl::NotFoundError(absl::StrCat("there is no operation ", Absl(id)));
  return get.Int(0);
}

absl::Status Journal::InsertEvents(int64_t position,
                                   const std::vector<v1::OperationEvent>& events) {
  if (events.empty()) return absl::OkStatus();
  ASSIGN_OR_RETURN(Statement insert, database_.Prepare("INSERT INTO events VALUES (?, ?, ?, ?)"));
  for (const v1::OperationEvent& event : events) {
    RETURN_IF_ERROR(insert.BindInt(1, position)
                        .BindInt(2, static_cast<int64_t>(event.sequence()))
                        .BindInt(3, event.event_case())
                        .BindBlob(4, event.SerializeAsString())
                        .Run());
  }
  const uint64_t newest = events.back().sequence();
  if (newest <= kKeptEvents) return absl::OkStatus();
  ASSIGN_OR_RETURN(Statement cut, database_.Prepare("DELETE FROM events WHERE position = ? AND "
                                                    "sequence <= ? AND kind <> ?"));
  return cut.BindInt(1, position)
      .BindInt(2, static_cast<int64_t>(newest - kKeptEvents))
      .BindInt(3, v1::OperationEvent::kOperation)
      .Run();
}

absl::StatusOr<std::optional<JournalEntry>> Journal::Find(std::string_view id) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Statement get, database_.Prepare(absl::StrCat("SELECT ", kEntryColumns,
                                                                 " FROM operations WHERE id = ?")));
  ASSIGN_OR_RETURN(bool found, get.BindText(1, id).Step());
  if (!found) return std::nullopt;
  ASSIGN_OR_RETURN(JournalEntry entry, EntryAt(get));
  return entry;
}

absl::StatusOr<std::vector<JournalEntry>> Journal::Live() {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Statement get,
                   database_.Prepare(absl::StrCat(
                       "SELECT ", kEntryColumns, " FROM operations WHERE live ORDER BY position")));
  std::vector<JournalEntry> live;
  while (true) {
    ASSIGN_OR_RETURN(bool row, get.Step());
    if (!row) return live;
    ASSIGN_OR_RETURN(JournalEntry entry, EntryAt(get));
    live.push_back(std::move(entry));
  }
}

absl::StatusOr<Journal::Page> Journal::List(int64_t before, int size) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Statement get,
                   database_.Prepare("SELECT operation, position FROM operations WHERE ?1 = 0 OR "
                                     "position < ?1 ORDER BY position DESC LIMIT ?2"));
  get.BindInt(1, before).BindInt(2, int64_t{size} + 1);
  Page page;
  int64_t last = 0;
  while (true) {
    ASSIGN_OR_RETURN(bool row, get.Step());
    if (!row) return page;
    if (static_cast<int>(page.operations.size()) == size) {
      page.next = last;
      return page;
    }
    ASSIGN_OR_RETURN(v1::Operation operation, Parse<v1::Operation>(get.Blob(0), "operation"));
    page.operations.push_back(std::move(operation));
    last = get.Int(1);
  }
}

absl::StatusOr<std::vector<v1::OperationEvent>> Journal::EventsAfter(std::string_view id,
                                                                     uint64_t sequence, int limit) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(int64_t position, PositionOf(id));
  ASSIGN_OR_RETURN(Statement get,
                   database_.Prepare("SELECT event FROM events WHERE position = ? AND sequence > ? "
                                     "ORDER BY sequence LIMIT ?"));
  get.BindInt(1, position)
      .BindInt(2, static_cast<int64_t>(std::min<uint64_t>(sequence, INT64_MAX)))
      .BindInt(3, limit);
  std::vector<v1::OperationEvent> events;
  while (true) {
    ASSIGN_OR_RETURN(bool row, get.Step());
    if (!row) return events;
    ASSIGN_OR_RETURN(v1::OperationEvent event, Parse<v1::OperationEvent>(get.Blob(0), "event"));
    events.push_back(std::move(event));
  }
}

absl::StatusOr<std::vector<std::string>> Journal::LogTail(std::string_view id, int lines) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(int64_t position, PositionOf(id));
  ASSIGN_OR_RETURN(Statement get,
                   database_.Prepare("SELECT event FROM events WHERE position = ? AND kind = ? "
                                     "ORDER BY sequence DESC LIMIT ?"));
  get.BindInt(1, position).BindInt(2, v1::OperationEvent::kLogLine).BindInt(3, lines);
  std::vector<std::string> tail;
  while (true) {
    ASSIGN_OR_RETURN(bool row, get.Step());
    if (!row) break;
    ASSIGN_OR_RETURN(v1::OperationEvent event, Parse<v1::OperationEvent>(get.Blob(0), "event"));
    tail.push_back(event.log_line());
  }
  std::reverse(tail.begin(), tail.end());
  return tail;
}

absl::StatusOr<std::vector<std::string>> Journal::Prune(int64_t kept) {
  absl::MutexLock lock(&mutex_);
  ASSIGN_OR_RETURN(Statement prune,
                   database_.Prepare("DELETE FROM operations WHERE NOT live AND position <= "
                                     "(SELECT position FROM operations ORDER BY position DESC "
                                     "LIMIT 1 OFFSET ?) RETURNING id"));
  prune.BindInt(1, kept);
  std::vector<std::string> gone;
  while (true) {
    ASSIGN_OR_RETURN(bool row, prune.Step());
    if (!row) return gone;
    gone.push_back(prune.Text(0));
  }
}

}  // namespace npufleet::operations
