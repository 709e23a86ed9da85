// SPDX-License-Identifier: Apache-2.0
#include "agent/npu/hccn.h"

#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "agent/npu/npu_smi.h"
#include "common/string_views.h"

namespace npufleet::npu {
namespace {

// What follows `key` on the first line that begins with it; the empty view when no line does.
absl::string_view After(std::string_view text, absl::string_view key) {
  for (absl::string_view line : absl::StrSplit(Absl(text), '\n')) {
    line = absl::StripAsciiWhitespace(line);
    if (absl::ConsumePrefix(&line, key)) return absl::StripAsciiWhitespace(line);
  }
  return {};
}

bool IsIpv4(absl::string_view text) {
  std::vector<absl::string_view> parts = absl::StrSplit(text, '.');
  if (parts.size() != 4) return false;
  for (absl::string_view part : parts) {
    int value = 0;
    if (part.size() > 3 || !absl::SimpleAtoi(part, &value) || value < 0 || value > 255)
      return false;
  }
  return true;
}

std::optional<std::string> Ipv4After(std::string_view text, absl::string_view key) {
  absl::string_view value = After(text, key);
  value = value.substr(0, value.find_first_of(", \t"));
  if (!IsIpv4(value)) return std::nullopt;
  return std::string(value);
}

}  // namespace

std::optional<HccnAddress> ParseHccnAddress(std::string_view text) {
  std::optional<std::string> address = Ipv4After(text, "ipaddr:");
  if (!address) return std::nullopt;
  return HccnAddress{*address, Ipv4After(text, "netmask:").value_or("")};
}

std::optional<HccnLink> ParseHccnLink(std::string_view text) {
  absl::string_view word = After(text, "link status:");
  if (word == "UP") return HccnLink::kUp;
  if (word == "DOWN") return HccnLink::kDown;
  return std::nullopt;
}

std::optional<bool> ParseHccnTls(std::string_view text) {
  static constexpr std::string_view kKey = "tls switch[";
  size_t at = text.find(kKey);
  if (at == text.npos) return std::nullopt;
  std::string_view rest = text.substr(at + kKey.size(), 2);
  if (rest == "0]") return false;
  if (rest == "1]") return true;
  return std::nullopt;
}

std::optional<std::string> ParseHccnNetHealth(std::string_view text) {
  absl::string_view word = After(text, "net health status:");
  if (word.empty()) return std::nullopt;
  return Printable(Std(word), 40);
}

std::optional<std::string> ParseHccnNetdetect(std::string_view text) {
  return Ipv4After(text, "netdetect address:");
}

std::optional<std::string> ParseHccnGateway(std::string_view text) {
  return Ipv4After(text, "default gateway:");
}

std::optional<HccnPing> ParseHccnPing(std::string_view text) {
  for (absl::string_view line : absl::StrSplit(Absl(text), '\n')) {
    std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::ByAnyChar(" \t\r,"), absl::SkipEmpty());
    HccnPing ping;
    if (words.size() >= 5 && words[1] == "packets" && words[2] == "transmitted" &&
        words[4] == "received" && absl::SimpleAtoi(words[0], &ping.transmitted) &&
        absl::SimpleAtoi(words[3], &ping.received)) {
      return ping;
    }
  }
  return std::nullopt;
}

}  // namespace npufleet::npu
