// SPDX-License-Identifier: Apache-2.0
#include "controller/api/store_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "absl/strings/str_cat.h"

namespace npufleet::api {

absl::StatusOr<std::unique_ptr<StoreLock>> StoreLock::Take(const Config& config) {
  const std::string path = config.state_directory + "/lock";
  const int descriptor = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (descriptor < 0 && errno == ENOENT) {
    return absl::NotFoundError(
        absl::StrCat(config.state_directory,
                     " is not there: run `npufleet-controller init --address HOST` first"));
  }
  if (descriptor < 0) return absl::ErrnoToStatus(errno, absl::StrCat("opening ", path));
  auto lock = std::unique_ptr<StoreLock>(new StoreLock(descriptor));
  if (flock(descriptor, LOCK_EX | LOCK_NB) != 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("another controller serves or restores ", config.state_directory));
  }
  return lock;
}

StoreLock::~StoreLock() { close(descriptor_); }

}  // namespace npufleet::api
