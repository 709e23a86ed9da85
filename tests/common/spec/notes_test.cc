// SPDX-License-Identifier: Apache-2.0
#include "common/spec/notes.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "common/spec/engine_version.h"

namespace npufleet::spec {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// The runbook's engine, at a version of its image.
v1::Deployment RunbookAt(const std::string& tag) {
  v1::Deployment deployment;
  v1::DeploymentSpec& spec = *deployment.mutable_spec();
  spec.mutable_image()->set_name(absl::StrCat("quay.io/ascend/vllm-ascend:", tag));
  v1::Engine& engine = *spec.mutable_engine();
  engine.set_enable_reasoning(true);
  engine.set_reasoning_parser("deepseek_r1");
  (*engine.mutable_environment())["VLLM_USE_V1"] = "0";
  (*engine.mutable_environment())["VLLM_TEST_ENABLE_EP"] = "1";
  return deployment;
}

TEST(EngineVersionTest, ReadsTags) {
  EXPECT_EQ(EngineVersionOf("quay.io/ascend/vllm-ascend:v0.8.4rc2-openeuler"),
            (EngineVersion{0, 8, 4, 2}));
  EXPECT_EQ(EngineVersionOf("quay.io:5000/ascend/vllm-ascend:v0.9.1"), (EngineVersion{0, 9, 1}));
  EXPECT_EQ(EngineVersionOf("vllm-ascend:0.7.3.post1@sha256:00"), (EngineVersion{0, 7, 3}));
  EXPECT_EQ(EngineVersionOf("quay.io:5000/vllm-ascend"), std::nullopt);
  EXPECT_EQ(EngineVersionOf("vllm-ascend:main"), std::nullopt);
  EXPECT_EQ(EngineVersionOf("vllm-ascend:v99999999999.1.1"), std::nullopt);
  EXPECT_EQ(EngineVersionOf(""), std::nullopt);
}

TEST(EngineVersionTest, ACandidateComesBeforeItsRelease) {
  EXPECT_LT((EngineVersion{0, 10, 0, 1}), (EngineVersion{0, 10, 0}));
  EXPECT_LT((EngineVersion{0, 9, 2}), (EngineVersion{0, 10, 0, 1}));
  EXPECT_EQ(ToString(EngineVersion{0, 8, 4, 2}), "0.8.4rc2");
  EXPECT_EQ(ToString(EngineVersion{0, 9, 1}), "0.9.1");
}

TEST(NotesTest, OfTheRunbooksOwnVersion) {
  EXPECT_THAT(
      Notes(RunbookAt("v0.8.4rc2-openeuler")),
      ElementsAre(
          HasSubstr(
              "ray start gets --resources={\"NPU\": 8} instead of the runbook's --num-gpus=8"),
          HasSubstr("VLLM_TEST_ENABLE_EP is passed but has no effect")));
}

TEST(NotesTest, OfReleasesWithoutTheRunbooksFlags) {
  EXPECT_THAT(Notes(RunbookAt("v0.9.1")),
              Contains(HasSubstr("--enable-reasoning is passed; it is deprecated")));
  for (const char* tag : {"v0.10.0rc1", "v0.11.0", "v0.18.0"}) {
    EXPECT_THAT(Notes(RunbookAt(tag)), Contains(HasSubstr("--enable-reasoning is left out")))
        << tag;
    EXPECT_THAT(Notes(RunbookAt(tag)), Contains(HasSubstr("VLLM_USE_V1=0 is left out"))) << tag;
  }
  v1::Deployment with_v1 = RunbookAt("v0.12.0");
  (*with_v1.mutable_spec()->mutable_engine()->mutable_environment())["VLLM_USE_V1"] = "1";
  EXPECT_THAT(Notes(with_v1), Contains(HasSubstr("VLLM_USE_V1 has no effect")));
}

TEST(NotesTest, AnObsSourceWithoutObsutilIsSaidAndWhatToSet) {
  v1::Deployment deployment = RunbookAt("v0.8.4rc2-openeuler");
  v1::DeploymentSpec& spec = *deployment.mutable_spec();
  spec.mutable_image()->add_sources()->set_registry("quay.io/ascend/vllm-ascend:v0.8.4rc2");
  spec.mutable_image()->add_sources()->set_obs("obs://docker/vllm-ascend-0.8.4rc2.tar.gz");
  EXPECT_THAT(Notes(deployment),
              Contains("image.sources[1] is skipped: an obs source needs obsutil; set "
                       "obsutil.version, .archive, .endpoint and .credentialsFile (runbook 2.3)"));
  spec.mutable_model()->add_sources()->set_obs("obs://bigmodel/Qwen3-235B-A22B/");
  EXPECT_THAT(Notes(deployment),
              Contains(StartsWith("image.sources[1], model.sources[0] are skipped: ")));
  spec.mutable_obsutil()->set_version("5.7.3");
  EXPECT_THAT(Notes(deployment), Not(Contains(HasSubstr("skipped"))));
}

TEST(NotesTest, ATagWithoutAVersionIsSaid) {
  EXPECT_THAT(Notes(RunbookAt("main")), Contains(HasSubstr("has no version in its tag")));
}

}  // namespace
}  // namespace npufleet::spec
