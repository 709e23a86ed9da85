// SPDX-License-Identifier: Apache-2.0
#include "agent/host/os_release.h"

#include "absl/strings/ascii.h"
#include "absl/strings/str_split.h"

namespace npufleet::host {
namespace {

std::string Unquoted(const std::string& value) {
  const bool quoted =
      value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0];
  if (!quoted) return value;
  std::string text;
  for (size_t at = 1; at + 1 < value.size(); ++at) {
    if (value[0] == '"' && value[at] == '\\' && at + 2 < value.size()) ++at;
    text += value[at];
  }
  return text;
}

}  // namespace

std::map<std::string, std::string> ParseOsRelease(std::string_view text) {
  std::map<std::string, std::string> variables;
  const std::vector<std::string> lines = absl::StrSplit(std::string(text), '\n');
  for (const std::string& line : lines) {
    const std::string trimmed(absl::StripAsciiWhitespace(line));
    const size_t equals = trimmed.find('=');
    if (equals == std::string::npos || equals == 0 || trimmed[0] == '#') continue;
    variables[trimmed.substr(0, equals)] = Unquoted(trimmed.substr(equals + 1));
  }
  return variables;
}

}  // namespace npufleet::host
