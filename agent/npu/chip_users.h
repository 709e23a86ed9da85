// SPDX-License-Identifier: Apache-2.0
//
// Who uses the chips of this node, for what must not be done under anybody: a reset. Of a 910B
// server whose chips HCCS joins, `npu-smi set -t reset` resets every chip, whichever it names
// (npu_chip_set.c of hicann/driver: "hccs is on, it will reboot all devices"), so the answer is the
// whole node's. Unlike an inventory, a reading that failed is an error here, never an idle chip.
#ifndef AGENT_NPU_CHIP_USERS_H_
#define AGENT_NPU_CHIP_USERS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "agent/host/host.h"
#include "npufleet/v1/inventory.pb.h"

namespace npufleet::npu {

struct ChipUser {
  uint32_t npu = 0;  // npu-smi's NPU
  uint32_t chip = 0;
  uint32_t pid = 0;     // on the host
  uint32_t device = 0;  // N of /dev/davinciN
};

// By DCMI when its library can be opened, by npu-smi otherwise. Empty: every chip was asked, and
// nothing uses one. Unavailable when one of them did not tell.
absl::StatusOr<std::vector<ChipUser>> ReadChipUsers(host::Host& host);

// Of the process table under `npu-smi info`. Unavailable when the table is missing, cut off, or
// says nothing of a chip (neither a process nor "No running processes found in NPU N"), and when a
// chip's own readings failed.
absl::StatusOr<std::vector<ChipUser>> ParseNpuSmiUsers(std::string_view text);

// Of what ReadDcmi gave. Unavailable when a chip's processes are not told, or no chip is listed.
absl::StatusOr<std::vector<ChipUser>> DcmiUsers(const v1::Inventory& inventory);

}  // namespace npufleet::npu

#endif  // AGENT_NPU_CHIP_USERS_H_
