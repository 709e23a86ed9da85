// SPDX-License-Identifier: Apache-2.0
//
// Folders that are still there after a loss of power: a new folder is an entry of its parent, which
// has to be fsynced, too. Threadsafe.
#ifndef COMMON_DURABLE_FOLDERS_H_
#define COMMON_DURABLE_FOLDERS_H_

#include <string>

#include "absl/status/status.h"

namespace npufleet {

// What has been added to the folder, renamed in it or removed from it is on disk.
absl::Status SyncFolder(const std::string& folder);

// Makes the folder and all that are missing above it; each is on disk. The mode of the new ones is
// 0777 less the umask. Errors name the folder and carry the errno's code.
absl::Status MakeFoldersDurably(const std::string& folder);

}  // namespace npufleet

#endif  // COMMON_DURABLE_FOLDERS_H_
