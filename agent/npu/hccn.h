// SPDX-License-Identifier: Apache-2.0
//
// What hccn_tool (the tool of the chips' own RoCE ports) prints. Pure; any text is allowed, and
// what is not there is absent.
#ifndef AGENT_NPU_HCCN_H_
#define AGENT_NPU_HCCN_H_

#include <optional>
#include <string>
#include <string_view>

namespace npufleet::npu {

struct HccnAddress {
  std::string address;
  std::string netmask;
};
// `hccn_tool -i N -ip -g`. Absent for a chip without an address: the tool prints nothing then.
std::optional<HccnAddress> ParseHccnAddress(std::string_view text);

enum class HccnLink { kUp, kDown };
// `-link -g`
std::optional<HccnLink> ParseHccnLink(std::string_view text);

// `-tls -g`: whether the TLS switch is on. It must be equal on all chips that talk to one another.
std::optional<bool> ParseHccnTls(std::string_view text);

// `-net_health -g`: "Success", "Init" (normal while no netdetect address is set), "Fault",
// "Socket failed", "Receive timeout", "Unreachable", "Detect ip set".
std::optional<std::string> ParseHccnNetHealth(std::string_view text);

// `-netdetect -g`, `-gateway -g`: an IPv4 address.
std::optional<std::string> ParseHccnNetdetect(std::string_view text);
std::optional<std::string> ParseHccnGateway(std::string_view text);

struct HccnPing {
  int transmitted = 0;
  int received = 0;
};
// `-ping -g address X`
std::optional<HccnPing> ParseHccnPing(std::string_view text);

}  // namespace npufleet::npu

#endif  // AGENT_NPU_HCCN_H_
