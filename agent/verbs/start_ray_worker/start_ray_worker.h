// SPDX-License-Identifier: Apache-2.0
//
// `ray start --address` in the container: a raylet that the head's GCS lists as alive. Token: its
// node.
#ifndef AGENT_VERBS_START_RAY_WORKER_START_RAY_WORKER_H_
#define AGENT_VERBS_START_RAY_WORKER_START_RAY_WORKER_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

absl::StatusOr<std::unique_ptr<Verb>> MakeStartRayWorker(const v1::StartRayWorker& start,
                                                         const v1::Subject& subject,
                                                         host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_RAY_WORKER_START_RAY_WORKER_H_
