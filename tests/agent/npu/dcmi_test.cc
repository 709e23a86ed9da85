// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/dcmi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>

namespace npufleet::npu {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A library with one card of an NPU and its MCU.
DcmiFunctions OneChip() {
  DcmiFunctions f;
  f.init = [] { return 0; };
  f.get_card_list = [](int* count, int* cards, int) {
    *count = 1;
    cards[0] = 5;
    return 0;
  };
  f.get_device_num_in_card = [](int, int* count) {
    *count = 2;
    return 0;
  };
  f.get_device_type = [](int, int device, int* type) {
    *type = device;  // 1 is the MCU
    return 0;
  };
  f.get_device_chip_info = [](int, int, void* info) {
    std::memcpy(static_cast<char*>(info) + 32, "910B3", 6);
    return 0;
  };
  f.get_device_health = [](int, int, unsigned* health) {
    *health = 2;
    return 0;
  };
  f.get_device_errorcode_v2 = [](int, int, int* count, unsigned* codes, unsigned) {
    *count = 1;
    codes[0] = 0x80E01801;
    return 0;
  };
  f.get_device_power_info = [](int, int, int* deciwatts) {
    *deciwatts = 1018;
    return 0;
  };
  f.get_device_temperature = [](int, int, int* celsius) {
    *celsius = 0x7fff;  // a reading that failed, by the header of DCMI
    return 0;
  };
  f.get_device_hbm_info = [](int, int, void* info) {
    uint64_t total = 65536, used = 3318;
    std::memcpy(info, &total, 8);
    std::memcpy(static_cast<char*>(info) + 16, &used, 8);
    return 0;
  };
  f.get_device_pcie_info_v2 = [](int, int, void* info) {
    uint32_t bus = 0xC1;
    std::memcpy(static_cast<char*>(info) + 20, &bus, 4);
    return 0;
  };
  f.get_device_utilization_rate = [](int, int, int, unsigned*) { return -8012; };
  return f;
}

TEST(DcmiTest, AChipIsReadAndTheMcuIsNone) {
  absl::StatusOr<v1::Inventory> inventory = ReadDcmi(OneChip());
  ASSERT_TRUE(inventory.ok()) << inventory.status();
  EXPECT_EQ(inventory->source(), "dcmi");
  ASSERT_EQ(inventory->chips_size(), 1);
  const v1::Chip& chip = inventory->chips(0);
  EXPECT_EQ(chip.npu(), 5u);
  EXPECT_EQ(chip.name(), "910B3");
  EXPECT_EQ(chip.health(), v1::Chip::ALARM);
  EXPECT_THAT(chip.error_codes(), ElementsAre("80E01801"));
  EXPECT_DOUBLE_EQ(chip.power_watts(), 101.8);
  EXPECT_EQ(chip.hbm_used_mib(), 3318u);
  EXPECT_EQ(chip.hbm_total_mib(), 65536u);
  EXPECT_EQ(chip.bus_id(), "0000:C1:00.0");
}

TEST(DcmiTest, AReadingThatFailedIsAbsentAndAWarning) {
  absl::StatusOr<v1::Inventory> inventory = ReadDcmi(OneChip());
  ASSERT_TRUE(inventory.ok());
  EXPECT_FALSE(inventory->chips(0).has_aicore_percent());
  EXPECT_FALSE(inventory->chips(0).has_temperature_celsius());
  EXPECT_THAT(inventory->warnings(), Contains(HasSubstr("-8012")));
}

TEST(DcmiTest, AFailedHealthQueryIsUnknown) {
  DcmiFunctions functions = OneChip();
  functions.get_device_health = [](int, int, unsigned* health) {
    *health = 0;
    return -8005;
  };
  EXPECT_EQ(ReadDcmi(functions)->chips(0).health(), v1::Chip::HEALTH_UNKNOWN);
  functions.get_device_health = [](int, int, unsigned* health) {
    *health = 0xFFFFFFFF;
    return 0;
  };
  EXPECT_EQ(ReadDcmi(functions)->chips(0).health(), v1::Chip::GONE);
}

TEST(DcmiTest, AnInitThatFailedNamesItsCode) {
  DcmiFunctions functions = OneChip();
  functions.init = [] { return -8005; };
  absl::StatusOr<v1::Inventory> inventory = ReadDcmi(functions);
  EXPECT_TRUE(absl::IsUnavailable(inventory.status()));
  EXPECT_THAT(std::string(inventory.status().message()), HasSubstr("-8005"));
}

TEST(DcmiTest, AnOldLibraryWithoutMostFunctionsStillListsItsChips) {
  DcmiFunctions functions;
  functions.init = OneChip().init;
  functions.get_card_list = OneChip().get_card_list;
  functions.get_device_num_in_card = [](int, int* count) {
    *count = 1;
    return 0;
  };
  absl::StatusOr<v1::Inventory> inventory = ReadDcmi(functions);
  ASSERT_TRUE(inventory.ok());
  ASSERT_EQ(inventory->chips_size(), 1);
  EXPECT_EQ(inventory->chips(0).health(), v1::Chip::HEALTH_UNKNOWN);
}

}  // namespace
}  // namespace npufleet::npu
