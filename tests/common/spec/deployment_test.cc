// SPDX-License-Identifier: Apache-2.0
#include "common/spec/deployment.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "google/protobuf/util/message_differencer.h"
#include "tests/common/spec/reference_spec.h"

namespace npufleet::spec {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::IsSupersetOf;
using ::testing::Not;
using ::testing::StartsWith;

v1::Deployment Reference() {
  absl::StatusOr<v1::Deployment> deployment = ParseDeployment(FilledReferenceSpec(), "reference");
  EXPECT_TRUE(deployment.ok()) << deployment.status();
  return deployment.value_or(v1::Deployment());
}

// "PATH: MESSAGE" of each violation of the reference after `change`.
std::vector<std::string> Violations(const std::function<void(v1::DeploymentSpec&)>& change) {
  v1::Deployment deployment = Reference();
  change(*deployment.mutable_spec());
  std::vector<std::string> lines;
  for (const Violation& violation : Validate(deployment)) {
    lines.push_back(absl::StrCat(violation.path, ": ", violation.message));
  }
  return lines;
}

std::vector<std::string> FileErrors(const std::string& text) {
  absl::StatusOr<v1::Deployment> deployment = ParseDeployment(text, "q.yaml");
  EXPECT_FALSE(deployment.ok());
  return absl::StrSplit(std::string(deployment.status().message()), '\n');
}

TEST(ReferenceSpecTest, IsRefusedForItsThreeMissingDigestsByLine) {
  EXPECT_THAT(
      FileErrors(ReferenceSpec()),
      ElementsAre(::testing::ContainsRegex(
                      "^q\\.yaml:[0-9]+:7: spec\\.driver\\.driver\\.sha256: missing: plain http"),
                  HasSubstr("spec.driver.firmware.sha256: missing"),
                  HasSubstr("spec.image.sources[0].archive.sha256: missing")));
}

// The text with each line of comment that begins with `key` made a part of it, and what is indented
// below it.
std::string Uncommented(const std::string& text, const std::string& key) {
  std::vector<std::string> lines = absl::StrSplit(text, '\n');
  bool is_inside = false;
  for (std::string& line : lines) {
    const size_t hash = line.find_first_not_of(' ');
    const bool is_comment = hash != std::string::npos && line.substr(hash, 2) == "# ";
    is_inside = is_comment && (absl::StartsWith(line.substr(hash + 2), key) ||
                               (is_inside && absl::StartsWith(line.substr(hash + 2), "  ")));
    if (is_inside) line.erase(hash, 2);
  }
  return absl::StrJoin(lines, "\n");
}

TEST(ReferenceSpecTest, ItsCommentedPartsAreFieldsOfTheRunbooksValues) {
  std::string text = Uncommented(FilledReferenceSpec(), "obsutil:");
  absl::StatusOr<v1::Deployment> deployment =
      ParseDeployment(Uncommented(text, "- modelers:"), "q.yaml");
  ASSERT_TRUE(deployment.ok()) << deployment.status();
  const v1::Obsutil& obsutil = deployment->spec().obsutil();
  EXPECT_EQ(obsutil.version(), "5.7.3");
  EXPECT_EQ(obsutil.archive().url(),
            "https://obs-community.obs.cn-north-1.myhuaweicloud.com/obsutil/current/"
            "obsutil_linux_arm64.tar.gz");
  EXPECT_EQ(obsutil.endpoint(), "obs.cn-east-292.mygaoxinai.com");
  EXPECT_TRUE(deployment->spec().model().sources(2).has_modelers());
}

TEST(ReferenceSpecTest, WritesAllDefaultsOutExceptTheHubs) {
  v1::Deployment written = Reference();
  v1::Deployment resolved = ResolveDefaults(written);
  for (v1::Model::Source& source : *written.mutable_spec()->mutable_model()->mutable_sources()) {
    if (source.has_modelscope()) source.mutable_modelscope()->set_revision("master");
    if (source.has_hugging_face()) source.mutable_hugging_face()->set_revision("main");
  }
  written.mutable_spec()->mutable_preflight()->set_architecture("aarch64");
  EXPECT_EQ(WriteYaml(written), WriteYaml(resolved));
}

TEST(ReferenceSpecTest, ResolvesToTheGoldenWant) {
  EXPECT_EQ(WriteYaml(ResolveDefaults(Reference())),
            ReadSourceFile("tests/common/spec/testdata/qwen3-235b-a22b-910b.resolved.yaml"));
}

TEST(ResolveDefaultsTest, IsIdempotentAndKeepsWhatIsSet) {
  v1::Deployment sparse;
  sparse.mutable_spec()->add_nodes();
  sparse.mutable_spec()->add_nodes();
  sparse.mutable_spec()->set_chips_per_node(4);
  sparse.mutable_spec()->mutable_engine()->set_pipeline_parallel_size(2);
  sparse.mutable_spec()->mutable_engine()->set_port(9000);
  v1::Deployment once = ResolveDefaults(sparse);
  EXPECT_EQ(once.spec().engine().tensor_parallel_size(), 4);
  EXPECT_EQ(once.spec().engine().port(), 9000);
  EXPECT_EQ(once.spec().ray().port(), 6379);
  EXPECT_EQ(once.spec().probe().prompt(), "你是谁");
  EXPECT_THAT(once.spec().visible_chips(), ElementsAre(0, 1, 2, 3));
  EXPECT_THAT(once.spec().container().devices(),
              ElementsAre("/dev/davinci0", "/dev/davinci1", "/dev/davinci2", "/dev/davinci3",
                          "/dev/davinci_manager", "/dev/hisi_hdc", "/dev/devmm_svm"));
  EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(once, ResolveDefaults(once)));
}

TEST(ResolveDefaultsTest, ArchitectureFollowsTheArtifacts) {
  v1::Deployment deployment;
  EXPECT_EQ(ResolveDefaults(deployment).spec().preflight().architecture(), "aarch64");
  deployment.mutable_spec()->mutable_runtime()->mutable_installer()->set_url(
      "https://h/Ascend-docker-runtime_6.0.0_linux-x86_64.run");
  EXPECT_EQ(ResolveDefaults(deployment).spec().preflight().architecture(), "x86_64");
}

TEST(ValidateTest, AcceptsTheReferenceResolvedOrNot) {
  EXPECT_THAT(Validate(Reference()), IsEmpty());
  EXPECT_THAT(Validate(ResolveDefaults(Reference())), IsEmpty());
}

TEST(ValidateTest, ParallelSizesMustEqualTheChipsAndBothSidesAreNamed) {
  EXPECT_THAT(
      Violations([](auto& spec) { spec.mutable_engine()->set_tensor_parallel_size(8); }),
      ElementsAre(
          "spec.engine.tensorParallelSize: tensorParallelSize 8 x pipelineParallelSize 1 = 8, "
          "but 2 nodes x 8 chipsPerNode = 16 chips"));
  EXPECT_THAT(Violations([](auto& spec) {
                spec.mutable_engine()->set_tensor_parallel_size(8);
                spec.mutable_engine()->set_pipeline_parallel_size(2);
              }),
              IsEmpty());
  // No overflow makes two wrongs right.
  EXPECT_EQ(Violations([](auto& spec) {
              spec.mutable_engine()->set_tensor_parallel_size(1u << 31);
              spec.mutable_engine()->set_pipeline_parallel_size(1u << 31);
            }).size(),
            1);
}

TEST(ValidateTest, HeadsAndAddresses) {
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_nodes(0)->set_role(v1::Node::WORKER); }),
              ElementsAre("spec.nodes: no node has the role head; exactly one must"));
  EXPECT_THAT(
      Violations([](auto& spec) { spec.mutable_nodes(1)->set_role(v1::Node::HEAD); }),
      ElementsAre("spec.nodes: node-a and node-b both have the role head; exactly one must"));
  EXPECT_THAT(
      Violations([](auto& spec) { spec.mutable_nodes(1)->set_address("192.168.0.15"); }),
      ElementsAre("spec.nodes[1].address: node-a and node-b both have the address 192.168.0.15"));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_nodes(1)->set_name("node-a"); }),
              ElementsAre("spec.nodes[1].name: nodes 0 and 1 are both named node-a"));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_nodes(1)->clear_nic(); }),
              ElementsAre("spec.nodes[1].nic: missing: the network interface of 192.168.0.21 (15 "
                          "characters at most)"));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_nodes(1)->clear_address(); }),
              ElementsAre("spec.nodes[1].address: missing: the node's own IPv4 address"));
  for (const char* bad :
       {"fe80::1", "192.168.0.256", "192.168.0", "192.168.0.021", "0.0.0.0", "host"}) {
    EXPECT_THAT(Violations([&](auto& spec) { spec.mutable_nodes(1)->set_address(bad); }),
                ElementsAre(HasSubstr("spec.nodes[1].address: needs the node's own IPv4 address")))
        << bad;
  }
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_nodes(1)->clear_role(); }),
              ElementsAre("spec.nodes[1].role: missing: head or worker"));
}

TEST(ValidateTest, ChipsMustAgree) {
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_visible_chips()->RemoveLast(); }),
              ElementsAre("spec.visibleChips: names 7 chips, but chipsPerNode is 8"));
  EXPECT_THAT(Violations([](auto& spec) { spec.set_visible_chips(7, 6); }),
              ElementsAre("spec.visibleChips[7]: chip 6 twice"));
  EXPECT_THAT(
      Violations(
          [](auto& spec) { spec.mutable_container()->mutable_devices()->DeleteSubrange(0, 1); }),
      ElementsAre("spec.container.devices: lacks /dev/davinci0, which spec.visibleChips names"));
}

TEST(ValidateTest, ArtifactsNeedUrlsAndDigests) {
  EXPECT_THAT(
      Violations([](auto& spec) { spec.mutable_driver()->mutable_driver()->clear_sha256(); }),
      ElementsAre(HasSubstr("spec.driver.driver.sha256: missing: plain http")));
  EXPECT_THAT(Violations([](auto& spec) {
                spec.mutable_driver()->mutable_driver()->set_sha256(std::string(64, 'A'));
              }),
              ElementsAre(HasSubstr("needs 64 lower-case hex digits")));
  EXPECT_THAT(
      Violations([](auto& spec) { spec.mutable_driver()->mutable_driver()->set_url("ftp://h/x"); }),
      ElementsAre(HasSubstr("is no http:// or https:// URL")));
  EXPECT_THAT(Violations([](auto& spec) {
                spec.mutable_driver()->mutable_driver()->set_url("/data/driver.run");
                spec.mutable_driver()->mutable_driver()->clear_sha256();
              }),
              IsEmpty());
}

TEST(ValidateTest, EachPartHasItsSources) {
  EXPECT_THAT(Violations([](auto& spec) { spec.clear_docker(); }),
              ElementsAre(HasSubstr("spec.docker: needs binary")));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_image()->clear_sources(); }),
              ElementsAre(HasSubstr("spec.image.sources: missing")));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_model()->clear_sources(); }),
              ElementsAre(HasSubstr("spec.model.sources: missing")));
  EXPECT_THAT(Violations([](auto& spec) { spec.clear_driver(); }),
              ElementsAre(HasSubstr("spec.driver: needs acceptedVersions")));
  EXPECT_THAT(Violations([](auto& spec) {
                spec.mutable_model()->mutable_sources(0)->mutable_modelscope()->set_id("../../etc");
              }),
              ElementsAre(HasSubstr("spec.model.sources[0].modelscope.id")));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_image()->set_name("vllm"); }),
              ElementsAre(HasSubstr("spec.image.name: needs NAME:TAG")));
}

TEST(ValidateTest, ContainerFields) {
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_container()->set_shm_size("500 GB"); }),
              ElementsAre("spec.container.shmSize: needs a size like 500g, not \"500 GB\""));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_container()->add_volumes("data:/data"); }),
              ElementsAre(HasSubstr("spec.container.volumes[6]: needs SOURCE:TARGET")));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_container()->add_volumes("/x:/data2"); }),
              ElementsAre("spec.container.volumes[6]: /data2 and /x are both mounted on /data2"));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_model()->set_path("/data3/model"); }),
              ElementsAre(HasSubstr("no volume shows spec.model.path /data3/model")));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_model()->set_path("model"); }),
              ElementsAre(HasSubstr("spec.model.path: needs an absolute path")));
}

TEST(ValidateTest, SecretsHaveNoPlaceInASpec) {
  EXPECT_THAT(Violations([](auto& spec) {
                (*spec.mutable_engine()->mutable_environment())["HF_TOKEN"] = "hf_x";
              }),
              ElementsAre(HasSubstr("spec.engine.environment[\"HF_TOKEN\"]: looks like a secret")));
}

TEST(ValidateTest, PortsAndDurations) {
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_engine()->set_port(6379); }),
              ElementsAre("spec.engine.port: engine and Ray both have port 6379"));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_ray()->set_port(70000); }),
              ElementsAre("spec.ray.port: needs a port from 1 to 65535, not 70000"));
  EXPECT_THAT(
      Violations([](auto& spec) { spec.mutable_probe()->mutable_period()->set_seconds(0); }),
      ElementsAre("spec.probe.period: needs a duration over 0, not 0s"));
  EXPECT_THAT(Violations([](auto& spec) {
                spec.mutable_retry()->mutable_initial_backoff()->set_seconds(900);
              }),
              ElementsAre("spec.retry.maxBackoff: initialBackoff 15m is over maxBackoff 5m"));
}

TEST(ValidateTest, TheEngineListensWhereItIsAsked) {
  for (const char* host : {"0.0.0.0", "::", "192.168.0.15"})
    EXPECT_THAT(Violations([&](auto& spec) { spec.mutable_engine()->set_host(host); }), IsEmpty());
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_engine()->set_host("127.0.0.1"); }),
              ElementsAre(HasSubstr("spec.engine.host: a server that listens at 127.0.0.1 alone is "
                                    "not reached at 192.168.0.15")));
}

TEST(ValidateTest, RetryOfOneStage) {
  EXPECT_THAT(Violations([](auto& spec) {
                (*spec.mutable_retry()->mutable_stages())["serve"].set_attempts(2);
              }),
              IsEmpty());
  EXPECT_THAT(Violations([](auto& spec) {
                auto& stages = *spec.mutable_retry()->mutable_stages();
                stages["engine"].set_attempts(2);
                stages["model"].set_attempts(0);
                stages["serve"].mutable_budget();
              }),
              UnorderedElementsAre(
                  HasSubstr("spec.retry.stages[\"engine\"]: is no stage; there are preflight, "),
                  "spec.retry.stages[\"model\"].attempts: needs 1 or more",
                  "spec.retry.stages[\"serve\"].budget: needs a duration over 0, not 0s"));
}

TEST(ValidateTest, EngineFlagsAgainstTheVersion) {
  auto with_expert_parallel = [](const char* tag) {
    return Violations([&](auto& spec) {
      spec.mutable_engine()->set_enable_expert_parallel(true);
      spec.mutable_image()->set_name(absl::StrCat("quay.io/ascend/vllm-ascend:", tag));
    });
  };
  EXPECT_THAT(with_expert_parallel("v0.7.3rc2"),
              ElementsAre(HasSubstr("before 0.8 has no expert parallel")));
  EXPECT_THAT(with_expert_parallel("v0.11.0rc1"),
              ElementsAre(HasSubstr("broken in 0.11.0rc0 to rc2")));
  EXPECT_THAT(with_expert_parallel("v0.8.4rc2-openeuler"), IsEmpty());
  EXPECT_THAT(with_expert_parallel("v0.11.0"), IsEmpty());
  EXPECT_THAT(
      Violations([](auto& spec) { spec.mutable_engine()->add_extra_args("--max_model-len=8"); }),
      ElementsAre("spec.engine.extraArgs[0]: --max_model-len=8 has a field of its own: "
                  "spec.engine.maxModelLen"));
  EXPECT_THAT(Violations([](auto& spec) { spec.mutable_engine()->clear_reasoning_parser(); }),
              ElementsAre(HasSubstr("spec.engine.enableReasoning: needs reasoningParser")));
  EXPECT_THAT(
      Violations([](auto& spec) { spec.mutable_engine()->set_distributed_executor_backend("mp"); }),
      ElementsAre(HasSubstr("needs ray, not \"mp\"")));
}

TEST(ValidateTest, WhatIsNotThereIsSaidToBeMissing) {
  std::vector<std::string> lines;
  for (const Violation& violation : Validate(v1::Deployment())) {
    lines.push_back(absl::StrCat(violation.path, ": ", violation.message));
    EXPECT_THAT(violation.message, Not(HasSubstr("not \"\""))) << violation.path;
  }
  EXPECT_THAT(lines, IsSupersetOf({"apiVersion: missing: npufleet/v1", "kind: missing: Deployment",
                                   "spec.image.name: missing: NAME:TAG",
                                   "spec.container.name: missing: letters, digits, '_', '.' and "
                                   "'-'"}));
  EXPECT_THAT(lines, Contains(StartsWith("metadata.name: missing: lower-case letters")));
}

TEST(ValidateTest, AnEmptyDeploymentNamesEverythingThatIsMissing) {
  EXPECT_GT(Validate(v1::Deployment()).size(), 8);
  EXPECT_FALSE(ToStatus(Validate(v1::Deployment())).ok());
  EXPECT_TRUE(ToStatus({}).ok());
}

// What YAML makes of one item a column too far left: the first swallows all others.
TEST(ParseDeploymentTest, AListThatOneItemSwallowedIsOneErrorWithAHint) {
  const std::string hint =
      "; if its \" - \" begins a list item, check the indentation: all items begin in one column";
  EXPECT_THAT(FileErrors(absl::StrReplaceAll(FilledReferenceSpec(),
                                             {{"      - /dev/davinci0", "     - /dev/davinci0"}})),
              ElementsAre(AllOf(HasSubstr("spec.container.devices[0]: needs a path under /dev, not "
                                          "\"/dev/davinci0 - /dev/davinci1 - "),
                                EndsWith(hint))));
  EXPECT_THAT(FileErrors(absl::StrReplaceAll(
                  FilledReferenceSpec(), {{"      - /usr/local/dcmi", "     - /usr/local/dcmi"}})),
              ElementsAre(AllOf(HasSubstr("spec.container.volumes[0]: needs SOURCE:TARGET"),
                                EndsWith(hint))));
}

TEST(ParseDeploymentTest, ViolationsArePlacedInTheFile) {
  std::string text = absl::StrReplaceAll(FilledReferenceSpec(),
                                         {{"tensorParallelSize: 16", "tensorParallelSize: 8"}});
  std::vector<std::string> errors = FileErrors(text);
  size_t before = text.substr(0, text.find("tensorParallelSize")).size();
  int line = 1 + static_cast<int>(std::count(text.begin(), text.begin() + before, '\n'));
  EXPECT_THAT(errors, ElementsAre(HasSubstr(
                          absl::StrCat("q.yaml:", line, ":5: spec.engine.tensorParallelSize: "))));
}

}  // namespace
}  // namespace npufleet::spec
