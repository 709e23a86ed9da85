// SPDX-License-Identifier: Apache-2.0
#include "controller/ctl/initial_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "common/spec/deployment.h"

namespace npufleet::ctl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

v1::NodeStatus& AddNode(v1::ListNodesReply& fleet, const std::string& name,
                        const std::string& address, std::vector<uint32_t> chips) {
  v1::NodeStatus& node = *fleet.add_nodes();
  node.set_name(name);
  node.set_address(address);
  for (const uint32_t chip : chips) {
    v1::Chip& added = *node.mutable_inventory()->add_chips();
    added.set_npu(chip);
    added.set_health(v1::Chip::OK);
  }
  return node;
}

// As an operator completes it.
std::string Completed(const std::string& text) {
  return absl::StrReplaceAll(text,
                             {{"sha256: \"\"", absl::StrCat("sha256: ", std::string(64, 'a'))}});
}

TEST(InitialSpecTest, OfNamedNodesIsADeploymentOnceItsDigestsAreFilledIn) {
  InitialSpec spec;
  spec.nodes = {ParseNode("node-a=192.168.0.15,enp67s0f0").value(),
                ParseNode("node-b=192.168.0.21,enp67s0f0").value()};
  absl::StatusOr<v1::Deployment> read =
      spec::ParseDeployment(Completed(WriteInitialSpec(spec)), "q.yaml");
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->metadata().name(), "qwen3-235b-a22b");
  EXPECT_EQ(read->spec().nodes(0).role(), v1::Node::HEAD);
  EXPECT_EQ(read->spec().nodes(1).role(), v1::Node::WORKER);
  EXPECT_EQ(read->spec().engine().tensor_parallel_size(), 16u);
  EXPECT_EQ(read->spec().model().path(), "/data2/Qwen3-235B-A22B");
}

TEST(InitialSpecTest, WhatIsLeftToFillInIsNamedByItsLine) {
  InitialSpec spec;
  spec.nodes = {{"node-a", "192.168.0.15", ""}};
  absl::StatusOr<v1::Deployment> read = spec::ParseDeployment(WriteInitialSpec(spec), "q.yaml");
  ASSERT_FALSE(read.ok());
  const std::string message(read.status().message());
  EXPECT_THAT(message, ::testing::ContainsRegex("q.yaml:[0-9]+:[0-9]+: spec.nodes\\[0\\].nic"));
  EXPECT_THAT(message, HasSubstr("spec.driver.driver.sha256: missing"));
}

TEST(InitialSpecTest, TheFleetGivesAddressesChipsInCommonAndDrivers) {
  v1::ListNodesReply fleet;
  AddNode(fleet, "node-a", "192.168.0.15:7602", {0, 1, 2, 3})
      .mutable_inventory()
      ->set_driver_version("24.1.rc3");
  (*fleet.mutable_nodes(0)->mutable_inventory()->mutable_interfaces())["192.168.0.15"] = "bond4";
  (*fleet.mutable_nodes(0)->mutable_inventory()->mutable_interfaces())["10.0.0.15"] = "eth0";
  AddNode(fleet, "node-b", "192.168.0.21:7602", {2, 3, 4});
  AddNode(fleet, "node-c", "192.168.0.22:7602", {});  // its driver is not installed yet
  InitialSpec spec;
  ASSERT_TRUE(TakeNodes(fleet, {}, &spec).ok());
  EXPECT_EQ(spec.nodes[0].address, "192.168.0.15");
  EXPECT_EQ(spec.nodes[0].nic, "bond4");
  EXPECT_EQ(spec.nodes[1].nic, "") << "an agent that does not tell";
  EXPECT_THAT(spec.chips, ElementsAre(2, 3));
  EXPECT_THAT(spec.drivers, ElementsAre("24.1.rc3"));
  const std::string text = WriteInitialSpec(spec);
  EXPECT_THAT(text, HasSubstr("visibleChips: [2, 3]"));
  EXPECT_THAT(text, HasSubstr("tensorParallelSize: 6"));

  InitialSpec turned;
  ASSERT_TRUE(TakeNodes(fleet, {"node-b", "node-a"}, &turned).ok());
  EXPECT_EQ(turned.nodes[0].name, "node-b") << "the first that was named is the head";
  InitialSpec none;
  EXPECT_THAT(TakeNodes(fleet, {"node-z"}, &none).message(),
              HasSubstr("no node node-z; there is node-a, node-b, node-c"));
  EXPECT_THAT(TakeNodes({}, {}, &none).message(), HasSubstr("the fleet has no nodes"));
}

TEST(InitialSpecTest, NodesAreNameAndAddress) {
  EXPECT_EQ(ParseNode("a=10.0.0.1")->nic, "");
  EXPECT_EQ(ParseNode("a=10.0.0.1,eth0")->nic, "eth0");
  EXPECT_THAT(ParseNode("a").status().message(), HasSubstr("NAME=ADDRESS"));
  EXPECT_FALSE(ParseNode("=10.0.0.1").ok());
  EXPECT_FALSE(ParseNode("a=,eth0").ok());
}

TEST(InitialSpecTest, ANameIsMadeFromTheModel) {
  EXPECT_EQ(NameFor("deepseek-ai/DeepSeek-R1"), "deepseek-r1");
  EXPECT_EQ(NameFor("Org/Qwen2.5_7B-"), "qwen2-5-7b");
  EXPECT_EQ(NameFor("x/" + std::string(60, 'A')).size(), 40u);
}

}  // namespace
}  // namespace npufleet::ctl
