// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_docker/install_docker.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "agent/verbs/mark.h"
#include "common/digest.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class InstallDockerTest : public ::testing::Test {
 protected:
  InstallDockerTest() {
    v1::Docker::Binary& binary = *want_.mutable_docker()->mutable_binary();
    binary.set_version("28.0.4");
    binary.mutable_archive()->set_url("http://origin/docker-28.0.4.tgz");
    binary.mutable_archive()->set_sha256(Sha256Hex("tgz"));
    node_.http().Serve("http://origin/docker-28.0.4.tgz", "tgz");
    node_.docker().SetDown(true);
    node_.system().OnSystemctl({"is-active"}, "inactive\n", "", 3);
    node_.system().OnSystemctl(
        {"--no-block"}, [this](const fakes::Argv&) -> absl::StatusOr<host::ProcessResult> {
          Answer(node_.files().Exists("/usr/bin/dockerd") ? "28.0.4" : "20.10.24+dfsg1");
          return host::ProcessResult{};
        });
    node_.programs().On(
        {"tar"}, [this](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
          for (const char* program : {"dockerd", "docker", "runc"}) {
            EXPECT_TRUE(
                node_.files()
                    .Write(std::string("/usr/bin/.npufleet-docker/docker/") + program, "ELF")
                    .ok());
          }
          return host::ProcessResult{};
        });
  }

  void Answer(const std::string& version) {
    host::DockerInfo info;
    info.server_version = version;
    info.live_restore = live_restore_;
    node_.docker().SetInfo(info);
    node_.docker().SetDown(false);
  }

  std::unique_ptr<Verb> Make() {
    auto verb = MakeInstallDocker(want_, v1::Subject(), node_.host());
    EXPECT_TRUE(verb.ok()) << verb.status();
    return *std::move(verb);
  }

  std::optional<v1::Failure> ApplyFails() {
    fakes::FakeExecution execution(node_.host());
    return FailureOf(Make()->Apply(execution));
  }

  // The log of an upgrade of a daemon with two containers, one of which does not run.
  // `on_restart` is what it does to them.
  std::string LogOfUpgrade(std::function<void()> on_restart = [] {}) {
    Answer("27.1.1");
    node_.docker().AddContainer({.name = "somebodys", .status = "running"});
    node_.docker().AddContainer({.name = "old", .status = "exited"});
    node_.system().OnSystemctl(
        {"--no-block"}, [=, this](const fakes::Argv&) -> absl::StatusOr<host::ProcessResult> {
          on_restart();
          Answer("28.0.4");
          return host::ProcessResult{};
        });
    fakes::FakeExecution execution(node_.host());
    absl::Status status = Make()->Apply(execution);
    EXPECT_TRUE(status.ok()) << status;
    return execution.Text();
  }

  fakes::FakeHost node_;
  v1::InstallDocker want_;
  bool live_restore_ = false;
};

TEST_F(InstallDockerTest, TheArchiveBecomesProgramsAUnitAndADaemonThatAnswers) {
  auto verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(verb->Apply(execution).ok());
  EXPECT_TRUE(node_.files().Exists("/usr/bin/runc"));
  EXPECT_FALSE(node_.files().Exists("/usr/bin/.npufleet-docker"));
  EXPECT_THAT(*node_.files().Read("/usr/lib/systemd/system/docker.service"),
              HasSubstr("ExecReload=/bin/kill -s HUP $MAINPID\n"));
  EXPECT_THAT(node_.system().SystemctlCalls(), Contains(fakes::Argv{"enable", "docker.service"}));
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(verb->Check().token(), "28.0.4");
}

TEST_F(InstallDockerTest, AUnitThatSystemdNeverLoadedIsStartedNevertheless) {
  node_.system().OnSystemctl(
      {"reset-failed"}, "",
      "Failed to reset failed state of unit docker.service: Unit docker.service not loaded.\n", 1);
  fakes::FakeExecution execution(node_.host());
  EXPECT_TRUE(Make()->Apply(execution).ok());
}

TEST_F(InstallDockerTest, ADaemonThatFitsIsLeftAlone) {
  Answer("28.0.4");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(Make()->Apply(execution).ok());
  EXPECT_EQ(node_.programs().Count({"tar"}), 0);
  want_.mutable_docker()->set_minimum_version("20.10");
  Answer("20.10.24+dfsg1");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
}

TEST_F(InstallDockerTest, AnotherVersionThatAnswersIsDrifted) {
  Answer("27.1.1");
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::DRIFTED);
  EXPECT_EQ(seen.token(), "27.1.1");
}

TEST_F(InstallDockerTest, WithLiveRestoreAnUpgradeSaysWhichContainersGoOn) {
  live_restore_ = true;
  ASSERT_TRUE(node_.files().Write("/etc/docker/daemon.json", "{\"live-restore\": true}").ok());
  const std::string log = LogOfUpgrade();
  EXPECT_THAT(log, HasSubstr("go on while Docker restarts (live-restore): somebodys\n"));
  EXPECT_THAT(log, HasSubstr("went on through the restart: somebodys\n"));
  EXPECT_THAT(node_.system().SystemctlCalls(),
              Contains(fakes::Argv{"--no-block", "restart", "docker.service"}));
}

TEST_F(InstallDockerTest, WithoutLiveRestoreAnUpgradeSaysWhichContainersEnd) {
  const std::string log = LogOfUpgrade([this] { node_.docker().KillAll(); });
  EXPECT_THAT(log, HasSubstr("end as Docker restarts (live-restore is off), and come back only if "
                             "their restart policy says so: somebodys\n"));
  EXPECT_THAT(log, HasSubstr("ended with the restart: somebodys\n"));
}

TEST_F(InstallDockerTest, ALiveRestoreThatOnlyTheFormerUnitHadKeepsNothing) {
  live_restore_ = true;
  EXPECT_THAT(LogOfUpgrade(), HasSubstr("(live-restore is not in daemon.json)"));
}

TEST_F(InstallDockerTest, PackagesKeepTheUnitsLiveRestoreAndSayItBeforeTheyRestartByThemselves) {
  live_restore_ = true;
  want_.mutable_docker()->mutable_packages()->add_names("docker-ce");
  want_.mutable_docker()->mutable_packages()->set_version("28.0.4");
  node_.programs().On({"dnf"}, "");
  const std::string log = LogOfUpgrade();
  const size_t said = log.find("go on while Docker restarts (live-restore): somebodys\n");
  ASSERT_NE(said, log.npos) << log;
  EXPECT_LT(said, log.find("dnf install")) << log;
}

TEST_F(InstallDockerTest, AContainerThatEndedInSpiteOfLiveRestoreIsNamed) {
  live_restore_ = true;
  ASSERT_TRUE(node_.files().Write("/etc/docker/daemon.json", "{\"live-restore\": true}").ok());
  EXPECT_THAT(LogOfUpgrade([this] {
                node_.docker().KillAll();
                node_.docker().AddContainer({.name = "somebodys", .status = "running"});
              }),
              HasSubstr("ended with the restart: somebodys"));
}

TEST_F(InstallDockerTest, ANodeWithoutContainersIsRestartedWithoutAWord) {
  Answer("27.1.1");
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(Make()->Apply(execution).ok());
  EXPECT_THAT(execution.Text(), Not(HasSubstr("restarts")));
}

TEST_F(InstallDockerTest, AServiceThatStartsIsUnknownAndOneThatFailedIsAbsent) {
  node_.system().OnSystemctl({"is-active"}, "activating\n", "", 3);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
  node_.system().OnSystemctl({"is-active"}, "failed\n", "", 3);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
}

TEST_F(InstallDockerTest, WithoutSystemdADaemonThatAnswersIsEnough) {
  node_.system().SetSystemd(false);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  EXPECT_THAT(ApplyFails()->symptom(), HasSubstr("no systemd"));
  ASSERT_TRUE(RemoveMark(node_.host(), "install_docker").ok());
  Answer("28.0.4");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
}

TEST_F(InstallDockerTest, AnInvalidDaemonJsonIsAConfigFailureBeforeAnythingIsDone) {
  ASSERT_TRUE(node_.files().Write("/etc/docker/daemon.json", "{\"a\": }").ok());
  EXPECT_EQ(Make()->Check().failure().signature(), "DOC-03");
  EXPECT_EQ(ApplyFails()->class_(), v1::Failure::CONFIG);
  EXPECT_EQ(node_.programs().Count({"tar"}), 0);
}

TEST_F(InstallDockerTest, AServiceThatFailsIsExplainedByItsJournal) {
  node_.system().OnSystemctl({"--no-block"}, "");
  node_.system().OnSystemctl({"is-active"}, "failed\n", "", 3);
  node_.programs().On({"journalctl"},
                      "failed to start daemon: Error initializing network controller: no bridge\n");
  EXPECT_EQ(ApplyFails()->signature(), "DOC-05");
}

TEST_F(InstallDockerTest, AStalePidFileIsTakenAwayForTheNextTry) {
  node_.system().OnSystemctl({"--no-block"}, "");
  node_.system().OnSystemctl({"is-active"}, "failed\n", "", 3);
  ASSERT_TRUE(node_.files().Write("/var/run/docker.pid", "4711").ok());
  node_.programs().On({"journalctl"},
                      "failed to start daemon, ensure docker is not running or delete "
                      "/var/run/docker.pid: process with PID 4711 is still running\n");
  EXPECT_EQ(ApplyFails()->class_(), v1::Failure::TRANSIENT);
  EXPECT_FALSE(node_.files().Exists("/var/run/docker.pid"));
}

TEST_F(InstallDockerTest, ADaemonThatNeverAnswersIsGivenUp) {
  node_.system().OnSystemctl({"--no-block"}, "");
  EXPECT_THAT(ApplyFails()->symptom(), HasSubstr("not ready after 2 min"));
}

TEST_F(InstallDockerTest, AnArchiveWithoutDockerdIsAConfigFailure) {
  node_.programs().On({"tar"}, "", "tar: This does not look like a tar archive\n", 2);
  EXPECT_EQ(ApplyFails()->class_(), v1::Failure::CONFIG);
  EXPECT_FALSE(node_.files().Exists("/usr/bin/dockerd"));
}

TEST_F(InstallDockerTest, AnInterruptedInstallIsTornAndACancelledOneStops) {
  Answer("28.0.4");
  ASSERT_TRUE(WriteMark(node_.host(), "install_docker", "docker 28.0.4").ok());
  EXPECT_THAT(Make()->Check().reason(), HasSubstr("torn"));
  fakes::FakeExecution cancelled(node_.host());
  cancelled.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(cancelled)));
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(Make()->Apply(execution).ok());
  EXPECT_EQ(node_.programs().Count({"tar"}), 1);
}

TEST_F(InstallDockerTest, PackagesComeFromTheDistribution) {
  want_.mutable_docker()->mutable_packages()->add_names("docker-ce");
  want_.mutable_docker()->mutable_packages()->add_names("containerd.io");
  want_.mutable_docker()->mutable_packages()->set_version("28.0.4");
  node_.programs().On(
      {"dnf"}, [this](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
        EXPECT_TRUE(node_.files().Write("/usr/bin/dockerd", "ELF").ok());
        return host::ProcessResult{};
      });
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(Make()->Apply(execution).ok());
  auto calls = node_.programs().Calls();
  ASSERT_FALSE(calls.empty());
  EXPECT_THAT(calls[0].argv,
              ElementsAre("/usr/bin/dnf", "install", "-y", "docker-ce-28.0.4", "containerd.io"));
}

TEST(CompareVersionsTest, NumbersDecide) {
  EXPECT_EQ(CompareVersions("28.0.4", "3:28.0.4-1.el9"), 0);
  EXPECT_LT(CompareVersions("20.10.24+dfsg1", "28.0.4"), 0);
  EXPECT_GT(CompareVersions("28.10", "28.9.1"), 0);
  EXPECT_EQ(CompareVersions("28.0", "28"), 0);
}

}  // namespace
}  // namespace npufleet::verbs
