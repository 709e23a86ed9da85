// SPDX-License-Identifier: Apache-2.0
#ifndef COMMON_DIGEST_H_
#define COMMON_DIGEST_H_

#include <string>
#include <string_view>

#include "google/protobuf/message.h"

namespace npufleet {

// Lower-case hex.
std::string Sha256Hex(std::string_view bytes);

// Of the message's deterministic serialization (maps in key order): stable within one version of
// the schema, and across versions that only add fields which are not set.
std::string DigestOf(const google::protobuf::Message& message);

}  // namespace npufleet

#endif  // COMMON_DIGEST_H_
