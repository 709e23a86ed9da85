// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/sweep.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "absl/strings/str_cat.h"
#include "agent/verbs/container_exec.h"
#include "agent/verbs/ray.h"
#include "common/failure.h"
#include "tests/agent/verbs/container_node.h"
#include "tests/fakes/temporary_folder.h"

namespace npufleet::verbs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const std::string kForeignId(64, 'b');
const std::string kGoneId(64, 'e');

class SweepTest : public ::testing::Test {
 protected:
  SweepTest() {
    node_.programs().On({"npu-smi", "info"},
                        [this](const fakes::FakeSubprocess::Call&) { return NpuSmi(); });
    host::DockerContainer foreign;
    foreign.name = "somebody-elses";
    foreign.id = kForeignId;
    foreign.image_id = "sha256:aa";
    node_.docker().AddContainer(foreign);
  }

  // Who lives, by chip, as npu-smi shows it.
  absl::StatusOr<host::ProcessResult> NpuSmi() {
    std::string text =
        "| npu-smi 25.0.rc1                 Version: 25.0.rc1 |\n"
        "| NPU   Name | Health | Power(W) Temp(C) Hugepages-Usage(page)|\n"
        "| Chip | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |\n";
    for (int i = 0; i < 2; ++i) {
      absl::StrAppend(&text, "| ", i, " 910B3 | OK | 92.0 39 0 / 0 |\n| 0 | 0000:C", i,
                      ":00.0 | 0 0 / 0 3314 / 65536 |\n");
    }
    absl::StrAppend(&text, "| NPU     Chip | Process id | Process name | Process memory(MB) |\n");
    for (int i = 0; i < 2; ++i) {
      if (on_chip_.contains(i) && node_.system().InspectProcess(on_chip_[i]).ok()) {
        absl::StrAppend(&text, "| ", i, " 0 | ", on_chip_[i], " | python3 | 9 |\n");
      } else {
        absl::StrAppend(&text, "| No running processes found in NPU ", i, " |\n");
      }
    }
    return host::ProcessResult{0, absl::StrCat(text, "+====+\n"), "", false};
  }

  // Outside of our container.
  void StartElsewhere(int pid, std::vector<std::string> argv, const std::string& container,
                      std::map<std::string, std::string> environment = {}) {
    node_.system().AddProcess({.pid = pid,
                               .start_ticks = 7,
                               .argv = std::move(argv),
                               .environment = std::move(environment),
                               .container = container});
  }

  absl::Status Chips(std::set<uint32_t> chips = {}) {
    scope_.chips = std::move(chips);
    return SweepChips(node_.host(), scope_, execution_);
  }

  absl::Status Port(bool refuses) {
    return SweepPort(node_.host(), scope_, 8006, "SRV-22", refuses, execution_);
  }

  void Listen(int pid, const std::string& command, const std::string& container) {
    node_.system().SetListeningTcpPorts(
        {{.port = 8006, .pid = pid, .command = command, .container = container}});
  }

  ContainerNode node_;
  fakes::FakeExecution execution_{node_.host()};
  SweepScope scope_{.task = "serve@node-a", .container = kContainer};
  std::map<int, int> on_chip_;
};

TEST_F(SweepTest, AProcessOfOurContainerThatHoldsAChipIsEndedAndTold) {
  node_.Start(700, {"python3", "-m", "rank"}, {});
  on_chip_ = {{1, 700}};
  ASSERT_TRUE(Chips().ok());
  EXPECT_THAT(node_.system().Signals(), ElementsAre(std::pair(700, 15)));
  ASSERT_EQ(execution_.swept.size(), 1u);
  EXPECT_THAT(execution_.swept[0], HasSubstr("process 700 (python3)"));
  EXPECT_THAT(execution_.swept[0], HasSubstr("held NPU 1"));
}

TEST_F(SweepTest, WhatIgnoresTermIsKilled) {
  node_.Start(700, {"python3"}, {});
  node_.system().IgnoreSignal(700, 15);
  on_chip_ = {{0, 700}};
  ASSERT_TRUE(Chips().ok());
  EXPECT_THAT(node_.system().Signals(), ElementsAre(std::pair(700, 15), std::pair(700, 9)));
}

TEST_F(SweepTest, OneOfOursWhoseContainerIsGoneIsEnded) {
  StartElsewhere(701, {"VLLM::Worker"}, kGoneId, {{kTaskVariable, "serve@node-a"}});
  on_chip_ = {{0, 701}};
  ASSERT_TRUE(Chips().ok());
  EXPECT_THAT(node_.system().Signals(), ElementsAre(std::pair(701, 15)));
  EXPECT_THAT(execution_.swept, Contains(HasSubstr("which Docker no longer knows")));
}

TEST_F(SweepTest, WhoHasEndedMeanwhileIsNoLeftover) {
  node_.Start(700, {"python3"}, {});
  on_chip_ = {{0, 700}};
  int looks = 0;
  node_.programs().On({"npu-smi", "info"}, [&](const fakes::FakeSubprocess::Call&) {
    absl::StatusOr<host::ProcessResult> shown = NpuSmi();
    if (++looks == 2) node_.End(700);
    return shown;
  });
  ASSERT_TRUE(Chips().ok());
  EXPECT_THAT(node_.system().Signals(), IsEmpty());
  EXPECT_THAT(execution_.swept, IsEmpty());
}

// What it is called says nothing: only its cgroup and its stamp do.
TEST_F(SweepTest, AnothersProcessOfTheSameNameIsNamedAndNeverTouched) {
  const std::vector<std::vector<std::string>> commands = {
      {"ray::RayWorkerWrapper"}, {"vllm", "serve", "/m"}, {"python3", "train.py"}, {"raylet"}};
  for (const std::vector<std::string>& command : commands) {
    for (const std::string& container : {kForeignId, std::string()}) {
      StartElsewhere(4242, command, container);
      on_chip_ = {{0, 4242}};
      const v1::Failure failure = ToFailure(Chips());
      EXPECT_EQ(failure.class_(), v1::Failure::NEEDS_OPERATOR) << command[0];
      EXPECT_EQ(failure.signature(), "CTR-07");
      EXPECT_THAT(failure.symptom(), HasSubstr(absl::StrCat("process 4242 (", command[0])));
      EXPECT_THAT(failure.symptom(),
                  HasSubstr(container.empty() ? "of no container" : "(somebody-elses)"));
      EXPECT_THAT(failure.advice(),
                  HasSubstr(container.empty() ? "kill 4242" : "docker stop somebody-elses"));
    }
  }
  EXPECT_THAT(node_.system().Signals(), IsEmpty());
  EXPECT_THAT(node_.docker().Changes(), IsEmpty());
}

TEST_F(SweepTest, AStampOfAnotherNodeOrInALivingContainerIsNotOurs) {
  on_chip_ = {{0, 4242}};
  StartElsewhere(4242, {"vllm"}, "", {{kTaskVariable, "serve@node-b"}});
  EXPECT_FALSE(Chips().ok());
  StartElsewhere(4242, {"vllm"}, kForeignId, {{kTaskVariable, "serve@node-a"}});
  EXPECT_FALSE(Chips().ok());
  EXPECT_THAT(node_.system().Signals(), IsEmpty());
}

TEST_F(SweepTest, AChipThatIsNotWantedMayBeUsed) {
  StartElsewhere(4242, {"python3"}, kForeignId);
  on_chip_ = {{1, 4242}};
  EXPECT_TRUE(Chips({0}).ok());
  EXPECT_FALSE(Chips({0, 1}).ok());
}

TEST_F(SweepTest, ChipsThatCannotBeAskedStopNoStart) {
  node_.programs().On({"npu-smi", "info"}, "dcmi module initialize failed. ret is -8005\n", "",
                      187);
  EXPECT_TRUE(Chips().ok());
  EXPECT_THAT(execution_.lines, Contains(HasSubstr("who uses the chips is not known")));
}

TEST_F(SweepTest, OursOnThePortIsEndedAndAnothersIsRefused) {
  node_.Start(700, {"python3", "serve.py"}, {});
  Listen(700, "python3", "");
  ASSERT_TRUE(Port(true).ok());
  EXPECT_THAT(node_.system().Signals(), ElementsAre(std::pair(700, 15)));
  EXPECT_THAT(execution_.swept, Contains(HasSubstr("port 8006")));

  StartElsewhere(4242, {"vllm", "serve"}, kForeignId);
  Listen(4242, "vllm", kForeignId);
  EXPECT_TRUE(Port(false).ok());
  const v1::Failure failure = ToFailure(Port(true));
  EXPECT_EQ(failure.class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(failure.symptom(), HasSubstr("port 8006 is held by process 4242 (vllm serve)"));
  EXPECT_EQ(node_.system().Signals().size(), 1u);
}

TEST_F(SweepTest, RayItselfStaysUnderAServer) {
  node_.Start(502, {"/usr/lib/ray/core/src/ray/raylet/raylet"}, {});
  node_.Start(503, {"ray::RayWorkerWrapper"}, {});
  scope_.keeps = IsRayItself;
  on_chip_ = {{0, 502}, {1, 503}};
  ASSERT_TRUE(Chips().ok());
  EXPECT_THAT(node_.system().Signals(), ElementsAre(std::pair(503, 15)));
}

// --- Files ------------------------------------------------------------------------------------

constexpr char kDockersMounts[] =
    "1 0 0:51 / / rw - overlay overlay rw,lowerdir=/l\n"
    "2 1 0:52 / /proc rw - proc proc rw\n"
    "3 1 0:53 / /dev rw - tmpfs tmpfs rw\n"
    "4 3 0:54 / /dev/shm rw - tmpfs shm rw,size=524288000k\n";

constexpr char kNodesMounts[] =
    "21 0 8:2 / / rw - ext4 /dev/sda2 rw\n24 21 0:25 / /dev/shm rw - tmpfs tmpfs rw\n";

TEST(OwnFoldersTest, OnlyWhatDockerMadeForTheContainerIsItsOwn) {
  EXPECT_TRUE(OwnFoldersOf(kDockersMounts, kNodesMounts).shared_memory);
  EXPECT_TRUE(OwnFoldersOf(kDockersMounts, kNodesMounts).ray);
  const std::string of_the_node =
      absl::StrCat(kDockersMounts, "5 3 0:25 / /dev/shm rw shared:3 - tmpfs tmpfs rw\n",
                   "6 1 8:2 /tmp /tmp rw - ext4 /dev/sda2 rw\n");
  EXPECT_FALSE(OwnFoldersOf(of_the_node, kNodesMounts).shared_memory);
  EXPECT_FALSE(OwnFoldersOf(of_the_node, kNodesMounts).ray);
  EXPECT_FALSE(OwnFoldersOf("", kNodesMounts).shared_memory);
  EXPECT_FALSE(OwnFoldersOf("", kNodesMounts).ray);
}

TEST(OwnFoldersTest, AMountThatTheNodeHasTooIsTheNodes) {
  EXPECT_FALSE(OwnFoldersOf(kDockersMounts, kDockersMounts).shared_memory);
  EXPECT_FALSE(OwnFoldersOf(kDockersMounts, kDockersMounts).ray);
}

TEST_F(SweepTest, WhatIsTheNodesIsLeftAndSaid) {
  ASSERT_TRUE(node_.files().Write("/proc/self/mountinfo", kNodesMounts).ok());
  node_.docker().OnExec({"cat", "/proc/self/mountinfo"},
                        "1 0 0:51 / / rw - overlay overlay rw\n"
                        "2 1 0:25 / /dev/shm rw - tmpfs tmpfs rw\n3 1 8:2 / /tmp rw - ext4 a rw\n");
  SweepFiles(node_.host(), kContainer, SweptFolders::kRay, execution_);
  EXPECT_EQ(node_.docker().Execs().size(), 1u);
  EXPECT_THAT(execution_.lines, Contains(HasSubstr("/dev/shm of the container is not its own")));
}

TEST_F(SweepTest, WithoutTheNodesMountsNothingIsSwept) {
  node_.docker().OnExec({"cat", "/proc/self/mountinfo"}, kDockersMounts);
  SweepFiles(node_.host(), kContainer, SweptFolders::kRay, execution_);
  EXPECT_EQ(node_.docker().Execs().size(), 1u);
  EXPECT_THAT(execution_.lines, Contains(HasSubstr("are not swept")));
}

TEST_F(SweepTest, WhatWentIsToldWithItsSize) {
  ASSERT_TRUE(node_.files().Write("/proc/self/mountinfo", kNodesMounts).ok());
  node_.docker().OnExec({"cat", "/proc/self/mountinfo"}, kDockersMounts);
  node_.docker().OnExec(SharedMemorySweep("/dev/shm"),
                        "2097152 /dev/shm/psm_1a\n1048576 /dev/shm/sem.mp-1\n");
  node_.docker().OnExec(RaySweep("/tmp/ray"), "");
  SweepFiles(node_.host(), kContainer, SweptFolders::kRay, execution_);
  EXPECT_THAT(execution_.swept, ElementsAre("2 of a former start in /dev/shm that no process held, "
                                            "3 GiB: psm_1a, sem.mp-1"));
}

class SweepScriptTest : public ::testing::Test {
 protected:
  std::string Run(const std::vector<std::string>& argv) {
    const absl::StatusOr<host::ProcessResult> result =
        host::MakeSubprocess("/", {"/usr/bin", "/bin"})->Run(argv, {});
    EXPECT_TRUE(result.ok() && result->ok()) << result->Combined();
    return result->out;
  }
  std::vector<std::string> Names() { return files_.List("/").value(); }

  fakes::TemporaryFolder folder_;
  host::Filesystem files_{folder_.path()};
};

TEST_F(SweepScriptTest, FilesOfServersThatNobodyHoldsGo) {
  for (const char* name : {"/psm_1", "/psm_2", "/sem.mp-x", "/torch_9", "/hccl_8", "/notes"})
    ASSERT_TRUE(files_.Write(name, "x").ok());
  std::filesystem::create_symlink("/etc/passwd", files_.Real("/psm_link"));
  const int held = open(files_.Real("/psm_2").c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(held, 0);
  const std::string out = Run(SharedMemorySweep(folder_.path()));
  close(held);
  EXPECT_THAT(Names(), ElementsAre("notes", "psm_2", "psm_link"));
  EXPECT_THAT(out, HasSubstr("/psm_1\n"));
  EXPECT_THAT(out, Not(HasSubstr("psm_2")));
  Run(SharedMemorySweep(folder_.path() + "/missing"));
}

TEST_F(SweepScriptTest, OldSessionsOfRayGoAndTheNewestStays) {
  for (const char* session :
       {"session_2026-11-20_1", "session_2026-11-21_1", "session_2026-11-22_1"})
    ASSERT_TRUE(files_.Write(absl::StrCat("/", session, "/logs/raylet.err"), "x").ok());
  std::filesystem::create_symlink("session_2026-11-22_1", files_.Real("/session_latest"));
  ASSERT_TRUE(files_.Write("/ray_current_cluster", "192.168.0.15:6379").ok());
  const int held =
      open(files_.Real("/session_2026-11-20_1/logs/raylet.err").c_str(), O_RDONLY | O_CLOEXEC);
  Run(RaySweep(folder_.path()));
  close(held);
  EXPECT_THAT(Names(),
              ElementsAre("session_2026-11-20_1", "session_2026-11-22_1", "session_latest"));
  Run(RaySweep(folder_.path() + "/missing"));
  EXPECT_EQ(Names().size(), 3u);
}

}  // namespace
}  // namespace npufleet::verbs
