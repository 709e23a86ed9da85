// SPDX-License-Identifier: Apache-2.0
#include "common/tls/identity.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>

namespace npufleet::tls {
namespace {

using ::testing::HasSubstr;

class IdentityTest : public ::testing::Test {
 protected:
  IdentityTest() {
    std::string pattern = ::testing::TempDir() + "identity.XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~IdentityTest() override { std::filesystem::remove_all(folder_); }

  static unsigned ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0) << path;
    return info.st_mode & 07777;
  }

  std::string folder_;
};

TEST_F(IdentityTest, LoadsWhatWasSaved) {
  const std::string directory = folder_ + "/etc/npufleet/agent";
  ASSERT_TRUE(SaveIdentity(directory, {"ca", "certificate", "key"}).ok());
  const Identity identity = LoadIdentity(directory).value();
  EXPECT_EQ(identity.ca_pem, "ca");
  EXPECT_EQ(identity.certificate_pem, "certificate");
  EXPECT_EQ(identity.key_pem, "key");
}

TEST_F(IdentityTest, OnlyTheOwnerReadsTheKey) {
  ASSERT_TRUE(SaveIdentity(folder_, {"ca", "certificate", "key"}).ok());
  EXPECT_EQ(ModeOf(folder_ + "/key.pem"), 0600u);
  EXPECT_EQ(ModeOf(folder_ + "/cert.pem"), 0644u);
}

TEST_F(IdentityTest, ReplacesAndLeavesNoTemporaryFileBehind) {
  ASSERT_TRUE(SaveIdentity(folder_, {"ca", "old", "key"}).ok());
  ASSERT_TRUE(SaveIdentity(folder_, {"ca", "new", "key"}).ok());
  EXPECT_EQ(LoadIdentity(folder_)->certificate_pem, "new");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 3);
}

TEST_F(IdentityTest, NamesTheMissingFile) {
  const absl::Status status = LoadIdentity(folder_).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(status.message()), HasSubstr(folder_ + "/ca.pem"));
}

TEST_F(IdentityTest, AFailedWriteKeepsTheOldFile) {
  const std::string path = folder_ + "/occupied";
  std::filesystem::create_directories(path + "/child");
  EXPECT_FALSE(WriteFileAtomically(path, "content", 0600).ok());
  EXPECT_TRUE(std::filesystem::is_directory(path + "/child"));
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
}

}  // namespace
}  // namespace npufleet::tls
