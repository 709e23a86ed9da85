// SPDX-License-Identifier: Apache-2.0
#include "common/spec/forms.h"

#include <vector>

#include "absl/algorithm/container.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"

namespace npufleet::spec {

bool IsName(std::string_view name, size_t longest) {
  if (name.empty() || name.size() > longest || name.front() == '-' || name.back() == '-') {
    return false;
  }
  return absl::c_all_of(
      name, [](char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; });
}

bool IsIpv4(std::string_view address) {
  std::vector<std::string> parts = absl::StrSplit(std::string(address), '.');
  if (parts.size() != 4) return false;
  for (const std::string& part : parts) {
    int number;
    if (part.empty() || part.size() > 3 || !absl::c_all_of(part, absl::ascii_isdigit) ||
        !absl::SimpleAtoi(part, &number) || number > 255 || (part.size() > 1 && part[0] == '0')) {
      return false;
    }
  }
  return true;
}

bool IsInterfaceName(std::string_view name) {
  return !name.empty() && name.size() <= 15 && absl::c_all_of(name, [](unsigned char c) {
    return c > 0x20 && c < 0x7f && c != '/' && c != ':';
  });
}

bool IsPath(std::string_view path) {
  if (path.empty() || path[0] != '/') return false;
  std::vector<std::string> parts = absl::StrSplit(std::string(path), '/');
  return !absl::c_linear_search(parts, "..") &&
         absl::c_none_of(path, [](unsigned char c) { return c <= 0x20 || c == ':' || c == 0x7f; });
}

bool IsHex(std::string_view text, size_t length) {
  return text.size() == length && absl::c_all_of(text, [](char c) {
           return absl::ascii_isdigit(c) || (c >= 'a' && c <= 'f');
         });
}

bool IsEnvironmentName(std::string_view name) {
  return !name.empty() && !absl::ascii_isdigit(name[0]) &&
         absl::c_all_of(name, [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

bool IsSecretName(const std::string& name) {
  std::string upper = absl::AsciiStrToUpper(name);
  for (const char* word : {"TOKEN", "SECRET", "PASSWORD", "PASSWD", "ACCESS_KEY", "API_KEY"}) {
    if (absl::EndsWith(upper, word)) return true;
  }
  return false;
}

bool IsHttp(const std::string& url) {
  for (const char* scheme : {"http://", "https://"}) {
    if (!absl::StartsWith(url, scheme)) continue;
    std::string rest = url.substr(std::string_view(scheme).size());
    return !rest.empty() && rest[0] != '/' &&
           absl::c_none_of(rest, [](unsigned char c) { return c <= 0x20 || c == 0x7f; });
  }
  return false;
}

bool IsObs(const std::string& url) {
  std::string rest = url.substr(0, 6) == "obs://" ? url.substr(6) : "";
  size_t slash = rest.find('/');
  return slash != std::string::npos && slash > 0 && slash + 1 < rest.size();
}

bool IsPackageName(const std::string& name) {
  return !name.empty() && absl::ascii_isalnum(name[0]) && absl::c_all_of(name, [](char c) {
    return absl::ascii_isalnum(c) || absl::StrContains("+._-:=", c);
  });
}

std::string IndentationHint(const std::string& text) {
  if (!absl::StrContains(text, " - ")) return "";
  return "; if its \" - \" begins a list item, check the indentation: all items begin in one "
         "column";
}

}  // namespace npufleet::spec
