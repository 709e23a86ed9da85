// SPDX-License-Identifier: Apache-2.0
//
// Ascend-docker-runtime by its .run package, as Docker's default runtime. A user's own keys of
// daemon.json stay, and Docker is restarted only when its configuration changed.
#ifndef AGENT_VERBS_INSTALL_RUNTIME_INSTALL_RUNTIME_H_
#define AGENT_VERBS_INSTALL_RUNTIME_INSTALL_RUNTIME_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: "6.0.0 1f2e3d4c5b6a", the version and a digest of our keys of daemon.json.
absl::StatusOr<std::unique_ptr<Verb>> MakeInstallRuntime(const v1::InstallRuntime& want,
                                                         const v1::Subject& subject,
                                                         host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_INSTALL_RUNTIME_INSTALL_RUNTIME_H_
