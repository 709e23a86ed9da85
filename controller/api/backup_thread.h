// SPDX-License-Identifier: Apache-2.0
//
// The daily backups of a controller that serves, in a thread of their own: a copy of a large store,
// or on a slow disk, takes longer than systemd's watchdog waits.
#ifndef CONTROLLER_API_BACKUP_THREAD_H_
#define CONTROLLER_API_BACKUP_THREAD_H_

#include <thread>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"
#include "controller/store/backup.h"

namespace npufleet::api {

class BackupThread {
 public:
  explicit BackupThread(store::DailyBackups backups);
  ~BackupThread();  // waits for a backup that is being made
  BackupThread(const BackupThread&) = delete;
  BackupThread& operator=(const BackupThread&) = delete;

 private:
  void Run();

  store::DailyBackups backups_;  // of the thread
  absl::Mutex mutex_;
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread thread_;  // the last member: it uses the others
};

}  // namespace npufleet::api

#endif  // CONTROLLER_API_BACKUP_THREAD_H_
