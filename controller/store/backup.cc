// SPDX-License-Identifier: Apache-2.0
#include "controller/store/backup.h"

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "common/sqlite.h"
#include "common/status_macros.h"

namespace npufleet::store {
namespace {

namespace fs = std::filesystem;

constexpr size_t kKept = 7;

fs::path FolderOf(const std::string& database) {
  return fs::path(database).parent_path() / "backups";
}

absl::Status ErrorOf(const std::error_code& error, std::string_view what) {
  return error ? absl::ErrnoToStatus(error.value(), std::string(what)) : absl::OkStatus();
}

std::string WayBack(const std::string& database) {
  const std::vector<std::string> backups = ListBackups(database);
  if (backups.empty()) {
    return "There is no backup: take the file away and make a new fleet with `npufleet-controller "
           "init`.";
  }
  return absl::StrCat("The newest backup is ", backups.back(),
                      ": run `npufleet-controller restore ", backups.back(), "`.");
}

}  // namespace

std::vector<std::string> ListBackups(const std::string& database) {
  std::vector<std::string> found;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(FolderOf(database), error)) {
    if (entry.path().extension() == ".db") found.push_back(entry.path().string());
  }
  std::sort(found.begin(), found.end());  // their names are dates
  return found;
}

absl::Status BackUpDaily(const std::string& database, absl::Time now) {
  const fs::path folder = FolderOf(database);
  const fs::path today =
      folder / absl::StrCat(absl::FormatTime("%Y-%m-%d", now, absl::UTCTimeZone()), ".db");
  std::error_code error;
  if (fs::exists(today, error)) return absl::OkStatus();
  fs::create_directories(folder, error);
  RETURN_IF_ERROR(ErrorOf(error, absl::StrCat("making the folder ", folder.string())));
  const std::string partial = today.string() + ".partial";
  fs::remove(partial, error);
  {
    ASSIGN_OR_RETURN(sqlite::Database opened, sqlite::Database::Open(database));
    RETURN_IF_ERROR(opened.BackUp(partial));
  }
  fs::rename(partial, today, error);
  RETURN_IF_ERROR(ErrorOf(error, absl::StrCat("naming ", today.string())));
  const std::vector<std::string> backups = ListBackups(database);
  for (size_t i = 0; i + kKept < backups.size(); ++i) fs::remove(backups[i], error);
  return absl::OkStatus();
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
  if (!fs::exists(database, error)) return absl::OkStatus();
  const absl::Status status = CheckFile(database);
  if (!absl::IsDataLoss(status)) return status;
  return absl::DataLossError(absl::StrCat(std::string(status.message()), ". ", WayBack(database)));
}

}  // namespace npufleet::store
