// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_runtime/install_runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "agent/verbs/mark.h"
#include "common/digest.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using nlohmann::json;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kDaemonJson[] = "/etc/docker/daemon.json";
constexpr char kFolder[] = "/usr/local/Ascend/Ascend-Docker-Runtime";

class InstallRuntimeTest : public ::testing::Test {
 protected:
  InstallRuntimeTest() {
    want_.set_version("6.0.0");
    want_.mutable_installer()->set_url("http://origin/runtime.run");
    want_.mutable_installer()->set_sha256(Sha256Hex("run"));
    node_.http().Serve("http://origin/runtime.run", "run");
    Answer("runc");
    node_.system().OnSystemctl({"--no-block", "restart"},
                               [this](const fakes::Argv&) -> absl::StatusOr<host::ProcessResult> {
                                 ++restarts_;
                                 Answer(Configuration().value("default-runtime", "runc"));
                                 return host::ProcessResult{};
                               });
    node_.programs().On({Installer()},
                        [this](const fakes::FakeSubprocess::Call& call) { return Install(call); });
  }

  std::string Installer() { return node_.root() + "/var/lib/npufleet/agent/artifacts/runtime.run"; }

  // As the real one: writes its files and edits daemon.json.
  host::ProcessResult Install(const fakes::FakeSubprocess::Call& call) {
    stdin_ = call.options.stdin_text;
    EXPECT_TRUE(
        node_.files().Write(std::string(kFolder) + "/ascend-docker-runtime", "ELF", 0755).ok());
    EXPECT_TRUE(node_.files()
                    .Write(std::string(kFolder) + "/ascend_docker_runtime_install.info",
                           "version=v6.0.0\narch=aarch64\n")
                    .ok());
    json configuration = installer_loses_keys_ ? json::object() : Configuration();
    configuration["runtimes"]["ascend"] = {
        {"path", std::string(kFolder) + "/ascend-docker-runtime"}, {"runtimeArgs", json::array()}};
    configuration["default-runtime"] = "ascend";
    EXPECT_TRUE(node_.files().Write(kDaemonJson, configuration.dump(), 0600).ok());
    return {0, "[INFO] ascend-docker-runtime install success\n", "", false};
  }

  json Configuration() {
    auto text = node_.files().Read(kDaemonJson);
    return text.ok() ? json::parse(*text) : json::object();
  }

  void Answer(const std::string& default_runtime) {
    host::DockerInfo info;
    info.server_version = "28.0.4";
    info.default_runtime = default_runtime;
    node_.docker().SetInfo(info);
    node_.docker().SetDown(false);
  }

  std::unique_ptr<Verb> Make() {
    auto verb = MakeInstallRuntime(want_, v1::Subject(), node_.host());
    EXPECT_TRUE(verb.ok()) << verb.status();
    return *std::move(verb);
  }

  absl::Status Apply() {
    fakes::FakeExecution execution(node_.host());
    return Make()->Apply(execution);
  }

  // The agent goes down when the installer has just ended.
  void ApplyUntilTheInstallerEnded() {
    fakes::FakeExecution execution(node_.host());
    node_.programs().On({Installer()}, [&](const fakes::FakeSubprocess::Call& call) {
      execution.questions_until_cancel = 0;
      return Install(call);
    });
    EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
    node_.programs().On({Installer()},
                        [this](const fakes::FakeSubprocess::Call& call) { return Install(call); });
  }

  void LetDockerDieOfItsConfiguration() {
    node_.system().OnSystemctl({"--no-block", "restart"},
                               [this](const fakes::Argv&) -> absl::StatusOr<host::ProcessResult> {
                                 node_.docker().SetDown(true);
                                 return host::ProcessResult{};
                               });
    node_.system().OnSystemctl({"is-active"}, "failed\n", "", 3);
    node_.programs().On(
        {"journalctl"},
        "unable to configure the Docker daemon with file /etc/docker/daemon.json: invalid\n");
  }

  void ApplyWell() {
    ASSERT_TRUE(Apply().ok());
    ASSERT_TRUE(RemoveMark(node_.host(), "install_runtime").ok());
  }

  fakes::FakeHost node_;
  v1::InstallRuntime want_;
  int restarts_ = 0;
  std::string stdin_;
  bool installer_loses_keys_ = false;
};

TEST_F(InstallRuntimeTest, ItIsInstalledAndDockerRestartedOnce) {
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  ApplyWell();
  EXPECT_EQ(restarts_, 1);
  EXPECT_EQ(stdin_, "N\n") << "nobody accepted a licence";
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT) << seen.reason();
  EXPECT_THAT(seen.token(), HasSubstr("6.0.0 "));
  ApplyWell();
  EXPECT_EQ(restarts_, 1) << "an unchanged configuration restarts nothing";
  EXPECT_EQ(node_.programs().Count({Installer()}), 1);
}

TEST_F(InstallRuntimeTest, TheRestartOfDockerNamesTheContainersThatItEnds) {
  node_.docker().AddContainer({.name = "somebodys", .status = "running"});
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(Make()->Apply(execution).ok());
  EXPECT_THAT(execution.Text(), HasSubstr("end as Docker restarts (live-restore is off), and come "
                                          "back only if their restart policy says so: somebodys"));
}

TEST_F(InstallRuntimeTest, AUsersKeysStayAndAreNoPartOfTheToken) {
  ASSERT_TRUE(
      node_.files()
          .Write(
              kDaemonJson,
              R"({"registry-mirrors": ["https://mirror.example"], "runtimes": {"mine": {"path": "/x"}}})")
          .ok());
  installer_loses_keys_ = true;
  ApplyWell();
  EXPECT_EQ(Configuration()["registry-mirrors"][0], "https://mirror.example");
  EXPECT_EQ(Configuration()["runtimes"]["mine"]["path"], "/x");
  EXPECT_EQ(Configuration()["default-runtime"], "ascend");
  EXPECT_THAT(*node_.files().Read("/etc/docker/daemon.json.npufleet-backup"),
              HasSubstr("registry-mirrors"));
  std::string token = Make()->Check().token();
  json changed = Configuration();
  changed["debug"] = true;
  ASSERT_TRUE(node_.files().Write(kDaemonJson, changed.dump()).ok());
  EXPECT_EQ(Make()->Check().token(), token);
}

TEST_F(InstallRuntimeTest, AnotherDefaultRuntimeIsAbsentAndPutRightWithoutTheInstaller) {
  ApplyWell();
  json changed = Configuration();
  changed["default-runtime"] = "runc";
  ASSERT_TRUE(node_.files().Write(kDaemonJson, changed.dump()).ok());
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  ApplyWell();
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(node_.programs().Count({Installer()}), 1);
  EXPECT_EQ(restarts_, 2);
}

TEST_F(InstallRuntimeTest, AnotherVersionThatWorksIsDrifted) {
  ApplyWell();
  want_.set_version("6.0.1");
  EXPECT_EQ(Make()->Check().state(), v1::Observation::DRIFTED);
}

TEST_F(InstallRuntimeTest, ASilentDockerIsUnknown) {
  ApplyWell();
  node_.docker().SetDown(true);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::UNKNOWN);
}

TEST_F(InstallRuntimeTest, ALicenceIsAcceptedOnlyInTheOperatorsName) {
  node_.programs().On(
      {Installer()},
      [this](const fakes::FakeSubprocess::Call& call) -> absl::StatusOr<host::ProcessResult> {
        if (call.options.on_line)
          call.options.on_line("Do you accept the EULA to install Ascend-docker-runtime?[Y/N]");
        if (call.options.stdin_text == "Y\n") return Install(call);
        return host::ProcessResult{
            0,
            "Do you accept the EULA to install Ascend-docker-runtime?[Y/N]\n[INFO] reject EULA, "
            "quit to install\n",
            "", false};
      });
  std::optional<v1::Failure> failure = FailureOf(Apply());
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->signature(), "RTM-01");
  EXPECT_EQ(failure->class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure->advice(), HasSubstr("acceptEula"));
  want_.set_accept_eula(true);
  ApplyWell();
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
}

TEST_F(InstallRuntimeTest, AnInstallerThatExitsWithZeroAndInstallsNothingHasFailed) {
  node_.programs().On({Installer()}, "[INFO] ascend-docker-runtime install success\n");
  EXPECT_EQ(FailureOf(Apply())->class_(), v1::Failure::TRANSIENT);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  EXPECT_EQ(restarts_, 0);
}

TEST_F(InstallRuntimeTest, AnInvalidDaemonJsonIsAConfigFailure) {
  ASSERT_TRUE(node_.files().Write(kDaemonJson, "{").ok());
  EXPECT_EQ(Make()->Check().failure().signature(), "DOC-03");
  EXPECT_EQ(FailureOf(Apply())->signature(), "DOC-03");
  EXPECT_EQ(node_.programs().Count({Installer()}), 0);
}

TEST_F(InstallRuntimeTest, ADockerThatDoesNotStartGetsItsFormerConfigurationBack) {
  ASSERT_TRUE(node_.files().Write(kDaemonJson, R"({"hosts": ["fd://"]})").ok());
  LetDockerDieOfItsConfiguration();
  EXPECT_EQ(FailureOf(Apply())->signature(), "DOC-03");
  EXPECT_EQ(*node_.files().Read(kDaemonJson), R"({"hosts": ["fd://"]})");
}

TEST_F(InstallRuntimeTest, AnInstallThatGoesOnPutsBackWhatWasThereBeforeItBegan) {
  ASSERT_TRUE(node_.files().Write(kDaemonJson, R"({"hosts": ["fd://"]})").ok());
  ApplyUntilTheInstallerEnded();
  LetDockerDieOfItsConfiguration();
  EXPECT_EQ(FailureOf(Apply())->signature(), "DOC-03");
  EXPECT_EQ(*node_.files().Read(kDaemonJson), R"({"hosts": ["fd://"]})");
}

TEST_F(InstallRuntimeTest, AnInstallThatGoesOnRemovesADaemonJsonThatWasNotThere) {
  ApplyUntilTheInstallerEnded();
  LetDockerDieOfItsConfiguration();
  EXPECT_EQ(FailureOf(Apply())->signature(), "DOC-03");
  EXPECT_FALSE(node_.files().Exists(kDaemonJson));
}

TEST_F(InstallRuntimeTest, AnInstallThatGoesOnKeepsTheKeysThatTheInstallerLost) {
  ASSERT_TRUE(node_.files().Write(kDaemonJson, R"({"debug": true, "mtu": 1500})").ok());
  installer_loses_keys_ = true;
  ApplyUntilTheInstallerEnded();
  json changed = Configuration();
  changed["mtu"] = 9000;  // by somebody, meanwhile
  ASSERT_TRUE(node_.files().Write(kDaemonJson, changed.dump()).ok());
  installer_loses_keys_ = false;
  ApplyWell();
  EXPECT_EQ(Configuration()["debug"], true);
  EXPECT_EQ(Configuration()["mtu"], 9000);
}

TEST_F(InstallRuntimeTest, WhatSomebodyMendedAfterAFailedInstallStays) {
  ASSERT_TRUE(node_.files().Write(kDaemonJson, R"({"hosts": ["fd://"]})").ok());
  const auto restart = [this](const fakes::Argv&) -> absl::StatusOr<host::ProcessResult> {
    if (Configuration().contains("hosts")) {
      node_.docker().SetDown(true);
    } else {
      Answer(Configuration().value("default-runtime", "runc"));
    }
    return host::ProcessResult{};
  };
  LetDockerDieOfItsConfiguration();
  node_.system().OnSystemctl({"--no-block", "restart"}, restart);
  EXPECT_EQ(FailureOf(Apply())->signature(), "DOC-03");
  ASSERT_TRUE(node_.files().Write(kDaemonJson, "{}").ok());
  ApplyWell();
  EXPECT_FALSE(Configuration().contains("hosts"));
}

TEST_F(InstallRuntimeTest, AnInterruptedInstallIsTornAndDoneAgain) {
  ApplyWell();
  ASSERT_TRUE(WriteMark(node_.host(), "install_runtime", "6.0.0").ok());
  EXPECT_THAT(Make()->Check().reason(), HasSubstr("torn"));
  ApplyWell();
  EXPECT_EQ(node_.programs().Count({Installer()}), 2);
}

TEST_F(InstallRuntimeTest, ACancelledInstallRunsNothing) {
  fakes::FakeExecution execution(node_.host());
  execution.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
  EXPECT_EQ(node_.programs().Count({Installer()}), 0);
}

}  // namespace
}  // namespace npufleet::verbs
