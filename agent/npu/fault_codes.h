// SPDX-License-Identifier: Apache-2.0
//
// What the field does about a chip's fault code, and what we do. The classes and their codes are
// those of Ascend/mind-cluster (Apache-2.0), component/ascend-device-plugin/build/faultCode.json at
// 22bb3d98 of 2026-08-21: all 804 entries, 802 codes. Pure, threadsafe.
#ifndef AGENT_NPU_FAULT_CODES_H_
#define AGENT_NPU_FAULT_CODES_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace npufleet::npu {

// The field's classes, from the mildest to the worst.
enum class FaultClass {
  kNotHandle,
  kSubHealth,
  kRestartRequest,
  kRestartBusiness,
  kFreeRestartNpu,
  kRestartNpu,
  kPreSeparateNpu,
  kSeparateNpu,
};

// What we do, from the mildest to the worst.
enum class FaultAction {
  kGoOn,           // shown: NotHandle, SubHealth, RestartRequest (a request that failed is the
                   // client's to repeat), and every code that is not listed
  kRestartServer,  // RestartBusiness: when the server fails, which it does by itself
  kResetChip,      // FreeRestartNPU, RestartNPU: once nothing uses the chip
  kReplace,        // SeparateNPU; and PreSeparateNPU, whose meaning is that what runs may go on but
                   // nothing is to be started on the chip again
};

// "80E18005", "0x80e18005", "020001002": 8 hex digits, or the 9 of a fault that a cluster reports.
std::optional<uint64_t> ParseFaultCode(std::string_view text);

// As npu-smi prints it: upper case, no prefix, 8 digits at least. Other text as it is.
std::string NormalFaultCode(std::string_view text);

// Nothing for a code that is not listed. A code of two classes is of the worse one, as it is to
// the device plugin.
std::optional<FaultClass> FaultClassOf(std::string_view code);

// All codes of a class, ascending, for tests and documentation.
std::vector<uint64_t> FaultCodesOf(FaultClass fault_class);

FaultAction ActionFor(FaultClass fault_class);
// kGoOn for a code that is not listed: to reset or to give up a chip for an unknown reason harms.
FaultAction ActionFor(std::string_view code);

}  // namespace npufleet::npu

#endif  // AGENT_NPU_FAULT_CODES_H_
