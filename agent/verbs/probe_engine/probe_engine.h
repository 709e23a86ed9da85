// SPDX-License-Identifier: Apache-2.0
//
// Whether the endpoint generates tokens: one chat completion. /health says nothing about the ranks.
#ifndef AGENT_VERBS_PROBE_ENGINE_PROBE_ENGINE_H_
#define AGENT_VERBS_PROBE_ENGINE_PROBE_ENGINE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// A Check is one completion, and a second one when no token was generated for anybody for the
// deadline while the first was waited for. The second waits for what is left of twice the deadline
// after a period, at least for 5/12 of the deadline: so an engine that hangs is found out within
// twice the deadline when the period is at most half of it, also one that hangs in the middle of an
// answer. One that has no answer within the deadline and generates tokens is busy, and present.
absl::StatusOr<std::unique_ptr<Verb>> MakeProbeEngine(const v1::ProbeEngine& probe,
                                                      const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_PROBE_ENGINE_PROBE_ENGINE_H_
