// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_obsutil/install_obsutil.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/digest.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr char kProgram[] = "/usr/local/bin/obsutil";
constexpr char kUnpackFolder[] = "/usr/local/bin/.npufleet-obsutil";

class InstallObsutilTest : public ::testing::Test {
 protected:
  InstallObsutilTest() {
    want_.set_version("5.7.3");
    want_.mutable_archive()->set_url("http://origin/obsutil_linux_arm64.tar.gz");
    want_.mutable_archive()->set_sha256(Sha256Hex("archive"));
    node_.http().Serve("http://origin/obsutil_linux_arm64.tar.gz", "archive");
    Holds("obsutil", "5.7.3");
  }

  // What the archive holds, and what that program says of itself.
  void Holds(const std::string& program, const std::string& version) {
    node_.programs().On(
        {"tar"},
        [this, program](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
          EXPECT_TRUE(
              node_.files()
                  .Write(std::string(kUnpackFolder) + "/obsutil_linux_arm64_5.7.3/" + program,
                         "ELF", 0644)
                  .ok());
          return host::ProcessResult{};
        });
    node_.programs().On({"obsutil", "version"},
                        "obsutil version:" + version + ", obssdk version:3.24.9\n");
  }

  std::unique_ptr<Verb> Make() { return *MakeInstallObsutil(want_, v1::Subject(), node_.host()); }

  v1::Failure FailureOfApply() {
    fakes::FakeExecution execution(node_.host());
    const absl::Status status = Make()->Apply(execution);
    EXPECT_FALSE(status.ok());
    EXPECT_FALSE(node_.files().Exists(kUnpackFolder)) << "nothing half installed";
    EXPECT_FALSE(node_.files().Exists(kProgram));
    return ToFailure(status);
  }

  fakes::FakeHost node_;
  v1::InstallObsutil want_;
};

TEST_F(InstallObsutilTest, ABareNodeHasNone) {
  node_.programs().Forget({"obsutil", "version"});
  const v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_EQ(seen.reason(), "obsutil is not installed");
}

TEST_F(InstallObsutilTest, TheProgramOfTheArchiveIsInstalledAndTheVersionIsTheToken) {
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(Make()->Apply(execution).ok());
  const absl::StatusOr<host::FileInfo> program = node_.files().Stat(kProgram);
  ASSERT_TRUE(program.ok());
  EXPECT_EQ(program->mode & 0777, 0755u);
  EXPECT_FALSE(node_.files().Exists(kUnpackFolder));
  const v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::PRESENT);
  EXPECT_EQ(seen.token(), "5.7.3");
  EXPECT_EQ(Make()->Check().SerializeAsString(), seen.SerializeAsString());
}

TEST_F(InstallObsutilTest, AnotherVersionIsNamedAndReplaced) {
  node_.programs().On({"obsutil", "version"}, "obsutil version:5.5.12, obssdk version:3.23\n");
  const v1::Observation seen = Make()->Check();
  EXPECT_EQ(seen.state(), v1::Observation::ABSENT);
  EXPECT_EQ(seen.token(), "5.5.12");
  EXPECT_EQ(seen.reason(), "obsutil 5.5.12 is installed, 5.7.3 is wanted");
}

TEST_F(InstallObsutilTest, AProgramThatDoesNotTellItsVersionIsNotIt) {
  node_.programs().On({"obsutil", "version"}, "", "bad magic\n", 126);
  EXPECT_EQ(Make()->Check().state(), v1::Observation::ABSENT);
  EXPECT_THAT(Make()->Check().reason(), HasSubstr("does not tell its version: status 126"));
}

TEST_F(InstallObsutilTest, AnArchiveOfAnotherVersionIsRefusedNamingBoth) {
  Holds("obsutil", "5.8.0");
  const v1::Failure failure = FailureOfApply();
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure.symptom(), HasSubstr("it holds obsutil 5.8.0, the spec says 5.7.3"));
}

TEST_F(InstallObsutilTest, AnArchiveWithoutItIsRefused) {
  Holds("README", "5.7.3");
  const v1::Failure failure = FailureOfApply();
  EXPECT_EQ(failure.class_(), v1::Failure::CONFIG);
  EXPECT_THAT(failure.symptom(), HasSubstr("it holds no obsutil"));
  EXPECT_THAT(failure.advice(), HasSubstr("obsutil.archive"));
}

TEST_F(InstallObsutilTest, WhatIsNoArchiveIsRefused) {
  node_.programs().On({"tar"}, "", "gzip: stdin: not in gzip format\n", 2);
  EXPECT_THAT(FailureOfApply().symptom(), HasSubstr("tar cannot unpack it: status 2"));
}

TEST_F(InstallObsutilTest, CancelledBeforeTheInstallLeavesNothing) {
  fakes::FakeExecution execution(node_.host());
  execution.questions_until_cancel = 0;
  EXPECT_TRUE(absl::IsCancelled(Make()->Apply(execution)));
  EXPECT_FALSE(node_.files().Exists(kProgram));
}

TEST_F(InstallObsutilTest, AWantWithoutAVersionOrAnArchiveIsNone) {
  want_.clear_version();
  EXPECT_FALSE(MakeInstallObsutil(want_, v1::Subject(), node_.host()).ok());
}

}  // namespace
}  // namespace npufleet::verbs
