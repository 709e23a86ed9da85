// SPDX-License-Identifier: Apache-2.0
//
// The fault codes of a chip, by what is done about them. Pure.
#ifndef AGENT_VERBS_CHECK_NPUS_FAULTY_CHIP_H_
#define AGENT_VERBS_CHECK_NPUS_FAULTY_CHIP_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "agent/npu/fault_codes.h"
#include "npufleet/v1/inventory.pb.h"

namespace npufleet::verbs {

// A chip whose codes call for a reset, and only those codes.
struct FaultyChip {
  uint32_t id = 0;  // N of /dev/davinciN
  uint32_t npu = 0;
  uint32_t chip = 0;
  std::vector<std::string> codes;

  // "chip 1 must be reset: fault 80E18005"
  std::string What() const;
};

std::vector<std::string> CodesFor(const v1::Chip& chip, npu::FaultAction action);

// What each code of the chip leads to; empty when it has none. `reset` is what is said of a code
// that calls for a reset: "80E18005: reset once nothing uses the chips; 80E01801: …".
std::string DescribeFaults(const v1::Chip& chip, std::string_view reset);

}  // namespace npufleet::verbs

#endif  // AGENT_VERBS_CHECK_NPUS_FAULTY_CHIP_H_
