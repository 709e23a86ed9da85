// SPDX-License-Identifier: Apache-2.0
//
// Whether the endpoint generates tokens: one chat completion. /health says nothing about the ranks.
#ifndef AGENT_VERBS_PROBE_ENGINE_PROBE_ENGINE_H_
#define AGENT_VERBS_PROBE_ENGINE_PROBE_ENGINE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// A Check is one completion, and a second one when the first missed its deadline without a token
// being generated for anybody; it may take twice the message's deadline.
absl::StatusOr<std::unique_ptr<Verb>> MakeProbeEngine(const v1::ProbeEngine& probe,
                                                      const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_PROBE_ENGINE_PROBE_ENGINE_H_
