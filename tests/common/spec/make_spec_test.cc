// SPDX-License-Identifier: Apache-2.0
//
// tests/lab/make_spec: what it writes is a valid deployment, and the runbook's but for addresses,
// sources and size.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "common/spec/deployment.h"
#include "tests/common/spec/reference_spec.h"

namespace npufleet::spec {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class MakeSpecTest : public ::testing::Test {
 protected:
  void SetUp() override {
    sums_ = absl::StrCat(::testing::TempDir(), "/make_spec_sums_", getpid());
    std::ofstream sums(sums_);
    int digit = 0;
    for (const char* name : {"docker/docker-20.10.24.tgz",
                             "drivers/Ascend-hdk-910b-npu-driver_25.0.rc1.b080_linux-aarch64.run",
                             "drivers/Ascend-hdk-910b-npu-firmware_7.7.t20.0.b200.run",
                             "runtime/Ascend-docker-runtime_6.0.0_linux-aarch64.run",
                             "images/vllm-ascend-0.9.1.tar.gz"}) {
      sums << std::string(64, static_cast<char>('0' + digit++)) << "  " << name << "\n";
    }
    sums << std::string(64, '0') << "  docker/docker-28.0.4.tgz\n";
  }
  void TearDown() override { std::remove(sums_.c_str()); }

  std::string Run(const std::string& arguments) {
    std::string command =
        absl::StrCat("python3 '", NPUFLEET_SOURCE_DIR, "/tests/lab/make_spec' --sums '", sums_,
                     "' --architecture aarch64 ", arguments, " 2>&1");
    FILE* pipe = popen(command.c_str(), "r");
    std::string output;
    char buffer[4096];
    while (size_t got = fread(buffer, 1, sizeof(buffer), pipe)) output.append(buffer, got);
    exit_status_ = pclose(pipe);
    return output;
  }

  std::string sums_;
  int exit_status_ = 0;
};

TEST_F(MakeSpecTest, WritesAValidDeploymentOfTheSizeAskedFor) {
  absl::StatusOr<v1::Deployment> deployment =
      ParseDeployment(Run("--engine real --chips 8"), "lab");
  ASSERT_TRUE(deployment.ok()) << deployment.status();
  const v1::DeploymentSpec& spec = deployment->spec();
  EXPECT_EQ(spec.engine().tensor_parallel_size(), 16);
  EXPECT_EQ(spec.nodes(1).address(), "198.18.77.12");
  EXPECT_EQ(spec.docker().binary().version(), "20.10.24");
  EXPECT_EQ(spec.container().volumes(spec.container().volumes_size() - 1),
            "/opt/engines/real:/opt/engine:ro");
  EXPECT_EQ(spec.image().sources(0).archive().sha256(), std::string(64, '4'));
}

TEST_F(MakeSpecTest, LeavesTheRunbooksEngineFlagsAsTheyAre) {
  absl::StatusOr<v1::Deployment> lab = ParseDeployment(Run("--chips 8"), "lab");
  absl::StatusOr<v1::Deployment> reference = ParseDeployment(FilledReferenceSpec(), "reference");
  ASSERT_TRUE(lab.ok() && reference.ok()) << lab.status();
  v1::Engine engine = lab->spec().engine();
  EXPECT_EQ(engine.swap_space(), 0);
  engine.clear_swap_space();
  EXPECT_EQ(WriteYaml(engine), WriteYaml(reference->spec().engine()));
}

TEST_F(MakeSpecTest, TakesAddressesAndPortsForLoopback) {
  absl::StatusOr<v1::Deployment> deployment = ParseDeployment(
      Run("--nodes a=127.0.0.1,b=127.0.0.2 --nic lo --origin http://127.0.0.1:1234/ "
          "--engine-port 18006 --ray-port 16379"),
      "local");
  ASSERT_TRUE(deployment.ok()) << deployment.status();
  const v1::DeploymentSpec& spec = deployment->spec();
  EXPECT_EQ(spec.nodes(0).nic(), "lo");
  EXPECT_EQ(spec.engine().port(), 18006);
  EXPECT_EQ(spec.ray().port(), 16379);
  EXPECT_EQ(spec.engine().tensor_parallel_size(), 4);
  EXPECT_EQ(spec.model().sources(0).modelscope().endpoint(), "http://127.0.0.1:1234");
}

TEST_F(MakeSpecTest, TakesTheOtherRoadsOfTheRunbook) {
  absl::StatusOr<v1::Deployment> deployment =
      ParseDeployment(Run("--roads packages,registry,huggingFace"), "lab");
  absl::StatusOr<v1::Deployment> others = ParseDeployment(Run(""), "lab");
  ASSERT_TRUE(deployment.ok() && others.ok()) << deployment.status();
  v1::DeploymentSpec& spec = *deployment->mutable_spec();
  EXPECT_THAT(spec.docker().packages().names(),
              ElementsAre("docker-ce", "docker-ce-cli", "containerd.io"));
  EXPECT_EQ(spec.image().name(), others->spec().image().name());
  ASSERT_EQ(spec.image().sources_size(), 1);
  EXPECT_EQ(spec.image().sources(0).registry(), "198.18.77.1:5000/ascend/vllm-ascend:v0.9.1");
  EXPECT_EQ(spec.image().credentials_file(), "/root/registry-login.json");
  ASSERT_EQ(spec.model().sources_size(), 1);
  EXPECT_EQ(spec.model().sources(0).hugging_face().endpoint(), "http://198.18.77.1:8000");
  *spec.mutable_docker() = others->spec().docker();
  *spec.mutable_image() = others->spec().image();
  *spec.mutable_model() = others->spec().model();
  EXPECT_EQ(WriteYaml(spec), WriteYaml(others->spec())) << "nothing else changes";
}

TEST_F(MakeSpecTest, SaysWhatIsMissing) {
  EXPECT_THAT(Run("--sums /nowhere/SHA256SUMS"),
              HasSubstr("make_spec: /nowhere/SHA256SUMS: No such file"));
  EXPECT_NE(exit_status_, 0);
  EXPECT_THAT(Run("--nodes a"), HasSubstr("--nodes needs NAME=ADDRESS"));
  EXPECT_THAT(Run("--roads carrier-pigeon"), HasSubstr("no road carrier-pigeon"));
}

}  // namespace
}  // namespace npufleet::spec
