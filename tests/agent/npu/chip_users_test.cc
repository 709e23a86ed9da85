// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/chip_users.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "agent/npu/dcmi.h"
#include "common/status_macros.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::npu {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string Sample(const std::string& name) {
  std::ifstream file(absl::StrCat(NPUFLEET_TESTDATA, "/npu_smi/", name), std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(ChipUsersTest, ProcessesOfAllChipsAreUsers) {
  auto users = ParseNpuSmiUsers(Sample("910B3_8card_26.1.0_busy1_container-pid-col.txt"));
  ASSERT_TRUE(users.ok()) << users.status();
  ASSERT_THAT(*users, SizeIs(1));
  EXPECT_EQ((*users)[0].npu, 0u);
  EXPECT_GT((*users)[0].pid, 0u);
}

TEST(ChipUsersTest, TwoDiesOfACardAreToldInOneRow) {
  auto users = ParseNpuSmiUsers(Sample("A3_Ascend910_26.0.rc1.b030_2die_no-separator-row.txt"));
  ASSERT_TRUE(users.ok()) << users.status();
  EXPECT_THAT(*users, IsEmpty());
}

TEST(ChipUsersTest, AChipOfWhichNothingIsToldIsNotIdle) {
  const std::string text = Sample("910B3_8card_26.1.0_busy1_container-pid-col.txt");
  for (const char* gone : {"No running processes found in NPU 3", "Process id "}) {
    auto users = ParseNpuSmiUsers(absl::StrReplaceAll(text, {{gone, ""}}));
    EXPECT_TRUE(absl::IsUnavailable(users.status())) << gone << ": " << users.status();
  }
  EXPECT_FALSE(ParseNpuSmiUsers(text.substr(0, text.size() / 2)).ok());
  EXPECT_FALSE(ParseNpuSmiUsers("").ok());
  EXPECT_FALSE(ParseNpuSmiUsers("dcmi module initialize failed. ret is -8005\n").ok());
}

TEST(ChipUsersTest, TextThatIsCutOffAnywhereNeverSaysIdle) {
  const std::string text = Sample("910B4_1card_26.0.rc1_idle_container-pid-col.txt");
  ASSERT_TRUE(ParseNpuSmiUsers(text).ok());
  const size_t told = text.find("No running processes found in NPU 0");
  for (size_t length = 0; length < told; ++length) {
    EXPECT_FALSE(ParseNpuSmiUsers(text.substr(0, length)).ok()) << length;
  }
}

TEST(ChipUsersTest, AReadingThatFailedMayHideAProcess) {
  const std::string text = Sample("910B4_1card_26.0.rc1_idle_container-pid-col.txt");
  const std::string health = "| OK  ";
  ASSERT_NE(text.find(health), text.npos);
  EXPECT_FALSE(ParseNpuSmiUsers(absl::StrReplaceAll(text, {{health, "| ??  "}})).ok());
}

// A library with one chip.
DcmiFunctions OneChip() {
  DcmiFunctions f;
  f.init = [] { return 0; };
  f.get_card_list = [](int* count, int* cards, int) {
    *count = 1;
    cards[0] = 5;
    return 0;
  };
  f.get_device_num_in_card = [](int, int* count) {
    *count = 1;
    return 0;
  };
  f.get_device_resource_info = [](int, int, void*, int* count) {
    *count = 0;
    return 0;
  };
  return f;
}

absl::StatusOr<std::vector<ChipUser>> ReadDcmiUsers(const DcmiFunctions& functions) {
  ASSIGN_OR_RETURN(const v1::Inventory inventory, ReadDcmi(functions));
  return DcmiUsers(inventory);
}

TEST(ChipUsersTest, DcmiSaysWhoUsesAChip) {
  DcmiFunctions f = OneChip();
  ASSERT_TRUE(ReadDcmiUsers(f).ok());
  EXPECT_THAT(*ReadDcmiUsers(f), IsEmpty());
  f.get_device_resource_info = [](int, int, void* processes, int* count) {
    *static_cast<int32_t*>(processes) = 4711;
    *count = 1;
    return 0;
  };
  ASSERT_THAT(*ReadDcmiUsers(f), SizeIs(1));
  EXPECT_EQ((*ReadDcmiUsers(f))[0].npu, 5u);
  EXPECT_EQ((*ReadDcmiUsers(f))[0].pid, 4711u);
}

TEST(ChipUsersTest, ADcmiReadingThatFailedIsNotIdle) {
  DcmiFunctions f = OneChip();
  f.get_device_resource_info = [](int, int, void*, int*) { return -8005; };
  EXPECT_THAT(ReadDcmiUsers(f).status().message(), HasSubstr("ret is -8005"));
  f.get_device_resource_info = nullptr;
  EXPECT_THAT(ReadDcmiUsers(f).status().message(), HasSubstr("does not tell"));
  f = OneChip();
  f.get_device_num_in_card = [](int, int*) { return -8007; };
  EXPECT_FALSE(ReadDcmiUsers(f).ok());
  f = OneChip();
  f.init = [] { return -8020; };
  EXPECT_FALSE(ReadDcmiUsers(f).ok());
}

TEST(ChipUsersTest, AToolThatFailsOrHangsSaysNothing) {
  fakes::FakeHost node;
  EXPECT_FALSE(ReadChipUsers(node.host()).ok());
  node.programs().On({"npu-smi", "info"},
                     Sample("910B4_1card_26.0.rc1_idle_container-pid-col.txt"));
  EXPECT_TRUE(ReadChipUsers(node.host()).ok());
  node.programs().On({"npu-smi", "info"}, Sample("910B4_1card_26.0.rc1_idle_container-pid-col.txt"),
                     "", 187);
  EXPECT_FALSE(ReadChipUsers(node.host()).ok());
  node.programs().On({"npu-smi", "info"},
                     [](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
                       return absl::DeadlineExceededError("killed");
                     });
  EXPECT_TRUE(absl::IsUnavailable(ReadChipUsers(node.host()).status()));
}

TEST(ChipUsersTest, WhereDcmiHangsOrFailsNpuSmiIsNotBelieved) {
  fakes::FakeHost node;
  node.programs().On({"npu-smi", "info"},
                     Sample("910B4_1card_26.0.rc1_idle_container-pid-col.txt"));
  ASSERT_TRUE(node.files().Write("/usr/local/dcmi/libdcmi.so", "").ok());
  const fakes::Argv child = {"/proc/self/exe", "read-dcmi", node.root()};
  node.programs().On(child, R"({"chips": [{"npu": 5, "processes": [{"pid": 4711}]}]})");
  ASSERT_THAT(*ReadChipUsers(node.host()), SizeIs(1));
  node.programs().On(child, "dcmi_init failed. ret is -8005", "", 101);
  EXPECT_TRUE(absl::IsUnavailable(ReadChipUsers(node.host()).status()));
  node.programs().On(child,
                     [](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
                       return absl::DeadlineExceededError("killed");
                     });
  EXPECT_TRUE(absl::IsUnavailable(ReadChipUsers(node.host()).status()));
  EXPECT_EQ(node.programs().Count({"npu-smi"}), 0);
  node.programs().On(child, "cannot open libdcmi.so", "", 102);
  EXPECT_TRUE(ReadChipUsers(node.host()).ok());
}

}  // namespace
}  // namespace npufleet::npu
