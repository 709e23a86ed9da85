// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/inventory.h"

#include <algorithm>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "agent/npu/dcmi_child.h"
#include "agent/npu/npu_smi.h"
#include "agent/npu/tool.h"

namespace npufleet::npu {
namespace {

// The table says how a chip is in one word, which may be a zero of a failed query; the answer for
// one chip says it with its codes. An OK has none that matter: the word is that of the worst alarm.
void AskForHealth(host::Host& host, v1::Inventory& inventory) {
  for (v1::Chip& chip : *inventory.mutable_chips()) {
    if (chip.health() == v1::Chip::OK || chip.health() == v1::Chip::GONE) continue;
    absl::StatusOr<host::ProcessResult> result =
        RunNpuTool(host, {"npu-smi", "info", "-t", "health", "-i", absl::StrCat(chip.npu()), "-c",
                          absl::StrCat(chip.chip())});
    if (!result.ok()) {
      inventory.add_warnings(
          absl::StrCat("health of NPU ", chip.npu(), ": ", Printable(result.status().ToString())));
      if (absl::IsDeadlineExceeded(result.status())) return;  // the next ones would hang, too
      continue;
    }
    std::optional<NpuSmiHealth> health = ParseNpuSmiHealth(result->Combined());
    if (!health) {
      inventory.add_warnings(
          absl::StrCat("health of NPU ", chip.npu(), ": ", Printable(result->Combined(), 200)));
      continue;
    }
    // The same zero may stand here: an "OK" does not settle what the table left unknown.
    if (health->health != v1::Chip::HEALTH_UNKNOWN && health->health != v1::Chip::OK) {
      chip.set_health(health->health);
    }
    for (const std::string& code : health->error_codes) chip.add_error_codes(code);
  }
}

v1::Inventory ReadNpuSmi(host::Host& host) {
  absl::StatusOr<host::ProcessResult> result = RunNpuTool(host, {"npu-smi", "info"});
  if (!result.ok()) {
    v1::Inventory inventory;
    inventory.set_source("npu-smi");
    inventory.add_warnings(
        absl::IsNotFound(result.status())
            ? std::string("npu-smi is not on this node: no driver is installed")
            : absl::StrCat("npu-smi info: ", Printable(result.status().ToString())));
    return inventory;
  }
  v1::Inventory inventory = ParseNpuSmiInfo(result->Combined());
  if (!result->ok())
    inventory.add_warnings(absl::StrCat("npu-smi info ended with status ", result->exit_code));
  AskForHealth(host, inventory);
  return inventory;
}

// DCMI knows pids only, which are the host's; npu-smi names them from /proc, as we do.
void NameProcesses(v1::Inventory& inventory) {
  const host::Filesystem kernel("/");
  for (v1::Chip& chip : *inventory.mutable_chips()) {
    for (v1::Chip::Process& process : *chip.mutable_processes()) {
      const std::string comm =
          kernel.Read(absl::StrCat("/proc/", process.pid(), "/comm"), 64).value_or("");
      process.set_name(Printable(comm.substr(0, comm.find('\n'))));
    }
  }
}

v1::Inventory ReadChips(host::Host& host) {
  absl::StatusOr<v1::Inventory> by_dcmi = ReadDcmiInChild(host);
  if (by_dcmi.ok()) {
    NameProcesses(*by_dcmi);
    return *std::move(by_dcmi);
  }
  v1::Inventory inventory;
  if (absl::IsDeadlineExceeded(by_dcmi.status())) {
    inventory.set_source("dcmi");  // npu-smi asks the same library: it would hang, too
  } else {
    inventory = ReadNpuSmi(host);
  }
  if (!absl::IsNotFound(by_dcmi.status()))
    inventory.add_warnings(Printable(by_dcmi.status().ToString()));
  return inventory;
}

constexpr const char* kHealthWords[] = {"unknown", "OK", "Warning", "Alarm", "Critical", "GONE"};

std::vector<std::string> RowOf(const v1::Chip& chip) {
  std::vector<std::string> processes;
  for (const v1::Chip::Process& process : chip.processes()) {
    processes.push_back(
        absl::StrCat(process.pid(), process.name().empty() ? "" : " ", process.name()));
  }
  auto usage = [](bool known, uint64_t used, uint64_t total) {
    return known ? absl::StrCat(used, "/", total) : std::string("-");
  };
  return {absl::StrCat(chip.npu()),
          absl::StrCat(chip.chip()),
          chip.has_physical_id() ? absl::StrCat(chip.physical_id()) : "-",
          chip.name().empty() ? "-" : chip.name(),
          v1::Chip::Health_IsValid(chip.health()) ? kHealthWords[chip.health()] : "unknown",
          chip.error_codes().empty() ? "-" : absl::StrJoin(chip.error_codes(), " "),
          chip.has_power_watts() ? absl::StrFormat("%.1f", chip.power_watts()) : "-",
          chip.has_temperature_celsius() ? absl::StrCat(chip.temperature_celsius()) : "-",
          usage(chip.has_hbm_total_mib(), chip.hbm_used_mib(), chip.hbm_total_mib()),
          usage(chip.has_memory_total_mib(), chip.memory_used_mib(), chip.memory_total_mib()),
          chip.has_aicore_percent() ? absl::StrCat(chip.aicore_percent()) : "-",
          chip.bus_id().empty() ? "-" : chip.bus_id(),
          processes.empty() ? "-" : absl::StrJoin(processes, ", ")};
}

}  // namespace

v1::Inventory ReadInventory(host::Host& host) {
  v1::Inventory inventory = ReadChips(host);
  if (auto text = host.filesystem->Read("/usr/local/Ascend/firmware/version.info", 1 << 16);
      text.ok()) {
    inventory.set_firmware_version(ParseVersionInfo(*text));
  }
  if (const auto interfaces = host.system->Interfaces(); interfaces.ok()) {
    for (const host::NetworkInterface& one : *interfaces) {
      for (const std::string& address : one.ipv4)
        (*inventory.mutable_interfaces())[address] = one.name;
    }
  }
  absl::Time now = host.clock->Now();
  inventory.mutable_time()->set_seconds(absl::ToUnixSeconds(now));
  inventory.mutable_time()->set_nanos(
      absl::ToInt64Nanoseconds(now - absl::FromUnixSeconds(absl::ToUnixSeconds(now))));
  return inventory;
}

v1::Inventory InventoryFromText(std::string_view text) { return ParseNpuSmiInfo(text); }

std::string RenderInventoryTable(const v1::Inventory& inventory) {
  std::vector<std::vector<std::string>> rows = {{"NPU", "CHIP", "DAVINCI", "NAME", "HEALTH",
                                                 "CODES", "POWER(W)", "TEMP(C)", "HBM(MiB)",
                                                 "MEMORY(MiB)", "AICORE(%)", "BUS", "PROCESSES"}};
  for (const v1::Chip& chip : inventory.chips()) rows.push_back(RowOf(chip));
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows) {
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  auto known = [](const std::string& version) {
    return version.empty() ? std::string("unknown") : version;
  };
  std::string table = absl::StrCat("driver ", known(inventory.driver_version()), ", firmware ",
                                   known(inventory.firmware_version()), ", read by ",
                                   known(inventory.source()), "\n");
  if (!inventory.chips().empty()) {
    for (const auto& row : rows) {
      std::string line;
      for (size_t i = 0; i < row.size(); ++i) {
        absl::StrAppend(&line, row[i]);
        if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
      }
      absl::StrAppend(&table, line, "\n");
    }
  }
  for (const std::string& warning : inventory.warnings())
    absl::StrAppend(&table, "warning: ", warning, "\n");
  return table;
}

}  // namespace npufleet::npu
