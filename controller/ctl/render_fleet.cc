// SPDX-License-Identifier: Apache-2.0
//
// Nodes and their chips. A reading that failed is a question mark, never a 0.
#include <cstdio>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "controller/ctl/render.h"
#include "controller/ctl/text.h"

namespace npufleet::ctl {
namespace {

absl::Time ToTime(const google::protobuf::Timestamp& timestamp) {
  return absl::FromUnixSeconds(timestamp.seconds()) + absl::Nanoseconds(timestamp.nanos());
}
absl::Duration ToDuration(const google::protobuf::Duration& duration) {
  return absl::Seconds(duration.seconds()) + absl::Nanoseconds(duration.nanos());
}

std::string OptionalNumber(bool has, double value, const char* format) {
  if (!has) return "?";
  char buffer[32];
  std::snprintf(buffer, sizeof(buffer), format, value);
  return buffer;
}

Style HealthStyle(v1::Chip::Health health) {
  if (health == v1::Chip::OK) return Style::kGreen;
  if (health == v1::Chip::HEALTH_UNKNOWN || health == v1::Chip::WARNING) return Style::kYellow;
  return Style::kRed;
}

std::string HealthName(v1::Chip::Health health) {
  if (health == v1::Chip::HEALTH_UNKNOWN) return "unknown";
  return absl::AsciiStrToLower(v1::Chip::Health_Name(health));
}

void AddChip(const std::string& node, const v1::Chip& chip, Table* table) {
  std::string hbm =
      absl::StrCat(OptionalNumber(chip.has_hbm_used_mib(), chip.hbm_used_mib(), "%.0f"), " / ",
                   OptionalNumber(chip.has_hbm_total_mib(), chip.hbm_total_mib(), "%.0f"));
  std::vector<std::string> processes;
  for (const v1::Chip::Process& process : chip.processes()) {
    processes.push_back(process.name().empty()
                            ? absl::StrCat(process.pid())
                            : absl::StrCat(Printable(process.name()), "(", process.pid(), ")"));
  }
  table->Add({{node},
              {absl::StrCat(chip.npu())},
              {absl::StrCat(chip.chip())},
              {chip.name().empty() ? "?" : Printable(chip.name())},
              {HealthName(chip.health()), HealthStyle(chip.health())},
              {chip.error_codes().empty() ? "-" : absl::StrJoin(chip.error_codes(), ",")},
              {OptionalNumber(chip.has_temperature_celsius(), chip.temperature_celsius(), "%.0f")},
              {OptionalNumber(chip.has_power_watts(), chip.power_watts(), "%.1f")},
              {OptionalNumber(chip.has_aicore_percent(), chip.aicore_percent(), "%.0f")},
              {hbm},
              {processes.empty() ? "-" : absl::StrJoin(processes, " ")}});
}

Table ChipTable() {
  return Table({"NODE", "NPU", "CHIP", "NAME", "HEALTH", "CODES", "TEMP C", "POWER W", "AICORE %",
                "HBM MIB", "PROCESSES"});
}

}  // namespace

std::string RenderNodes(const v1::ListNodesReply& nodes, const View& view) {
  if (nodes.nodes().empty()) return "no nodes; admit one with: ctl token create --node NAME\n";
  Table table({"NAME", "ADDRESS", "STATE", "ROLLOUT", "NPUS", "DRIVER", "AGENT", "SKEW", "SEEN"});
  for (const v1::NodeStatus& node : nodes.nodes()) {
    auto well = absl::c_count_if(node.inventory().chips(), [](const v1::Chip& chip) {
      return chip.health() == v1::Chip::OK;
    });
    std::string chips =
        node.has_inventory() ? absl::StrCat(well, "/", node.inventory().chips_size(), " ok") : "?";
    std::string state = node.connected() ? "connected" : "offline";
    if (!node.connected() && !node.reason().empty())
      absl::StrAppend(&state, ": ", Printable(node.reason()));
    table.Add(
        {{node.name()},
         {node.address()},
         {state, node.connected() ? Style::kGreen : Style::kRed},
         {node.rollout().empty() ? "-" : node.rollout()},
         {chips},
         {node.inventory().driver_version().empty() ? "?"
                                                    : Printable(node.inventory().driver_version())},
         {node.agent_version().empty() ? "?" : Printable(node.agent_version())},
         {node.has_clock_skew() ? absl::FormatDuration(absl::Trunc(ToDuration(node.clock_skew()),
                                                                   absl::Milliseconds(1)))
                                : "?"},
         {node.has_last_seen() ? ShortDuration(view.now - ToTime(node.last_seen())) + " ago"
                               : "never"}});
  }
  return table.Render(view.colour);
}

std::string RenderNode(const v1::NodeStatus& node, const View& view) {
  v1::ListNodesReply one;
  *one.add_nodes() = node;
  std::string text = RenderNodes(one, view);
  absl::StrAppend(&text, "\nboot id   ", node.boot_id().empty() ? "?" : node.boot_id(), "\n");
  if (!node.has_inventory()) return text + "no NPU reading yet\n";
  const v1::Inventory& inventory = node.inventory();
  absl::StrAppend(
      &text, "firmware  ",
      inventory.firmware_version().empty() ? "?" : Printable(inventory.firmware_version()),
      "\nread by   ", inventory.source(), " ", Printable(inventory.tool_version()), "\n");
  for (const std::string& warning : inventory.warnings()) {
    absl::StrAppend(&text, Styled("warning:  ", Style::kYellow, view.colour), Printable(warning),
                    "\n");
  }
  Table chips = ChipTable();
  for (const v1::Chip& chip : inventory.chips()) AddChip(node.name(), chip, &chips);
  return absl::StrCat(text, "\n", chips.Render(view.colour));
}

std::string RenderChips(const v1::ListNodesReply& nodes, const View& view) {
  Table table = ChipTable();
  std::string missing;
  for (const v1::NodeStatus& node : nodes.nodes()) {
    for (const v1::Chip& chip : node.inventory().chips()) AddChip(node.name(), chip, &table);
    if (!node.has_inventory()) absl::StrAppend(&missing, node.name(), ": no NPU reading yet\n");
    if (node.has_inventory() && !node.connected()) {
      absl::StrAppend(&missing, node.name(), ": offline; read ",
                      ShortDuration(view.now - ToTime(node.inventory().time())), " ago\n");
    }
    for (const std::string& warning : node.inventory().warnings()) {
      absl::StrAppend(&missing, node.name(), ": ", Printable(warning), "\n");
    }
  }
  return table.Render(view.colour) + missing;
}

}  // namespace npufleet::ctl
