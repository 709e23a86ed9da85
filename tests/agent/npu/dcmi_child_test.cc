// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/dcmi_child.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "agent/npu/chip_users.h"
#include "agent/npu/inventory.h"
#include "tests/fakes/fake_host.h"

namespace npufleet::npu {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr char kLibrary[] = "/usr/local/dcmi/libdcmi.so";

// A node with the double of libdcmi.so, read by a process that really runs.
class DcmiChildTest : public ::testing::Test {
 protected:
  void SetUp() override {
    host().subprocess = host::MakeSubprocess(node_.root(), {"/usr/bin", "/bin"});
    ASSERT_TRUE(node_.files().MakeFolders("/usr/local/dcmi").ok());
    const auto made = host().subprocess->Run(
        {"cc", "-shared", "-fPIC", "-o", node_.root() + kLibrary,
         absl::StrCat(NPUFLEET_SOURCE_DIR, "/tests/doubles/dcmi/libdcmi.c")});
    ASSERT_TRUE(made.ok() && made->ok()) << made.status() << (made.ok() ? made->err : "");
    setenv("NPUFLEET_DOUBLE_ROOT", node_.root().c_str(), 1);
  }
  void TearDown() override { unsetenv("NPUFLEET_DOUBLE_ROOT"); }

  host::Host& host() { return node_.host(); }
  void LibrarySays(const std::string& text) {
    ASSERT_TRUE(node_.files().Write("/var/lib/npufleet-doubles/dcmi", text).ok());
  }

  fakes::FakeHost node_;
};

TEST_F(DcmiChildTest, WhatTheLibrarySaysComesThroughWhole) {
  LibrarySays(
      "driver_version 25.2.0\n"
      "chip 5 0 name=910B3 logic_id=0 physical_id=5 health=2 deciwatts=1018 hbm_used=3318 "
      "hbm_total=65536 bus=0000:C1:00.0 codes=80E01801 processes=4711:1048576 "
      "fail=device_temperature:-8012\n");
  const absl::StatusOr<v1::Inventory> inventory = ReadDcmiInChild(host());
  ASSERT_TRUE(inventory.ok()) << inventory.status();
  EXPECT_EQ(inventory->source(), "dcmi");
  EXPECT_EQ(inventory->driver_version(), "25.2.0");
  EXPECT_THAT(inventory->warnings(), ElementsAre(HasSubstr("-8012")));
  ASSERT_THAT(inventory->chips(), SizeIs(1));
  const v1::Chip& chip = inventory->chips(0);
  EXPECT_EQ(chip.npu(), 5u);
  EXPECT_EQ(chip.health(), v1::Chip::ALARM);
  EXPECT_DOUBLE_EQ(chip.power_watts(), 101.8);
  EXPECT_FALSE(chip.has_temperature_celsius());
  EXPECT_EQ(chip.hbm_total_mib(), 65536u);
  EXPECT_THAT(chip.error_codes(), ElementsAre("80E01801"));
  const auto users = ReadChipUsers(host());
  ASSERT_TRUE(users.ok()) << users.status();
  ASSERT_THAT(*users, SizeIs(1));
  EXPECT_EQ((*users)[0].pid, 4711u);
}

TEST_F(DcmiChildTest, ADriverThatHangsIsKilledAtTheDeadline) {
  LibrarySays("chip 5 0 name=910B3 hang=device_health\n");
  const auto inventory = ReadDcmiInChild(host(), absl::Milliseconds(500));
  EXPECT_TRUE(absl::IsDeadlineExceeded(inventory.status())) << inventory.status();
  EXPECT_THAT(inventory.status().message(), HasSubstr("reading by DCMI"));
}

TEST_F(DcmiChildTest, AFailureIsToldInOneLineWhateverTheLibraryPrints) {
  LibrarySays("init -8005\n");
  const auto inventory = ReadDcmiInChild(host());
  EXPECT_TRUE(absl::IsUnavailable(inventory.status()));
  EXPECT_EQ(inventory.status().message(), "dcmi_init failed. ret is -8005");
}

TEST_F(DcmiChildTest, ALibraryThatCannotBeOpenedIsToldFromOneThatFails) {
  ASSERT_TRUE(node_.files().Write(kLibrary, "no ELF").ok());
  const auto inventory = ReadDcmiInChild(host());
  EXPECT_TRUE(absl::IsFailedPrecondition(inventory.status())) << inventory.status();
  EXPECT_THAT(inventory.status().message(), HasSubstr(kLibrary));
}

TEST_F(DcmiChildTest, WithoutALibraryNothingIsStarted) {
  ASSERT_TRUE(node_.files().Remove(kLibrary).ok());
  host().subprocess = std::make_unique<fakes::FakeSubprocess>();
  EXPECT_TRUE(absl::IsNotFound(ReadDcmiInChild(host()).status()));
  EXPECT_THAT(node_.programs().Calls(), IsEmpty());
}

}  // namespace
}  // namespace npufleet::npu
