// SPDX-License-Identifier: Apache-2.0
//
// Huawei's obsutil from its archive (runbook 2.3), as /usr/local/bin/obsutil. Its keys are no
// business of this verb: they are read where something is fetched (agent/verbs/obs.h).
#ifndef AGENT_VERBS_INSTALL_OBSUTIL_INSTALL_OBSUTIL_H_
#define AGENT_VERBS_INSTALL_OBSUTIL_INSTALL_OBSUTIL_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: the version that the program on the path says. The archive's program is asked for its
// version before it takes the old one's place.
absl::StatusOr<std::unique_ptr<Verb>> MakeInstallObsutil(const v1::InstallObsutil& want,
                                                         const v1::Subject& subject,
                                                         host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_INSTALL_OBSUTIL_INSTALL_OBSUTIL_H_
