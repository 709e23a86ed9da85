// SPDX-License-Identifier: Apache-2.0
#include "common/spec/engine_version.h"

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"

namespace npufleet::spec {
namespace {

bool TakeNumber(std::string_view* text, int* number) {
  size_t digits = 0;
  while (digits < text->size() && absl::ascii_isdigit((*text)[digits])) ++digits;
  if (digits == 0 || !absl::SimpleAtoi(std::string(text->substr(0, digits)), number)) return false;
  text->remove_prefix(digits);
  return true;
}

bool Take(std::string_view* text, std::string_view prefix) {
  if (text->substr(0, prefix.size()) != prefix) return false;
  text->remove_prefix(prefix.size());
  return true;
}

}  // namespace

std::string ToString(const EngineVersion& version) {
  std::string text = absl::StrCat(version.major, ".", version.minor, ".", version.patch);
  if (version.candidate != EngineVersion::kFinal) absl::StrAppend(&text, "rc", version.candidate);
  return text;
}

std::optional<EngineVersion> EngineVersionOf(std::string_view image) {
  image = image.substr(0, image.find('@'));
  size_t colon = image.rfind(':');
  size_t slash = image.rfind('/');
  if (colon == std::string_view::npos || (slash != std::string_view::npos && slash > colon)) {
    return std::nullopt;
  }
  std::string_view tag = image.substr(colon + 1);
  Take(&tag, "v");
  EngineVersion version;
  if (!TakeNumber(&tag, &version.major) || !Take(&tag, ".") || !TakeNumber(&tag, &version.minor) ||
      !Take(&tag, ".") || !TakeNumber(&tag, &version.patch)) {
    return std::nullopt;
  }
  if (Take(&tag, "rc") && !TakeNumber(&tag, &version.candidate)) return std::nullopt;
  return version;
}

}  // namespace npufleet::spec
