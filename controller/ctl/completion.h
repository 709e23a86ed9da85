// SPDX-License-Identifier: Apache-2.0
//
// Shell completion out of the command tree, so that it never lags behind it. Pure.
#ifndef CONTROLLER_CTL_COMPLETION_H_
#define CONTROLLER_CTL_COMPLETION_H_

#include <string>
#include <vector>

namespace npufleet::ctl {

struct CommandOption {
  std::vector<std::string> names;   // "-f", "--file"
  std::vector<std::string> values;  // the words that it takes; empty: anything, or nothing
  bool is_file = false;
};

struct CommandNode {
  std::string name;
  std::string description;
  std::vector<std::string> arguments;  // the words that an argument of it may be
  std::vector<CommandOption> options;
  std::vector<CommandNode> commands;
};

// "-f", "--file", "--wait": of this command alone.
std::vector<std::string> OptionNames(const CommandNode& command);

// Options of `root` are offered behind every command: ctl takes them there.
// `shell` is bash, zsh or fish; an empty text for any other.
std::string CompletionScript(const CommandNode& root, const std::string& shell);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_COMPLETION_H_
