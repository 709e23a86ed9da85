// SPDX-License-Identifier: Apache-2.0
#include "common/durable_folders.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "absl/strings/str_cat.h"
#include "common/status_macros.h"

namespace npufleet {
namespace {

bool IsFolder(const std::string& path) {
  struct stat found;
  return stat(path.c_str(), &found) == 0 && S_ISDIR(found.st_mode);
}

std::string ParentOf(const std::string& folder) {
  const size_t slash = folder.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : folder.substr(0, slash);
}

}  // namespace

absl::Status SyncFolder(const std::string& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) return absl::ErrnoToStatus(errno, absl::StrCat("opening folder ", folder));
  const int result = fsync(descriptor);
  const int error = errno;
  close(descriptor);
  return result == 0 ? absl::OkStatus()
                     : absl::ErrnoToStatus(error, absl::StrCat("fsync of folder ", folder));
}

absl::Status MakeFoldersDurably(const std::string& folder) {
  if (folder.size() > 1 && folder.back() == '/') {
    return MakeFoldersDurably(folder.substr(0, folder.size() - 1));
  }
  if (folder.empty() || IsFolder(folder)) return absl::OkStatus();
  const std::string parent = ParentOf(folder);
  RETURN_IF_ERROR(MakeFoldersDurably(parent));
  if (mkdir(folder.c_str(), 0777) != 0 && !(errno == EEXIST && IsFolder(folder))) {
    return absl::ErrnoToStatus(errno == EEXIST ? ENOTDIR : errno,
                               absl::StrCat("making folder ", folder));
  }
  return SyncFolder(parent);
}

}  // namespace npufleet
