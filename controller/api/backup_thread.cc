// SPDX-License-Identifier: Apache-2.0
#include "controller/api/backup_thread.h"

#include <string>
#include <utility>

#include "common/log.h"

namespace npufleet::api {
namespace {

constexpr absl::Duration kPeriod = absl::Seconds(30);  // a look at whether today's is there

}  // namespace

BackupThread::BackupThread(store::DailyBackups backups)
    : backups_(std::move(backups)), thread_([this] { Run(); }) {}

BackupThread::~BackupThread() {
  {
    absl::MutexLock lock(&mutex_);
    stopping_ = true;
  }
  thread_.join();
}

void BackupThread::Run() {
  while (true) {
    if (const absl::Status made = backups_.MakeWhenDue(); !made.ok()) {
      log::Warning("today's backup: ", std::string(made.message()),
                   " (it is tried again every hour, and said once)");
    }
    absl::MutexLock lock(&mutex_);
    if (mutex_.AwaitWithTimeout(absl::Condition(&stopping_), kPeriod)) return;
  }
}

}  // namespace npufleet::api
