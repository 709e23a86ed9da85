// SPDX-License-Identifier: Apache-2.0
#include "controller/store/backup.h"

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "controller/store/node_store.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::store {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
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

  std::string Folder() const { return folder_.path() + "/backups"; }
  std::vector<std::string> Files() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(Folder()))
      names.push_back(entry.path().filename().string());
    return names;
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

TEST_F(BackupTest, OneThatDoesNotFitIsNotBegunAndSaidOnceAndTriedAfterAnHour) {
  fakes::FakeClock clock;
  int asked = 0;
  uint64_t free = 1 << 20;
  DailyBackups backups(database_, clock, [&](const std::string&) {
    ++asked;
    return free;
  });
  EXPECT_EQ(backups.MakeWhenDue().code(), absl::StatusCode::kResourceExhausted);
  clock.Advance(absl::Minutes(59));
  EXPECT_TRUE(backups.MakeWhenDue().ok());
  EXPECT_EQ(asked, 1);
  clock.Advance(absl::Minutes(1));
  EXPECT_TRUE(backups.MakeWhenDue().ok()) << "it was said";
  EXPECT_EQ(asked, 2);
  EXPECT_THAT(Files(), IsEmpty());
  free = uint64_t{1} << 30;
  clock.Advance(absl::Hours(1));
  EXPECT_TRUE(backups.MakeWhenDue().ok());
  EXPECT_THAT(ListBackups(database_), SizeIs(1));
}

TEST_F(BackupTest, OneThatFailsLeavesNothingBehind) {
  std::filesystem::create_directory(Folder());
  std::ofstream(Folder() + "/2023-11-13.db.partial") << "of a process that was killed";
  std::ofstream(Folder() + "/2023-11-13.db.partial-journal") << "beside it";
  Damage();
  EXPECT_FALSE(BackUpDaily(database_, kToday).ok());
  EXPECT_THAT(Files(), IsEmpty());
}

TEST_F(BackupTest, OneThatSucceedsIsWholeAndLeavesNothingBesideIt) {
  ASSERT_TRUE(BackUpDaily(database_, kToday).ok());
  EXPECT_THAT(Files(), ElementsAre("2023-11-14.db"));
  EXPECT_EQ(NodeStore::Open(ListBackups(database_).back(), false).value()->Epoch().value(), epoch_);
}

TEST_F(BackupTest, ARestoreThatWasCutOffIsNamed) {
  std::filesystem::rename(database_, RestoringPath(database_));
  const absl::Status status = CheckIntegrity(database_);
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(status.message()), HasSubstr("npufleet-controller restore "));
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

TEST_F(BackupTest, AFileThatIsGoneIsNamedWithTheNewestBackup) {
  for (const int day : {0, 1})
    ASSERT_TRUE(BackUpDaily(database_, kToday + day * absl::Hours(24)).ok());
  std::filesystem::remove(database_);
  const absl::Status status = CheckIntegrity(database_);
  EXPECT_TRUE(absl::IsNotFound(status)) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("npufleet-controller restore "));
  EXPECT_THAT(std::string(status.message()), HasSubstr("backups/2023-11-15.db"));
  EXPECT_EQ(NodeStore::Open(database_, false).status(), status) << "not: run init first";
}

}  // namespace
}  // namespace npufleet::store
