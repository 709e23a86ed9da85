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
// being generated for anybody. The second waits for what is left of twice the deadline after a
// period, at least for half the deadline: so an engine that hangs is found out within twice the
// deadline when the period is at most half of it.
absl::StatusOr<std::unique_ptr<Verb>> MakeProbeEngine(const v1::ProbeEngine& probe,
                                                      const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_PROBE_ENGINE_PROBE_ENGINE_H_
