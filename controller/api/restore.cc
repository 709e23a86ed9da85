// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/clock.h"
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

absl::Status Sync(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  return synced ? absl::OkStatus() : absl::ErrnoToStatus(error, absl::StrCat("fsync of ", path));
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

}  // namespace

absl::Status Restore(const Config& config, const std::string& backup, std::ostream& out) {
  std::error_code error;
  if (!fs::is_regular_file(backup, error)) {
    return absl::NotFoundError(absl::StrCat("no backup at ", backup));
  }
  ASSIGN_OR_RETURN(const std::unique_ptr<StoreLock> lock, StoreLock::Take(config));
  const std::string database = config.Database();
  const std::string copy = database + ".restoring";
  for (const char* part : {"", "-wal", "-shm"}) fs::remove(copy + part, error);
  fs::copy_file(backup, copy, error);
  if (!error && fs::exists(backup + "-wal")) fs::copy_file(backup + "-wal", copy + "-wal", error);
  if (!error) fs::permissions(copy, fs::perms::owner_read | fs::perms::owner_write, error);
  if (error) return absl::ErrnoToStatus(error.value(), absl::StrCat("copying ", backup));

  absl::StatusOr<uint64_t> epoch = absl::UnknownError("");
  if (const absl::Status whole = store::CheckFile(copy); whole.ok()) {
    epoch = EpochOf(copy);
  } else {
    epoch = whole;
  }
  if (!epoch.ok()) {
    for (const char* part : {"", "-wal", "-shm"}) fs::remove(copy + part, error);
    return absl::InvalidArgumentError(
        absl::StrCat(backup, " is no whole store of a controller: ", epoch.status().message()));
  }
  // What stands there now may be the reason for the restore: it need not be readable.
  ASSIGN_OR_RETURN(epoch, RenewEpoch(copy, EpochOf(database).value_or(0)));
  RETURN_IF_ERROR(Sync(copy));

  const std::string former =
      absl::StrCat(database, ".replaced-", absl::ToUnixSeconds(Clock::Real().Now()));
  const bool had_one = fs::exists(database, error);
  for (const char* part : {"-wal", "-shm"}) RETURN_IF_ERROR(Move(database + part, former + part));
  RETURN_IF_ERROR(Move(database, former));
  RETURN_IF_ERROR(Move(copy, database));
  RETURN_IF_ERROR(Sync(config.state_directory));
  out << backup << " is the store now, with the epoch " << *epoch << ".\n";
  if (had_one) out << "The former one is kept: " << former << "\n";
  out << "Nodes that joined since the backup must join again. Next: systemctl start "
         "npufleet-controller\n";
  return absl::OkStatus();
}

}  // namespace npufleet::api
