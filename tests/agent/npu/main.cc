// SPDX-License-Identifier: Apache-2.0
//
// This test program is also the process in which it reads by DCMI, as npufleet-agent is.
#include <gtest/gtest.h>

#include <string_view>

#include "agent/npu/dcmi_child.h"

int main(int argc, char** argv) {
  if (argc == 3 && std::string_view(argv[1]) == "read-dcmi") {
    return npufleet::npu::ReadDcmiForParent(argv[2]);
  }
  ::testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
