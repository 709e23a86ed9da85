// SPDX-License-Identifier: Apache-2.0
//
// The container and what runs in it, as shell commands (commands.h). Pure.
#ifndef CONTROLLER_STAGES_CONTAINER_COMMANDS_H_
#define CONTROLLER_STAGES_CONTAINER_COMMANDS_H_

#include <string>
#include <vector>

#include "npufleet/v1/verbs.pb.h"

namespace npufleet::stages {

// `standing`: the container of that name that is there, if any.
std::vector<std::string> RunContainerCommands(const v1::RunContainer& run,
                                              const std::string& standing);
std::vector<std::string> StartRayHeadCommands(const v1::StartRayHead& start);
std::vector<std::string> StartRayWorkerCommands(const v1::StartRayWorker& start);
// As the agent would start it: adapted to the version of vLLM that the tag of `image` tells, and
// with the names that no vLLM has replaced. Each change has a line of comment.
std::vector<std::string> StartEngineCommands(const v1::StartEngine& start,
                                             const std::string& image);
std::vector<std::string> ProbeEngineCommands(const v1::ProbeEngine& probe);

}  // namespace npufleet::stages

#endif  // CONTROLLER_STAGES_CONTAINER_COMMANDS_H_
