// SPDX-License-Identifier: Apache-2.0
//
// The model's folder, complete and verified. Token: the digest of its manifest, which is the same
// on all nodes that hold the same files.
#ifndef AGENT_VERBS_FETCH_MODEL_FETCH_MODEL_H_
#define AGENT_VERBS_FETCH_MODEL_FETCH_MODEL_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// A Check compares sizes and times with the manifest, and reads only a file whose time alone
// differs.
absl::StatusOr<std::unique_ptr<Verb>> MakeFetchModel(const v1::FetchModel& fetch,
                                                     const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_FETCH_MODEL_FETCH_MODEL_H_
