// SPDX-License-Identifier: Apache-2.0
//
// What the text that npu-smi and the driver package leave says. Pure: text in, values out; any text
// is allowed. The tables are read by the names of their headers and by their `|` cells, never by
// offsets: widths, columns and blanks differ between releases and chips.
#ifndef AGENT_NPU_NPU_SMI_H_
#define AGENT_NPU_NPU_SMI_H_

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "npufleet/v1/inventory.pb.h"

namespace npufleet::npu {

// Parts of the warnings of ParseNpuSmiInfo that say that the text itself, not a chip, is at fault.
inline constexpr char kCutOff[] = "the output of npu-smi was cut off";
inline constexpr char kNotUnderstood[] = "and no message that we know";

// `npu-smi info`. Failed queries of the tool show as zeroes beside a health "OK": power 0.0, HBM
// 0/0 and temperature 0 are therefore absent here, and such an "OK" is HEALTH_UNKNOWN. A chip whose
// first row is missing is GONE. What could not be read is a warning.
v1::Inventory ParseNpuSmiInfo(std::string_view text);

struct NpuSmiHealth {
  v1::Chip::Health health = v1::Chip::HEALTH_UNKNOWN;
  std::vector<std::string> error_codes;  // 8 upper-case hex digits
  std::string information;               // of the error codes, on one line
};
// `npu-smi info -t health -i N -c M`. Nothing when there is no health in it.
std::optional<NpuSmiHealth> ParseNpuSmiHealth(std::string_view text);

struct NpuSmiMapping {
  uint32_t npu = 0;
  uint32_t chip = 0;
  std::optional<uint32_t> logic_id;     // absent for what is no NPU (Mcu)
  std::optional<uint32_t> physical_id;  // only where there is a column for it
  std::string name;                     // "Ascend 910B3", "Mcu"
};
// `npu-smi info -m`, all rows.
std::vector<NpuSmiMapping> ParseNpuSmiMapping(std::string_view text);

// The code of "… ret is -8005", "… err is 4"; nothing when the text has none.
std::optional<int> ParseReturnCode(std::string_view text);

// driver/version.info and firmware/version.info: the value of `Version=`; empty when it has none.
std::string ParseVersionInfo(std::string_view text);

// Health words of npu-smi; anything else is HEALTH_UNKNOWN.
v1::Chip::Health HealthFromWord(std::string_view word);

// Foreign bytes made fit for a proto string or a log: invalid UTF-8 and control characters become
// '?', and what is longer than `max_bytes` is cut.
std::string Printable(std::string_view text, size_t max_bytes = 300);

}  // namespace npufleet::npu

#endif  // AGENT_NPU_NPU_SMI_H_
