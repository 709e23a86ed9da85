// SPDX-License-Identifier: Apache-2.0
//
// Running npu-smi and hccn_tool. The driver's tools find their libraries only with an
// LD_LIBRARY_PATH that no daemon has by itself: without it they end with "error while loading
// shared libraries: libc_sec.so".
#ifndef AGENT_NPU_TOOL_H_
#define AGENT_NPU_TOOL_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "agent/host/host.h"

namespace npufleet::npu {

inline constexpr absl::Duration kNpuToolDeadline = absl::Seconds(20);

// The library path of the driver, and `deadline`.
host::ProcessOptions NpuToolOptions(const host::Host& host, absl::Duration deadline);

// As Subprocess::Run, with the library path of the driver. The tools hang when a chip does: the
// deadline kills them.
absl::StatusOr<host::ProcessResult> RunNpuTool(host::Host& host,
                                               const std::vector<std::string>& argv,
                                               absl::Duration deadline = kNpuToolDeadline);

}  // namespace npufleet::npu

#endif  // AGENT_NPU_TOOL_H_
