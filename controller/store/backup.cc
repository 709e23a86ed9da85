// SPDX-License-Identifier: Apache-2.0
#include "controller/store/backup.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/durable_folders.h"
#include "common/sqlite.h"
#include "common/status_macros.h"

namespace npufleet::store {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKept = 7;
constexpr uint64_t kMargin = 64 << 20;  // bytes: a backup must not be why a commit finds no room
constexpr absl::Duration kRetry = absl::Hours(1);

fs::path FolderOf(const std::string& database) {
  return fs::path(database).parent_path() / "backups";
}

absl::Status ErrorOf(const std::error_code& error, std::string_view what) {
  return error ? absl::ErrnoToStatus(error.value(), std::string(what)) : absl::OkStatus();
}

std::string WayBack(const std::string& database) {
  const std::vector<std::string> backups = ListBackups(database);
  if (backups.empty()) {
    return absl::StrCat(
        "There is no backup. To begin anew: move ", database, "*, ca and identity beside it, and ",
        "controller.yaml and ctl of /etc/npufleet away, run `npufleet-controller init`, and join "
        "each node again.");
  }
  return absl::StrCat("The newest backup is ", backups.back(),
                      ": run `npufleet-controller restore ", backups.back(), "`.");
}

// Also those of other days: a process that was killed leaves its own, and SQLite's files beside it.
void RemovePartials(const fs::path& folder) {
  std::error_code error;
  std::vector<fs::path> partials;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder, error)) {
    if (absl::StartsWith(entry.path().extension().string(), ".partial")) {
      partials.push_back(entry.path());
    }
  }
  for (const fs::path& partial : partials) fs::remove(partial, error);
}

absl::Status CheckRoom(const std::string& database, const fs::path& folder,
                       const FreeBytes& free_bytes) {
  std::error_code error;
  uint64_t need = kMargin;
  for (const char* part : {"", "-wal"}) {
    const uint64_t size = fs::file_size(database + part, error);
    if (!error) need += size;
  }
  ASSIGN_OR_RETURN(const uint64_t free, free_bytes(folder.string()));
  if (free >= need) return absl::OkStatus();
  return absl::ResourceExhaustedError(absl::StrCat("no room in ", folder.string(), ": needs ",
                                                   need >> 20, " MiB, free ", free >> 20, " MiB"));
}

absl::Status Make(const std::string& database, const std::string& partial) {
  {
    ASSIGN_OR_RETURN(sqlite::Database opened, sqlite::Database::Open(database));
    RETURN_IF_ERROR(opened.BackUp(partial));
  }
  // In this order: to check it is to open it, which may write to it.
  RETURN_IF_ERROR(CheckFile(partial));
  return SyncFile(partial);
}

}  // namespace

absl::StatusOr<uint64_t> FreeBytesOf(const std::string& folder) {
  std::error_code error;
  const fs::space_info space = fs::space(folder, error);
  RETURN_IF_ERROR(ErrorOf(error, absl::StrCat("asking for the free space of ", folder)));
  return space.available;
}

absl::Status SyncFile(const std::string& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool synced = descriptor >= 0 && fsync(descriptor) == 0;
  const int error = errno;
  if (descriptor >= 0) close(descriptor);
  return synced ? absl::OkStatus() : absl::ErrnoToStatus(error, absl::StrCat("fsync of ", path));
}

std::vector<std::string> ListBackups(const std::string& database) {
  std::vector<std::string> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(FolderOf(database), error)) {
    if (entry.path().extension() == ".db") found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());  // their names are dates
  return found;
}

absl::Status BackUpDaily(const std::string& database, absl::Time now, const FreeBytes& free_bytes) {
  const fs::path folder = FolderOf(database);
  const fs::path today =
      folder / absl::StrCat(absl::FormatTime("%Y-%m-%d", now, absl::UTCTimeZone()), ".db");
  std::error_code error;
  if (fs::exists(today, error)) return absl::OkStatus();
  RETURN_IF_ERROR(MakeFoldersDurably(folder.string()));
  RemovePartials(folder);
  RETURN_IF_ERROR(CheckRoom(database, folder, free_bytes));
  const std::string partial = today.string() + ".partial";
  if (const absl::Status made = Make(database, partial); !made.ok()) {
    RemovePartials(folder);
    return made;
  }
  fs::rename(partial, today, error);
  RETURN_IF_ERROR(ErrorOf(error, absl::StrCat("naming ", today.string())));
  RETURN_IF_ERROR(SyncFolder(folder.string()));
  const std::vector<std::string> backups = ListBackups(database);
  for (size_t i = 0; i + kKept < backups.size(); ++i) fs::remove(backups[i], error);
  return absl::OkStatus();
}

absl::Status DailyBackups::MakeWhenDue() {
  if (clock_.Elapsed() < not_before_) return absl::OkStatus();
  const absl::Status status = BackUpDaily(database_, clock_.Now(), free_bytes_);
  if (!status.ok()) not_before_ = clock_.Elapsed() + kRetry;
  const bool is_news = status.code() != newest_;
  newest_ = status.code();
  return is_news ? status : absl::OkStatus();
}

absl::Status CheckFile(const std::string& path) {
  ASSIGN_OR_RETURN(sqlite::Database database, sqlite::Database::Open(path));
  ASSIGN_OR_RETURN(sqlite::Statement check, database.Prepare("PRAGMA quick_check(1)"));
  ASSIGN_OR_RETURN(const bool answered, check.Step());
  const std::string answer = answered ? check.Text(0) : "no answer";
  return answer == "ok" ? absl::OkStatus() : absl::DataLossError(absl::StrCat(path, ": ", answer));
}

absl::Status CheckIntegrity(const std::string& database) {
  std::error_code error;
  if (!fs::exists(database, error)) {
    if (!fs::exists(RestoringPath(database), error)) {
      if (ListBackups(database).empty()) return absl::OkStatus();
      return absl::NotFoundError(absl::StrCat(database, " is gone. ", WayBack(database)));
    }
    return absl::FailedPreconditionError(
        absl::StrCat("a restore of ", database,
                     " has been cut off: run `npufleet-controller restore BACKUP` again"));
  }
  const absl::Status status = CheckFile(database);
  if (!absl::IsDataLoss(status)) return status;
  return absl::DataLossError(absl::StrCat(std::string(status.message()), ". ", WayBack(database)));
}

}  // namespace npufleet::store
