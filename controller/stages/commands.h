// SPDX-License-Identifier: Apache-2.0
//
// A verb as the shell commands that an operator would have typed on the node: the runbook, for this
// fleet. They are for reading; the agent runs no shell. Lines of a container's shell stand between
// `docker exec` and `exit`. Secrets are masked. Pure.
#ifndef CONTROLLER_STAGES_COMMANDS_H_
#define CONTROLLER_STAGES_COMMANDS_H_

#include <string>
#include <vector>

#include "npufleet/v1/verbs.pb.h"

namespace npufleet::stages {

// What is known of the node; each may be empty.
struct Circumstances {
  std::string os;            // token of preflight: "openeuler 22.03 aarch64"
  std::string standing;      // token of what stands in the place of what is wanted
  std::string image;         // of the container: its tag tells the version of vLLM
  std::string missing = {};  // of fetch_installers: its fact of that name; empty: all files
};

// What makes it so. Of a verb that only looks: what one looks with.
std::vector<std::string> ApplyCommands(const v1::Verb& verb, const Circumstances& circumstances);

// What stops what the verb starts; empty for one that starts nothing.
std::vector<std::string> StopCommands(const v1::Verb& verb);

}  // namespace npufleet::stages

#endif  // CONTROLLER_STAGES_COMMANDS_H_
