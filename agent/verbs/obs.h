// SPDX-License-Identifier: Apache-2.0
//
// Downloads from Huawei's object store by obsutil (runbook 2.3). The keys reach each by a 0600 file
// of its own, which is there only as long as it runs.
#ifndef AGENT_VERBS_OBS_H_
#define AGENT_VERBS_OBS_H_

#include <string>
#include <string_view>

#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// obsutil cp URL TARGET: one object into the file `target`, or, when the URL ends with a slash, all
// below it into the folder `target`, without the prefix. What is there already is not fetched
// again. As a durable step. Success is exit 0 and something at `target`; failures are those of the
// signature table for `stage`, CONFIG without obsutil or without keys.
absl::Status CopyFromObs(host::Host& host, Execution& execution, const v1::ObsAccess& access,
                         const std::string& url, const std::string& target, std::string_view stage);

// Removes the files with keys that a crash left behind: for the start of the agent, before it
// resumes what it did. obsutil, which may run on, has read its own long before.
absl::Status RemoveObsConfigs(host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_OBS_H_
