// SPDX-License-Identifier: Apache-2.0
//
// What the vLLM of an image says about itself. Asked once for each image in the life of the agent:
// it imports torch, which takes many seconds.
#ifndef AGENT_VERBS_START_ENGINE_ENGINE_IMAGE_H_
#define AGENT_VERBS_START_ENGINE_ENGINE_IMAGE_H_

#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/verbs/start_engine/command_line.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

struct EngineImage {
  std::optional<EngineVersion> version;  // nothing: it prints none that can be read
  std::set<std::string> options;         // empty: it prints no whole help
};

// `environment` is the server's. A vLLM that is not there or does not start is a failure with its
// signature; what it does not say is only logged.
absl::StatusOr<EngineImage> AskEngineImage(host::Host& host, std::string_view container,
                                           std::string_view image_id,
                                           const std::map<std::string, std::string>& environment,
                                           Execution& execution);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_ENGINE_IMAGE_H_
