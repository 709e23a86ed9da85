// SPDX-License-Identifier: Apache-2.0
//
// Shell completion out of the command tree, so that it never lags behind it. Pure.
#ifndef CONTROLLER_CTL_COMPLETION_H_
#define CONTROLLER_CTL_COMPLETION_H_

#include <string>
#include <vector>

namespace npufleet::ctl {

struct CommandNode {
  std::string name;
  std::string description;
  std::vector<std::string> options;  // "--wait", "-f"
  std::vector<CommandNode> commands;
};

// `shell` is bash, zsh or fish; an empty text for any other.
std::string CompletionScript(const CommandNode& root, const std::string& shell);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_COMPLETION_H_
