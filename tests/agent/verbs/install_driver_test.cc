// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_driver/install_driver.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "absl/strings/str_cat.h"
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
using ::testing::IsEmpty;

constexpr char kDriverVersion[] = "25.0.rc1.b080";
constexpr char kFirmwareVersion[] = "7.7.t20.0.b200";
constexpr char kGreen[] = "\x1b[32m", kPlain[] = "\x1b[0m";

class InstallDriverTest : public ::testing::Test {
 protected:
  InstallDriverTest() {
    want_.set_version(kDriverVersion);
    want_.set_firmware_version(kFirmwareVersion);
    SetArtifact(*want_.mutable_driver(), "driver.run");
    SetArtifact(*want_.mutable_firmware(), "firmware.run");
    EXPECT_TRUE(node_.files().Write("/etc/group", "root:x:0:\nHwHiAiUser:x:1000:\n").ok());
    EXPECT_TRUE(node_.files()
                    .Write("/etc/passwd", "HwHiAiUser:x:1000:1000::/home/HwHiAiUser:/bin/bash\n")
                    .ok());
    AnswerDriver(
        "Driver package installed successfully! Reboot needed for installation/upgrade to take "
        "effect!");
    Answer(
        "firmware", [this] { WriteVersion("firmware", kFirmwareVersion); },
        "Firmware package installed successfully! Reboot now or after driver installation for the "
        "installation/upgrade to take effect.",
        0);
    // The wall clock of the fake and the times of its files agree.
    node_.clock().SetWall(absl::Now());
  }

  void SetArtifact(v1::Artifact& artifact, const std::string& name) {
    const std::string content = absl::StrCat("#!/bin/sh\n# ", name, "\n");
    artifact.set_url(absl::StrCat("http://origin/drivers/", name));
    artifact.set_sha256(Sha256Hex(content));
    node_.http().Serve(artifact.url(), content);
  }

  void WriteVersion(const std::string& package, const std::string& version) {
    ASSERT_TRUE(node_.files()
                    .Write(absl::StrCat("/usr/local/Ascend/", package, "/version.info"),
                           absl::StrCat("Version=", version, "\npackage_version=", version, "\n"))
                    .ok());
  }

  // What the installer of `package` does when it is run: its effect, its output, its status.
  void Answer(const std::string& package, std::function<void()> effect, const std::string& out,
              int exit_code) {
    node_.programs().On(
        {PathOf(package)},
        [=](const fakes::FakeSubprocess::Call& call) -> absl::StatusOr<host::ProcessResult> {
          effect();
          if (call.options.on_line) call.options.on_line(out);
          return host::ProcessResult{exit_code, out + "\n", "", false};
        });
  }

  void AnswerDriver(const std::string& text) {
    Answer(
        "driver", [this] { WriteVersion("driver", kDriverVersion); },
        absl::StrCat(kGreen, text, kPlain), 0);
  }

  std::string PathOf(const std::string& package) const {
    return absl::StrCat(const_cast<fakes::FakeHost&>(node_).root(),
                        "/var/lib/npufleet/agent/artifacts/", package, ".run");
  }

  std::unique_ptr<Verb> Make() {
    auto verb = MakeInstallDriver(want_, v1::Subject(), node_.host());
    EXPECT_TRUE(verb.ok()) << verb.status();
    return *std::move(verb);
  }

  // The installers that ran, with their arguments: "driver --full --quiet".
  std::vector<std::string> Runs() {
    std::vector<std::string> runs;
    for (const auto& call : node_.programs().Calls()) {
      for (const char* package : {"driver", "firmware"}) {
        if (call.argv[0] != PathOf(package)) continue;
        std::string run = package;
        for (size_t i = 1; i < call.argv.size(); ++i) absl::StrAppend(&run, " ", call.argv[i]);
        runs.push_back(run);
        EXPECT_EQ(call.options.stdin_text, "") << "an installer must find stdin closed";
      }
    }
    return runs;
  }

  fakes::FakeHost node_;
  v1::InstallDriver want_;
};

TEST_F(InstallDriverTest, AFirstInstallIsDriverThenFirmwareAndOneRebootForBoth) {
  auto verb = Make();
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(verb->Apply(execution).ok());
  EXPECT_THAT(Runs(), ElementsAre("driver --full --quiet", "firmware --full --quiet"));
  v1::Observation seen = verb->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_TRUE(seen.reboot_needed());
  ASSERT_TRUE(RemoveMark(node_.host(), "install_driver").ok());
  EXPECT_TRUE(Make()->Check().reboot_needed()) << "another Check sees it, too";

  node_.CompleteReboot();
  seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT) << seen.reason();
  EXPECT_EQ(seen.token(), "25.0.rc1.b080/7.7.t20.0.b200");
}

TEST_F(InstallDriverTest, AnUpgradeIsFirmwareThenDriver) {
  WriteVersion("driver", "23.0.7");
  WriteVersion("firmware", "7.1.0.11.220");
  auto verb = Make();
  v1::Observation seen = verb->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_EQ(seen.token(), "23.0.7/7.1.0.11.220");
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(verb->Apply(execution).ok());
  EXPECT_THAT(Runs(), ElementsAre("firmware --full --quiet", "driver --upgrade --quiet"));
}

TEST_F(InstallDriverTest, AnAcceptedVersionIsPresentWithTheFirmwareThatIsThere) {
  want_.add_accepted_versions("24.1.rc3");
  WriteVersion("driver", "24.1.rc3");
  WriteVersion("firmware", "7.5.0.1.129");
  node_.clock().Advance(absl::Hours(2));  // the files are from before this boot
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT) << seen.reason();
  EXPECT_EQ(seen.token(), "24.1.rc3/7.5.0.1.129");
  EXPECT_EQ(Make()->Check().token(), seen.token());
}

TEST_F(InstallDriverTest, WhatSomebodyInstalledInThisBootIsInEffectAfterTheNext) {
  want_.add_accepted_versions("24.1.rc3");
  WriteVersion("driver", "24.1.rc3");
  EXPECT_TRUE(Make()->Check().reboot_needed());
}

TEST_F(InstallDriverTest, ADriverThatTakesEffectAtOnceNeedsNoReboot) {
  AnswerDriver("Driver package installed successfully! The new version takes effect immediately.");
  want_.clear_firmware_version();
  want_.clear_firmware();
  auto verb = Make();
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(verb->Apply(execution).ok());
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(verb->Check().token(), "25.0.rc1.b080/-");
}

TEST_F(InstallDriverTest, AnInstallerThatExitsWithZeroAndInstallsNothingHasFailed) {
  Answer(
      "driver", [] {}, "Driver package installed successfully!", 0);
  auto verb = Make();
  fakes::FakeExecution execution(node_.host());
  absl::Status status = verb->Apply(execution);
  std::optional<v1::Failure> failure = FailureOf(status);
  ASSERT_TRUE(failure.has_value()) << status;
  EXPECT_THAT(failure->symptom(), HasSubstr("is not there"));
  EXPECT_THAT(failure->log_tail(), Contains(HasSubstr("installed successfully")));
  EXPECT_EQ(verb->Check().state(), v1::Observation::ABSENT);
}

TEST_F(InstallDriverTest, AFailureIsNamedByItsSignature) {
  Answer(
      "driver", [] {},
      "[ERROR]Dkms install failed, details in : /var/log/ascend_seclog/ascend_install.log.", 1);
  fakes::FakeExecution execution(node_.host());
  std::optional<v1::Failure> failure = FailureOf(Make()->Apply(execution));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->signature(), "DRV-03");
  EXPECT_EQ(failure->class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(Runs(), ElementsAre("driver --full --quiet"))
      << "no firmware after a driver that failed";
}

TEST_F(InstallDriverTest, WhereItsOutputSaysNothingTheKernelsWordIsAdded) {
  Answer(
      "driver", [] {}, "Verifying archive integrity...", 1);
  node_.programs().On({"journalctl", "-k"},
                      "EXT4-fs error (device sda2): ext4_find_entry:1455: inode #2: comm bash\n");
  fakes::FakeExecution execution(node_.host());
  const std::optional<v1::Failure> failure = FailureOf(Make()->Apply(execution));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->class_(), v1::Failure::TRANSIENT) << "it may be another disk";
  EXPECT_THAT(failure->symptom(), HasSubstr("ended with status 1"));
  EXPECT_THAT(failure->symptom(), HasSubstr("; meanwhile: kernel: EXT4-fs error"));
  EXPECT_THAT(failure->log_tail(), Contains("Verifying archive integrity..."));
}

TEST_F(InstallDriverTest, FirmwareThatEndsWithTwoHasSucceeded) {
  Answer(
      "firmware", [this] { WriteVersion("firmware", kFirmwareVersion); }, "upgradePercentage: 100%",
      2);
  fakes::FakeExecution execution(node_.host());
  EXPECT_TRUE(Make()->Apply(execution).ok());
}

TEST_F(InstallDriverTest, AnInstallerThatHangsIsKilledAtItsDeadline) {
  want_.mutable_install_deadline()->set_seconds(90);
  node_.programs().On(
      {PathOf("driver")},
      [](const fakes::FakeSubprocess::Call& call) -> absl::StatusOr<host::ProcessResult> {
        EXPECT_EQ(call.options.deadline, absl::Seconds(90));
        return absl::DeadlineExceededError("killed");
      });
  fakes::FakeExecution execution(node_.host());
  std::optional<v1::Failure> failure = FailureOf(Make()->Apply(execution));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->class_(), v1::Failure::TRANSIENT);
  EXPECT_THAT(failure->symptom(), HasSubstr("did not end within 1m30s"));
}

TEST_F(InstallDriverTest, AnInstallerThatAsksAgainAndAgainIsStopped) {
  node_.programs().On(
      {PathOf("driver")},
      [](const fakes::FakeSubprocess::Call& call) -> absl::StatusOr<host::ProcessResult> {
        for (int i = 0; i < 1000 && !call.options.cancelled(); ++i) {
          call.options.on_line(
              "driver required firmware version not match ,do you want to continue?  [y/n]");
        }
        EXPECT_TRUE(call.options.cancelled());
        return absl::CancelledError("killed");
      });
  fakes::FakeExecution execution(node_.host());
  std::optional<v1::Failure> failure = FailureOf(Make()->Apply(execution));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->class_(), v1::Failure::NEEDS_OPERATOR);
  EXPECT_THAT(failure->symptom(), HasSubstr("do you want to continue"));
}

TEST_F(InstallDriverTest, AWrongSha256IsAConfigFailureAndNothingIsRun) {
  want_.mutable_driver()->set_sha256(std::string(64, '0'));
  fakes::FakeExecution execution(node_.host());
  std::optional<v1::Failure> failure = FailureOf(Make()->Apply(execution));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->class_(), v1::Failure::CONFIG);
  EXPECT_THAT(Runs(), IsEmpty());
  EXPECT_FALSE(ReadMark(node_.host(), "install_driver").has_value());
}

TEST_F(InstallDriverTest, ACancelledInstallRunsNothing) {
  fakes::FakeExecution execution(node_.host());
  execution.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
  EXPECT_THAT(Runs(), IsEmpty());
}

TEST_F(InstallDriverTest, AnInterruptedInstallIsTornAndDoneAgain) {
  WriteVersion("driver", kDriverVersion);
  WriteVersion("firmware", kFirmwareVersion);
  ASSERT_TRUE(WriteMark(node_.host(), "install_driver", "driver 25").ok());
  node_.clock().Advance(absl::Hours(2));
  auto verb = Make();
  v1::Observation seen = verb->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_THAT(seen.reason(), HasSubstr("torn"));
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(verb->Apply(execution).ok());
  EXPECT_THAT(Runs(), ElementsAre("firmware --full --quiet", "driver --upgrade --quiet"));
}

TEST_F(InstallDriverTest, TheUserOfTheDriverIsMadeFirst) {
  ASSERT_TRUE(node_.files().Write("/etc/group", "root:x:0:\n").ok());
  ASSERT_TRUE(node_.files().Write("/etc/passwd", "root:x:0:0::/root:/bin/bash\n").ok());
  node_.programs().On({"groupadd"}, "");
  node_.programs().On({"useradd"}, "");
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(Make()->Apply(execution).ok());
  EXPECT_EQ(node_.programs().Count({"groupadd", "HwHiAiUser"}), 1);
  EXPECT_EQ(node_.programs().Count(
                {"useradd", "-g", "HwHiAiUser", "-d", "/home/HwHiAiUser", "-m", "HwHiAiUser"}),
            1);
  EXPECT_EQ(node_.programs().Calls()[0].argv[0], "groupadd");
}

TEST_F(InstallDriverTest, WhatSomebodyChangedByHandAfterwardsIsDrifted) {
  auto verb = Make();
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(verb->Apply(execution).ok());
  ASSERT_TRUE(RemoveMark(node_.host(), "install_driver").ok());
  node_.CompleteReboot();
  WriteVersion("driver", "25.2.0");
  node_.clock().Advance(absl::Hours(2));
  v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::DRIFTED);
  EXPECT_EQ(seen.token(), "25.2.0/7.7.t20.0.b200");
}

TEST_F(InstallDriverTest, PercentagesAreProgress) {
  AnswerDriver("upgradePercentage: 40%");
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(Make()->Apply(execution).ok());
  bool seen = false;
  for (const v1::Progress& progress : execution.reports)
    seen = seen || (progress.done() == 40 && progress.unit() == "percent");
  EXPECT_TRUE(seen);
}

}  // namespace
}  // namespace npufleet::verbs
