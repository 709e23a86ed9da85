// SPDX-License-Identifier: Apache-2.0
//
// Whether the wanted chips are there. What a chip lacks in the first minutes of a boot is unknown;
// after that it is hardware.
#ifndef AGENT_VERBS_CHECK_NPUS_CHECK_NPUS_H_
#define AGENT_VERBS_CHECK_NPUS_CHECK_NPUS_H_

#include <memory>

#include "absl/status/statusor.h"
#include "agent/verbs/verb.h"

namespace npufleet::verbs {

// Token: "0:910B3 1:910B3 …", in the order of the ids. Health, codes and figures are facts, no
// token.
absl::StatusOr<std::unique_ptr<Verb>> MakeCheckNpus(const v1::CheckNpus& want,
                                                    const v1::Subject& subject, host::Host& host);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_CHECK_NPUS_CHECK_NPUS_H_
