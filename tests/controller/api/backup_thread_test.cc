// SPDX-License-Identifier: Apache-2.0
#include "controller/api/backup_thread.h"

#include <gtest/gtest.h>

#include "absl/synchronization/notification.h"
#include "controller/store/node_store.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::api {
namespace {

TEST(BackupThreadTest, NobodyWaitsForABackupButTheEnd) {
  const fakes::TemporaryFolder folder;
  const std::string database = folder.path() + "/npufleet.db";
  ASSERT_TRUE(store::NodeStore::Open(database, /*create=*/true).ok());
  fakes::FakeClock clock;
  absl::Notification begun;
  absl::Notification disk_is_slow_no_more;
  {
    const BackupThread thread(store::DailyBackups(database, clock, [&](const std::string& at) {
      begun.Notify();
      disk_is_slow_no_more.WaitForNotification();
      return store::FreeBytesOf(at);
    }));
    begun.WaitForNotification();
    EXPECT_TRUE(store::ListBackups(database).empty());
    disk_is_slow_no_more.Notify();
  }
  EXPECT_EQ(store::ListBackups(database).size(), 1u);
}

}  // namespace
}  // namespace npufleet::api
