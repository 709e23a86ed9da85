// SPDX-License-Identifier: Apache-2.0
#include "agent/host/filesystem.h"

#include <sys/stat.h>
#include <unistd.h>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::host {
namespace {

using ::testing::ElementsAre;

class FilesystemTest : public ::testing::Test {
 protected:
  fakes::FakeHost node_;
  Filesystem& files_ = node_.files();
};

TEST_F(FilesystemTest, PrefixesEveryPathWithItsRoot) {
  EXPECT_EQ(files_.Real("/etc/x"), node_.root() + "/etc/x");
  EXPECT_EQ(Filesystem("/").Real("/etc/x"), "/etc/x");
  EXPECT_EQ(Filesystem("/tmp/").Real("/etc/x"), "/tmp/etc/x");
}

TEST_F(FilesystemTest, WritesReplacesAndReads) {
  ASSERT_TRUE(files_.Write("/etc/docker/daemon.json", "{}", 0600).ok());
  ASSERT_TRUE(files_.Write("/etc/docker/daemon.json", "{\"a\":1}", 0640).ok());
  EXPECT_EQ(files_.Read("/etc/docker/daemon.json").value(), "{\"a\":1}");
  EXPECT_EQ(files_.Stat("/etc/docker/daemon.json")->mode, 0640u);
  EXPECT_THAT(files_.List("/etc/docker").value(), ElementsAre("daemon.json"));
}

TEST_F(FilesystemTest, AFailedWriteLeavesNothingBehind) {
  ASSERT_TRUE(files_.MakeFolders("/etc/taken/inside").ok());
  EXPECT_FALSE(files_.Write("/etc/taken", "x").ok());  // a folder stands there
  EXPECT_THAT(files_.List("/etc").value(), ElementsAre("taken"));
}

TEST_F(FilesystemTest, ReadingMoreThanAllowedIsAnError) {
  ASSERT_TRUE(files_.Write("/big", std::string(1000, 'x')).ok());
  EXPECT_EQ(files_.Read("/big", 999).status().code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(files_.Read("/big", 1000)->size(), 1000u);
}

TEST_F(FilesystemTest, SaysNotFound) {
  EXPECT_TRUE(absl::IsNotFound(files_.Read("/none").status()));
  EXPECT_TRUE(absl::IsNotFound(files_.Stat("/none").status()));
  EXPECT_TRUE(absl::IsNotFound(files_.List("/none").status()));
  EXPECT_FALSE(files_.Exists("/none"));
  EXPECT_TRUE(files_.Remove("/none").ok());
  EXPECT_TRUE(files_.RemoveAll("/none/at/all").ok());
}

TEST_F(FilesystemTest, StatFollowsSymlinksAndLinkStatDoesNot) {
  ASSERT_TRUE(files_.Write("/target", "12345").ok());
  ASSERT_EQ(symlink("target", files_.Real("/link").c_str()), 0);
  EXPECT_EQ(files_.Stat("/link")->size_bytes, 5u);
  EXPECT_TRUE(files_.LinkStat("/link")->is_symlink);
  EXPECT_FALSE(files_.LinkStat("/target")->is_symlink);
  EXPECT_TRUE(Filesystem("/").Stat("/dev/null")->is_character_device);
}

TEST_F(FilesystemTest, RenamesAndRemovesTrees) {
  ASSERT_TRUE(files_.Write("/a/b/c", "x").ok());
  ASSERT_TRUE(files_.Rename("/a/b/c", "/a/d").ok());
  EXPECT_EQ(files_.Read("/a/d").value(), "x");
  ASSERT_TRUE(files_.RemoveAll("/a").ok());
  EXPECT_FALSE(files_.Exists("/a"));
}

TEST_F(FilesystemTest, AsksTheSpaceOfTheNearestParent) {
  const auto space = files_.Space("/not/there/yet");
  ASSERT_TRUE(space.ok());
  EXPECT_GT(space->total_bytes, 0u);
  EXPECT_LE(space->free_bytes, space->total_bytes);
}

TEST_F(FilesystemTest, HashesLikeSha256sum) {
  ASSERT_TRUE(files_.Write("/abc", "abc").ok());
  EXPECT_EQ(files_.Sha256("/abc").value(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace npufleet::host
