// SPDX-License-Identifier: Apache-2.0
//
// The image under the spec's name, by docker load or docker pull. Token: its id. An image that had
// the name before stays, without it.
#ifndef AGENT_VERBS_LOAD_IMAGE_LOAD_IMAGE_H_
#define AGENT_VERBS_LOAD_IMAGE_LOAD_IMAGE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

absl::StatusOr<std::unique_ptr<Verb>> MakeLoadImage(const v1::LoadImage& load,
                                                    const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_LOAD_IMAGE_LOAD_IMAGE_H_
