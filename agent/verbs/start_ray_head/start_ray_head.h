// SPDX-License-Identifier: Apache-2.0
//
// `ray start --head` in the container: GCS and the raylet of the head node. Token: the session.
#ifndef AGENT_VERBS_START_RAY_HEAD_START_RAY_HEAD_H_
#define AGENT_VERBS_START_RAY_HEAD_START_RAY_HEAD_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

absl::StatusOr<std::unique_ptr<Verb>> MakeStartRayHead(const v1::StartRayHead& start,
                                                       const v1::Subject& subject,
                                                       host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_START_RAY_HEAD_START_RAY_HEAD_H_
