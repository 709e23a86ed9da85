// SPDX-License-Identifier: Apache-2.0
//
// DCMI in a process of its own: a call into a driver that hangs never returns, and would take the
// thread that made it. The process is this same program as `read-dcmi ROOT`; it is run as npu-smi
// is, and killed at the same deadline. As npu-smi: one call at a time on a node.
#ifndef AGENT_NPU_DCMI_CHILD_H_
#define AGENT_NPU_DCMI_CHILD_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/host.h"
#include "agent/npu/tool.h"
#include "npufleet/v1/inventory.pb.h"

namespace npufleet::npu {

// What ReadDcmi says there. NotFound and FailedPrecondition are those of DcmiLibrary::Open; without
// a library nothing is started. DeadlineExceeded: the driver hangs, and so would npu-smi, which
// asks the same library. Unavailable: all else, the end of the process included.
absl::StatusOr<v1::Inventory> ReadDcmiInChild(host::Host& host,
                                              absl::Duration deadline = kNpuToolDeadline);

// That process: prints the inventory as JSON, or why there is none. Returns main()'s exit status.
int ReadDcmiForParent(const std::string& root);

}  // namespace npufleet::npu

#endif  // AGENT_NPU_DCMI_CHILD_H_
