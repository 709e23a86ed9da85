// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/chip_users.h"

#include <set>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "agent/npu/dcmi.h"
#include "agent/npu/dcmi_child.h"
#include "agent/npu/npu_smi.h"
#include "agent/npu/tool.h"
#include "common/string_views.h"

namespace npufleet::npu {
namespace {

constexpr absl::string_view kIdle = "No running processes found in NPU ";

std::vector<ChipUser> UsersOf(const v1::Inventory& inventory) {
  std::vector<ChipUser> users;
  for (const v1::Chip& chip : inventory.chips()) {
    for (const v1::Chip::Process& process : chip.processes()) {
      users.push_back({chip.npu(), chip.chip(), process.pid(),
                       chip.has_physical_id() ? chip.physical_id() : chip.npu()});
    }
  }
  return users;
}

// NPUs of which the process table says that nothing runs on them.
std::set<uint32_t> IdleNpus(absl::string_view text) {
  std::set<uint32_t> idle;
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const size_t at = line.find(kIdle);
    if (at == line.npos) continue;
    const absl::string_view rest = line.substr(at + kIdle.size());
    uint32_t npu = 0;
    if (absl::SimpleAtoi(rest.substr(0, rest.find_first_not_of("0123456789")), &npu))
      idle.insert(npu);
  }
  return idle;
}

}  // namespace

absl::StatusOr<std::vector<ChipUser>> ParseNpuSmiUsers(std::string_view text) {
  const v1::Inventory inventory = ParseNpuSmiInfo(text);
  // A row of a process or of a chip that was not understood may be one more user.
  for (const std::string& warning : inventory.warnings()) {
    for (const char* unreadable : {"process", "row", kCutOff}) {
      if (absl::StrContains(warning, unreadable)) return absl::UnavailableError(warning);
    }
  }
  if (inventory.chips().empty()) return absl::UnavailableError("npu-smi info lists no chip");
  std::vector<ChipUser> users = UsersOf(inventory);
  std::set<uint32_t> told = IdleNpus(Absl(text));
  for (const ChipUser& user : users) told.insert(user.npu);
  for (const v1::Chip& chip : inventory.chips()) {
    // npu-smi shows a query that failed as a zero, here as "no processes": it is believed of a chip
    // whose other readings came.
    const bool answers =
        chip.health() != v1::Chip::HEALTH_UNKNOWN && chip.health() != v1::Chip::GONE;
    if (!answers || told.count(chip.npu()) == 0) {
      return absl::UnavailableError(
          absl::StrCat("npu-smi info does not tell the processes of NPU ", chip.npu()));
    }
  }
  return users;
}

absl::StatusOr<std::vector<ChipUser>> DcmiUsers(const v1::Inventory& inventory) {
  // Only so many warnings are kept: behind them, a failure may be hidden.
  if (inventory.warnings_size() >= kMaxDcmiWarnings) {
    return absl::UnavailableError(inventory.warnings(0));
  }
  for (const std::string& warning : inventory.warnings()) {
    if (absl::StrContains(warning, kProcessesReading) || absl::StrContains(warning, kChipsReading))
      return absl::UnavailableError(warning);
  }
  if (inventory.chips().empty()) return absl::UnavailableError("dcmi lists no chip");
  return UsersOf(inventory);
}

absl::StatusOr<std::vector<ChipUser>> ReadChipUsers(host::Host& host) {
  const absl::StatusOr<v1::Inventory> by_dcmi = ReadDcmiInChild(host);
  if (by_dcmi.ok()) return DcmiUsers(*by_dcmi);
  // npu-smi asks the same library, and would show its failure as an idle chip.
  if (!absl::IsNotFound(by_dcmi.status()) && !absl::IsFailedPrecondition(by_dcmi.status()))
    return absl::UnavailableError(Printable(by_dcmi.status().ToString()));
  absl::StatusOr<host::ProcessResult> result = RunNpuTool(host, {"npu-smi", "info"});
  if (!result.ok()) return absl::UnavailableError(Printable(result.status().ToString()));
  if (!result->ok()) {
    return absl::UnavailableError(
        absl::StrCat("npu-smi info ended with status ", result->exit_code));
  }
  return ParseNpuSmiUsers(result->Combined());
}

}  // namespace npufleet::npu
