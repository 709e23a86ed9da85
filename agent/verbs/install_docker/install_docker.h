// SPDX-License-Identifier: Apache-2.0
//
// Docker, by the static archive and the runbook's unit, or by the distribution's packages.
#ifndef AGENT_VERBS_INSTALL_DOCKER_INSTALL_DOCKER_H_
#define AGENT_VERBS_INSTALL_DOCKER_INSTALL_DOCKER_H_

#include <memory>
#include <string_view>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: the version of the daemon. A daemon that answers with another version than wanted is
// DRIFTED.
absl::StatusOr<std::unique_ptr<Verb>> MakeInstallDocker(const v1::InstallDocker& want,
                                                        const v1::Subject& subject,
                                                        host::Host& host);

// By their numbers: "28.0.4" against "3:28.0.4-1.el9" is equal, "20.10.24+dfsg1" is less. Negative,
// 0, positive.
int CompareVersions(std::string_view a, std::string_view b);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_INSTALL_DOCKER_INSTALL_DOCKER_H_
