// SPDX-License-Identifier: Apache-2.0
//
// Whether the wanted chips are there, and what their fault codes call for
// (agent/npu/fault_codes.h); the health word alone decides nothing. What a chip lacks in the first
// minutes of a boot is unknown; after that it is hardware.
//
//   go on, restart the server   present; the code and what is done are facts, and the reason
//   reset the chip              present while anything uses a chip of the node, or while that
//                               cannot be seen; then absent, and Apply resets it. A code that stays
//                               is REBOOT once, and HARDWARE when it stays after that boot, too
//   replace                     absent, HARDWARE
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
