// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/inventory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/str_replace.h"
#include "agent/npu/tool.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::npu {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string ReadSample(const std::string& name) {
  std::ifstream file(std::string(NPUFLEET_TESTDATA) + "/npu_smi/" + name, std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(InventoryTest, NpuSmiIsReadWithTheLibraryPathOfTheDriver) {
  fakes::FakeHost node;
  node.programs().On({"npu-smi", "info"}, ReadSample("910B3_8card_24.1.rc1.b030.txt"));
  ASSERT_TRUE(
      node.files().Write("/usr/local/Ascend/firmware/version.info", "Version=7.5.0.1.129\n").ok());
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_THAT(inventory.chips(), SizeIs(8));
  EXPECT_EQ(inventory.driver_version(), "24.1.rc1.b030");
  EXPECT_EQ(inventory.firmware_version(), "7.5.0.1.129");
  EXPECT_EQ(inventory.time().seconds(), absl::ToUnixSeconds(node.clock().Now()));
  EXPECT_THAT(inventory.warnings(), IsEmpty());
  auto calls = node.programs().Calls();
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_THAT(calls[0].options.environment["LD_LIBRARY_PATH"],
              HasSubstr(node.root() + "/usr/local/Ascend/driver/lib64/driver"));
}

TEST(InventoryTest, ItTellsTheInterfaceOfEachAddress) {
  fakes::FakeHost node;
  node.system().SetInterfaces({{"bond4", {"192.168.0.15", "10.0.0.15"}, true}, {"eth1", {}, true}});
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_EQ(inventory.interfaces().size(), 2u);
  EXPECT_EQ(inventory.interfaces().at("192.168.0.15"), "bond4");
  EXPECT_EQ(inventory.interfaces().at("10.0.0.15"), "bond4");
}

TEST(InventoryTest, ANodeWithoutDriverSaysSo) {
  fakes::FakeHost node;
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_THAT(inventory.chips(), IsEmpty());
  EXPECT_THAT(inventory.warnings(), ElementsAre(HasSubstr("no driver is installed")));
}

TEST(InventoryTest, ADriverThatDoesNotAnswerIsAWarningWithItsCode) {
  fakes::FakeHost node;
  node.programs().On({"npu-smi", "info"}, ReadSample("FAIL_dcmi_-8005_ret4.txt"), "", 187);
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_THAT(inventory.chips(), IsEmpty());
  EXPECT_THAT(inventory.warnings(), Contains(HasSubstr("-8005")));
}

TEST(InventoryTest, ATinyDeadlineEndsAToolThatHangs) {
  fakes::FakeHost node;
  node.programs().On(
      {"npu-smi", "info"},
      [](const fakes::FakeSubprocess::Call& call) -> absl::StatusOr<host::ProcessResult> {
        EXPECT_LE(call.options.deadline, absl::Seconds(30));
        return absl::DeadlineExceededError("killed after 20 s");
      });
  EXPECT_THAT(ReadInventory(node.host()).warnings(), ElementsAre(HasSubstr("killed after 20 s")));
}

TEST(InventoryTest, AChipThatIsNotOkIsAskedForItsCodes) {
  fakes::FakeHost node;
  node.programs().On({"npu-smi", "info"},
                     absl::StrReplaceAll(ReadSample("910B3_8card_24.1.rc1.b030.txt"),
                                         {{"| 0     910B3               | OK   ",
                                           "| 0     910B3               | Alarm"}}));
  node.programs().On({"npu-smi", "info", "-t", "health", "-i", "0", "-c", "0"},
                     ReadSample("910A_health_Alarm_3codes.txt"));
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_EQ(inventory.chips(0).health(), v1::Chip::ALARM);
  EXPECT_THAT(inventory.chips(0).error_codes(), ElementsAre("A4025021", "8C03A000", "8C084E00"));
  EXPECT_EQ(node.programs().Count({"npu-smi"}), 2);
}

TEST(InventoryTest, AnOkBesideFailedReadingsStaysUnknownWhateverTheHealthQuerySays) {
  fakes::FakeHost node;
  node.programs().On({"npu-smi", "info"},
                     absl::StrReplaceAll(ReadSample("910B3_8card_24.1.rc1.b030.txt"),
                                         {{"3318 / 65536", "0    / 0    "}}));
  node.programs().On({"npu-smi", "info", "-t", "health", "-i", "0", "-c", "0"},
                     ReadSample("910A_health_OK.txt"));
  EXPECT_EQ(ReadInventory(node.host()).chips(0).health(), v1::Chip::HEALTH_UNKNOWN);
}

// What the process that reads by DCMI says.
void OnDcmi(fakes::FakeHost& node, std::string out, std::string err, int exit_code) {
  ASSERT_TRUE(node.files().Write("/usr/local/dcmi/libdcmi.so", "").ok());
  node.programs().On({"/proc/self/exe", "read-dcmi", node.root()}, std::move(out), std::move(err),
                     exit_code);
}

TEST(InventoryTest, DcmiIsReadWithTheLibraryPathOfTheDriverAndNpuSmiIsNot) {
  fakes::FakeHost node;
  OnDcmi(node, R"({"source": "dcmi", "chips": [{"npu": 3}]})", "", 0);
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_EQ(inventory.source(), "dcmi");
  ASSERT_THAT(inventory.chips(), SizeIs(1));
  EXPECT_EQ(inventory.chips(0).npu(), 3u);
  EXPECT_THAT(inventory.warnings(), IsEmpty());
  auto calls = node.programs().Calls();
  ASSERT_THAT(calls, SizeIs(1));
  EXPECT_EQ(calls[0].options.deadline, kNpuToolDeadline);
  EXPECT_THAT(calls[0].options.environment["LD_LIBRARY_PATH"],
              HasSubstr(node.root() + "/usr/local/Ascend/driver/lib64/driver"));
}

TEST(InventoryTest, OfADriverThatHangsNothingIsKnownAndNpuSmiIsNotAskedAsWell) {
  fakes::FakeHost node;
  ASSERT_TRUE(node.files().Write("/usr/local/dcmi/libdcmi.so", "").ok());
  node.programs().On({"/proc/self/exe", "read-dcmi"},
                     [](const fakes::FakeSubprocess::Call&) -> absl::StatusOr<host::ProcessResult> {
                       return absl::DeadlineExceededError("did not end within 20s");
                     });
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_EQ(inventory.source(), "dcmi");
  EXPECT_THAT(inventory.chips(), IsEmpty());
  EXPECT_THAT(inventory.warnings(), ElementsAre(HasSubstr("DEADLINE_EXCEEDED")));
  EXPECT_EQ(node.programs().Count({"npu-smi"}), 0);
}

TEST(InventoryTest, AfterAReadingByDcmiThatDiedOrSaysNonsenseNpuSmiIsRead) {
  fakes::FakeHost node;
  node.programs().On({"npu-smi", "info"}, ReadSample("910B3_8card_24.1.rc1.b030.txt"));
  OnDcmi(node, "", "libdcmi: stack smashed\n", 139);
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_EQ(inventory.source(), "npu-smi");
  EXPECT_THAT(inventory.chips(), SizeIs(8));
  EXPECT_THAT(inventory.warnings(), ElementsAre(HasSubstr("status 139: libdcmi: stack smashed")));
  OnDcmi(node, "nonsense", "", 0);
  EXPECT_THAT(ReadInventory(node.host()).warnings(), ElementsAre(HasSubstr("nonsense")));
}

TEST(InventoryTest, ALibraryThatCannotBeOpenedIsAWarningAndNpuSmiIsRead) {
  fakes::FakeHost node;
  OnDcmi(node, "cannot open /usr/local/dcmi/libdcmi.so: invalid ELF header", "", 102);
  node.programs().On({"npu-smi", "info"}, ReadSample("910B3_8card_24.1.rc1.b030.txt"));
  v1::Inventory inventory = ReadInventory(node.host());
  EXPECT_EQ(inventory.source(), "npu-smi");
  EXPECT_THAT(inventory.chips(), SizeIs(8));
  EXPECT_THAT(inventory.warnings(), ElementsAre(HasSubstr("libdcmi.so")));
}

TEST(InventoryTest, TheTableShowsADashWhereNothingIsKnown) {
  v1::Inventory inventory;
  v1::Chip& chip = *inventory.add_chips();
  chip.set_npu(3);
  chip.set_health(v1::Chip::GONE);
  inventory.add_warnings("the chip on bus 0000:82:00.0 answers nothing any more");
  EXPECT_EQ(RenderInventoryTable(inventory),
            "driver unknown, firmware unknown, read by unknown\n"
            "NPU  CHIP  DAVINCI  NAME  HEALTH  CODES  POWER(W)  TEMP(C)  HBM(MiB)  MEMORY(MiB)  "
            "AICORE(%)  BUS  PROCESSES\n"
            "3    0     -        -     GONE    -      -         -        -         -            -  "
            "        -    -\n"
            "warning: the chip on bus 0000:82:00.0 answers nothing any more\n");
}

}  // namespace
}  // namespace npufleet::npu
