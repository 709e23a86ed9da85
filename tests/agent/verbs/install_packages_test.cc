// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/install_packages/install_packages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "agent/verbs/mark.h"
#include "common/failure.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;

class InstallPackagesTest : public ::testing::Test {
 protected:
  InstallPackagesTest() {
    want_.add_install("wget");
    want_.set_skip_on_apt(true);
    node_.programs().On(
        {"yum"}, [this](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
          node_.programs().On({"rpm"}, "wget-1.21\n");
          return host::ProcessResult{};
        });
    node_.programs().On({"rpm"}, "no package provides wget\n", "", 1);
  }
  std::unique_ptr<Verb> Make() { return *MakeInstallPackages(want_, v1::Subject(), node_.host()); }

  fakes::FakeHost node_;
  v1::InstallPackages want_;
};

TEST_F(InstallPackagesTest, WhatIsMissingIsInstalledAndTheTokenIsTheNames) {
  auto verb = Make();
  EXPECT_THAT(verb->Check().reason(), HasSubstr("not installed: wget"));
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(verb->Apply(execution).ok());
  EXPECT_EQ(node_.programs().Count({"yum", "install", "-y", "wget"}), 1);
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(verb->Check().token(), "wget");
}

TEST_F(InstallPackagesTest, ASystemWithAptIsSkipped) {
  node_.system().SetOsRelease({{"ID", "ubuntu"}, {"ID_LIKE", "debian"}});
  EXPECT_EQ(Make()->Check().state(), v1::Observation::PRESENT);
  EXPECT_EQ(Make()->Check().token(), "wget");
}

TEST_F(InstallPackagesTest, AnUpdateIsDoneOnce) {
  want_.set_update(true);
  auto verb = Make();
  fakes::FakeExecution execution(node_.host());
  ASSERT_TRUE(verb->Apply(execution).ok());
  ASSERT_TRUE(verb->Apply(execution).ok());
  EXPECT_EQ(node_.programs().Count({"yum", "update", "-y"}), 1);
  EXPECT_EQ(verb->Check().state(), v1::Observation::PRESENT);
}

TEST_F(InstallPackagesTest, AFailureIsNamedByItsSignature) {
  node_.programs().On({"yum"}, "", "No match for argument: wget\nError: Unable to find a match\n",
                      1);
  fakes::FakeExecution execution(node_.host());
  std::optional<v1::Failure> failure = FailureOf(Make()->Apply(execution));
  ASSERT_TRUE(failure.has_value());
  EXPECT_EQ(failure->signature(), "PKG-02");
  EXPECT_EQ(failure->class_(), v1::Failure::CONFIG);
  EXPECT_THAT(Make()->Check().reason(), HasSubstr("torn"));
}

}  // namespace
}  // namespace npufleet::verbs
