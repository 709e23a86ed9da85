// SPDX-License-Identifier: Apache-2.0
//
// A disk that forgets. This program's fsync and fdatasync (SQLite's, too) are ours: what a folder
// held when it was last fsynced, and what a file held, is what a loss of power leaves. Nothing else
// survives: no write, no new name, no removal.
#ifndef TESTS_INTEGRATION_LOSSY_DISK_H_
#define TESTS_INTEGRATION_LOSSY_DISK_H_

#include <sys/stat.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace npufleet::integration {

// One at a time. Threadsafe.
class LossyDisk {
 public:
  // What is under this folder, which is there and empty.
  explicit LossyDisk(std::string folder);
  ~LossyDisk();
  LossyDisk(const LossyDisk&) = delete;
  LossyDisk& operator=(const LossyDisk&) = delete;

  // What a loss of power now would leave, as a new folder `target`. What is open here stays so.
  void LosePower(const std::string& target) const;

  int syncs() const;
  // Called after each sync: between two of them a loss of power leaves the same. Set it before
  // anything writes.
  void AfterEachSync(std::function<void()> then) { after_each_sync_ = std::move(then); }

  std::function<void()> OnSync(int descriptor);  // of fsync; what is to be called after it

 private:
  // Its number and, as the number of what was removed is given again, when it was made.
  using Inode = std::pair<uint64_t, int64_t>;
  struct Entry {
    Inode inode;
    bool is_folder = false;
  };
  struct Found {
    Inode inode;
    mode_t mode = 0;
    uint64_t size = 0;
  };
  // Of statx(2). False: there is none.
  static bool Look(int folder, const char* path, int flags, Found* found);
  using Folder = std::map<std::string, Entry>;
  struct File {
    std::string content;
    mode_t mode = 0;
  };
  void Restore(const Folder& folder, const std::string& target) const
      ABSL_SHARED_LOCKS_REQUIRED(mutex_);

  void Remember(int descriptor, const std::string& path, const Found& found)
      ABSL_LOCKS_EXCLUDED(mutex_);

  const std::string folder_;
  std::function<void()> after_each_sync_;
  mutable absl::Mutex mutex_;
  Folder root_ ABSL_GUARDED_BY(mutex_);
  std::map<Inode, Folder> folders_ ABSL_GUARDED_BY(mutex_);  // by inode, as last fsynced
  std::map<Inode, File> files_ ABSL_GUARDED_BY(mutex_);
  int syncs_ ABSL_GUARDED_BY(mutex_) = 0;
};

}  // namespace npufleet::integration

#endif  // TESTS_INTEGRATION_LOSSY_DISK_H_
