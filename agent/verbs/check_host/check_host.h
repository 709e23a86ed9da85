// SPDX-License-Identifier: Apache-2.0
//
// Preflight: whether this node can be what the spec says of it. Everything wrong is a failure that
// names the figure or both sides. Free space is a condition of the first rollout only, since the
// rollout itself uses it up: Apply measures it once and notes that for these amounts it was enough.
#ifndef AGENT_VERBS_CHECK_HOST_CHECK_HOST_H_
#define AGENT_VERBS_CHECK_HOST_CHECK_HOST_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: "openEuler 22.03 aarch64".
absl::StatusOr<std::unique_ptr<Verb>> MakeCheckHost(const v1::CheckHost& want,
                                                    const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_CHECK_HOST_CHECK_HOST_H_
