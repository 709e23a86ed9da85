// SPDX-License-Identifier: Apache-2.0
//
// Copies of the controller's database, one a day, in the folder `backups` beside it. The way back
// to one is api::Restore.
#ifndef CONTROLLER_STORE_BACKUP_H_
#define CONTROLLER_STORE_BACKUP_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/time/time.h"

namespace npufleet::store {

// Oldest first; empty when there is none.
std::vector<std::string> ListBackups(const std::string& database);

// Makes today's (UTC) unless it is there, and keeps the newest seven. Beside a running controller.
absl::Status BackUpDaily(const std::string& database, absl::Time now);

// CheckFile(), of the database of a controller that is to start. DataLoss also says which backup is
// the newest and how to restore it. OK for a file that is not there.
absl::Status CheckIntegrity(const std::string& database);

// Reads all of the file at `path`. DataLoss says what SQLite finds wrong with it.
absl::Status CheckFile(const std::string& path);

}  // namespace npufleet::store

#endif  // CONTROLLER_STORE_BACKUP_H_
