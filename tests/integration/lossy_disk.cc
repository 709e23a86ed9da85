// SPDX-License-Identifier: Apache-2.0
#include "tests/integration/lossy_disk.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"

namespace npufleet::integration {
namespace {

namespace fs = std::filesystem;

ABSL_CONST_INIT absl::Mutex disk_mutex(absl::kConstInit);
LossyDisk* disk ABSL_GUARDED_BY(disk_mutex) = nullptr;

int Sync(int descriptor, long number) {
  std::function<void()> then;
  int result = 0;
  {
    absl::MutexLock lock(&disk_mutex);
    if (disk != nullptr) then = disk->OnSync(descriptor);
    result = static_cast<int>(syscall(number, descriptor));
  }
  if (then) then();  // which may sync, too
  return result;
}

// By the descriptor itself where it can be read: to open and close a file of SQLite anew would drop
// the locks that this process has on it.
std::string ContentOf(int descriptor, const std::string& path, uint64_t size) {
  const bool readable = (fcntl(descriptor, F_GETFL) & O_ACCMODE) != O_WRONLY;
  const int from = readable ? descriptor : open(path.c_str(), O_RDONLY | O_CLOEXEC);
  std::string content(size, '\0');
  const ssize_t got = pread(from, content.data(), content.size(), 0);
  content.resize(got > 0 ? static_cast<size_t>(got) : 0);
  if (!readable) close(from);
  return content;
}

}  // namespace

LossyDisk::LossyDisk(std::string folder) : folder_(std::move(folder)) {
  absl::MutexLock lock(&disk_mutex);
  disk = this;
}

LossyDisk::~LossyDisk() {
  absl::MutexLock lock(&disk_mutex);
  disk = nullptr;
}

int LossyDisk::syncs() const {
  absl::MutexLock lock(&mutex_);
  return syncs_;
}

std::function<void()> LossyDisk::OnSync(int descriptor) {
  std::error_code error;
  const std::string path = fs::read_symlink(absl::StrCat("/proc/self/fd/", descriptor), error);
  Found found;
  if (error || !Look(descriptor, "", AT_EMPTY_PATH, &found) ||
      (path != folder_ && !absl::StartsWith(path, folder_ + "/"))) {
    return nullptr;
  }
  Remember(descriptor, path, found);
  return after_each_sync_;
}

bool LossyDisk::Look(int folder, const char* path, int flags, Found* found) {
  struct statx seen;
  if (statx(folder, path, flags, STATX_BASIC_STATS | STATX_BTIME, &seen) != 0) return false;
  found->inode = {seen.stx_ino, seen.stx_btime.tv_sec * 1'000'000'000 + seen.stx_btime.tv_nsec};
  found->mode = seen.stx_mode;
  found->size = seen.stx_size;
  return true;
}

void LossyDisk::Remember(int descriptor, const std::string& path, const Found& found) {
  absl::MutexLock lock(&mutex_);
  ++syncs_;
  if (!S_ISDIR(found.mode)) {
    files_[found.inode] = {ContentOf(descriptor, path, found.size), found.mode & 07777u};
    return;
  }
  Folder folder;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(path, error)) {
    Found one;
    if (!Look(AT_FDCWD, entry.path().c_str(), AT_SYMLINK_NOFOLLOW, &one)) continue;
    folder[entry.path().filename()] = {one.inode, S_ISDIR(one.mode)};
  }
  if (path == folder_) {
    root_ = std::move(folder);
  } else {
    folders_[found.inode] = std::move(folder);
  }
}

void LossyDisk::LosePower(const std::string& target) const {
  absl::MutexLock lock(&mutex_);
  Restore(root_, target);
}

void LossyDisk::Restore(const Folder& folder, const std::string& target) const {
  fs::create_directories(target);
  for (const auto& [name, entry] : folder) {
    const std::string path = absl::StrCat(target, "/", name);
    if (entry.is_folder) {
      auto found = folders_.find(entry.inode);
      Restore(found == folders_.end() ? Folder() : found->second, path);
      continue;
    }
    auto found = files_.find(entry.inode);
    const File file = found == files_.end() ? File{"", 0600} : found->second;
    std::ofstream(path) << file.content;
    EXPECT_EQ(chmod(path.c_str(), file.mode), 0);
  }
}

}  // namespace npufleet::integration

extern "C" {
int fsync(int descriptor) { return npufleet::integration::Sync(descriptor, SYS_fsync); }
int fdatasync(int descriptor) { return npufleet::integration::Sync(descriptor, SYS_fdatasync); }
}
