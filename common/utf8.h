// SPDX-License-Identifier: Apache-2.0
//
// Text of foreign programs reaches the wire's string fields, which must be UTF-8.
#ifndef COMMON_UTF8_H_
#define COMMON_UTF8_H_

#include <string>
#include <string_view>

#include "google/protobuf/message.h"

namespace npufleet {

// `text` with U+FFFD in place of each byte that is no part of valid UTF-8.
std::string ValidUtf8(std::string_view text);

// How many bytes from the start on are valid UTF-8; text.size() when all are.
size_t ValidUtf8Length(std::string_view text);

// Applies ValidUtf8 to all string fields in `message` and what is in it, values of maps included.
void MakeValidUtf8(google::protobuf::Message& message);

}  // namespace npufleet

#endif  // COMMON_UTF8_H_
