// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/kernel_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "tests/agent/verbs/container_node.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;

class KernelLogTest : public ::testing::Test {
 protected:
  // As Linux 5.10 prints it for a process of the container with this id.
  static std::string Kill(const std::string& container_id, int pid = 4711) {
    return absl::StrCat(
        "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=docker-", container_id,
        ".scope,mems_allowed=0-7,global_oom,task_memcg=/system.slice/docker-", container_id,
        ".scope,task=VLLMWorker_TP,pid=", pid, ",uid=0\nOut of memory: Killed process ", pid,
        " (VLLMWorker_TP) total-vm:1234kB, anon-rss:1000kB, file-rss:0kB, shmem-rss:0kB\n");
  }

  std::optional<v1::Failure> Ask() {
    return KernelFailure(node_.host(), "serve", kContainer, node_.clock().Now());
  }

  ContainerNode node_;
  const std::string id_ = node_.docker().InspectContainer(kContainer)->id;
};

TEST_F(KernelLogTest, AKillOfOursForWantOfMemoryIsTheCause) {
  node_.programs().On({"journalctl", "-k"}, absl::StrCat("eth0: link up\n", Kill(id_)));
  const std::optional<v1::Failure> failure = Ask();
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->signature(), "PRE-02");
  EXPECT_EQ(failure->class_(), v1::Failure::TRANSIENT) << "serve is done again by serve itself";
  EXPECT_THAT(failure->symptom(), HasSubstr("kernel: Out of memory: Killed process 4711"));
}

TEST_F(KernelLogTest, AKillOfAnothersProcessIsNot) {
  node_.programs().On({"journalctl", "-k"},
                      Kill(std::string(64, 'b')) +
                          "Memory cgroup out of memory: Killed process 9 (python3) total-vm:1kB\n");
  EXPECT_FALSE(Ask().has_value());
}

TEST_F(KernelLogTest, DiskErrorsAndStuckProcessesAreKnown) {
  node_.programs().On({"journalctl", "-k"},
                      "EXT4-fs error (device sda2): ext4_find_entry:1455: inode #2: comm bash\n");
  EXPECT_EQ(Ask()->signature(), "PRE-04");
  EXPECT_EQ(Ask()->class_(), v1::Failure::HARDWARE);
  node_.programs().On({"journalctl", "-k"},
                      "INFO: task python3:4711 blocked for more than 120 seconds.\n");
  EXPECT_EQ(Ask()->signature(), "UPG-03");
  node_.programs().On({"journalctl", "-k"}, "nf_conntrack: nf_conntrack: table full, dropping\n");
  EXPECT_EQ(Ask()->signature(), "PRE-03");
}

TEST_F(KernelLogTest, OfDmesgOnlyWhatCameSinceThenCounts) {
  EXPECT_FALSE(Ask().has_value()) << "neither journalctl nor dmesg";
  node_.system().SetUptime(absl::Seconds(1000));
  node_.programs().On({"journalctl", "-k"}, "", "No journal files were found.\n", 1);
  node_.programs().On({"dmesg"},
                      "[  900.000001] EXT4-fs error (device sda2): x\n[ 1000.5] eth0: up\n");
  EXPECT_FALSE(Ask().has_value());
  node_.programs().On({"dmesg"}, "[ 1000.000001] EXT4-fs error (device sda2): x\n");
  EXPECT_EQ(Ask()->signature(), "PRE-04");
}

}  // namespace
}  // namespace npufleet::verbs
