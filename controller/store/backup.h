// SPDX-License-Identifier: Apache-2.0
//
// Copies of the controller's database, one a day, in the folder `backups` beside it. The way back
// to one is api::Restore.
#ifndef CONTROLLER_STORE_BACKUP_H_
#define CONTROLLER_STORE_BACKUP_H_

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "common/clock.h"

namespace npufleet::store {

// Bytes that this process may still write on the filesystem of `folder`.
using FreeBytes = std::function<absl::StatusOr<uint64_t>(const std::string& folder)>;
absl::StatusOr<uint64_t> FreeBytesOf(const std::string& folder);

// Oldest first; empty when there is none.
std::vector<std::string> ListBackups(const std::string& database);

// Makes today's (UTC) unless it is there, and keeps the newest seven. Beside a running controller.
// It is whole and on disk before it has its name; of one that failed nothing is left behind.
// ResourceExhausted, before anything is written, unless it fits and leaves room for the store.
absl::Status BackUpDaily(const std::string& database, absl::Time now,
                         const FreeBytes& free_bytes = FreeBytesOf);

// BackUpDaily() of a running controller, which may be called often. Used by one thread.
class DailyBackups {
 public:
  DailyBackups(std::string database, Clock& clock, FreeBytes free_bytes = FreeBytesOf)
      : database_(std::move(database)), clock_(clock), free_bytes_(std::move(free_bytes)) {}

  // Does nothing for an hour after one that failed. The error is for the log: OK, too, when the one
  // before failed in the same way.
  absl::Status MakeWhenDue();

 private:
  const std::string database_;
  Clock& clock_;
  const FreeBytes free_bytes_;
  absl::Duration not_before_ = -absl::InfiniteDuration();  // of the clock's Elapsed()
  absl::StatusCode newest_ = absl::StatusCode::kOk;
};

// CheckFile(), of the database of a controller that is to start. DataLoss also says which backup is
// the newest and how to restore it; NotFound the same of a file that is gone; FailedPrecondition
// that a restore has been cut off. OK when there are neither a file nor backups.
absl::Status CheckIntegrity(const std::string& database);

// The store that a restore makes. When that is cut off, this may be there without a database.
inline std::string RestoringPath(const std::string& database) { return database + ".restoring"; }

// What was written to the file is on disk. Not for a database that this process has open: to close
// another descriptor of it drops SQLite's locks.
absl::Status SyncFile(const std::string& path);

// Reads all of the file at `path`. DataLoss says what SQLite finds wrong with it.
absl::Status CheckFile(const std::string& path);

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_BACKUP_H_
