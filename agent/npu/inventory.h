// SPDX-License-Identifier: Apache-2.0
//
// The NPUs of this node: DCMI when its library is there, npu-smi when that fails, one struct out. A
// reading that failed is absent from the struct and named in its warnings; it is never 0 or OK.
// Both are killed at a deadline: of a driver that hangs there are no chips, and DEADLINE_EXCEEDED.
// npu-smi and DCMI are not made for concurrent use: one call at a time on a node.
#ifndef AGENT_NPU_INVENTORY_H_
#define AGENT_NPU_INVENTORY_H_

#include <string>
#include <string_view>

#include "agent/host/host.h"
#include "npufleet/v1/inventory.pb.h"

namespace npufleet::npu {

// Never fails: what cannot be read is a warning. `node` is left empty; `time` is the host's clock.
v1::Inventory ReadInventory(host::Host& host);

// What can be read out of the pasted output of `npu-smi info`, in any of its layouts, whatever
// stands around it. Text that is no such output gives no chips and a warning.
v1::Inventory InventoryFromText(std::string_view text);

// A table for people, one line a chip; "-" where nothing is known. Ends with a newline.
std::string RenderInventoryTable(const v1::Inventory& inventory);

}  // namespace npufleet::npu

#endif  // AGENT_NPU_INVENTORY_H_
