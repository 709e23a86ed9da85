// SPDX-License-Identifier: Apache-2.0
#include "agent/host/json.h"

#include <limits>

namespace npufleet::host {

Json ParseJson(std::string_view text) {
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

const Json& Member(const Json& object, const char* name) {
  static const Json* const kNull = new Json();
  if (!object.is_object()) return *kNull;
  auto found = object.find(name);
  return found == object.end() ? *kNull : *found;
}

std::string TextOf(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  return member.is_string() ? member.get<std::string>() : std::string();
}

int64_t NumberOf(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  // A fraction is no number of ours, and 1e300 fits in none.
  if (!member.is_number_integer()) return 0;
  const bool fits =
      !member.is_number_unsigned() || member.get<uint64_t>() <= std::numeric_limits<int64_t>::max();
  return fits ? member.get<int64_t>() : 0;
}

bool TruthOf(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  return member.is_boolean() && member.get<bool>();
}

std::map<std::string, std::string> TextsOf(const Json& object, const char* name) {
  std::map<std::string, std::string> texts;
  const Json& member = Member(object, name);
  if (!member.is_object()) return texts;
  for (const auto& [key, value] : member.items()) {
    if (value.is_string()) texts[key] = value.get<std::string>();
  }
  return texts;
}

std::string WriteJson(const Json& value, int indent) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace npufleet::host
