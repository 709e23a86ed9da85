// SPDX-License-Identifier: Apache-2.0
//
// This test program is also the supervisor of its agents' durable steps and their reader by DCMI,
// as npufleet-agent is: what they install is installed by programs that really run.
#include <gtest/gtest.h>

#include <string_view>

#include "agent/npu/dcmi_child.h"
#include "agent/operations/supervisor.h"
#include "common/log.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "supervise") {
    return npufleet::operations::Supervise(argv[2]);
  }
  if (argc == 3 && std::string_view(argv[1]) == "read-dcmi") {
    return npufleet::npu::ReadDcmiForParent(argv[2]);
  }
  npufleet::log::SetLevel(npufleet::log::LevelFromName("error"));
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
