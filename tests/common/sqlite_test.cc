// SPDX-License-Identifier: Apache-2.0
#include "common/sqlite.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "absl/strings/str_cat.h"

namespace npufleet::sqlite {
namespace {

class SqliteTest : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = absl::StrCat(::testing::TempDir(), "sqlite-XXXXXX");
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
    path_ = folder_ + "/test.db";
  }
  void TearDown() override { std::filesystem::remove_all(folder_); }

  Database OpenWithTable() {
    absl::StatusOr<Database> database = Database::Open(path_);
    EXPECT_TRUE(database.ok()) << database.status();
    EXPECT_TRUE(
        database->Migrate({"CREATE TABLE t (id TEXT PRIMARY KEY, body BLOB, n INTEGER) STRICT"})
            .ok());
    return *std::move(database);
  }

  static int64_t Count(Database& database) {
    absl::StatusOr<Statement> count = database.Prepare("SELECT count(*) FROM t");
    EXPECT_TRUE(count.ok() && *count->Step());
    return count->Int(0);
  }

  std::string folder_;
  std::string path_;
};

TEST_F(SqliteTest, KeepsBytesWithNulAndEmptyValues) {
  Database database = OpenWithTable();
  const std::string bytes("a\0b", 3);
  auto insert = database.Prepare("INSERT INTO t VALUES (?, ?, ?)");
  ASSERT_TRUE(insert.ok());
  ASSERT_TRUE(insert->BindText(1, "x").BindBlob(2, bytes).BindInt(3, int64_t{1} << 40).Run().ok());
  ASSERT_TRUE(insert->BindText(1, "").BindBlob(2, "").BindNull(3).Run().ok());

  auto get = database.Prepare("SELECT id, body, n FROM t ORDER BY id DESC");
  ASSERT_TRUE(*get->Step());
  EXPECT_EQ(get->Text(0), "x");
  EXPECT_EQ(get->Blob(1), bytes);
  EXPECT_EQ(get->Int(2), int64_t{1} << 40);
  ASSERT_TRUE(*get->Step());
  EXPECT_EQ(get->Text(0), "");
  EXPECT_FALSE(get->IsNull(1));
  EXPECT_EQ(get->Blob(1), "");
  EXPECT_TRUE(get->IsNull(2));
  EXPECT_FALSE(*get->Step());
}

TEST_F(SqliteTest, SettingsAreDurableAndTheFileIsPrivate) {
  Database database = OpenWithTable();
  auto mode = database.Prepare("PRAGMA journal_mode");
  ASSERT_TRUE(*mode->Step());
  EXPECT_EQ(mode->Text(0), "wal");
  auto synchronous = database.Prepare("PRAGMA synchronous");
  ASSERT_TRUE(*synchronous->Step());
  EXPECT_EQ(synchronous->Int(0), 2);
  struct stat info;
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
}

TEST_F(SqliteTest, TransactionIsRolledBackUnlessCommitted) {
  Database database = OpenWithTable();
  {
    Transaction transaction(database);
    ASSERT_TRUE(transaction.status().ok());
    ASSERT_TRUE(database.Execute("INSERT INTO t VALUES ('a', NULL, 1)").ok());
  }
  EXPECT_EQ(Count(database), 0);
  {
    Transaction transaction(database);
    ASSERT_TRUE(database.Execute("INSERT INTO t VALUES ('a', NULL, 1)").ok());
    ASSERT_TRUE(transaction.Commit().ok());
    EXPECT_FALSE(transaction.Commit().ok());
  }
  EXPECT_EQ(Count(database), 1);
  Transaction outer(database);
  Transaction inner(database);
  EXPECT_FALSE(inner.status().ok());
  EXPECT_FALSE(inner.Commit().ok());
}

TEST_F(SqliteTest, ErrorsSayWhatHappened) {
  Database database = OpenWithTable();
  ASSERT_TRUE(database.Execute("INSERT INTO t VALUES ('a', NULL, 1)").ok());
  absl::Status twice = database.Execute("INSERT INTO t VALUES ('a', NULL, 1)");
  EXPECT_EQ(twice.code(), absl::StatusCode::kAlreadyExists) << twice;
  absl::Status type = database.Execute("INSERT INTO t VALUES ('b', NULL, 'text')");
  EXPECT_EQ(type.code(), absl::StatusCode::kFailedPrecondition) << type;
  EXPECT_NE(std::string(type.message()).find(path_), std::string::npos) << type;
  auto get = database.Prepare("SELECT id FROM t WHERE id = ?");
  EXPECT_FALSE(get->BindText(2, "no such parameter").Step().ok());
  EXPECT_FALSE(database.Prepare("SELEKT").ok());
  EXPECT_FALSE(database.Prepare("").ok());
  EXPECT_FALSE(Database::Open(folder_ + "/missing/test.db").ok());
}

TEST_F(SqliteTest, NoRoomIsResourceExhaustedAndChangesNothing) {
  Database database = OpenWithTable();
  ASSERT_TRUE(database.Execute("PRAGMA max_page_count = 8").ok());
  auto insert = database.Prepare("INSERT INTO t VALUES ('big', ?, 0)");
  absl::Status full = insert->BindBlob(1, std::string(1 << 20, 'x')).Run();
  EXPECT_EQ(full.code(), absl::StatusCode::kResourceExhausted) << full;
  EXPECT_EQ(Count(database), 0);
  EXPECT_TRUE(database.Execute("INSERT INTO t VALUES ('small', NULL, 0)").ok());
}

TEST_F(SqliteTest, MigratesStepByStepAndRefusesANewerFile) {
  const std::vector<std::string> first = {"CREATE TABLE a (x INTEGER) STRICT"};
  const std::vector<std::string> second = {first[0], "ALTER TABLE a ADD COLUMN y TEXT"};
  {
    auto database = Database::Open(path_);
    ASSERT_TRUE(database->Migrate(first).ok());
    EXPECT_EQ(*database->UserVersion(), 1);
  }
  auto database = Database::Open(path_);
  absl::Status broken = database->Migrate({first[0], "CREATE TABLE b (x INTEGER); SELEKT"});
  EXPECT_FALSE(broken.ok());
  EXPECT_EQ(*database->UserVersion(), 1);
  EXPECT_FALSE(database->Prepare("SELECT x FROM b").ok());
  ASSERT_TRUE(database->Migrate(second).ok());
  EXPECT_TRUE(database->Prepare("SELECT y FROM a").ok());
  EXPECT_EQ(database->Migrate(first).code(), absl::StatusCode::kFailedPrecondition);
}

TEST_F(SqliteTest, BackUpIsACopyOfWhatIsCommitted) {
  Database database = OpenWithTable();
  ASSERT_TRUE(database.Execute("INSERT INTO t VALUES ('a', NULL, 1)").ok());
  ASSERT_TRUE(database.BackUp(folder_ + "/copy.db").ok());
  EXPECT_FALSE(database.BackUp(folder_ + "/copy.db").ok());
  auto copy = Database::Open(folder_ + "/copy.db");
  EXPECT_EQ(Count(*copy), 1);
  EXPECT_EQ(*copy->UserVersion(), 1);
}

TEST_F(SqliteTest, ADamagedFileIsDataLoss) {
  {
    FILE* file = fopen(path_.c_str(), "w");
    fputs(std::string(4096, 'z').c_str(), file);
    fclose(file);
  }
  absl::StatusOr<Database> database = Database::Open(path_);
  EXPECT_EQ(database.status().code(), absl::StatusCode::kDataLoss) << database.status();
}

}  // namespace
}  // namespace npufleet::sqlite
