// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>

#include "controller/ctl/command_line.h"

int main(int argc, char** argv) {
  // gRPC writes its own lines on stderr beside ours, which say the same.
  setenv("GRPC_VERBOSITY", "NONE", /*overwrite=*/0);
  npufleet::ctl::Terminal terminal = npufleet::ctl::Terminal::OfProcess();
  npufleet::ctl::Program program{NPUFLEET_VERSION, NPUFLEET_COMMIT};
  return static_cast<int>(npufleet::ctl::RunCtl({argv + 1, argv + argc}, terminal, program));
}
