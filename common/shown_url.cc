// SPDX-License-Identifier: Apache-2.0
#include "common/shown_url.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace npufleet {

std::string ShownUrl(std::string_view url, std::string_view user) {
  std::string shown(url);
  const size_t authority = shown.find("://");
  if (authority == std::string::npos) return shown;
  const size_t start = authority + 3;
  const size_t end = std::min(shown.find_first_of("/?#", start), shown.size());
  const size_t at = shown.rfind('@', end);
  if (at != std::string::npos && at >= start) shown.replace(start, at + 1 - start, user);
  const size_t query = shown.find('?');
  if (query == std::string::npos) return shown;
  const std::string lower = absl::AsciiStrToLower(shown.substr(query));
  for (const char* word : {"sign", "token", "sig=", "key", "credential", "password", "secret"}) {
    if (absl::StrContains(lower, word)) return shown.substr(0, query) + "?…";
  }
  return shown;
}

}  // namespace npufleet
