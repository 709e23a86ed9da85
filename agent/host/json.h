// SPDX-License-Identifier: Apache-2.0
//
// Reading foreign JSON without exceptions: what is missing or of another type is the default.
#ifndef AGENT_HOST_JSON_H_
#define AGENT_HOST_JSON_H_

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "nlohmann/json.hpp"

namespace npufleet::host {

using Json = nlohmann::json;

// A discarded value (is_discarded()) when `text` is not JSON.
inline Json ParseJson(std::string_view text) {
  return Json::parse(text.begin(), text.end(), nullptr, /*allow_exceptions=*/false);
}

// The member, or a null value.
inline const Json& Member(const Json& object, const char* name) {
  static const Json* const kNull = new Json();
  if (!object.is_object()) return *kNull;
  auto found = object.find(name);
  return found == object.end() ? *kNull : *found;
}

inline std::string TextOf(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  return member.is_string() ? member.get<std::string>() : std::string();
}

inline int64_t NumberOf(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  return member.is_number() ? member.get<int64_t>() : 0;
}

inline bool TruthOf(const Json& object, const char* name) {
  const Json& member = Member(object, name);
  return member.is_boolean() && member.get<bool>();
}

inline std::map<std::string, std::string> TextsOf(const Json& object, const char* name) {
  std::map<std::string, std::string> texts;
  const Json& member = Member(object, name);
  if (!member.is_object()) return texts;
  for (const auto& [key, value] : member.items()) {
    if (value.is_string()) texts[key] = value.get<std::string>();
  }
  return texts;
}

// As JSON text; bytes that are not UTF-8 are replaced.
inline std::string WriteJson(const Json& value, int indent = -1) {
  return value.dump(indent, ' ', false, Json::error_handler_t::replace);
}

}  // namespace npufleet::host

#endif  // AGENT_HOST_JSON_H_
