// SPDX-License-Identifier: Apache-2.0
//
// The specs that are shipped, and fleets of other sizes than theirs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/spec/deployment.h"
#include "common/spec/yaml.h"
#include "controller/stages/plan.h"
#include "tests/common/spec/reference_spec.h"

namespace npufleet::stages {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

v1::Deployment Shipped(const std::string& file) {
  const std::string text =
      absl::StrReplaceAll(spec::ReadSourceFile(absl::StrCat("deploy/specs/", file)),
                          {{"sha256: \"\"", absl::StrCat("sha256: ", std::string(64, 'a'))}});
  absl::StatusOr<v1::Deployment> deployment = spec::ParseDeployment(text, file);
  EXPECT_TRUE(deployment.ok()) << deployment.status();
  return deployment.ok() ? spec::ResolveDefaults(*deployment) : v1::Deployment();
}

std::vector<std::string> TasksOf(const DeploymentPlan& plan, const std::string& stage) {
  std::vector<std::string> tasks;
  for (const core::TaskPlan& task : plan.graph.tasks) {
    if (task.stage == stage) tasks.push_back(task.id);
  }
  return tasks;
}

TEST(ShippedSpecsTest, DeepSeekIsTensorParallelInANodeAndPipelineParallelOverNodes) {
  const v1::Deployment deployment = Shipped("deepseek-r1-910b.yaml");
  const DeploymentPlan plan = PlanOf(deployment, 1);
  EXPECT_THAT(TasksOf(plan, "ray-worker"), ElementsAre("ray-worker@node-b"));
  const v1::StartEngine& start = plan.verbs.at("serve@node-a").start_engine();
  EXPECT_EQ(start.expected_chips(), 16u);
  EXPECT_EQ(start.engine().tensor_parallel_size(), 8u);
  EXPECT_EQ(start.engine().pipeline_parallel_size(), 2u);
  EXPECT_TRUE(start.engine().enable_expert_parallel());
  EXPECT_EQ(start.engine().quantization(), "ascend");
  EXPECT_EQ(plan.verbs.at("container@node-b").run_container().devices_size(), 11);
}

TEST(ShippedSpecsTest, ADenseModelTakesOneNodeAndHalfOfItsChips) {
  const DeploymentPlan plan = PlanOf(Shipped("qwen3-32b-910b.yaml"), 1);
  EXPECT_THAT(TasksOf(plan, "ray-worker"), IsEmpty());
  EXPECT_THAT(TasksOf(plan, "fabric"), IsEmpty());
  EXPECT_THAT(TasksOf(plan, "serve"), ElementsAre("serve@node-a"));
  const v1::RunContainer& run = plan.verbs.at("container@node-a").run_container();
  EXPECT_THAT(run.devices(),
              ElementsAre("/dev/davinci0", "/dev/davinci1", "/dev/davinci2", "/dev/davinci3",
                          "/dev/davinci_manager", "/dev/hisi_hdc", "/dev/devmm_svm"));
  EXPECT_FALSE(run.privileged()) << "it would see the other chips";
  const v1::StartRayHead& head = plan.verbs.at("ray-head@node-a").start_ray_head();
  EXPECT_EQ(head.chips_size(), 4);
  EXPECT_EQ(head.environment().at("ASCEND_RT_VISIBLE_DEVICES"), "0,1,2,3");
}

struct Size {
  int nodes;
  std::vector<uint32_t> chips;
  uint32_t tensor;
  uint32_t pipeline;
  bool experts;
  bool fits;
};

class SizesTest : public ::testing::TestWithParam<Size> {};

v1::Deployment Sized(const Size& size) {
  v1::Deployment deployment = Shipped("deepseek-r1-910b.yaml");
  v1::DeploymentSpec& spec = *deployment.mutable_spec();
  spec.clear_nodes();
  for (int i = 0; i < size.nodes; ++i) {
    v1::Node& node = *spec.add_nodes();
    node.set_name(absl::StrCat("node-", i));
    node.set_address(absl::StrCat("192.168.0.", 10 + i));
    node.set_nic("eth0");
    node.set_role(i == 0 ? v1::Node::HEAD : v1::Node::WORKER);
  }
  spec.set_chips_per_node(static_cast<uint32_t>(size.chips.size()));
  spec.clear_visible_chips();
  for (const uint32_t chip : size.chips) spec.add_visible_chips(chip);
  spec.mutable_container()->clear_devices();
  spec.mutable_engine()->set_tensor_parallel_size(size.tensor);
  spec.mutable_engine()->set_pipeline_parallel_size(size.pipeline);
  spec.mutable_engine()->set_enable_expert_parallel(size.experts);
  return spec::ResolveDefaults(deployment);
}

TEST_P(SizesTest, RanksMustBeAllChips) {
  const Size& size = GetParam();
  const v1::Deployment deployment = Sized(size);
  const std::vector<spec::Violation> violations = spec::Validate(deployment);
  if (!size.fits) {
    ASSERT_EQ(violations.size(), 1u);
    EXPECT_EQ(violations[0].path, "spec.engine.tensorParallelSize");
    EXPECT_THAT(violations[0].message,
                HasSubstr(absl::StrCat(size.nodes, " nodes x ", size.chips.size(),
                                       " chipsPerNode = ", size.nodes * size.chips.size())));
    return;
  }
  ASSERT_THAT(violations, IsEmpty()) << violations[0].path << ": " << violations[0].message;
  const DeploymentPlan plan = PlanOf(deployment, 1);
  EXPECT_EQ(TasksOf(plan, "ray-worker").size(), static_cast<size_t>(size.nodes - 1));
  EXPECT_EQ(plan.verbs.at("serve@node-0").start_engine().expected_chips(),
            size.nodes * size.chips.size());
  const std::string last = absl::StrCat("container@node-", size.nodes - 1);
  EXPECT_EQ(plan.verbs.at(last).run_container().devices(0),
            absl::StrCat("/dev/davinci", size.chips[0]));
}

const std::vector<uint32_t> kAll = {0, 1, 2, 3, 4, 5, 6, 7};

INSTANTIATE_TEST_SUITE_P(
    Fleets, SizesTest,
    ::testing::Values(Size{1, kAll, 8, 1, false, true}, Size{1, kAll, 4, 2, true, true},
                      Size{1, kAll, 16, 1, false, false}, Size{2, kAll, 16, 1, true, true},
                      Size{2, kAll, 8, 2, true, true}, Size{2, kAll, 8, 1, true, false},
                      Size{4, kAll, 32, 1, true, true}, Size{4, kAll, 8, 4, false, true},
                      Size{4, kAll, 16, 2, true, true}, Size{4, kAll, 8, 2, false, false},
                      Size{1, {4, 5, 6, 7}, 4, 1, false, true}, Size{2, {2, 3}, 2, 2, true, true},
                      Size{2, {2, 3}, 8, 1, false, false}, Size{1, {5}, 1, 1, false, true}),
    [](const auto& instance) {
      const Size& size = instance.param;
      return absl::StrCat(size.nodes, "x", size.chips.size(), "from", size.chips[0], "T",
                          size.tensor, "P", size.pipeline, size.experts ? "E" : "",
                          size.fits ? "" : "Refused");
    });

}  // namespace
}  // namespace npufleet::stages
