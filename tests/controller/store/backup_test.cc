// SPDX-License-Identifier: Apache-2.0
#include "controller/store/backup.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "controller/store/node_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::store {
namespace {

using testing::HasSubstr;
using testing::SizeIs;

const absl::Time kToday = absl::FromUnixSeconds(1'700'000'000);  // 2023-11-14

class BackupTest : public testing::Test {
 protected:
  BackupTest() {
    auto nodes = NodeStore::Open(database_, /*create=*/true).value();
    EXPECT_TRUE(nodes->SetEpoch(kToday).ok());
    epoch_ = nodes->Epoch().value();
  }

  void Damage() {
    std::fstream file(database_, std::ios::in | std::ios::out | std::ios::binary);
    for (int i = 0; i < 4096; ++i) file.put('x');
  }

  fakes::TemporaryFolder folder_;
  const std::string database_ = folder_.path() + "/npufleet.db";
  uint64_t epoch_ = 0;
};

TEST_F(BackupTest, MakesOneADayAndKeepsAWeek) {
  ASSERT_TRUE(BackUpDaily(database_, kToday).ok());
  ASSERT_TRUE(BackUpDaily(database_, kToday + absl::Hours(1)).ok());
  EXPECT_THAT(ListBackups(database_), SizeIs(1));
  for (int day = 1; day <= 9; ++day) {
    ASSERT_TRUE(BackUpDaily(database_, kToday + day * absl::Hours(24)).ok());
  }
  EXPECT_THAT(ListBackups(database_), SizeIs(7));
  EXPECT_THAT(ListBackups(database_).back(), HasSubstr("2023-11-23.db"));
}

TEST_F(BackupTest, ADamagedFileIsNamedWithTheNewestBackup) {
  EXPECT_TRUE(CheckIntegrity(database_).ok());
  ASSERT_TRUE(BackUpDaily(database_, kToday).ok());
  Damage();
  const absl::Status status = CheckIntegrity(database_);
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss);
  EXPECT_THAT(std::string(status.message()), HasSubstr("npufleet-controller restore "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("backups/2023-11-14.db"));
}

}  // namespace
}  // namespace npufleet::store
