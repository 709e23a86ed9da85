// SPDX-License-Identifier: Apache-2.0
//
// The few packages of the distribution that the rollout needs (wget, …), and, where asked for, `yum
// update -y` once.
#ifndef AGENT_VERBS_INSTALL_PACKAGES_INSTALL_PACKAGES_H_
#define AGENT_VERBS_INSTALL_PACKAGES_INSTALL_PACKAGES_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: the wanted names, sorted. On a node with apt, skip_on_apt makes it present as it is.
absl::StatusOr<std::unique_ptr<Verb>> MakeInstallPackages(const v1::InstallPackages& want,
                                                          const v1::Subject& subject,
                                                          host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_INSTALL_PACKAGES_INSTALL_PACKAGES_H_
