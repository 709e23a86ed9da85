// SPDX-License-Identifier: Apache-2.0
//
// What npu-smi may print when it is broken: the agent reads what can be read, says the rest, and
// lives on. Nothing that serves is disturbed for it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/integration/fleet.h"

namespace npufleet::integration {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::SizeIs;

constexpr char kNpu[] = "npu@node-a";
constexpr char kHead[] =
    "| npu-smi 25.0.rc1                 Version: 25.0.rc1 |\n"
    "| NPU   Name | Health | Power(W) Temp(C) Hugepages-Usage(page)|\n"
    "| Chip | Bus-Id | AICore(%) Memory-Usage(MB) HBM-Usage(MB) |\n";
constexpr char kFirstChip[] =
    "| 0 910B3 | OK | 92.0 39 0 / 0 |\n"
    "| 0 | 0000:C0:00.0 | 0 0 / 0 3314 / 65536 |\n";

struct Output {
  const char* name;
  std::function<std::string()> text;
  int chips;            // that can be read
  const char* warning;  // about the rest
};

std::string TenMegabytes() {
  std::string text = kHead;
  while (text.size() < 10'000'000) text += "| \x01 nonsense | | \xff\xfe | 12 |\n";
  return text;
}

const Output kOutputs[] = {
    {"Truncated", [] { return std::string(kHead) + kFirstChip + "| 1 910B3 | O"; }, 1, "cut off"},
    {"Garbage",
     [] {
       return std::string(
           "\x7f"
           "ELF\x02\x01\x01 |||| % + | \n|\n||\n");
     },
     0, "no table of chips"},
    {"TenMegabytes", TenMegabytes, 0, "no table of chips"},
    {"NotUtf8",
     [] {
       return std::string(kHead) + "| 0 \xff\xfe | \xc3( | 92.0 39 0 / 0 |\n| \xed\xa0\x80 |\n";
     },
     1, "unknown health word"},
    {"Nothing", [] { return std::string(); }, 0, "no table of chips"},
};

class BrokenNpuSmiTest : public ::testing::TestWithParam<Output> {
 protected:
  BrokenNpuSmiTest() : fleet_(1) { fleet_.StartController(); }

  void Break() { fleet_.machine(0).programs().On({"npu-smi", "info"}, GetParam().text()); }
  v1::Inventory Inventory() {
    const auto agent = v1::Agent::NewStub(
        grpc::CreateChannel(fleet_.agent_address(0), fleet_.CredentialsAs("controller")));
    v1::Inventory inventory;
    const grpc::Status status = agent->GetInventory(Context().get(), {}, &inventory);
    EXPECT_TRUE(status.ok()) << status.error_message();
    return inventory;
  }

  Fleet fleet_;
};

TEST_P(BrokenNpuSmiTest, WhatCanBeReadIsToldAndTheRestIsAWarning) {
  Break();
  const v1::Inventory inventory = Inventory();
  EXPECT_THAT(inventory.chips(), SizeIs(GetParam().chips));
  EXPECT_THAT(inventory.warnings(), Contains(HasSubstr(GetParam().warning)));
  EXPECT_LT(inventory.ByteSizeLong(), 16'000u);
}

TEST_P(BrokenNpuSmiTest, TheRolloutWaitsAndSaysWhatCannotBeSeen) {
  Break();
  ASSERT_TRUE(fleet_.Apply(MakeDeployment(1)).ok());
  const v1::Rollout rollout = fleet_.AwaitRollout([](const v1::Rollout& seen) {
    return TaskOf(seen, "driver@node-a").state() == v1::Task::CURRENT &&
           TaskOf(seen, kNpu).state() == v1::Task::UNKNOWN;
  });
  EXPECT_THAT(TaskOf(rollout, kNpu).reason(), HasSubstr("npu-smi")) << Describe(rollout);
  EXPECT_EQ(TaskOf(rollout, "container@node-a").state(), v1::Task::PENDING);
}

TEST_P(BrokenNpuSmiTest, WhatServesGoesOn) {
  ASSERT_TRUE(fleet_.Apply(MakeDeployment(1)).ok());
  fleet_.AwaitPhase(v1::Rollout::SERVING);
  const size_t operations = fleet_.Journal(0).size();
  Break();
  fleet_.StopController();
  fleet_.StartController();  // looks at everything afresh
  fleet_.AwaitRollout(
      [](const v1::Rollout& seen) { return TaskOf(seen, kNpu).state() == v1::Task::UNKNOWN; });
  EXPECT_TRUE(fleet_.machine(0).EngineLives());
  EXPECT_THAT(fleet_.Journal(0), SizeIs(operations));
}

INSTANTIATE_TEST_SUITE_P(Outputs, BrokenNpuSmiTest, ::testing::ValuesIn(kOutputs),
                         [](const auto& output) { return std::string(output.param.name); });

}  // namespace
}  // namespace npufleet::integration
