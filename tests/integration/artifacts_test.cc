// SPDX-License-Identifier: Apache-2.0
//
// Files and installers that are not what the spec says. The installers really run, under the
// agent's supervisor.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "agent/verbs/installer.h"
#include "tests/integration/fleet.h"

namespace npufleet::integration {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kDriver[] = "driver@node-a";
constexpr char kInstallers[] = "installers@node-a";

class ArtifactsTest : public ::testing::Test {
 protected:
  ArtifactsTest() : fleet_(1), deployment_(MakeDeployment(1)) {
    deployment_.mutable_spec()->mutable_retry()->set_attempts(2);
    fleet_.StartController();
  }

  FakeMachine& machine() { return fleet_.machine(0); }

  // The driver of the spec is this script.
  void UseDriver(const std::string& body) {
    const std::string installer = DriverInstaller(body);
    v1::Driver& driver = *deployment_.mutable_spec()->mutable_driver();
    *driver.mutable_driver() = MakeArtifact("driver.run", installer);
    machine().ServeInstaller(driver.driver(), installer);
  }

  // Why the rollout has failed at `task`, by which no driver came to be.
  v1::Failure FailureAt(const std::string& task) {
    const grpc::Status applied = fleet_.Apply(deployment_);
    EXPECT_TRUE(applied.ok()) << applied.error_message();
    const v1::Rollout rollout = fleet_.AwaitRollout(
        [&](const v1::Rollout& seen) { return TaskOf(seen, task).state() == v1::Task::FAILED; });
    EXPECT_EQ(TaskOf(rollout, kDriver).token(), "");
    EXPECT_EQ(TaskOf(rollout, "npu@node-a").state(), v1::Task::PENDING);
    return TaskOf(rollout, task).failure();
  }
  v1::Failure DriverFailure() { return FailureAt(kDriver); }

  std::vector<std::string> ArtifactsLike(const std::string& name) {
    std::vector<std::string> found;
    for (const auto& entry :
         std::filesystem::directory_iterator(machine().root() + verbs::kArtifactFolder)) {
      if (entry.path().filename().string().find(name) == 0) found.push_back(entry.path());
    }
    return found;
  }

  Fleet fleet_;
  v1::Deployment deployment_;
};

TEST_F(ArtifactsTest, AWrongSha256RemovesTheFileAndRunsNothing) {
  machine().http().Serve("http://origin/driver.run", DriverInstaller("echo another\n"));
  const v1::Failure failure = FailureAt(kInstallers);
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure.symptom(), HasSubstr(deployment_.spec().driver().driver().sha256()));
  EXPECT_THAT(failure.symptom(),
              HasSubstr(MakeArtifact("", DriverInstaller("echo another\n")).sha256()));
  EXPECT_THAT(ArtifactsLike("driver.run"), IsEmpty());
  EXPECT_EQ(machine().DriverRuns(), 0);
  EXPECT_EQ(machine().http().Count("GET", "http://origin/driver.run"), 2)
      << "once more from the start, and never again";
}

TEST_F(ArtifactsTest, AnInstallerThatExitsZeroWithoutInstallingIsFoundOut) {
  UseDriver(kTakesEffect);  // and nothing else: it only says so
  const v1::Failure failure = DriverFailure();
  EXPECT_THAT(failure.symptom(), HasSubstr("ended with status 0"));
  EXPECT_THAT(failure.symptom(), HasSubstr("is not there"));
  EXPECT_EQ(machine().DriverRuns(), 2) << "as often as the spec allows";
  for (const v1::Operation& operation : fleet_.Journal(0)) {
    if (operation.task() != kDriver) continue;
    EXPECT_EQ(operation.state(), v1::Operation::FAILED);
  }
}

// An orphan that was killed stands in the list of processes until init has taken note of it.
bool HasEnded(int pid) {
  std::ifstream file(absl::StrCat("/proc/", pid, "/stat"));
  const std::string stat((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return stat.empty() || stat.find(") Z ") != std::string::npos;
}

TEST_F(ArtifactsTest, AnInstallerThatHangsIsKilledAtItsDeadlineWithItsChildren) {
  // It does not heed SIGTERM, and neither do its children.
  UseDriver(
      "trap '' TERM\nsleep 10000 &\necho $! > $root/child\necho $$ > $root/self\n"
      "while :; do sleep 10000; done\n");
  deployment_.mutable_spec()->mutable_retry()->set_attempts(1);
  deployment_.mutable_spec()->mutable_driver()->mutable_install_deadline()->set_nanos(300'000'000);
  const v1::Failure failure = DriverFailure();
  EXPECT_EQ(failure.class_(), v1::Failure::TRANSIENT);
  EXPECT_THAT(failure.symptom(), HasSubstr("did not end within 300ms and was killed"));
  for (const char* name : {"/child", "/self"}) {
    int pid = 0;
    std::istringstream(machine().files().Read(name).value()) >> pid;
    ASSERT_GT(pid, 1);
    EXPECT_TRUE(fleet_.Await([pid] { return HasEnded(pid); })) << name << " still lives";
  }
}

TEST_F(ArtifactsTest, AnInstallerThatAsksAQuestionGetsNoAnswerAndIsSaidToAsk) {
  UseDriver(
      "while :; do\n  echo 'Do you accept the EULA? [y/n]'\n  read answer\n"
      "  [ \"$answer\" = y ] && break\ndone\n");
  const v1::Failure failure = DriverFailure();
  EXPECT_EQ(failure.class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(failure.symptom(), HasSubstr("asks: Do you accept the EULA? [y/n]"));
  EXPECT_EQ(machine().DriverRuns(), 1);
}

TEST_F(ArtifactsTest, AnInstallerThatReadsStdinReadsItsEndAtOnce) {
  UseDriver("if read answer; then echo \"got $answer\"; else echo 'nobody there'; exit 3; fi\n");
  const v1::Failure failure = DriverFailure();
  EXPECT_THAT(failure.symptom(), HasSubstr("ended with status 3"));
  EXPECT_THAT(failure.log_tail(), testing::Contains("nobody there"));
}

}  // namespace
}  // namespace npufleet::integration
