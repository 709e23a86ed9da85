// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
#include "common/durable_folders.h"
#include "common/sqlite.h"
#include "common/status_macros.h"
#include "controller/api/program.h"
#include "controller/api/store_lock.h"
#include "controller/store/backup.h"
#include "controller/store/node_store.h"

namespace npufleet::api {
namespace {

namespace fs = std::filesystem;

absl::Status Move(const std::string& from, const std::string& to) {
  std::error_code error;
  if (!fs::exists(from, error)) return absl::OkStatus();
  fs::rename(from, to, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("moving ", from, " to ", to));
  return absl::OkStatus();
}

absl::StatusOr<uint64_t> EpochOf(const std::string& path) {
  ASSIGN_OR_RETURN(const auto store, store::NodeStore::Open(path, /*create=*/false));
  return store->Epoch();
}

// The copy becomes a store of its own: whatever was done since the backup answers to another epoch.
absl::StatusOr<uint64_t> RenewEpoch(const std::string& copy, uint64_t newest) {
  ASSIGN_OR_RETURN(const auto store, store::NodeStore::Open(copy, /*create=*/false));
  ASSIGN_OR_RETURN(const uint64_t former, store->Epoch());
  RETURN_IF_ERROR(store->SetEpoch(Clock::Real().Now()));
  ASSIGN_OR_RETURN(const uint64_t epoch, store->Epoch());
  if (epoch <= std::max(former, newest)) {
    return absl::FailedPreconditionError(
        "this machine's clock is behind the time at which the store was made: set it first");
  }
  return epoch;
}

void RemoveStore(const std::string& path) {
  std::error_code ignored;
  for (const char* part : {"", "-journal", "-wal", "-shm"}) fs::remove(path + part, ignored);
}

// Makes `copy` of `backup`, on disk and with an epoch after `newest`, which is returned.
absl::StatusOr<uint64_t> MakeCopy(const std::string& backup, const std::string& copy,
                                  uint64_t newest) {
  std::error_code error;
  fs::copy_file(backup, copy, error);
  if (!error && fs::exists(backup + "-wal")) fs::copy_file(backup + "-wal", copy + "-wal", error);
  if (!error) fs::permissions(copy, fs::perms::owner_read | fs::perms::owner_write, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("copying ", backup));
  absl::Status whole = store::CheckFile(copy);
  if (whole.ok()) whole = EpochOf(copy).status();
  if (!whole.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat(backup, " is no whole store of a controller: ", whole.message()));
  }
  ASSIGN_OR_RETURN(const uint64_t epoch, RenewEpoch(copy, newest));
  RETURN_IF_ERROR(store::SyncFile(copy));
  return epoch;
}

// All that was committed is in the file itself then. It need not be readable: what stands there may
// be the reason for the restore.
void EmptyLog(const std::string& database) {
  std::error_code ignored;
  if (!fs::exists(database, ignored)) return;
  absl::StatusOr<sqlite::Database> opened = sqlite::Database::Open(database);
  if (!opened.ok()) return;
  absl::StatusOr<sqlite::Statement> checkpoint = opened->Prepare("PRAGMA wal_checkpoint(TRUNCATE)");
  if (checkpoint.ok()) checkpoint->Run().IgnoreError();
}

// Whenever the power is lost, the database is the whole former store, or the new one, or missing,
// which `serve` refuses: never a database without its log or with another's.
absl::Status Replace(const std::string& database, const std::string& copy,
                     const std::string& former) {
  const std::string folder = fs::path(database).parent_path().string();
  RETURN_IF_ERROR(SyncFolder(folder));  // the copy has its name
  RETURN_IF_ERROR(Move(database, former));
  RETURN_IF_ERROR(SyncFolder(folder));
  for (const char* part : {"-journal", "-wal", "-shm"})
    RETURN_IF_ERROR(Move(database + part, former + part));
  RETURN_IF_ERROR(SyncFolder(folder));
  RETURN_IF_ERROR(Move(copy, database));
  return SyncFolder(folder);
}

}  // namespace

absl::Status Restore(const Config& config, const std::string& backup, std::ostream& out) {
  std::error_code error;
  if (!fs::is_regular_file(backup, error)) {
    return absl::NotFoundError(absl::StrCat("no backup at ", backup));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<StoreLock> lock, StoreLock::Take(config));
  const std::string database = config.Database();
  const std::string copy = store::RestoringPath(database);
  // A restore that was cut off has left no database, but a copy whose epoch is after that one's.
  const uint64_t newest = std::max(EpochOf(database).value_or(0), EpochOf(copy).value_or(0));
  RemoveStore(copy);
  const absl::StatusOr<uint64_t> epoch = MakeCopy(backup, copy, newest);
  if (!epoch.ok()) {
    RemoveStore(copy);
    return epoch.status();
  }
  EmptyLog(database);
  const std::string former =
      absl::StrCat(database, ".replaced-", absl::ToUnixSeconds(Clock::Real().Now()));
  const bool had_one = fs::exists(database, error);
  RETURN_IF_ERROR(Replace(database, copy, former));
  out << backup << " is the store now, with the epoch " << *epoch << ".\n";
  if (had_one) out << "The former one is kept: " << former << "\n";
  out << "Nodes that joined since the backup must join again. Next: systemctl start "
         "npufleet-controller\n";
  return absl::OkStatus();
}

}  // namespace npufleet::api
