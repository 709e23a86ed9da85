// SPDX-License-Identifier: Apache-2.0
//
// `vllm serve` in the head's container, over the Ray that runs there. Token: PID@start of the
// server.
#ifndef AGENT_VERBS_START_ENGINE_START_ENGINE_H_
#define AGENT_VERBS_START_ENGINE_START_ENGINE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// A Check says present when the server's process lives and its port is open: whether it generates
// is for the probe. A server that still loads is absent, and Apply waits for it instead of starting
// another. The Check also bounds the server's log (engine_log.h). Where the nodes' models (inputs
// "model", "model@NODE") have other digests no server is started (CONFIG, MOD-10); beside one that
// came up before that, it is the reason.
absl::StatusOr<std::unique_ptr<Verb>> MakeStartEngine(const v1::StartEngine& start,
                                                      const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_ENGINE_START_ENGINE_H_
