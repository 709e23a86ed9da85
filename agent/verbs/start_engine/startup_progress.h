// SPDX-License-Identifier: Apache-2.0
//
// How far a starting vLLM is, by the lines of its log; the wording of 0.7 to 0.18. Pure.
#ifndef AGENT_VERBS_START_ENGINE_STARTUP_PROGRESS_H_
#define AGENT_VERBS_START_ENGINE_STARTUP_PROGRESS_H_

#include <optional>
#include <string_view>

#include "npufleet/v1/operation.pb.h"

namespace npufleet::verbs {

class StartupProgress {
 public:
  // The progress in percent when `line` brings it further. It never goes back: several processes
  // write into one log.
  std::optional<v1::Progress> Read(std::string_view line);

 private:
  uint64_t percent_ = 0;
};

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_STARTUP_PROGRESS_H_
