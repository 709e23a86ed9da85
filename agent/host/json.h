// SPDX-License-Identifier: Apache-2.0
//
// Reading foreign JSON without exceptions: what is missing or of another type is the default. The
// parser is instantiated here once: it costs each file that parses by itself two seconds to
// compile.
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
Json ParseJson(std::string_view text);

// The member, or a null value.
const Json& Member(const Json& object, const char* name);

std::string TextOf(const Json& object, const char* name);
int64_t NumberOf(const Json& object, const char* name);  // 0 for what is no whole number of 64 bits
bool TruthOf(const Json& object, const char* name);
std::map<std::string, std::string> TextsOf(const Json& object, const char* name);

// As JSON text; bytes that are not UTF-8 are replaced.
std::string WriteJson(const Json& value, int indent = -1);

}  // namespace npufleet::host

#endif  // AGENT_HOST_JSON_H_
