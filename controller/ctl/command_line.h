// SPDX-License-Identifier: Apache-2.0
//
// ctl's command line: all commands, their options and their help. CLI11, which is slow to compile,
// is included in its .cc alone.
#ifndef CONTROLLER_CTL_COMMAND_LINE_H_
#define CONTROLLER_CTL_COMMAND_LINE_H_

#include <string>
#include <vector>

#include "controller/ctl/context.h"
#include "controller/ctl/exit_code.h"
#include "controller/ctl/terminal.h"

namespace npufleet::ctl {

// Parses `arguments` (without the program's name) and runs the command. Help goes to stdout and is
// kDone; a wrong command line is said on stderr and is kUsage.
ExitCode RunCtl(std::vector<std::string> arguments, Terminal& terminal, const Program& program);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_COMMAND_LINE_H_
