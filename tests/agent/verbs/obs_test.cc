// SPDX-License-Identifier: Apache-2.0
#include "agent/verbs/obs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "tests/fakes/fake_execution.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::verbs {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr char kConfigs[] = "/var/lib/npufleet/agent/obsutil/config";
constexpr char kModel[] = "obs://bigmodel/Qwen3-235B-A22B/";
constexpr char kImage[] = "obs://docker/vllm-ascend.tar.gz";

// A node whose obsutil finds every object.
class ObsTest : public ::testing::Test {
 protected:
  ObsTest() {
    access_.set_endpoint("obs.example.com");
    access_.set_credentials_file("/root/obs-keys");
    node_.files().Write("/root/obs-keys", "ak=AK1\nsk=SK1\n", 0600).IgnoreError();
    node_.programs().On(
        {"obsutil", "cp"},
        [this](const fakes::FakeSubprocess::Call& call) -> absl::StatusOr<host::ProcessResult> {
          const std::string url = call.argv[2];
          const std::string config(absl::StripPrefix(call.argv.back(), "-config="));
          if (while_running_) while_running_(url, config);
          real_.Write(call.argv[3], "object").IgnoreError();
          return host::ProcessResult{0, "Succeed\n", "", false};
        });
  }

  absl::Status Copy(const std::string& url, const std::string& stage) {
    return CopyFromObs(node_.host(), execution_, access_, url, absl::StrCat("/data/", stage),
                       stage);
  }

  fakes::FakeHost node_;
  fakes::FakeExecution execution_{node_.host()};
  const host::Filesystem real_{"/"};
  v1::ObsAccess access_;
  std::function<void(const std::string& url, const std::string& config)> while_running_;
};

TEST_F(ObsTest, TheKeysOfImageAndModelSideBySideAreTwoFiles) {
  while_running_ = [this](const std::string& url, const std::string& config) {
    if (url == kModel) {
      EXPECT_TRUE(Copy(kImage, "image").ok());
    }
    EXPECT_THAT(real_.Read(config).value_or(""), HasSubstr("sk=SK1")) << url;
    EXPECT_EQ(real_.Stat(config).value_or(host::FileInfo()).mode, 0600U) << url;
  };
  EXPECT_TRUE(Copy(kModel, "model").ok());
  EXPECT_EQ(node_.programs().Count({"obsutil", "cp"}), 2);
  EXPECT_THAT(*node_.files().List(kConfigs), IsEmpty());
}

TEST_F(ObsTest, OneUseHasOneFileAlsoAfterARestart) {
  std::string first, second;
  while_running_ = [&](const std::string&, const std::string& config) { first = config; };
  EXPECT_TRUE(Copy(kModel, "model").ok());
  while_running_ = [&](const std::string&, const std::string& config) { second = config; };
  EXPECT_TRUE(Copy(kModel, "model").ok());
  EXPECT_EQ(first, second);
}

TEST_F(ObsTest, WhatACrashLeftIsRemovedWhenTheAgentStarts) {
  while_running_ = [this](const std::string&, const std::string& config) {
    EXPECT_TRUE(RemoveObsConfigs(node_.host()).ok());
    EXPECT_FALSE(real_.Exists(config));
  };
  EXPECT_TRUE(Copy(kModel, "model").ok()) << "the step that goes on is not disturbed";
  EXPECT_TRUE(RemoveObsConfigs(node_.host()).ok());
  // An earlier version's single file, in the place of the folder.
  ASSERT_TRUE(node_.files().Write(kConfigs, "sk=SK1\n", 0600).ok());
  EXPECT_TRUE(RemoveObsConfigs(node_.host()).ok());
  EXPECT_FALSE(node_.files().Exists(kConfigs));
}

}  // namespace
}  // namespace npufleet::verbs
