// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/npu_smi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "agent/npu/inventory.h"

namespace npufleet::npu {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::string ReadSample(const std::string& name) {
  std::ifstream file(absl::StrCat(NPUFLEET_TESTDATA, "/", name), std::ios::binary);
  EXPECT_TRUE(file.good()) << name;
  return {std::istreambuf_iterator<char>(file), {}};
}

// Only what is known, so that an invented 0 shows.
std::string Describe(const v1::Chip& chip) {
  std::string text = absl::StrCat(chip.npu(), "/", chip.chip());
  if (chip.has_physical_id()) absl::StrAppend(&text, " phy", chip.physical_id());
  absl::StrAppend(&text, " ", chip.name(), " ", v1::Chip::Health_Name(chip.health()));
  if (chip.has_power_watts())
    absl::StrAppend(&text, " ", absl::StrFormat("%.1fW", chip.power_watts()));
  if (chip.has_temperature_celsius()) absl::StrAppend(&text, " ", chip.temperature_celsius(), "C");
  if (chip.has_hbm_total_mib())
    absl::StrAppend(&text, " hbm ", chip.hbm_used_mib(), "/", chip.hbm_total_mib());
  if (chip.has_memory_total_mib()) {
    absl::StrAppend(&text, " mem ", chip.memory_used_mib(), "/", chip.memory_total_mib());
  }
  if (chip.has_aicore_percent()) absl::StrAppend(&text, " ", chip.aicore_percent(), "%");
  if (!chip.bus_id().empty()) absl::StrAppend(&text, " ", chip.bus_id());
  for (const auto& process : chip.processes()) {
    absl::StrAppend(&text, " [", process.pid(), " ", process.name(), " ", process.memory_mib(),
                    process.container_pid() ? absl::StrCat(" in ", process.container_pid()) : "",
                    "]");
  }
  return text;
}

struct Layout {
  const char* file;
  const char* tool_version;
  const char* driver_version;
  int chips;
  const char* first_chip;
  const char* last_chip;
  const char* warnings;  // joined by " | "
};

class NpuSmiInfo : public ::testing::TestWithParam<Layout> {};

TEST_P(NpuSmiInfo, IsReadRight) {
  const Layout& layout = GetParam();
  v1::Inventory inventory = InventoryFromText(ReadSample(absl::StrCat("npu_smi/", layout.file)));
  EXPECT_EQ(inventory.source(), "npu-smi");
  EXPECT_EQ(inventory.tool_version(), layout.tool_version);
  EXPECT_EQ(inventory.driver_version(), layout.driver_version);
  EXPECT_EQ(absl::StrJoin(inventory.warnings(), " | "), layout.warnings);
  ASSERT_EQ(inventory.chips_size(), layout.chips);
  if (layout.chips == 0) return;
  EXPECT_EQ(Describe(inventory.chips(0)), layout.first_chip);
  EXPECT_EQ(Describe(inventory.chips(layout.chips - 1)), layout.last_chip);
}

INSTANTIATE_TEST_SUITE_P(
    EveryLayout, NpuSmiInfo,
    ::testing::ValuesIn(std::vector<Layout>{
        {"310P3_1card_25.3.rc1_idle_npu6.txt", "25.3.rc1", "25.3.rc1", 1,
         "6/0 310P3 OK 50C mem 1839/21525 0% 0000:84:00.0",
         "6/0 310P3 OK 50C mem 1839/21525 0% 0000:84:00.0", ""},
        {"310P3_25.5.1_2card_host.txt", "25.5.1", "25.5.1", 2,
         "4/0 310P3 OK 37C mem 1848/21525 0% 0000:81:00.0",
         "5/0 310P3 OK 40C mem 1849/21525 0% 0000:85:00.0", ""},
        {"310P3_25.5.1_container_vnpu_slice_2.txt", "25.5.1", "25.5.1", 1,
         "32768/0 310P3 OK 38C mem 0/8192 0% 0000:81:00.0",
         "32768/0 310P3 OK 38C mem 0/8192 0% 0000:81:00.0", ""},
        {"310P3_container_limiter-log-noise_before_table.txt", "", "", 1,
         "32768/0 310P3 OK 0000:81:00.0", "32768/0 310P3 OK 0000:81:00.0",
         "the table has no header: power, temperature, memory and load were not read | the table "
         "has no end: the output of npu-smi was cut off"},
        {"310P3_tool22.0.0_drv22.0.2_w94_mz2.txt", "22.0.0", "22.0.2", 1,
         "0/0 310P3 OK 16.5W 55C mem 931/21534 0% 0000:5E:00.0",
         "0/0 310P3 OK 16.5W 55C mem 931/21534 0% 0000:5E:00.0", ""},
        {"310P3_tool22.0.0_drv22.0.3_w94_mz3.txt", "22.0.0", "22.0.3", 1,
         "0/0 310P3 OK 17.1W 56C mem 3292/21527 0% 0000:86:00.0",
         "0/0 310P3 OK 17.1W 56C mem 3292/21527 0% 0000:86:00.0", ""},
        {"310P3_tool22.0.2_drv22.0.4_w98_mz1.txt", "22.0.2", "22.0.4", 1,
         "2144/0 310P3 OK 47C mem 1807/21527 0% 0000:86:00.0",
         "2144/0 310P3 OK 47C mem 1807/21527 0% 0000:86:00.0", ""},
        {"310_16chip_4card_21.0.3.1.txt", "21.0.3.1", "21.0.3.1", 16,
         "1/0 310 OK 12.8W 42C mem 2621/8192 0% 0000:01:00.0",
         "6/3 310 OK 12.8W 47C mem 2621/8192 0% 0000:8E:00.0", ""},
        {"310_1card_22.0.4_busid-NA.txt", "22.0.4", "22.0.4", 1,
         "0/0 310 OK 12.8W 51C mem 5745/7757 0%", "0/0 310 OK 12.8W 51C mem 5745/7757 0%", ""},
        {"910A_2card_21.0.3.2.txt", "21.0.3.2", "21.0.3.2", 2,
         "1/0 910A OK 65.3W 45C hbm 0/32768 mem 1809/15082 0% 0000:3B:00.0",
         "4/0 910A OK 63.6W 44C hbm 0/32768 mem 1809/15082 0% 0000:86:00.0", ""},
        {"910A_8card_23.0.rc3_busy_tool-ne-driver-version.txt", "23.0.rc3", "23.0.rc2.3", 8,
         "0/0 xxx OK 73.4W 44C hbm 30710/32768 mem 4565/15137 0% 0000:C1:00.0 [139667 python "
         "30780]",
         "7/0 xxx OK 69.1W 42C hbm 30710/32768 mem 4690/15039 0% 0000:02:00.0 [139090 python "
         "30780]",
         ""},
        {"910A_8card_elided_23.0.5_idle.txt", "23.0.5", "23.0.5", 2,
         "0/0 xxx OK 73.1W 37C hbm 0/32768 mem 920/13553 0% 0000:61:00.0",
         "7/0 xxx OK 67.0W 38C hbm 0/32768 mem 2346/15567 0% 0000:3D:00.0", ""},
        {"910A_8card_elided_24.1.rc1_idle.txt", "24.1.rc1", "24.1.rc1", 1,
         "7/0 xxx OK 67.0W 44C hbm 0/32768 mem 2505/15567 0% 0000:3D:00.0",
         "7/0 xxx OK 67.0W 44C hbm 0/32768 mem 2505/15567 0% 0000:3D:00.0", ""},
        {"910B1_8card_elided_23.0.rc2_blog.txt", "23.0.rc2", "23.0.rc2", 3,
         "0/0 phy0 910B1 OK 88.4W 46C hbm 4175/65536 0% 0000:C1:00.0",
         "7/0 phy7 910B1 OK 92.7W 48C hbm 4174/65536 0% 0000:42:00.0", ""},
        {"910B3_8card_24.1.rc1.b030.txt", "24.1.rc1.b030", "24.1.rc1.b030", 8,
         "0/0 phy0 910B3 OK 101.8W 43C hbm 3318/65536 0% 0000:C1:00.0",
         "7/0 phy7 910B3 OK 98.2W 44C hbm 3315/65536 0% 0000:42:00.0", ""},
        {"910B3_8card_26.1.0_busy1_container-pid-col.txt", "26.1.0", "26.1.0", 8,
         "0/0 phy0 910B3 OK 100.0W 50C hbm 8676/65536 0% 0000:C1:00.0 [485946 pytest 5175]",
         "7/0 phy7 910B3 OK 93.3W 51C hbm 3403/65536 0% 0000:42:00.0", ""},
        {"910B4_1card_26.0.rc1_idle_container-pid-col.txt", "26.0.rc1", "26.0.rc1", 1,
         "0/0 phy0 910B4 OK 82.6W 32C hbm 2871/32768 0% 0000:C1:00.0",
         "0/0 phy0 910B4 OK 82.6W 32C hbm 2871/32768 0% 0000:C1:00.0", ""},
        {"910B4_1visible_npu5_25.5.2_no-process-table.txt", "25.5.2", "25.5.2", 1,
         "5/0 phy5 910B4 OK 89.9W 39C hbm 2922/32768 0% 0000:41:00.0",
         "5/0 phy5 910B4 OK 89.9W 39C hbm 2922/32768 0% 0000:41:00.0", ""},
        {"910B4_8card_25.2.0_busy1.txt", "25.2.0", "25.2.0", 8,
         "0/0 phy0 910B4 OK 84.7W 38C hbm 2894/32768 0% 0000:C1:00.0 [472206 python3.9 113]",
         "7/0 phy7 910B4 OK 84.9W 40C hbm 2659/32768 0% 0000:42:00.0", ""},
        {"910_1card_25.5.0_narrow-name-col.txt", "25.5.0", "25.5.0", 1,
         "0/0 xxx OK 70.5W 42C hbm 0/32768 mem 4252/15137 0% 0000:C1:00.0",
         "0/0 xxx OK 70.5W 42C hbm 0/32768 mem 4252/15137 0% 0000:C1:00.0", ""},
        {"910_8card_elided_23.0.5_Warning_misaligned.txt", "23.0.5", "23.0.5", 2,
         "0/0 xxx WARNING 73.1W 37C hbm 0/32768 mem 920/13553 0% 0000:61:00.0",
         "7/0 xxx OK 67.0W 38C hbm 0/32768 mem 2346/15567 0% 0000:3D:00.0", ""},
        {"A3_Ascend910_26.0.rc1.b030_2die_no-separator-row.txt", "26.0.rc1.b030", "26.0.rc1.b030",
         2, "0/0 phy0 Ascend910 OK 156.6W 28C hbm 3143/65536 0% 0000:9D:00.0",
         "0/1 phy1 Ascend910 OK 27C hbm 2889/65536 0% 0000:9F:00.0", ""},
        {"A3_Ascend910_8card_16die_busy_container_blank-process-names.txt", "24.1.rc3.7",
         "24.1.rc3.7", 16,
         "0/0 phy0 Ascend910 OK 232.5W 52C hbm 53444/65536 17% 0000:9D:00.0 [3325989  50128] "
         "[3330598  132] [3328327  133] [3333165  132]",
         "7/1 phy15 Ascend910 OK 52C hbm 50242/65536 17% 0000:83:00.0 [3085964  47416]", ""},
        {"A5_950_official_info.txt", "x.x.x", "x.x.x", 1,
         "0/0 xxx OK 204.4W 56C hbm 4439/86016 0% 0000:91:00.0",
         "0/0 xxx OK 204.4W 56C hbm 4439/86016 0% 0000:91:00.0", ""},
        {"A5_Ascend950DT_25.6.rc1.b143_busy_container-pid-col.txt", "25.6.rc1.b143",
         "25.6.rc1.b143", 2,
         "0/0 Ascend950DT OK 394.0W 46C hbm 90129/98304 0% [305192 VLLMWorker_DP 84315]",
         "1/0 Ascend950DT OK 399.5W 43C hbm 90129/98304 0% [305190 VLLMWorker_DP 84295]", ""},
        {"FAIL_dcmi_-8005_ret4.txt", "", "", 0, "", "",
         "DrvMngGetConsoleLogLevel failed. (ret=4) | dcmi module initialize failed. ret is -8005 | "
         "no table of chips in 85 bytes of npu-smi output"},
        {"FAIL_invalid_card_id_t-board.txt", "", "", 0, "", "",
         "Invalid card id. | Error parameter of -i | no table of chips in 102 bytes of npu-smi "
         "output"},
        {"FAIL_no_card.txt", "", "", 0, "", "",
         "There is no NPU card on this server. | no table of chips in 37 bytes of npu-smi output"},
        {"FAIL_type_unsupported.txt", "", "", 0, "", "",
         "This device does not support querying p2p-enable. | no table of chips in 50 bytes of "
         "npu-smi output"},
        {"FAIL_unknown_command.txt", "", "", 0, "", "",
         "Command or option is not found. | no table of chips in 32 bytes of npu-smi output"},
        {"WARN_incomplete_install_trailer.txt", "", "", 0, "", "",
         "[WARNING]The driver package may not be completely installed, which may cause function "
         "abnormal. Please reinstall it. | no table of chips in 117 bytes of npu-smi output"},
        {"nputop_1_910B2C_23.0.2.1_busy.txt", "23.0.2.1", "23.0.2.1", 2,
         "0/0 phy0 910B2C OK 88.6W 51C hbm 20701/65536 0% 0000:5A:00.0 [124528 python3.8 17400]",
         "1/0 phy1 910B2C OK 99.6W 50C hbm 20687/65536 0% 0000:19:00.0", ""},
        {"nputop_2_310B4_23.0.0_Alarm.txt", "23.0.0", "23.0.0", 1,
         "0/0 310B4 ALARM 65C mem 3628/15609 0%", "0/0 310B4 ALARM 65C mem 3628/15609 0%", ""},
        {"nputop_3_A3_Ascend910_25.2.0_busy.txt", "25.2.0", "25.2.0", 4,
         "0/0 phy0 Ascend910 OK 162.8W 37C hbm 3133/65536 0% 0000:9C:00.0",
         "1/1 phy3 Ascend910 OK 38C hbm 10568/65536 0% 0000:39:00.0 [990711 python 7746]", ""},
    }),
    [](const auto& info) {
      std::string name = info.param.file;
      for (char& c : name) c = std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
      return name;
    });

std::string Table(const std::string& rows) {
  return absl::StrCat(
      "+-------------------------------------------------------------------------------------------"
      "-----+\n"
      "| npu-smi 25.0.rc1                 Version: 25.0.rc1                                        "
      "     |\n"
      "+---------------------------+---------------+-----------------------------------------------"
      "-----+\n"
      "| NPU   Name                | Health        | Power(W)    Temp(C)           "
      "Hugepages-Usage(page)|\n"
      "| Chip                      | Bus-Id        | AICore(%)   Memory-Usage(MB)  HBM-Usage(MB)   "
      "     |\n"
      "+===========================+===============+==============================================="
      "=====+\n",
      rows,
      "+===========================+===============+==============================================="
      "=====+\n");
}

TEST(NpuSmiInfoTest, ReadingsThatFailedAreUnknownAndNotOk) {
  v1::Inventory inventory =
      ParseNpuSmiInfo(Table("| 0     910B3               | OK            | 0.0         0           "
                            "      0    / 0             |\n"
                            "| 0                         | 0000:C1:00.0  | 0           0    / 0    "
                            "      0    / 0             |\n"));
  ASSERT_THAT(inventory.chips(), SizeIs(1));
  EXPECT_EQ(Describe(inventory.chips(0)), "0/0 phy0 910B3 HEALTH_UNKNOWN 0000:C1:00.0");
  EXPECT_THAT(inventory.warnings(), Contains(HasSubstr("readings that failed")));
}

TEST(NpuSmiInfoTest, AnAlarmBesideAFailedReadingStaysAnAlarm) {
  v1::Inventory inventory =
      ParseNpuSmiInfo(Table("| 0     910B3               | Alarm         | 0.0         41          "
                            "      0    / 0             |\n"
                            "| 0                         | 0000:C1:00.0  | 0           0    / 0    "
                            "      3314 / 65536         |\n"));
  ASSERT_THAT(inventory.chips(), SizeIs(1));
  EXPECT_EQ(Describe(inventory.chips(0)),
            "0/0 phy0 910B3 ALARM 41C hbm 3314/65536 0% 0000:C1:00.0");
}

TEST(NpuSmiInfoTest, AChipRowWithoutItsNpuRowIsGoneAndKeepsItsPlace) {
  const std::string kSecondRow =
      "| 0                         | 0000:C2:00.0  | 0           0    / 0          3314 / 65536    "
      "     |\n";
  v1::Inventory inventory =
      ParseNpuSmiInfo(Table("| 0     910B3               | OK            | 92.0        39          "
                            "      0    / 0             |\n" +
                            kSecondRow + kSecondRow +
                            "| 2     910B3               | OK            | 92.0        39          "
                            "      0    / 0             |\n" +
                            kSecondRow));
  ASSERT_THAT(inventory.chips(), SizeIs(3));
  EXPECT_EQ(inventory.chips(1).health(), v1::Chip::GONE);
  EXPECT_EQ(inventory.chips(1).npu(), 1u);
  EXPECT_EQ(inventory.chips(2).npu(), 2u);
  EXPECT_THAT(inventory.warnings(), Contains(HasSubstr("0000:C2:00.0")));
}

TEST(NpuSmiInfoTest, TheFirstChipCanBeGone) {
  const std::string kSecondRow =
      "| 0                         | 0000:C2:00.0  | 0           0    / 0          3314 / 65536    "
      "     |\n";
  v1::Inventory inventory =
      ParseNpuSmiInfo(Table(kSecondRow +
                            "| 5     910B3               | OK            | 92.0        39          "
                            "      0    / 0             |\n" +
                            kSecondRow));
  ASSERT_THAT(inventory.chips(), SizeIs(2));
  EXPECT_EQ(inventory.chips(0).npu(), 4u);
  EXPECT_EQ(inventory.chips(0).health(), v1::Chip::GONE);
}

TEST(NpuSmiInfoTest, OutputThatIsCutOffAnywhereIsReadAsFarAsItIsWhole) {
  const std::string kWhole = ReadSample("npu_smi/910B3_8card_26.1.0_busy1_container-pid-col.txt");
  v1::Inventory whole = ParseNpuSmiInfo(kWhole);
  for (size_t length = 0; length < kWhole.size(); length += 7) {
    v1::Inventory cut = ParseNpuSmiInfo(std::string_view(kWhole).substr(0, length));
    ASSERT_LE(cut.chips_size(), whole.chips_size()) << length;
    for (int i = 0; i < cut.chips_size(); ++i) {
      // What is there is right; a figure cut in two is not taken for a smaller one.
      if (cut.chips(i).has_hbm_total_mib()) {
        EXPECT_EQ(cut.chips(i).hbm_total_mib(), whole.chips(i).hbm_total_mib()) << length;
      }
      EXPECT_EQ(cut.chips(i).npu(), whole.chips(i).npu()) << length;
    }
  }
}

TEST(NpuSmiInfoTest, ARowThatIsCutOffIsAWarning) {
  std::string text = ReadSample("npu_smi/910B3_8card_24.1.rc1.b030.txt");
  text.resize(text.find("3318 / 655") + 9);
  v1::Inventory inventory = ParseNpuSmiInfo(text);
  ASSERT_THAT(inventory.chips(), SizeIs(1));
  EXPECT_EQ(Describe(inventory.chips(0)), "0/0 910B3 OK 101.8W 43C");
  EXPECT_THAT(inventory.warnings(), Contains(HasSubstr("cut off")));
}

TEST(NpuSmiInfoTest, GarbageTenMegabytesAndForeignBytesAreWarnings) {
  std::string garbage;
  for (int i = 0; i < 100000; ++i) garbage += static_cast<char>((i * 7919 + i / 251) % 256);
  const std::string kRows =
      absl::StrCat(std::string(5 << 20, '|'), "\n", std::string(5 << 20, 'x'));
  for (const std::string& text :
       {garbage, kRows, std::string("|\n||\n|||\n| | |\n"), std::string("\xff\xfe|\xff|")}) {
    v1::Inventory inventory = ParseNpuSmiInfo(text);
    EXPECT_THAT(inventory.chips(), IsEmpty());
    EXPECT_THAT(inventory.warnings(), Contains(HasSubstr("no table of chips")));
    EXPECT_LE(inventory.warnings_size(), 25);
    EXPECT_TRUE(v1::Inventory().ParseFromString(inventory.SerializeAsString()));
  }
}

TEST(NpuSmiInfoTest, ForeignBytesInANameAreMadeFitForTheWire) {
  v1::Inventory inventory =
      ParseNpuSmiInfo(Table("| 0     910\xff\xfe            | OK            | 92.0        39       "
                            "         0    / 0             |\n"
                            "| 0                         | 0000:C1:00.0  | 0           0    / 0    "
                            "      3314 / 65536         |\n"));
  ASSERT_THAT(inventory.chips(), SizeIs(1));
  EXPECT_EQ(inventory.chips(0).name(), "910??");
}

TEST(NpuSmiInfoTest, CarriageReturnsDoNotMatter) {
  std::string text = ReadSample("npu_smi/910B3_8card_24.1.rc1.b030.txt");
  EXPECT_EQ(ParseNpuSmiInfo(absl::StrReplaceAll(text, {{"\n", "\r\n"}})).SerializeAsString(),
            ParseNpuSmiInfo(text).SerializeAsString());
}

TEST(NpuSmiInfoTest, ASecondTableReplacesTheFirst) {
  std::string text = ReadSample("npu_smi/910B3_8card_24.1.rc1.b030.txt") +
                     ReadSample("npu_smi/910B4_8card_25.2.0_busy1.txt");
  v1::Inventory inventory = ParseNpuSmiInfo(text);
  EXPECT_EQ(inventory.driver_version(), "25.2.0");
  EXPECT_THAT(inventory.chips(), SizeIs(8));
}

TEST(NpuSmiInfoTest, TheTrailerOfAnIncompleteInstallIsAWarningBesideTheChips) {
  v1::Inventory inventory =
      ParseNpuSmiInfo(ReadSample("npu_smi/910B3_8card_24.1.rc1.b030.txt") +
                      ReadSample("npu_smi/WARN_incomplete_install_trailer.txt"));
  EXPECT_THAT(inventory.chips(), SizeIs(8));
  EXPECT_THAT(inventory.warnings(), ElementsAre(HasSubstr("may not be completely installed")));
}

TEST(NpuSmiInfoTest, TheContainerPidColumnIsReadWhenItHoldsOne) {
  std::string text = ReadSample("npu_smi/910B3_8card_26.1.0_busy1_container-pid-col.txt");
  text =
      absl::StrReplaceAll(text, {{"5175                  | NA ", "5175                  | 77 "}});
  v1::Inventory inventory = ParseNpuSmiInfo(text);
  EXPECT_EQ(inventory.chips(0).processes(0).container_pid(), 77u);
}

TEST(NpuSmiHealthTest, CodesAreReadWithTheirInformation) {
  std::optional<NpuSmiHealth> health =
      ParseNpuSmiHealth(ReadSample("npu_smi/910A_health_Alarm_3codes.txt"));
  ASSERT_TRUE(health.has_value());
  EXPECT_EQ(health->health, v1::Chip::ALARM);
  EXPECT_THAT(health->error_codes, ElementsAre("A4025021", "8C03A000", "8C084E00"));
  EXPECT_THAT(health->information, HasSubstr("Heartbeat Lost."));
}

TEST(NpuSmiHealthTest, NaMeansNoCode) {
  for (const char* name : {"npu_smi/910A_health_OK.txt", "npu_smi/A5_950_official_health.txt"}) {
    std::optional<NpuSmiHealth> health = ParseNpuSmiHealth(ReadSample(name));
    ASSERT_TRUE(health.has_value()) << name;
    EXPECT_EQ(health->health, v1::Chip::OK);
    EXPECT_THAT(health->error_codes, IsEmpty());
  }
}

TEST(NpuSmiHealthTest, AFailureIsNoHealth) {
  EXPECT_FALSE(
      ParseNpuSmiHealth(ReadSample("npu_smi/FAIL_invalid_card_id_t-board.txt")).has_value());
  EXPECT_FALSE(ParseNpuSmiHealth("").has_value());
}

TEST(NpuSmiMappingTest, RowsAreReadByTheNamesOfTheColumns) {
  std::vector<NpuSmiMapping> rows =
      ParseNpuSmiMapping(ReadSample("npu_smi/910B3_25.5.1_info-m_with-Mcu.txt"));
  ASSERT_THAT(rows, SizeIs(2));
  EXPECT_EQ(rows[0].name, "Ascend 910B3");
  EXPECT_EQ(rows[0].logic_id, 0u);
  EXPECT_EQ(rows[1].name, "Mcu");
  EXPECT_FALSE(rows[1].logic_id.has_value());
  rows = ParseNpuSmiMapping(ReadSample("npu_smi/910A_8card_info-m.txt"));
  ASSERT_THAT(rows, SizeIs(8));
  EXPECT_EQ(rows[7].npu, 7u);
  rows = ParseNpuSmiMapping(ReadSample("npu_smi/A5_950_official_info-m.txt"));
  ASSERT_THAT(rows, SizeIs(1));
  EXPECT_EQ(rows[0].physical_id, 0u);
}

TEST(NpuSmiTest, ReturnCodesAreFound) {
  EXPECT_EQ(ParseReturnCode(ReadSample("npu_smi/FAIL_dcmi_-8005_ret4.txt")), -8005);
  EXPECT_EQ(ParseReturnCode("npu_get_card_device_id failed. err is 4"), 4);
  EXPECT_FALSE(ParseReturnCode("all is well").has_value());
}

TEST(NpuSmiTest, VersionInfoGivesTheVersionAndNoOtherKeyThatEndsInIt) {
  EXPECT_EQ(ParseVersionInfo(ReadSample("version_info_driver_firmware_23.0.7.txt")), "23.0.7");
  EXPECT_EQ(
      ParseVersionInfo("ascendhal_version=7.35.19\nfirmware_version=1.0\nVersion=7.1.0.11.220\r\n"),
      "7.1.0.11.220");
  EXPECT_EQ(ParseVersionInfo("package_version=23.0.7\n"), "");
}

TEST(NpuSmiTest, PrintableNeverCutsACharacterInTwo) {
  EXPECT_EQ(Printable("驱动", 4), "驱");
  EXPECT_EQ(Printable("a\xC3(\x1b"), "a?(?");
  EXPECT_EQ(Printable("\xED\xA0\x80"), "???");
}

}  // namespace
}  // namespace npufleet::npu
