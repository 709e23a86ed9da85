// SPDX-License-Identifier: Apache-2.0
//
// The commands: what the command line (command_line.h) fills in, and what runs it. Each returns
// ctl's exit code after it has said on stderr what went wrong.
#ifndef CONTROLLER_CTL_COMMANDS_H_
#define CONTROLLER_CTL_COMMANDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "controller/ctl/context.h"

namespace npufleet::ctl {

struct WaitOptions {
  bool wait = false;
  absl::Duration timeout = absl::InfiniteDuration();
};

// rollout_apply.cc
ExitCode ApplyRollout(Context& context, const std::string& file, const WaitOptions& wait);
// `commands`: also as the shell commands that an operator would have typed.
ExitCode PlanRollout(Context& context, const std::string& file, bool commands);

// rollout_view.cc
ExitCode ShowRollouts(Context& context);
ExitCode ShowRollout(Context& context, const std::string& name);
ExitCode ExplainTask(Context& context, const std::string& rollout, const std::string& task);
ExitCode WatchRollout(Context& context, const std::string& name, bool forever,
                      absl::Duration timeout);
ExitCode ShowHistory(Context& context, const std::string& name);
ExitCode ShowTaskLog(Context& context, const std::string& rollout, const std::string& task,
                     bool follow);
ExitCode ShowEvents(Context& context, const std::string& rollout, bool follow, uint64_t after);

// rollout_replay.cc: needs no controller.
ExitCode ReplayRollout(Context& context, const std::string& file);

// rollout_control.cc
ExitCode ControlRollout(Context& context, v1::ControlRolloutRequest request,
                        const WaitOptions& wait);
ExitCode DeleteRollout(Context& context, const std::string& name, const WaitOptions& wait);

// node_commands.cc
ExitCode ListNodes(Context& context);
ExitCode ShowNode(Context& context, const std::string& name);
ExitCode RebootNode(Context& context, const std::string& name);
ExitCode RemoveNode(Context& context, const std::string& name);
ExitCode ShowChips(Context& context);
ExitCode CreateToken(Context& context, const std::string& node, absl::Duration valid_for);

// chat_command.cc
struct ChatOptions {
  std::string rollout;  // empty: the only one that serves
  std::string prompt;
  uint32_t max_tokens = 512;
  bool stream = true;
  absl::Duration timeout = absl::Minutes(10);
};
ExitCode Chat(Context& context, const ChatOptions& options);

// spec_commands.cc
struct InitOptions {
  std::vector<std::string> nodes;  // NAME=ADDRESS[,NIC]: nobody is asked; NAME: the controller is
  uint32_t chips = 0;              // of each node; 0: what the nodes have, or 8
  std::string model;
  std::string name;
};
ExitCode InitSpec(Context& context, const InitOptions& options);
ExitCode ValidateSpec(Context& context, const std::string& file, bool resolved);
ExitCode PrintSchema(Context& context);
ExitCode ShowVersion(Context& context, bool client_only);

// Of a file, or of stdin for "-". NotFound when it cannot be read.
absl::StatusOr<std::string> ReadInput(Context& context, const std::string& file);

}  // namespace npufleet::ctl

#endif  // CONTROLLER_CTL_COMMANDS_H_
