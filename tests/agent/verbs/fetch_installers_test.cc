// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/fetch_installers/fetch_installers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
#include "agent/verbs/fetched_file.h"
#include "agent/verbs/install_driver/install_driver.h"
#include "agent/verbs/mark.h"
#include "common/digest.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::UnorderedElementsAre;

constexpr char kOldDriver[] = "24.1.rc3", kNewDriver[] = "25.0.rc1";
constexpr char kFolder[] = "/usr/local/Ascend/";

class FetchInstallersTest : public ::testing::Test {
 protected:
  // Docker and its runtime are in place, the driver is an older one: it serves.
  FetchInstallersTest() {
    v1::InstallDriver& driver = *want_.mutable_driver();
    driver.set_version(kNewDriver);
    driver.set_firmware_version("7.7");
    *driver.mutable_driver() = Served("driver.run");
    *driver.mutable_firmware() = Served("firmware.run");
    v1::Docker::Binary& docker = *want_.mutable_docker()->mutable_docker()->mutable_binary();
    docker.set_version("28.0.4");
    *docker.mutable_archive() = Served("docker.tgz");
    want_.mutable_runtime()->set_version("6.0.0");
    *want_.mutable_runtime()->mutable_installer() = Served("runtime.run");

    WriteVersion("driver", kOldDriver);
    WriteVersion("firmware", "7.5");
    Write(absl::StrCat(kFolder, "Ascend-Docker-Runtime/ascend-docker-runtime"), "ELF");
    Write(absl::StrCat(kFolder, "Ascend-Docker-Runtime/ascend_docker_runtime_install.info"),
          "version=v6.0.0\n");
    Write(
        "/etc/docker/daemon.json",
        absl::StrCat(R"({"default-runtime": "ascend", "runtimes": {"ascend": {"path": ")", kFolder,
                     R"(Ascend-Docker-Runtime/ascend-docker-runtime", "runtimeArgs": []}}})"));
    node_.docker().SetInfo({.server_version = "28.0.4", .default_runtime = "ascend"});
    node_.clock().SetWall(absl::Now());
    node_.clock().Advance(absl::Hours(2));  // what is installed is from before this boot
  }

  static std::string ContentOf(const std::string& name) {
    return absl::StrCat("#!/bin/sh\n# ", name, "\n");
  }

  v1::Artifact Served(const std::string& name) {
    v1::Artifact artifact;
    artifact.set_url(absl::StrCat("https://origin/", name));
    artifact.set_sha256(Sha256Hex(ContentOf(name)));
    node_.http().Serve(artifact.url(), ContentOf(name));
    return artifact;
  }

  void Write(const std::string& path, const std::string& text) {
    ASSERT_TRUE(node_.files().Write(path, text).ok());
  }

  void WriteVersion(const std::string& package, const std::string& version) {
    Write(absl::StrCat(kFolder, package, "/version.info"), absl::StrCat("Version=", version, "\n"));
  }

  v1::Observation Check() { return Make()->Check(); }

  std::unique_ptr<Verb> Make() {
    auto verb = MakeFetchInstallers(want_, v1::Subject(), node_.host());
    EXPECT_TRUE(verb.ok()) << verb.status();
    return *std::move(verb);
  }

  absl::Status Apply() {
    fakes::FakeExecution execution(node_.host());
    return Make()->Apply(execution);
  }

  int Downloads(const std::string& name = "") {
    return node_.http().Count("GET", absl::StrCat("https://origin/", name));
  }

  std::vector<std::string> Files() {
    std::vector<std::string> names;
    for (const std::string& name : node_.files().List(kArtifactFolder).value_or(names)) {
      if (name.find(".json") == name.npos) names.push_back(name);
    }
    return names;
  }

  fakes::FakeHost node_;
  v1::FetchInstallers want_;
};

TEST_F(FetchInstallersTest, AnotherDriverIsFetchedWhileNothingIsTouched) {
  const v1::Observation before = Check();
  EXPECT_EQ(before.state(), v1::Observation::ABSENT);
  EXPECT_THAT(before.reason(), HasSubstr("driver.run is not on the node yet"));
  EXPECT_EQ(before.facts().at("missing"), "https://origin/driver.run\nhttps://origin/firmware.run");
  ASSERT_TRUE(Apply().ok());
  EXPECT_THAT(Files(), UnorderedElementsAre("driver.run", "firmware.run"));
  EXPECT_THAT(node_.programs().Calls(), IsEmpty());
  EXPECT_THAT(node_.docker().Changes(), IsEmpty());
  const v1::Observation after = Check();
  EXPECT_EQ(after.state(), v1::Observation::PRESENT) << after.reason();
  EXPECT_THAT(after.facts().at("here"), HasSubstr("artifacts/firmware.run"));
}

TEST_F(FetchInstallersTest, TheInstallTakesWhatWasFetched) {
  ASSERT_TRUE(Apply().ok());
  for (const char* package : {"driver", "firmware"}) {
    const std::string version = package == std::string("driver") ? kNewDriver : "7.7";
    node_.programs().On(
        {absl::StrCat(node_.root(), kArtifactFolder, package, ".run")},
        [this, package = std::string(package),
         version](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
          WriteVersion(package, version);
          return host::ProcessResult{0, "installed\n", "", false};
        });
  }
  for (const char* tool : {"groupadd", "useradd"}) node_.programs().On({tool}, "");
  fakes::FakeExecution execution(node_.host());
  auto install = MakeInstallDriver(want_.driver(), v1::Subject(), node_.host());
  const absl::Status status = (*install)->Apply(execution);
  ASSERT_TRUE(status.ok()) << status;
  EXPECT_EQ(Downloads(), 2) << "each once";
}

TEST_F(FetchInstallersTest, ThereIsOneTokenWhateverIsHere) {
  want_.mutable_driver()->add_accepted_versions(kOldDriver);
  const std::string nothing_needed = Check().token();
  EXPECT_EQ(Check().token(), nothing_needed);
  want_.mutable_driver()->clear_accepted_versions();
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Check().token(), nothing_needed);
  EXPECT_EQ(nothing_needed, "fetched");
}

TEST_F(FetchInstallersTest, AnAcceptedDriverNeedsNoFileNotEvenAPlaceholder) {
  want_.mutable_driver()->add_accepted_versions(kOldDriver);
  want_.mutable_driver()->mutable_driver()->set_url("https://placeholder.invalid/driver.run");
  const v1::Observation seen = Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT) << seen.reason();
  ASSERT_TRUE(Apply().ok());
  EXPECT_THAT(node_.http().Requests(), IsEmpty());
}

TEST_F(FetchInstallersTest, WhatIsInstalledAndAwaitsAReboot) {
  WriteVersion("driver", kNewDriver);
  WriteVersion("firmware", "7.7");
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
  node_.CompleteReboot();
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
}

TEST_F(FetchInstallersTest, ATornInstallNeedsAllItsFiles) {
  WriteVersion("driver", kNewDriver);
  WriteVersion("firmware", "7.7");
  ASSERT_TRUE(WriteMark(node_.host(), "install_driver", "driver 25").ok());
  ASSERT_TRUE(WriteMark(node_.host(), "install_runtime", "runtime 6").ok());
  EXPECT_EQ(Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(Apply().ok());
  EXPECT_THAT(Files(), UnorderedElementsAre("driver.run", "firmware.run", "runtime.run"));
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT) << "the marks are the installs' to remove";
}

TEST_F(FetchInstallersTest, OnlyWhatDiffersIsFetched) {
  WriteVersion("firmware", "7.7");
  ASSERT_TRUE(Apply().ok());
  EXPECT_THAT(Files(), ElementsAre("driver.run"));
}

TEST_F(FetchInstallersTest, ABareNodeGetsThemAll) {
  for (const char* path : {kFolder, "/etc/docker"}) ASSERT_TRUE(node_.files().RemoveAll(path).ok());
  node_.docker().SetDown(true);
  node_.system().OnSystemctl({"is-active"}, "inactive\n", "", 3);
  ASSERT_TRUE(Apply().ok());
  EXPECT_THAT(Files(),
              UnorderedElementsAre("driver.run", "firmware.run", "docker.tgz", "runtime.run"));
}

TEST_F(FetchInstallersTest, ADockerThatStillStartsAfterAReboot) {
  want_.mutable_driver()->add_accepted_versions(kOldDriver);
  node_.docker().SetDown(true);
  node_.system().OnSystemctl({"is-active"}, "activating\n", "", 3);
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
}

TEST_F(FetchInstallersTest, ADockerOfAnotherVersionIsTakenAsFound) {
  want_.mutable_driver()->add_accepted_versions(kOldDriver);
  want_.mutable_docker()->mutable_docker()->mutable_binary()->set_version("29.0.0");
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
}

TEST_F(FetchInstallersTest, ARefusedDowngradeLeadsToNoDownload) {
  WriteVersion("driver", "26.0");
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Downloads(), 0);
}

TEST_F(FetchInstallersTest, AFileWithAnotherSha256IsAConfigFailureAndRemoved) {
  want_.mutable_driver()->mutable_driver()->set_sha256(std::string(64, '0'));
  const std::optional<v1::Failure> failure = FailureOf(Apply());
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->class_(), v1::Failure::CONFIG);
  EXPECT_THAT(Files(), IsEmpty());
  EXPECT_EQ(Check().state(), v1::Observation::ABSENT);
}

TEST_F(FetchInstallersTest, AFileOnTheNodeIsVerifiedBeforeAnythingStopsForIt) {
  v1::Artifact& driver = *want_.mutable_driver()->mutable_driver();
  driver.set_url("/data/drivers/driver.run");
  EXPECT_EQ(Check().state(), v1::Observation::ABSENT);
  const std::optional<v1::Failure> failure = FailureOf(Apply());
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure->symptom(), HasSubstr("no file at /data/drivers/driver.run"));
  Write("/data/drivers/driver.run", ContentOf("driver.run"));
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT) << Check().reason();
  EXPECT_EQ(Downloads("driver.run"), 0);
}

TEST_F(FetchInstallersTest, AFileThatChangedOnDiskIsFetchedAgain) {
  ASSERT_TRUE(Apply().ok());
  Write(absl::StrCat(kArtifactFolder, "driver.run"), "something else");
  const v1::Observation seen = Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_THAT(seen.reason(), HasSubstr("driver.run"));
  EXPECT_THAT(seen.reason(), Not(HasSubstr("firmware.run")));
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(node_.files().Read(absl::StrCat(kArtifactFolder, "driver.run")).value(),
            ContentOf("driver.run"));
  EXPECT_EQ(Downloads("firmware.run"), 1);
}

TEST_F(FetchInstallersTest, AFileThatIsThereWithoutANoteIsReadAndNotFetched) {
  for (const char* name : {"driver.run", "firmware.run"})
    Write(absl::StrCat(kArtifactFolder, name), ContentOf(name));
  EXPECT_EQ(Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(Downloads(), 0);
}

TEST_F(FetchInstallersTest, WithoutASha256AFileIsKeptUntilAnInstallOfItFails) {
  for (v1::Artifact* artifact :
       {want_.mutable_driver()->mutable_driver(), want_.mutable_driver()->mutable_firmware()})
    artifact->clear_sha256();
  ASSERT_TRUE(Apply().ok());
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Downloads(), 2);
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
  Distrust(node_.host(), want_.driver().driver());
  EXPECT_EQ(Check().state(), v1::Observation::ABSENT);
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(Downloads("driver.run"), 2);
  want_.mutable_driver()->mutable_driver()->set_url("https://origin/another/driver.run");
  EXPECT_EQ(Check().state(), v1::Observation::ABSENT) << "of another source";
}

TEST_F(FetchInstallersTest, CancelledItFetchesNothing) {
  fakes::FakeExecution execution(node_.host());
  execution.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
  EXPECT_EQ(Downloads(), 0);
}

TEST_F(FetchInstallersTest, AnInterruptedDownloadIsSaidAndGoesOn) {
  const std::string place = absl::StrCat(kArtifactFolder, "driver.run");
  const std::string whole = ContentOf("driver.run");
  Write(absl::StrCat(place, ".part"), whole.substr(0, 5));
  Write(absl::StrCat(place, ".part.json"),
        absl::StrCat(R"({"url": "https://origin/driver.run", "validator": "\"1\"", "size": )",
                     whole.size(), R"(, "sha256": ")", Sha256Hex(whole), "\"}"));
  EXPECT_THAT(Check().reason(), HasSubstr("(0.0 MiB of 0.0 MiB are here)"));
  ASSERT_TRUE(Apply().ok());
  EXPECT_EQ(node_.files().Read(place).value(), whole);
  const std::vector<host::HttpRequest> requests = node_.http().Requests();
  ASSERT_FALSE(requests.empty());
  EXPECT_EQ(requests[0].headers.at("Range"), "bytes=5-");
  EXPECT_EQ(Check().state(), v1::Observation::PRESENT);
}

TEST_F(FetchInstallersTest, ASourceThatDoesNotAnswerIsTransient) {
  want_.mutable_driver()->mutable_driver()->set_url("https://nobody/driver.run");
  const std::optional<v1::Failure> failure = FailureOf(Apply());
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->class_(), v1::Failure::TRANSIENT);
}

}  // namespace
}  // namespace npufleet::verbs
