// SPDX-License-Identifier: Apache-2.0
//
// Whether the chips' own RoCE ports are ready to talk to other nodes: address, TLS switch and link
// of each; with peers, whether the chips reach theirs (ping_peers.h).
#ifndef AGENT_VERBS_CHECK_FABRIC_CHECK_FABRIC_H_
#define AGENT_VERBS_CHECK_FABRIC_CHECK_FABRIC_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: "0=29.1.0.10 1=29.1.1.10 … tls=0".
absl::StatusOr<std::unique_ptr<Verb>> MakeCheckFabric(const v1::CheckFabric& want,
                                                      const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_CHECK_FABRIC_CHECK_FABRIC_H_
