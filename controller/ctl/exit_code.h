// SPDX-License-Identifier: Apache-2.0
//
// ctl's exit codes are part of its interface: scripts branch on them.
#ifndef CONTROLLER_CTL_EXIT_CODE_H_
#define CONTROLLER_CTL_EXIT_CODE_H_

namespace npufleet::ctl {

enum class ExitCode {
  kDone = 0,
  kFailed = 1,  // the rollout failed, or the controller refused
  kUsage = 2,   // wrong command line or configuration, or a bad spec: nothing was sent or stored
  kUnreachable = 3,  // no controller, or no endpoint, answered; or it asks to come back later
  kTimedOut = 4,     // --timeout ran out; what was asked for goes on
};

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_EXIT_CODE_H_
