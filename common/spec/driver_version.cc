// SPDX-License-Identifier: Apache-2.0
#include "common/spec/driver_version.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace npufleet::spec {
namespace {

constexpr std::string_view kTo = "..";

struct Part {
  bool is_final = true;  // a candidate and a test build come first
  int number = 0;
  auto operator<=>(const Part&) const = default;
};

std::vector<Part> PartsOf(std::string_view version) {
  std::vector<Part> parts;
  for (const std::string& text :
       std::vector<std::string>(absl::StrSplit(std::string(version), '.'))) {
    const std::string lower = absl::AsciiStrToLower(text);
    Part part;
    part.is_final = !absl::StartsWith(lower, "rc") && !absl::StartsWith(lower, "t");
    const size_t digit = lower.find_first_of("0123456789");
    if (digit != std::string::npos && !absl::SimpleAtoi(lower.substr(digit), &part.number)) {
      part.number = 0;
    }
    parts.push_back(part);
  }
  return parts;
}

bool IsVersion(std::string_view text) {
  return !text.empty() && absl::ascii_isdigit(text.front()) && text.back() != '.' &&
         text.find(kTo) == std::string_view::npos &&
         std::all_of(text.begin(), text.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '.' || c == '_'; });
}

// Both ends of a range; two empty ones of what is none.
std::pair<std::string_view, std::string_view> EndsOf(std::string_view entry) {
  const size_t at = entry.find(kTo);
  if (at == std::string_view::npos) return {};
  return {entry.substr(0, at), entry.substr(at + kTo.size())};
}

}  // namespace

int CompareDriverVersions(std::string_view a, std::string_view b) {
  std::vector<Part> left = PartsOf(a), right = PartsOf(b);
  left.resize(std::max(left.size(), right.size()));
  right.resize(left.size());
  return left < right ? -1 : left == right ? 0 : 1;
}

bool AcceptsDriverVersion(std::string_view entry, std::string_view version) {
  if (version.empty()) return false;
  const auto [from, to] = EndsOf(entry);
  if (from.empty()) return entry == version;
  return CompareDriverVersions(from, version) <= 0 && CompareDriverVersions(version, to) <= 0;
}

bool IsDriverVersionEntry(std::string_view entry) {
  if (entry.find(kTo) == std::string_view::npos) return IsVersion(entry);
  const auto [from, to] = EndsOf(entry);
  return IsVersion(from) && IsVersion(to) && CompareDriverVersions(from, to) <= 0;
}

}  // namespace npufleet::spec
