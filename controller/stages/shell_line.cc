// SPDX-License-Identifier: Apache-2.0
#include "controller/stages/shell_line.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "common/shown_url.h"
#include "common/string_views.h"

namespace npufleet::stages {
namespace {

bool NamesASecret(std::string_view name) {
  const std::string upper =
      absl::StrReplaceAll(absl::AsciiStrToUpper(std::string(name)), {{"-", "_"}});
  // A path to a secret is none.
  if (absl::EndsWith(upper, "_FILE") || absl::EndsWith(upper, "_PATH")) return false;
  for (const char* word : {"SECRET", "PASSWORD", "PASSWD", "API_KEY", "ACCESS_KEY", "CREDENTIAL"}) {
    if (absl::StrContains(upper, word)) return true;
  }
  // Not MAX_TOKENS, not TOKENIZER_MODE.
  return upper == "TOKEN" || absl::EndsWith(upper, "_TOKEN") || upper == "OBSAK" ||
         upper == "OBSSK";
}

}  // namespace

std::string Quoted(std::string_view word) {
  if (word.empty()) return "''";
  bool safe = true;
  for (const char c : word) {
    safe = safe && (absl::ascii_isalnum(c) || absl::StrContains("_-./:=@%+,", std::string(1, c)));
  }
  if (safe) return std::string(word);
  return absl::StrCat("'", absl::StrReplaceAll(std::string(word), {{"'", "'\\''"}}), "'");
}

std::string Assignment(std::string_view name, std::string_view value) {
  std::string shown = NamesASecret(name) ? kMask : Quoted(MaskedUrl(value));
  // A proxy needs no scheme: USER:PASSWORD@HOST:PORT.
  const size_t at = value.rfind('@');
  if (absl::EndsWithIgnoreCase(Absl(name), "_PROXY") && at != std::string_view::npos &&
      value.find("://") == std::string_view::npos) {
    shown = Quoted(absl::StrCat(kMask, std::string(value.substr(at))));
  }
  return absl::StrCat(std::string(name), "=", shown);
}

std::string ShellLine(const std::vector<std::string>& words) {
  std::vector<std::string> shown;
  bool mask_next = false;
  for (const std::string& word : words) {
    const size_t equals = word.find('=');
    const bool is_option = absl::StartsWith(word, "-");
    const bool secret =
        is_option && NamesASecret(absl::StrReplaceAll(word.substr(0, equals), {{"--", ""}}));
    if (mask_next && !is_option) {
      shown.push_back(kMask);
    } else if (secret && equals != std::string::npos) {
      shown.push_back(absl::StrCat(word.substr(0, equals + 1), kMask));
    } else {
      shown.push_back(Quoted(MaskedUrl(word)));
    }
    mask_next = secret && equals == std::string::npos;
  }
  return absl::StrJoin(shown, " ");
}

std::string MaskedUrl(std::string_view url) { return ShownUrl(url, absl::StrCat(kMask, "@")); }

}  // namespace npufleet::stages
